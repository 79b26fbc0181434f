#include "tests/simulation/instance.hpp"

#include <algorithm>

#include "daemon/data/older_ledger.hpp"

namespace vouch::test {
namespace {

constexpr int kRestartsMax = 50;
// Rounds that are due at once and find nothing to do: more of them in a row are a spin.
constexpr int kIdleRoundsMax = 3;

}  // namespace

Instance::Instance(const Surroundings& around, std::size_t number)
    : vfs{around.random.next()},
      around_{around},
      number_{number},
      name_{kInstanceNames.at(number)} {}

Instance::~Instance() {
  end_life();
}

// --- lives ---------------------------------------------------------------------------------------

void Instance::start() {
  for (int i = 0; i < kRestartsMax && !around_.is_wrong(); ++i) {
    const auto begun = try_life();
    if (begun) return;
    end_life();
    if (vfs.is_off()) {
      vfs.crash();
      ++around_.counts.happened["crash while starting"];
    } else if (disk_is_broken_) {
      vfs.heal();
      disk_is_broken_ = false;
      ++around_.counts.happened["failed store while starting"];
    } else {
      return around_.wrong("vouchd does not start again: " + begun.error().message);
    }
  }
  around_.wrong("vouchd was cut off at every start");
}

Life::Outside Instance::outside() {
  const auto origin = [&](std::size_t which) {
    return ModelClient::origin_of(around_.store.downstreams()[which].versions.at(1)->url);
  };
  return {.clock = around_.clock,
          .random = around_.random,
          .vfs = vfs.name(),
          .caller = {.instance = number_, .life = lives_},
          .name = name_,
          .place = "place-" + std::to_string(number_),
          .pool_key = around_.pool_key,
          .services = {{origin(0), around_.services[0]}, {origin(1), around_.services[1]}},
          .before_guard = [this] { sleep_before_a_call(); },
          .on_start = [this](const wire::HttpCall& call) { return may_leave(call); },
          .on_end = [this](const std::string& id, bool asks) { call_ended(id, asks); },
          .redis = around_.settings.redis ? &around_.redis : nullptr,
          .on_leases = [this] { wake(intake); },
          .engine = around_.settings.engine,
          .intake = around_.settings.intake};
}

Result<void> Instance::try_life() {
  VOUCH_TRY(life_, Life::open(outside()));
  VOUCH_TRY(store::Database for_audit, data::open_ledger_reader(kLedgerPath, vfs.name()));
  audit_ = std::make_unique<Audit>(std::move(for_audit), around_.store, seen_);
  VOUCH_CHECK(check_clock());
  check_survivors();
  VOUCH_TRY(const auto rows, life_->writer.load_and_recover(nullptr, false));
  const int recovered = rows.in_doubt;
  if (recovered > doubtful_max_) {
    around_.wrong(std::to_string(recovered) + " rows in doubt after a stop with at most " +
                  std::to_string(doubtful_max_) + " out or ready");
  }
  around_.counts.recovered += recovered;
  begin_life();
  return {};
}

// As daemon.cpp: vouchd does not start with a clock that was set back.  Somebody sets it right, or
// says that it is.
Result<void> Instance::check_clock() {
  VOUCH_TRY(const auto newest, data::last_event_time(life_->ledger));
  if (!data::check_clock(newest, around_.clock.wall_now())) {
    ++around_.counts.happened["clock refused at a start, then accepted"];
  }
  return {};
}

void Instance::clone_from(Instance& original) {
  name_ = original.name_;
  vfs.clone_from(original.vfs);
  original.seen_.has_copy = true;
  seen_ = original.seen_;
}

data::Anchor Instance::anchor() {
  return {.ledger_id = data::ledger_id(life_->ledger).value(),
          .last_event = seen_.last_event,
          .at = around_.clock.wall_now()};
}

// As daemon.cpp: it is refused, and asked for all the same.
Result<void> Instance::accept_older(const data::Anchor& anchor) {
  const WallTime now = around_.clock.wall_now();
  VOUCH_TRY(store::Database ledger,
            data::open_ledger(kLedgerPath, now, around_.random, vfs.name()));
  VOUCH_TRY(const std::string id, data::ledger_id(ledger));
  if (data::check_anchor(anchor, id, seen_.last_event)) {
    return fail(Errc::failure, "the older copy is not known for one");
  }
  VOUCH_CHECK(accept_older(ledger));
  doubtful_max_ = std::numeric_limits<int>::max();  // its copy was made while calls were out
  return {};
}

Result<void> Instance::accept_older(store::Database& ledger) {
  const WallTime now = around_.clock.wall_now();
  VOUCH_TRY(const auto since, data::last_event_time(ledger));
  const store::PoolRow& pool = around_.store.pool();
  VOUCH_CHECK(data::pass_over_codes(ledger, pool.id, pool.codes()));
  VOUCH_TRY(const data::Acceptance accepted,
            data::accept_older_ledger(ledger, around_.store.campaign_ids(), {}, since.value_or(now),
                                      now));
  around_.counts.happened["in doubt for an older copy"] += static_cast<int>(accepted.rows_in_doubt);
  around_.counts.happened["paused for an older copy"] += static_cast<int>(accepted.jobs_paused);
  seen_.codes_out = pool.codes();
  seen_.is_restored = true;
  return {};
}

void Instance::accept_older_ledger() {
  if (const auto accepted = accept_older(life_->ledger); !accepted) {
    return around_.wrong("the ledger is not accepted: " + accepted.error().message);
  }
  kill();
}

void Instance::resume_older() {
  if (!seen_.is_restored || life_ == nullptr) return;
  const auto jobs = life_->reader.open_jobs();
  if (!jobs) return;
  for (const data::JobRecord& job : *jobs) {
    if (job.pause_reason != PauseReason::store) continue;
    life_->writer.push(data::ChangeJob{.number = job.number,
                                       .action = data::JobAction::resume,
                                       .reason = PauseReason::store,
                                       .words = "somebody has looked"});
  }
  wake(writer);
}

void Instance::submit_lost_jobs() {
  for (const ModelStore::Command& command : around_.store.commands()) {
    const auto* submit = std::get_if<data::SubmitJob>(&command.what);
    if (submit == nullptr || life_->reader.has_job(submit->id).value_or(true)) continue;
    data::SubmitJob again = *submit;
    again.command = 0;
    again.is_lost = true;
    life_->writer.push(again);
  }
}

void Instance::begin_life() {
  doubtful_max_ = 0;
  ++lives_;
  ++around_.counts.lives;
  check_commit();
  known_jobs_.clear();
  store_version_ = -1;
  for (ModelStore::Command& command : around_.store.commands()) {
    if (command.instance == number_) command.given = false;
  }
  draining = false;
  dying_until_.reset();
  due_.fill(around_.clock.now());
  if (seen_.is_restored && lives_ == 1) submit_lost_jobs();
  run_control();
}

void Instance::end_life() {
  audit_.reset();
  life_.reset();
}

void Instance::be_down(Nanos how_long) {
  end_life();
  around_.others_go_on(*this, how_long);
  start();
}

void Instance::crash(Survival survival) {
  ++around_.counts.happened["crash"];
  doubtful_max_ += life_->ready.depth() + life_->client.stopped();
  vfs.crash(survival);
  be_down(Millis{1 + static_cast<std::int64_t>(around_.random.below(500))});
}

void Instance::kill() {
  ++around_.counts.happened["kill"];
  doubtful_max_ += life_->ready.depth() + life_->client.stopped();
  vfs.kill();
  be_down(Millis{1 + static_cast<std::int64_t>(around_.random.below(500))});
}

void Instance::drain() {
  ++around_.counts.happened["stop"];
  draining = true;
  life_->engine.drain();
}

void Instance::restart_after_stop() {
  const auto rows = audit_->count(IssuanceState::sending) - audit_->taken_by_exports();
  if (rows > 0) {
    around_.wrong(std::to_string(rows) + " rows are still sending after a stop");
  }
  be_down(Millis{1 + static_cast<std::int64_t>(around_.random.below(500))});
}

void Instance::fail_disk(const FaultRule& rule) {
  vfs.fail(rule);
  disk_is_broken_ = true;
}

bool Instance::mend_when_due() {
  if (!dying_until_ || around_.clock.now() < *dying_until_) return false;
  mend_store();
  return true;
}

// The disk has failed under the daemon; it has stopped, and somebody has mended the disk.
void Instance::mend_store() {
  ++around_.counts.happened["restart after a failed store"];
  disk_is_broken_ = false;
  // Two disasters at once, a failed fsync and a power cut while starting again, are one too many
  // for SQLite: it would mend the database with a WAL of which a part is gone.
  vfs.power_cut_after(std::numeric_limits<std::int64_t>::max() / 2);
  dying_until_.reset();
  const auto how = around_.random.below(3);
  if (how == 2) {
    doubtful_max_ += life_->ready.depth() + life_->client.stopped();
    end_life();
  }
  vfs.heal();
  if (how == 0) return kill();
  if (how == 1) return crash();
  be_down(Millis{100});
}

void Instance::stand_still(Nanos how_long) {
  around_.others_go_on(*this, how_long);
  awake_since_ = around_.clock.now();
}

void Instance::fall_asleep() {
  ++around_.counts.happened["slept"];
  stand_still(a_long_sleep());
}

// --- time ----------------------------------------------------------------------------------------

Instant Instance::due_of(Actor actor) const {
  if (actor == engine) return std::min(due_[engine], life_->client.next_end());
  return due_[actor];
}

Instant Instance::due() const {
  if (stands_still) return Instant::max();
  Instant next = dying_until_.value_or(Instant::max());
  for (std::size_t i = 0; i < kActors; ++i) next = std::min(next, due_of(static_cast<Actor>(i)));
  return next;
}

void Instance::wake(Actor actor) {
  due_[actor] = std::min(due_[actor], around_.clock.now());
}

void Instance::run(Actor actor) {
  const Instant now = around_.clock.now();
  const std::size_t queued = life_->writer.queued();
  const std::uint64_t claims = life_->coordination->view().asked;
  switch (actor) {
    case writer:
      run_writer();
      break;
    case intake:
      due_[intake] = life_->intake.run_once(now);
      break;
    case engine:
      run_engine();
      break;
    case control:
      run_control();
      break;
    default:
      due_[locks] = life_->coordination->run_once(now);
      locks_ran_at_ = now;
      check_locks_of_calls();
      break;
  }
  if (around_.is_wrong()) return;
  check_uncertain();
  // A thread does not always get the processor at once.
  if (around_.random.chance(0.1) && due_[actor] != Instant::max()) {
    due_[actor] += Millis{static_cast<std::int64_t>(around_.random.below(25))};
  }
  if (life_->client.take_wake()) wake(engine);
  if (life_->writer.queued() > queued) wake(writer);
  if (life_->coordination->view().asked > claims) wake(locks);
  if (vfs.is_off()) return crash();
  if (!store_ok() && !dying_until_ && restarts_by_itself) {
    dying_until_ =
        around_.clock.now() + Millis{static_cast<std::int64_t>(around_.random.below(300))};
  }
}

std::uint64_t Instance::write(data::LedgerMessage message) {
  const std::uint64_t ticket = life_->writer.push(std::move(message));
  wake(writer);
  return ticket;
}

void Instance::run_writer() {
  const std::uint64_t commits = life_->writer.commits();
  due_[writer] = life_->writer.run_once(around_.clock.now());
  if (life_->writer.commits() == commits) return;
  if (life_->writer.idle()) {
    ended_.clear();
    taken_back_ = 0;
  }
  if (!vfs.is_off()) check_commit();
}

void Instance::run_engine() {
  const auto effects = [this] {
    return std::tuple{life_->client.started(), life_->client.out(), life_->writer.queued(),
                      life_->ready.depth() + life_->client.stopped()};
  };
  const auto before = effects();
  const Instant due = life_->engine.run_once(around_.clock.now());
  const auto now = effects();
  // Whatever has left the ready queue and the guard's hands and was not started was taken back.
  taken_back_ += std::get<3>(before) - std::get<3>(now) -
                 static_cast<int>(std::get<0>(now) - std::get<0>(before));
  // As the daemon's loop does: waiting is rounded up to milliseconds.
  due_[engine] = std::max(due, around_.clock.now() + Millis{1});
  idle_rounds_ = due <= around_.clock.now() && now == before ? idle_rounds_ + 1 : 0;
  if (idle_rounds_ > kIdleRoundsMax) around_.wrong("the engine spins");
}

// --- the control thread's round ------------------------------------------------------------------

void Instance::run_control() {
  due_[control] = around_.clock.now() + around_.settings.control_poll;
  auto jobs = life_->reader.open_jobs();
  if (!jobs) return;  // a store that has failed; the next round sees whether it still does
  const bool same = std::ranges::equal(*jobs, known_jobs_, [](const auto& a, const auto& b) {
    return a.number == b.number && a.state == b.state && a.pause_reason == b.pause_reason &&
           a.settle_by_repeat == b.settle_by_repeat && a.ranges_planned == b.ranges_planned &&
           a.pilot_left.has_value() == b.pilot_left.has_value();
  });
  if (!same || store_version_ != around_.store.version()) {
    store_version_ = around_.store.version();
    life_->board.publish(around_.store.snapshot(*jobs, ++serial_));
    wake(intake);
  }
  known_jobs_ = std::move(*jobs);
  take_answers();
  give_commands();
}

void Instance::take_answers() {
  for (const data::CommandAnswer& answer : life_->writer.take_answers()) {
    const auto at = static_cast<std::size_t>(answer.command - 1);
    std::string& known = around_.store.commands().at(at).answer;
    if (!known.empty() && known != answer.answer) {
      around_.wrong("a command was answered twice over");
    }
    known = answer.answer;
  }
}

void Instance::give_commands() {
  for (ModelStore::Command& command : around_.store.commands()) {
    if (command.instance != number_ || command.given || !command.answer.empty()) continue;
    const auto applied = life_->reader.applied(command.id);
    if (!applied) return;
    command.given = true;
    if (*applied && around_.random.chance(0.5)) {  // else the writer itself finds that out
      command.answer = **applied;
    } else {
      give(command);
    }
  }
}

void Instance::give(ModelStore::Command& command) {
  if (const auto* single = std::get_if<strategy::SingleRequest>(&command.what)) {
    strategy::SingleRequest request = *single;
    request.job = around_.store.single_job(single->job.campaign_id);
    life_->intake.issue(std::move(request));
    wake(intake);
  } else if (const auto* submit = std::get_if<data::SubmitJob>(&command.what)) {
    life_->writer.push(*submit);
  } else {
    life_->writer.push(std::get<data::ChangeJob>(command.what));
  }
}

std::string Instance::state_in_words() {
  std::string words = name_;
  for (const AuditedJob& job : audit_->jobs()) {
    words += "; job " + std::to_string(job.number) + " " + std::string{name_of(job.state)} + " " +
             std::string{name_of(job.pause_reason)} + " planned " +
             std::to_string(job.ranges_planned) + "/" + std::to_string(job.ranges);
    for (int i = 0; i < kIssuanceStates; ++i) {
      const auto state = static_cast<IssuanceState>(i);
      if (job.count(state) == 0) continue;
      words += " " + std::string{vouch::name_of(state)} + " " + std::to_string(job.count(state));
    }
  }
  for (const auto& [job, why] : life_->intake.problems()) words += "; intake: " + why;
  for (const service::LaneView& lane : life_->engine.view()) {
    words += "; " + lane.name + " breaker " + std::string{name_of(lane.breaker)} + " in flight " +
             std::to_string(lane.in_flight) + " ready " + std::to_string(lane.ready);
  }
  words += "; out " + std::to_string(life_->client.out()) + " ready " +
           std::to_string(life_->ready.depth()) + " queued " +
           std::to_string(life_->writer.queued()) + "\n";
  return words;
}

}  // namespace vouch::test
