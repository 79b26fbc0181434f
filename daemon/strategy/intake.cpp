#include "daemon/strategy/intake.hpp"

#include <algorithm>
#include <utility>

#include "common/json.hpp"

namespace vouch::strategy {
namespace {

using data::JobKind;
using data::JobNow;

bool time_has_come(const JobNow& job, WallTime now) {
  const auto& opens = job.campaign->not_before;
  return (!job.start_at || now >= *job.start_at) && (!opens || now >= *opens);
}

}  // namespace

Intake::Intake(data::LedgerReader reader, data::LedgerWriter& writer, data::ReadyQueue& ready,
               const data::SnapshotBoard& board, const data::Health& health, const Clock& clock,
               service::Coordination& coordination, OpenList open_list, IntakeSettings settings,
               data::CodeShelf shelf)
    : reader_{std::move(reader)},
      writer_{writer},
      ready_{ready},
      board_{board},
      health_{health},
      clock_{clock},
      open_list_{std::move(open_list)},
      settings_{std::move(settings)},
      leases_{coordination, writer, reader_, settings_.leases},
      shelf_{std::move(shelf)},
      snapshot_{board.read()} {}

Instant Intake::run_once(Instant now) {
  if (!health_.store_ok() || ready_.is_closed()) return now + settings_.idle_poll;
  snapshot_ = board_.read();
  jobs_on_.clear();
  for (const auto& [number, job] : snapshot_->jobs) {
    if (!job.may_start()) continue;
    for (const ObjectId downstream : job.item_downstreams) {
      if (downstream != 0) ++jobs_on_[downstream];
    }
  }
  // A reader that is busy: leases are kept a second longer.
  static_cast<void>(leases_.begin_round(now, *snapshot_));
  plan_singles();
  bool active = false;
  for (const auto& [number, job] : snapshot_->jobs) active = step(job, now) || active;
  std::erase_if(plans_, [&](const auto& plan) { return snapshot_->job(plan.first) == nullptr; });
  return now + (active ? settings_.poll : settings_.idle_poll);
}

bool Intake::step(const JobNow& job, Instant now) {
  Plan& plan = plans_[job.number];
  auto active = work(job, plan, now);
  if (!active && active.error().code == Errc::busy) return true;  // the store's moment, not ours
  note(job.id, active ? leases_.problem_of(job.number) : active.error().message);
  return active.value_or(false);
}

Result<bool> Intake::work(const JobNow& job, Plan& plan, Instant now) {
  if (!plan.loaded || plan.replans != job.replans) VOUCH_CHECK(load(job, plan));
  const WallTime wall = clock_.wall_now();
  const bool quiet = writer_.committed() >= plan.state_ticket;  // what was asked is done

  if (job.state == JobState::cancelling) {
    VOUCH_TRY(const bool ended, end_open_rows(job, plan, IssuanceState::cancelled));
    VOUCH_TRY(const bool sent, send_due(job, plan, now));
    return ended || sent;
  }
  if (job.state == JobState::paused) return look_after_paused(job, plan, now);
  plan.probe_at = {};
  VOUCH_TRY(const bool fits, fits_templates(job, plan));
  if (!fits) return true;
  if (job.state == JobState::scheduled && quiet && time_has_come(job, wall)) {
    plan.state_ticket = writer_.push(
        data::ChangeJob{.number = job.number, .action = data::JobAction::start, .words = ""});
    return true;
  }
  if (job.kind == JobKind::rerun && job.ranges_planned < job.ranges) {
    if (!quiet || job.state != JobState::running) return true;
    plan.state_ticket = writer_.push(data::GatherRerun{.job_number = job.number,
                                                       .from_job = job.rerun_of,
                                                       .states = job.rerun_states,
                                                       .exports = job.exports});
    return true;
  }
  // A deadline passes for what is blocked too.
  const bool late = job.state == JobState::running && job.is_late(wall);
  bool active = false;
  if (late) {
    VOUCH_TRY(active, end_open_rows(job, plan, IssuanceState::expired));
  }
  VOUCH_TRY(const bool sent, send_due(job, plan, now));
  active = active || sent;
  if (job.kind == JobKind::list && plan.range >= 0 && (late || job.may_start())) {
    const IssuanceState born = job.restored_at ? IssuanceState::in_doubt
                               : late          ? IssuanceState::expired
                                               : IssuanceState::sending;
    VOUCH_TRY(const bool planned, plan_page(job, plan, born));
    active = active || planned;
  }
  return active;
}

// A job that is paused for a wrong set-up goes on by itself: a row is sent now and then to see
// whether it is right again, and deadlines pass meanwhile.  Any other pause waits for people.
Result<bool> Intake::look_after_paused(const JobNow& job, Plan& plan, Instant now) {
  VOUCH_TRY(const bool asked, send_due(job, plan, now));
  if (job.pause_reason != PauseReason::setup) return asked;
  if (job.is_late(clock_.wall_now())) {
    VOUCH_TRY(const bool ended, end_open_rows(job, plan, IssuanceState::expired));
    if (ended) return true;
  }
  if (plan.probe_at == Instant{}) plan.probe_at = now + settings_.setup_probe;
  if (now < plan.probe_at || !job.blocked.empty()) return false;
  // What is being asked about or held just now would be taken for the probe.
  if (writer_.committed() < std::max(plan.due_ticket, plan.state_ticket)) return true;
  VOUCH_TRY(const bool sent, probe(job, plan, now));
  if (sent) {
    plan.probe_at = now + settings_.setup_probe;
    return true;
  }
  VOUCH_TRY(const auto next, reader_.next_due(job.number));
  if (next || leases_.is_asking()) return true;
  plan.state_ticket = writer_.push(data::ChangeJob{.number = job.number,
                                                   .action = data::JobAction::resume,
                                                   .reason = PauseReason::setup,
                                                   .words = "no row is left to probe with"});
  return true;
}

// Whether the list has what calls hold.  It did when the job was submitted; a running job is paused
// when a template has changed since, and goes on by itself when it is changed again.
Result<bool> Intake::fits_templates(const JobNow& job, Plan& plan) {
  const bool starts = job.state == JobState::running || job.state == JobState::scheduled;
  if (!plan.maker || !starts) return true;
  auto good = plan.maker->check_attributes(job, *snapshot_);
  if (good) return true;
  if (job.state != JobState::running) return tl::unexpected<Error>(std::move(good).error());
  if (writer_.committed() < plan.state_ticket) return false;
  plan.state_ticket = writer_.push(data::ChangeJob{.number = job.number,
                                                   .action = data::JobAction::pause,
                                                   .reason = PauseReason::setup,
                                                   .words = good.error().message});
  return false;
}

// In turn with another row and with one that met the wrong set-up: what one recipient alone is
// answered must not keep the others waiting, and a set-up may have been mended for few rows only.
Result<bool> Intake::probe(const JobNow& job, Plan& plan, Instant now) {
  if (plan.maker) VOUCH_CHECK(plan.maker->check_attributes(job, *snapshot_));
  if (plan.probes++ % 2 == 0) {
    const std::uint64_t due_before = plan.due_ticket;
    VOUCH_CHECK(send_due(job, plan, now, Probe::other_rows));
    if (plan.due_ticket != due_before) return true;
    if (job.kind == JobKind::list && plan.range >= 0 && !job.is_late(clock_.wall_now())) {
      const std::uint64_t page_before = page_ticket_;
      VOUCH_CHECK(plan_page(job, plan, IssuanceState::sending, true));
      if (page_ticket_ != page_before) return true;
    }
  }
  return send_due(job, plan, now, Probe::setup_rows);
}

Result<ObjectId> Intake::troubled(const JobNow& job) {
  const data::DueWanted wanted{.setup = data::SetupOrder::first, .rows_max = 1};
  VOUCH_TRY(const auto due, reader_.due(job.number, clock_.wall_now(), wanted));
  if (due.empty() || !due.front().met_setup()) return ObjectId{0};
  return job.item_downstreams.at(due.front().key.item);
}

Result<void> Intake::load(const JobNow& job, Plan& plan) {
  // The cursors that are read must be behind every page that was asked for.
  if (writer_.committed() < page_ticket_) return fail(Errc::busy, "pages are still being written");
  if (job.list_digest.empty() && job.kind != JobKind::single) {
    return fail(Errc::not_found, "the job's list is not in the store");
  }
  if (!job.list_digest.empty()) {
    VOUCH_TRY(store::SealedList list, open_list_(job.list_digest));
    plan.list = std::make_unique<store::SealedList>(std::move(list));
    VOUCH_TRY(plan.ranges, plan.list->ranges());
    plan.amount_columns.clear();
    for (const store::AmountTotals& amount : plan.list->meta().amounts) {
      plan.amount_columns.push_back(amount.column);
    }
    VOUCH_TRY(IntentMaker maker,
              IntentMaker::make(job, plan.amount_columns, plan.list->meta().attribute_columns()));
    plan.maker.emplace(std::move(maker));
  }
  plan.replans = job.replans;
  plan.done.clear();
  plan.begun.clear();
  VOUCH_TRY(const auto cursors, reader_.ranges(job.number));
  for (const auto& [range, cursor] : cursors) plan.done[range] = cursor.done;
  plan.pilot_left = job.pilot_left;
  if (job.kind == JobKind::list && plan.ranges.size() != static_cast<std::size_t>(job.ranges)) {
    return fail(Errc::corrupt, "the list " + job.list_digest + " has " +
                                   std::to_string(plan.ranges.size()) + " ranges, not " +
                                   std::to_string(job.ranges));
  }
  plan.loaded = true;
  if (job.kind != JobKind::list) return {};
  for (const auto& [range, cursor] : cursors) {
    if (!cursor.done) plan.begun[range] = cursor.planned_to;
  }
  next_range(job, plan);
  return {};
}

Result<bool> Intake::end_open_rows(const JobNow& job, Plan& plan, IssuanceState to) {
  if (writer_.committed() < std::max(plan.due_ticket, plan.state_ticket)) return true;
  VOUCH_TRY(bool left, reader_.has_startable(job.number));
  if (!left && to == IssuanceState::cancelled) {
    VOUCH_TRY(left, reader_.has_taken(job.number));
  }
  // A cancelled job without rows is ended by one empty page.
  const bool first = to == IssuanceState::cancelled && plan.state_ticket == 0;
  if (!left && !first) return false;
  plan.state_ticket = writer_.push(data::EndOpenRows{.job_number = job.number, .to = to});
  return true;
}

int Intake::depth_wanted(ObjectId id) const {
  const data::DownstreamNow* downstream = snapshot_->downstream(id);
  if (downstream == nullptr) return 0;
  // Enough to outlast the slowest commit of late, twice.
  const double seconds = std::max(std::chrono::duration<double>(settings_.ready_for).count(),
                                  2e-9 * static_cast<double>(writer_.slowest_commit().count()));
  const auto version = downstream->versions.find(downstream->version);
  const int per_call =
      version == downstream->versions.end() ? 1 : version->second->issuances_per_call();
  const double rows = downstream->target() * seconds * per_call;
  const int most = is_uncertain(id) ? plan::kInFlightMaxUncertain : data::kReadyRowsMax;
  return static_cast<int>(std::clamp(rows, 2.0 * per_call, static_cast<double>(most)));
}

bool Intake::is_uncertain(ObjectId id) const {
  const data::DownstreamNow* downstream = snapshot_->downstream(id);
  if (downstream == nullptr) return false;
  const auto version = downstream->versions.find(downstream->version);
  return version != downstream->versions.end() && version->second->contract == plan::Contract::none;
}

// Rows that are sent again fill at most half of a job's part of the ready queue while its list
// is being planned; rows of the list fill what they leave, and at least half.
int Intake::room(const JobNow& job, const Plan& plan, ObjectId downstream, RowSort sort) const {
  const auto sharing = jobs_on_.find(downstream);
  const int share = std::max(1, sharing == jobs_on_.end() ? 1 : sharing->second);
  const int wanted = std::max(1, depth_wanted(downstream) / share);
  const int half = std::max(1, wanted / 2);
  const int again = ready_.depth({downstream, job.number, false, false});
  int depth = again;
  int most = plans_on(job, plan) ? half : wanted;
  if (sort == RowSort::fresh) {
    depth = ready_.depth({downstream, job.number, true, false});
    most = std::max(half, wanted - again);
  } else if (sort == RowSort::asks) {
    depth = ready_.depth({downstream, job.number, false, true});
    most = half;
  }
  // Refilled by quarters: neither row by row nor all at once.
  const int free = depth > most - most / 4 ? 0 : most - depth;
  if (sort == RowSort::asks || !is_uncertain(downstream)) return free;
  // Whoever they belong to, no more than these are in doubt after a crash.
  return std::clamp(plan::kInFlightMaxUncertain - ready_.calls_depth(downstream), 0, free);
}

bool Intake::plans_on(const JobNow& job, const Plan& plan) {
  return job.kind == JobKind::list && plan.range >= 0 && job.may_start();
}

void Intake::note(ObjectId job, std::string problem) {
  const std::scoped_lock lock{mutex_};
  if (problem.empty()) {
    problems_.erase(job);
  } else {
    problems_[job] = std::move(problem);
  }
}

std::map<ObjectId, std::string> Intake::problems() const {
  const std::scoped_lock lock{mutex_};
  return problems_;
}

void Intake::wake() {
  const std::scoped_lock lock{mutex_};
  woken_ = true;
  wake_.notify_one();
}

void Intake::wait_until(Instant until) {
  std::unique_lock lock{mutex_};
  const Nanos left = until - clock_.now();
  if (!woken_ && left > Nanos::zero()) wake_.wait_for(lock, left, [&] { return woken_; });
  woken_ = false;
}

}  // namespace vouch::strategy
