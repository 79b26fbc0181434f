#include "tests/simulation/world.hpp"

#include <algorithm>

namespace vouch::test {
namespace {

constexpr std::string_view kLastEvent = "SELECT ifnull(max(seq), 0) FROM event";
constexpr std::string_view kRowsPlanned = "SELECT ifnull(sum(rows_planned), 0) FROM job_range";

constexpr std::string_view kOpenRows = "SELECT count(*) FROM issuance WHERE state < 4";

constexpr int kRestartsMax = 50;
constexpr std::int64_t kBalanceEvery = 16;  // commits
// Rounds that are due at once and find nothing to do: more of them in a row are a spin.
constexpr int kIdleRoundsMax = 3;

}  // namespace

World::World(std::uint64_t seed, const WorldSettings& settings)
    : random{seed},
      vfs{random.next()},
      coupons{"coupons", random.next()},
      balances{"balances", random.next()},
      settings_{settings},
      has_chaos_{!settings.chaos.none_left()} {
  define();
  start_life();
}

World::~World() {
  end_life();
}

void World::wrong(std::string words) {
  if (problem_.empty()) problem_ = std::move(words);
}

// --- lives ---------------------------------------------------------------------------------------

void World::start_life() {
  for (int i = 0; i < kRestartsMax && problem_.empty(); ++i) {
    const auto begun = try_life();
    if (begun) return;
    end_life();
    if (vfs.is_off()) {
      vfs.crash();
      happened("crash while starting");
    } else if (disk_is_broken_) {
      vfs.heal();
      disk_is_broken_ = false;
      happened("failed store while starting");
    } else {
      return wrong("vouchd does not start again: " + begun.error().message);
    }
  }
  wrong("vouchd was cut off at every start");
}

Result<void> World::try_life() {
  const Life::Outside outside{
      .clock = clock,
      .random = random,
      .vfs = vfs.name(),
      .services = {{ModelClient::origin_of(downstreams_[0].versions.at(1)->url), &coupons},
                   {ModelClient::origin_of(downstreams_[1].versions.at(1)->url), &balances}},
      .before_guard = [this] { sleep_before_a_call(); },
      .on_start = [this](const wire::HttpCall& call) { return may_leave(call); },
      .on_end =
          [this](const std::string& id, bool asks) {
            (asks ? asked_ : out_).erase(id);
            if (!asks) ended_.insert(id);
          },
      .redis = settings_.redis ? &redis : nullptr,
      .on_leases = [this] { wake(intake); },
      .engine = settings_.engine,
      .intake = settings_.intake};
  VOUCH_TRY(life_, Life::open(outside));
  VOUCH_TRY(store::Database for_audit, data::open_ledger_reader(kLedgerPath, vfs.name()));
  audit_ = std::make_unique<Audit>(std::move(for_audit));
  check_survivors();
  VOUCH_TRY(const auto rows, life_->writer.load_and_recover(nullptr, false));
  const int recovered = rows.in_doubt;
  if (recovered > doubtful_max_) {
    wrong(std::to_string(recovered) + " rows in doubt after a stop with at most " +
          std::to_string(doubtful_max_) + " out or ready");
  }
  doubtful_max_ = 0;
  counts.recovered += recovered;
  ++counts.lives;
  check_commit();
  known_jobs_.clear();
  definitions_changed_ = true;
  for (Command& command : commands_) command.given = false;
  draining_ = false;
  dying_until_.reset();
  due_.fill(clock.now());
  run_control();
  return {};
}

// Checks a call or query at the moment it leaves, and returns its request id.
std::string World::may_leave(const wire::HttpCall& call) {
  if (!life_->health.store_ok()) wrong("a call leaves although the store has failed");
  if (vfs.unsynced("-wal") > 0) wrong("a call leaves before the ledger is synced");
  const auto why = call.get ? audit_->query_may_leave(call) : audit_->call_may_leave(call);
  if (why) wrong(*why);
  std::string id = key_of(call);
  if (out_.contains(id) || asked_.contains(id)) wrong("two calls at once for " + id);
  (call.get ? asked_ : out_).insert(id);
  const auto& coupon_url = downstreams_[0].versions.at(1)->url;
  const bool is_coupon = ModelClient::origin_of(call.url) == ModelClient::origin_of(coupon_url);
  check_lock(id, settings_.contracts[is_coupon ? 0 : 1]);
  return id;
}

void World::end_life() {
  audit_.reset();
  life_.reset();
}

// What was durable before is there, and whatever is out has its intent.
void World::check_survivors() {
  for (const std::string& id : out_) {
    if (const auto why = audit_->is_sending(id)) wrong(*why);
  }
  for (const std::string& id : ended_) {
    const auto parsed = parse_request_id(id);
    if (!audit_->state_of(parsed->key)) wrong("no row has survived of the ended call " + id);
  }
  doubtful_max_ += static_cast<int>(out_.size() + ended_.size()) + taken_back_;
  taken_back_ = 0;
  out_.clear();
  asked_.clear();
  ended_.clear();
}

// Under contract none each of them would be held after a crash.
void World::check_uncertain() {
  for (std::size_t which : {0U, 1U}) {
    if (settings_.contracts[which].contract != plan::Contract::none) continue;
    const ModelService& service = which == 0 ? coupons : balances;
    const int ready = life_->ready.calls_depth(downstreams_[which].id);
    const int out = life_->client.calls_out(service);
    if (ready + out > 2 * plan::kInFlightMaxUncertain) {
      wrong(service.name() + ": " + std::to_string(ready) + " ready and " + std::to_string(out) +
            " in flight under contract none");
    }
  }
}

plan::Contract World::contract_of(ObjectId campaign, std::size_t item) const {
  const auto of = std::ranges::find(campaign_ids_, campaign);
  const plan::Campaign& found = *campaigns_[static_cast<std::size_t>(of - campaign_ids_.begin())];
  return settings_.contracts[found.items[item].downstream == "coupons" ? 0 : 1].contract;
}

std::int64_t World::count(IssuanceState state, plan::Contract contract) {
  return audit_->count(
      state, [this](ObjectId campaign, std::size_t item) { return contract_of(campaign, item); },
      contract);
}

void World::crash(Survival survival) {
  happened("crash");
  doubtful_max_ += life_->ready.depth() + life_->client.stopped();
  vfs.crash(survival);
  end_life();
  coupons.caller_died();
  balances.caller_died();
  let_time_pass(Millis{1 + static_cast<std::int64_t>(random.below(500))});
  start_life();
}

void World::kill() {
  happened("kill");
  doubtful_max_ += life_->ready.depth() + life_->client.stopped();
  vfs.kill();
  end_life();
  coupons.caller_died();
  balances.caller_died();
  let_time_pass(Millis{1 + static_cast<std::int64_t>(random.below(500))});
  start_life();
}

void World::stop() {
  happened("stop");
  const int life = counts.lives;
  draining_ = true;
  life_->engine.drain();
  const Instant deadline = clock.now() + settings_.timeout + Millis{1000};
  while (problem_.empty() && life == counts.lives && store_ok() &&
         !(life_->engine.drained() && life_->writer.idle())) {
    if (clock.now() > deadline) return wrong("a stop takes too long");
    step();
  }
  if (!problem_.empty() || life != counts.lives || !store_ok()) return;
  if (const auto rows = audit_->count(IssuanceState::sending); rows > 0) {
    wrong(std::to_string(rows) + " rows are still sending after a stop");
  }
  end_life();
  coupons.caller_died();
  balances.caller_died();
  let_time_pass(Millis{1 + static_cast<std::int64_t>(random.below(500))});
  start_life();
}

// The disk has failed under the daemon; it has stopped, and somebody has mended the disk.
void World::mend_store() {
  happened("restart after a failed store");
  disk_is_broken_ = false;
  // Two disasters at once, a failed fsync and a power cut while starting again, are one too many
  // for SQLite: it would mend the database with a WAL of which a part is gone.
  vfs.power_cut_after(std::numeric_limits<std::int64_t>::max() / 2);
  dying_until_.reset();
  switch (random.below(3)) {
    case 0:
      vfs.heal();
      return kill();
    case 1:
      vfs.heal();
      return crash();
    default:
      doubtful_max_ += life_->ready.depth() + life_->client.stopped();
      end_life();
      vfs.heal();
      coupons.caller_died();
      balances.caller_died();
      let_time_pass(Millis{100});
      return start_life();
  }
}

// --- time ----------------------------------------------------------------------------------------

void World::let_time_pass(Nanos how_much) {
  clock.advance(how_much);
  coupons.advance(clock.now());
  balances.advance(clock.now());
}

Instant World::due_of(Actor actor) const {
  if (actor == engine) return std::min(due_[engine], life_->client.next_end());
  if (actor == chaos && (!has_chaos_ || calm_ || draining_)) return Instant::max();
  return due_[actor];
}

void World::wake(Actor actor) {
  due_[actor] = std::min(due_[actor], clock.now());
}

void World::step() {
  ++counts.steps;
  Instant next = dying_until_.value_or(Instant::max());
  for (std::size_t i = 0; i < kActors; ++i) next = std::min(next, due_of(static_cast<Actor>(i)));
  for (const Later& later : later_) next = std::min(next, later.at);
  let_time_pass(std::max(Nanos{0}, next - clock.now()));

  std::vector<Later> now;
  std::erase_if(later_, [&](const Later& later) {
    if (later.at > clock.now()) return false;
    now.push_back(later);
    return true;
  });
  for (const Later& later : now) later.act();
  if (dying_until_ && clock.now() >= *dying_until_) return mend_store();

  std::vector<Actor> ready;
  for (std::size_t i = 0; i < kActors; ++i) {
    if (due_of(static_cast<Actor>(i)) <= clock.now()) ready.push_back(static_cast<Actor>(i));
  }
  if (!ready.empty()) run(ready[random.below(ready.size())]);
}

void World::run(Actor actor) {
  const std::size_t queued = life_->writer.queued();
  const std::uint64_t claims = life_->coordination->view().asked;
  const int life = counts.lives;
  switch (actor) {
    case writer:
      run_writer();
      break;
    case intake:
      due_[intake] = life_->intake.run_once(clock.now());
      break;
    case engine:
      run_engine();
      break;
    case control:
      run_control();
      break;
    case locks:
      due_[locks] = life_->coordination->run_once(clock.now());
      locks_ran_at_ = clock.now();
      check_locks_of_calls();
      break;
    default:
      run_chaos();
      break;
  }
  if (!problem_.empty() || life != counts.lives) return;
  check_uncertain();
  // A thread does not always get the processor at once.
  if (random.chance(0.1) && due_[actor] != Instant::max()) {
    due_[actor] += Millis{static_cast<std::int64_t>(random.below(25))};
  }
  if (life_->client.take_wake()) wake(engine);
  if (life_->writer.queued() > queued) wake(writer);
  if (life_->coordination->view().asked > claims) wake(locks);
  if (vfs.is_off()) return crash();
  if (!store_ok() && !dying_until_ && restarts_by_itself) {
    dying_until_ = clock.now() + Millis{static_cast<std::int64_t>(random.below(300))};
  }
}

void World::run_writer() {
  const std::uint64_t commits = life_->writer.commits();
  due_[writer] = life_->writer.run_once(clock.now());
  if (life_->writer.commits() == commits) return;
  if (life_->writer.idle()) {
    ended_.clear();
    taken_back_ = 0;
  }
  if (!vfs.is_off()) check_commit();
}

void World::run_engine() {
  const auto effects = [this] {
    return std::tuple{coupons.calls() + balances.calls(), life_->client.out(),
                      life_->writer.queued(), life_->ready.depth()};
  };
  const auto before = effects();
  taken_back_ += life_->client.stopped();  // taken now; their ends are still to be recorded
  const Instant due = life_->engine.run_once(clock.now());
  const auto now = effects();
  // Whatever has left the ready queue and was not started has been taken back.
  taken_back_ += std::get<3>(before) - std::get<3>(now) -
                 static_cast<int>(std::get<0>(now) - std::get<0>(before));
  // As the daemon's loop does: waiting is rounded up to milliseconds.
  due_[engine] = std::max(due, clock.now() + Millis{1});
  idle_rounds_ = due <= clock.now() && now == before ? idle_rounds_ + 1 : 0;
  if (idle_rounds_ > kIdleRoundsMax) wrong("the engine spins");
  for (const ModelService* service : {&coupons, &balances}) {
    if (!service->violations().empty()) wrong(service->violations().front());
  }
}

bool World::run_until(const std::function<bool()>& done, int steps_max) {
  for (int i = 0; i < steps_max && problem_.empty(); ++i) {
    if (i % 32 == 0 && done()) return true;
    step();
  }
  if (!problem_.empty()) return false;
  wrong("it does not come to an end: " + state_in_words());
  return false;
}

std::string World::state_in_words() {
  std::string words = calm_ ? "calm" : "not calm";
  for (const AuditedJob& job : audit_->jobs()) {
    words += "; job " + std::to_string(job.number) + " " + std::string{name_of(job.state)} + " " +
             std::string{name_of(job.pause_reason)} + " planned " +
             std::to_string(job.ranges_planned) + "/" + std::to_string(job.ranges);
    for (int i = 0; i < kIssuanceStates; ++i) {
      const auto state = static_cast<IssuanceState>(i);
      if (job.count(state) == 0) continue;
      words += " " + std::string{name_of(state)} + " " + std::to_string(job.count(state));
    }
  }
  for (const Command& command : commands_) {
    if (command.answer.empty()) words += "; command " + std::to_string(command.id) + " open";
  }
  for (const auto& [job, why] : life_->intake.problems()) words += "; intake: " + why;
  for (const service::LaneView& lane : life_->engine.view()) {
    words += "; " + lane.name + " breaker " + std::string{name_of(lane.breaker)} + " in flight " +
             std::to_string(lane.in_flight) + " ready " + std::to_string(lane.ready);
  }
  for (const WorldSettings::Contracted& of : settings_.contracts) {
    words += "; contract " + std::string{plan::name_of(of.contract)} + (of.asks ? ", asked" : "");
  }
  words += "; at " + std::to_string(to_ms(clock.wall_now()) / 1000) + " s; out " +
           std::to_string(life_->client.out()) + " ready " + std::to_string(life_->ready.depth()) +
           " queued " + std::to_string(life_->writer.queued());
  return words;
}

void World::run_for(Millis how_long) {
  const Instant until = clock.now() + how_long;
  while (problem_.empty() && clock.now() < until) step();
}

// --- checks --------------------------------------------------------------------------------------

void World::check_commit() {
  ++counts.commits;
  const std::int64_t event = audit_->number(kLastEvent);
  const std::int64_t planned = audit_->number(kRowsPlanned);
  if (event < last_event_ || planned < rows_planned_) {
    wrong("the ledger has lost what it had committed");
  }
  last_event_ = event;
  rows_planned_ = planned;
  if (counts.commits % kBalanceEvery != 0) return;
  if (const auto why = audit_->balance()) wrong(*why);
}

bool World::settled() {
  for (const Command& command : commands_) {
    if (command.answer.empty() && command.job != campaign_ids_[kTraffic]) return false;
  }
  for (const AuditedJob& job : audit_->jobs()) {
    if (job.id == campaign_ids_[kTraffic]) continue;
    const bool single = job.kind == static_cast<int>(data::JobKind::single);
    const bool at_rest = is_over(job.state) || single || job.state == JobState::unsettled;
    if (!at_rest || job.open() > 0) return false;
  }
  return true;
}

bool World::finish() {
  if (!run_until([this] { return calm_ && settled(); })) return false;
  other_traffic = false;
  settings_.chaos.reruns = 0;  // one that came now would have no company that succeeds
  if (!run_until([this] {
        return audit_->number(kOpenRows) == 0 && life_->writer.idle() && life_->client.out() == 0;
      })) {
    return false;
  }
  run_for(settings_.timeout * 5);  // late arrivals
  check_everything();
  return problem_.empty();
}

void World::check_everything() {
  if (const auto why = audit_->balance()) wrong(*why);
  const auto contracts = [this](ObjectId campaign, std::size_t item) {
    return contract_of(campaign, item);
  };
  if (const auto why = audit_->history(contracts)) wrong(*why);
  if (const auto why = audit_->journals_agree({&coupons, &balances})) wrong(*why);
  check_lists();
}

// Whoever stands in the list of a job that is done has everything that he is owed.
void World::check_lists() {
  for (const AuditedJob& job : audit_->jobs()) {
    const JobSpec* spec = spec_of(job.id);
    if (spec == nullptr || spec->rerun_of != 0 || job.ranges_planned != job.ranges) continue;
    const plan::Campaign& campaign = *campaigns_[spec->campaign];
    for (const SampleRow& row : SampleLists::shared().at(spec->list).rows) {
      const std::uint64_t occurrence = campaign.once_per == plan::OncePer::column
                                           ? plan::occurrence_of_value(row.occurrence)
                                           : plan::occurrence_of(campaign.once_per, {}, job.id);
      const auto items = audit_->items_of(campaign_ids_[spec->campaign], row.recipient, occurrence);
      if (items != static_cast<std::int64_t>(campaign.items.size())) {
        wrong("recipient " + row.recipient_id + " has " + std::to_string(items) + " issuances");
      }
    }
  }
}

AuditedJob World::job(ObjectId id) {
  for (const AuditedJob& job : audit_->jobs()) {
    if (job.id == id) return job;
  }
  return {};
}

}  // namespace vouch::test
