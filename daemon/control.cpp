#include "daemon/control.hpp"

#include <algorithm>
#include <utility>

#include "common/failpoint.hpp"
#include "common/log.hpp"
#include "common/text.hpp"
#include "daemon/data/downstream_book.hpp"

namespace vouch::daemon {
namespace {

constexpr Millis kPoll{200};
constexpr Millis kAnchorEvery{1'000};
constexpr Millis kTroublesEvery{1'000};
constexpr Millis kBearersEvery{1'000};
constexpr int kCommandsPage = 100;

bool same_for_others(const data::JobRecord& a, const data::JobRecord& b) {
  return a.number == b.number && a.state == b.state && a.pause_reason == b.pause_reason &&
         a.settle_by_repeat == b.settle_by_repeat &&
         a.pilot_left.has_value() == b.pilot_left.has_value() &&
         (a.kind != data::JobKind::rerun || a.ranges_planned == b.ranges_planned);
}

}  // namespace

Control::Control(store::ControlStore control, data::LedgerReader reader, store::StorePaths paths,
                 std::string instance, std::string anchor_file, std::string ledger_id,
                 std::string policy, Parts parts)
    : control_{std::move(control)},
      reader_{std::move(reader)},
      paths_{std::move(paths)},
      instance_{std::move(instance)},
      anchor_file_{std::move(anchor_file)},
      ledger_id_{std::move(ledger_id)},
      parts_{parts},
      submissions_{control_, reader_, definitions_, parts_.writer, paths_, instance_},
      desk_{{control_, definitions_, submissions_, parts_.writer, parts_.engine, parts_.intake,
             parts_.clock},
            std::move(policy)},
      notices_{[this](const std::string& kind, const std::string& subject,
                      const std::string& words) { parts_.notifier.tell(kind, subject, words); }},
      lane_watch_{[this](const DownstreamState& state, const std::string& words) {
        parts_.writer.push(data::DownstreamChange{.state = state, .words = words});
      }} {}

Result<void> Control::begin() {
  VOUCH_TRY(last_job_, reader_.last_job());
  VOUCH_CHECK(refresh(true));
  VOUCH_CHECK(submissions_.begin());
  tell_older_copy();
  VOUCH_TRY(auto left, data::read_downstreams(reader_.database()));
  lane_watch_.begin(left, definitions_.downstream_names(), parts_.clock.wall_now());
  return anchor(parts_.clock.now());
}

void Control::end() {
  next_anchor_ = {};
  if (auto done = anchor(parts_.clock.now()); !done) {
    log::error("the anchor could not be written", {{"why", done.error().message}});
  }
}

Instant Control::run_once(Instant now) {
  if (auto done = round(now); !done && done.error().code != Errc::busy) {
    log::error("control round failed; it is tried again", {{"why", done.error().message}});
  }
  parts_.notifier.look_after(now);
  return now + kPoll;
}

Result<void> Control::round(Instant now) {
  VOUCH_CHECK(refresh(reload_.exchange(false)));
  VOUCH_CHECK(write_answers());
  VOUCH_CHECK(submissions_.bring_lost_jobs_back(now, jobs_));
  VOUCH_CHECK(take_commands());
  VOUCH_CHECK(notice_troubles(now));
  return anchor(now);
}

Result<void> Control::refresh(bool force) {
  VOUCH_TRY(const std::int64_t version, control_.data_version());
  bool changed = force || version != data_version_;
  if (changed) {
    VOUCH_CHECK(definitions_.load(control_));
    data_version_ = version;
  }
  if (const Instant now = parts_.clock.now(); now >= next_bearers_) {
    next_bearers_ = now + kBearersEvery;
    changed = definitions_.reread_secrets() || changed;
  }
  const std::vector<Stop> stops = definitions_.stops();
  definitions_.load_stops(paths_);
  changed = changed || stops != definitions_.stops();
  // Before the jobs: whatever is up to this number is open below, or over.
  VOUCH_TRY(const std::int64_t last_job, reader_.last_job());
  VOUCH_TRY(std::vector<data::JobRecord> jobs, reader_.open_jobs());
  changed =
      changed || !std::equal(jobs.begin(), jobs.end(), jobs_.begin(), jobs_.end(), same_for_others);
  if (changed) {
    const auto snapshot = definitions_.snapshot(jobs, ++serial_);
    parts_.board.publish(snapshot);
    VOUCH_CHECK(notice_changes(jobs));
    parts_.intake.wake();
  }
  if (last_job != last_job_) VOUCH_CHECK(notice_short_jobs(last_job, jobs));
  jobs_ = std::move(jobs);
  return {};
}

Result<void> Control::take_commands() {
  VOUCH_TRY(const auto commands, control_.open_commands(instance_, last_command_, kCommandsPage));
  for (const store::CommandRow& command : commands) {
    last_command_ = command.id;
    // One that an earlier run applied has its answer in the ledger.
    VOUCH_TRY(const auto applied, reader_.applied(name_of(command)));
    if (applied) {
      answers_.push_back({command.id, *applied});
      continue;
    }
    desk_.carry_out(command);
  }
  return {};
}

void Control::tell_older_copy() {
  const auto paused = std::ranges::count(jobs_, PauseReason::store, &data::JobRecord::pause_reason);
  if (paused == 0) return;
  const std::string words =
      "the ledger is an older copy and does not know what was cancelled or "
      "paused since: paused jobs " +
      format_count(paused) + "; look at each, then: vouchctl job resume JOB";
  parts_.notifier.tell("older_ledger", instance_, words);
}

Result<void> Control::write_answers() {
  for (data::CommandAnswer& answer : parts_.writer.take_answers()) {
    answers_.push_back(std::move(answer));
  }
  while (!answers_.empty()) {
    const data::CommandAnswer& answer = answers_.front();
    reach_failpoint("command-not-answered");
    VOUCH_CHECK(control_.answer_command(answer.command, answer.answer, parts_.clock.wall_now()));
    answers_.erase(answers_.begin());
  }
  return {};
}

Result<void> Control::anchor(Instant now) {
  if (now < next_anchor_) return {};
  next_anchor_ = now + kAnchorEvery;
  VOUCH_TRY(const std::int64_t last, reader_.last_event());
  if (last == anchored_event_) return {};
  VOUCH_CHECK(data::write_anchor(
      anchor_file_, {.ledger_id = ledger_id_, .last_event = last, .at = parts_.clock.wall_now()}));
  anchored_event_ = last;
  return {};
}

// People are told when a job stops, goes on or ends.
Result<void> Control::notice_changes(const std::vector<data::JobRecord>& jobs) {
  for (const data::JobRecord& old : jobs_) {
    const auto job = std::find_if(jobs.begin(), jobs.end(),
                                  [&](const auto& now) { return now.number == old.number; });
    if (job != jobs.end() && job->state == old.state) continue;
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(old.number));
    if (job != jobs.end()) {
      notices_.job_changed(old, *job, totals);
      continue;
    }
    VOUCH_TRY(const JobState end, reader_.job_state(old.number));
    notices_.job_ended(old, end, totals);
  }
  return {};
}

// A small job may begin and end between two looks: those up to `last` that are over and were never
// seen open.
Result<void> Control::notice_short_jobs(std::int64_t last,
                                        const std::vector<data::JobRecord>& jobs) {
  VOUCH_TRY(const auto ended, reader_.ended_jobs(last_job_));
  const auto stands_in = [](const std::vector<data::JobRecord>& open, std::int64_t number) {
    return std::ranges::any_of(open, [&](const auto& job) { return job.number == number; });
  };
  for (const data::JobRecord& job : ended) {
    if (job.number > last || stands_in(jobs_, job.number) || stands_in(jobs, job.number)) continue;
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(job.number));
    notices_.job_ended(job, job.state, totals);
  }
  last_job_ = last;
  return {};
}

// And when something has lasted too long, or rows begin to need them.
Result<void> Control::notice_troubles(Instant now) {
  if (now < next_troubles_) return {};
  next_troubles_ = now + kTroublesEvery;
  const std::vector<service::LaneView> lanes = parts_.engine.view();
  notices_.breakers(lanes, now);
  VOUCH_CHECK(notice_pools());
  lane_watch_.look(lanes, now, parts_.clock.wall_now());
  const auto snapshot = parts_.board.read();
  for (const data::JobRecord& job : jobs_) {
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(job.number));
    notices_.held(job, totals, now);
    const data::JobNow* known = snapshot->job(job.number);
    if (known == nullptr) continue;
    if (!known->exports.is_empty()) VOUCH_CHECK(notice_exports(job, totals));
    if (std::string why = failure_watch_.look(job, *known, totals); !why.empty()) {
      parts_.writer.push(data::ChangeJob{.number = job.number,
                                         .action = data::JobAction::pause,
                                         .reason = PauseReason::failures,
                                         .words = std::move(why)});
    }
    if (!known->finish_by) continue;
    VOUCH_TRY(const std::int64_t open, reader_.open_rows(job.number));
    notices_.late(job, *known->finish_by, open, now, parts_.clock.wall_now());
  }
  return {};
}

// Only when nothing is called any more: until then nobody need come.
Result<void> Control::notice_exports(const data::JobRecord& job, const data::StateCounts& totals) {
  // Who asked for single issuances was told when they were born.
  if (job.kind == data::JobKind::single) return {};
  const auto count = [&](IssuanceState state) { return totals[static_cast<std::size_t>(state)]; };
  const std::int64_t waiting = count(IssuanceState::planned) + count(IssuanceState::waiting);
  const bool is_planned = job.ranges_planned == job.ranges || job.pilot_left.value_or(1) <= 0;
  const bool calls = count(IssuanceState::sending) + count(IssuanceState::in_doubt) > 0;
  if (waiting == 0) notices_.exports(job, 0);
  if (waiting == 0 || calls || !is_planned || job.state != JobState::running) return {};
  VOUCH_TRY(const auto due, reader_.next_due(job.number));
  if (!due) notices_.exports(job, waiting);
  return {};
}

Result<void> Control::notice_pools() {
  for (const auto& [name, pool] : definitions_.pools()) {
    const bool is_ours = pool->instance.empty() || pool->instance == instance_;
    if (!is_ours || pool->segments.empty()) continue;
    VOUCH_TRY(const std::int64_t out, reader_.codes_out(pool->id));
    notices_.pool(*pool, pool->codes() - out);
  }
  return {};
}

}  // namespace vouch::daemon
