#include "daemon/data/job_book.hpp"

#include <utility>

namespace vouch::data {
namespace {

constexpr std::string_view kOpenJobs = R"sql(
  SELECT number, id, campaign, kind, state, pause_reason, pause_detail, ranges, start_range,
         ranges_planned, rows_accepted, items, pilot_left, settle_by_repeat,
         started_ms IS NOT NULL,
         (SELECT restored_ms FROM campaign WHERE campaign.number = job.campaign), cancel_asked,
         replans
    FROM job WHERE state NOT IN (4, 6, 7) ORDER BY number
)sql";
constexpr std::string_view kJobById = R"sql(
  SELECT number, id, campaign, kind, state, pause_reason, pause_detail, ranges, start_range,
         ranges_planned, rows_accepted, items, pilot_left, settle_by_repeat,
         started_ms IS NOT NULL,
         (SELECT restored_ms FROM campaign WHERE campaign.number = job.campaign), cancel_asked,
         replans
    FROM job WHERE id = :id
)sql";
constexpr std::string_view kJobSums = R"sql(
  SELECT sum(planned), sum(sending), sum(waiting), sum(in_doubt), sum(held), sum(issued),
         sum(declined), sum(failed), sum(cancelled), sum(expired), sum(skipped)
    FROM job_range WHERE job = :job
)sql";
constexpr std::string_view kInsertJob = R"sql(
  INSERT INTO job (id, campaign, kind, state, pause_reason, pause_detail, ranges, start_range,
                   rows_accepted, items, pilot_left, submitted_ms)
  VALUES (:id, :campaign, :kind, :state, 0, '', :ranges, :start_range, :rows_accepted, :items,
          :pilot_left, :submitted_ms)
  RETURNING number
)sql";
constexpr std::string_view kUpdateJob = R"sql(
  UPDATE job SET ranges_planned = :ranges_planned, rows_accepted = :rows_accepted,
                 pilot_left = :pilot_left, settle_by_repeat = :settle_by_repeat,
                 cancel_asked = :cancel_asked, replans = :replans
   WHERE number = :number
)sql";
constexpr std::string_view kSetState = R"sql(
  UPDATE job SET state = :state, pause_reason = :pause_reason, pause_detail = :pause_detail,
                 started_ms = CASE WHEN :state = 1 THEN ifnull(started_ms, :now_ms)
                                   ELSE started_ms END,
                 ended_ms = CASE WHEN :state IN (4, 5, 6) THEN :now_ms
                                 WHEN :state = 7 THEN ifnull(ended_ms, :now_ms) END
   WHERE number = :number
)sql";
constexpr std::string_view kCampaignNumber = "SELECT number FROM campaign WHERE id = :id";
constexpr std::string_view kCampaignRestored =
    "SELECT restored_ms FROM campaign WHERE number = :number";
constexpr std::string_view kRestoreCampaign = R"sql(
  UPDATE campaign SET restored_ms = min(ifnull(restored_ms, :since_ms), :since_ms)
   WHERE number = :number
)sql";
constexpr std::string_view kInsertCampaign =
    "INSERT INTO campaign (id) VALUES (:id) RETURNING number";

// The same for every group: bound by position.
constexpr std::string_view kAddToRange = R"sql(
  INSERT INTO job_range (job, range, planned_to, planned_all, rows_planned, repeats, fresh,
                         planned, sending, waiting, in_doubt, held, issued, declined, failed,
                         cancelled, expired, skipped, moved, issued_minor, planned_from)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
          ?20, ?21)
  ON CONFLICT (job, range) DO UPDATE SET
    planned_from = ifnull(planned_from, excluded.planned_from),
    planned_to   = ifnull(excluded.planned_to, planned_to),
    planned_all  = max(planned_all, excluded.planned_all),
    rows_planned = rows_planned + excluded.rows_planned,
    repeats      = repeats + excluded.repeats,
    fresh        = fresh + excluded.fresh,
    planned      = planned + excluded.planned,
    sending      = sending + excluded.sending,
    waiting      = waiting + excluded.waiting,
    in_doubt     = in_doubt + excluded.in_doubt,
    held         = held + excluded.held,
    issued       = issued + excluded.issued,
    declined     = declined + excluded.declined,
    failed       = failed + excluded.failed,
    cancelled    = cancelled + excluded.cancelled,
    expired      = expired + excluded.expired,
    skipped      = skipped + excluded.skipped,
    moved        = moved + excluded.moved,
    issued_minor = issued_minor + excluded.issued_minor
)sql";

constexpr std::string_view kClaimRange = R"sql(
  INSERT INTO job_range (job, range, owner, epoch) VALUES (:job, :range, :owner, :epoch)
  ON CONFLICT (job, range) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch
   WHERE epoch < excluded.epoch
)sql";

constexpr std::string_view kApplied =
    "SELECT answer FROM applied_command WHERE id = :id AND nonce = :nonce";
constexpr std::string_view kLastApplied = "SELECT coalesce(max(id), 0) FROM applied_command";
constexpr std::string_view kInsertApplied = R"sql(
  INSERT OR REPLACE INTO applied_command (id, nonce, applied_ms, answer)
  VALUES (:id, :nonce, :applied_ms, :answer)
)sql";

JobRecord read_job(const store::Statement& row) {
  JobRecord job;
  job.number = row.integer(0);
  job.id = static_cast<ObjectId>(row.integer(1));
  job.campaign_number = row.integer(2);
  job.kind = static_cast<JobKind>(row.integer(3));
  job.state = static_cast<JobState>(row.integer(4));
  job.pause_reason = static_cast<PauseReason>(row.integer(5));
  job.pause_detail = row.string(6);
  job.ranges = static_cast<std::int32_t>(row.integer(7));
  job.start_range = static_cast<std::int32_t>(row.integer(8));
  job.ranges_planned = static_cast<std::int32_t>(row.integer(9));
  job.rows_accepted = row.integer(10);
  job.items = static_cast<int>(row.integer(11));
  job.pilot_left = row.integer_or_null(12);
  job.settle_by_repeat = row.integer(13) != 0;
  job.has_started = row.integer(14) != 0;
  if (!row.is_null(15)) job.restored_at = row.wall(15);
  job.cancel_asked = row.integer(16) != 0;
  job.replans = row.integer(17);
  return job;
}

std::size_t at(IssuanceState state) {
  return static_cast<std::size_t>(state);
}

}  // namespace

Result<std::vector<JobRecord>> read_open_jobs(store::Database& ledger) {
  store::Statement& select = ledger.prepared(kOpenJobs);
  std::vector<JobRecord> jobs;
  while (true) {
    VOUCH_TRY(const bool row, select.step());
    if (!row) return jobs;
    jobs.push_back(read_job(select));
  }
}

Result<StateCounts> read_totals(store::Database& ledger, std::int64_t job) {
  store::Statement& sums = ledger.prepared(kJobSums);
  sums.bind(":job", job);
  VOUCH_TRY(const bool row, sums.step());
  VOUCH_ASSERT(row);
  StateCounts totals{};
  for (int i = 0; i < kIssuanceStates; ++i) {
    totals[static_cast<std::size_t>(i)] = sums.integer(i);
  }
  sums.reset();
  return totals;
}

Result<std::optional<std::string>> applied_answer(store::Database& ledger,
                                                  const CommandName& command) {
  store::Statement& select = ledger.prepared(kApplied);
  select.bind(":id", command.id).bind(":nonce", command.nonce);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<std::string>{};
  std::string answer = select.string(0);
  select.reset();
  return std::optional<std::string>{std::move(answer)};
}

Result<std::int64_t> last_applied(store::Database& ledger) {
  store::Statement& select = ledger.prepared(kLastApplied);
  VOUCH_TRY(const bool row, select.step());
  VOUCH_ASSERT(row);
  const std::int64_t last = select.integer(0);
  select.reset();
  return last;
}

Result<void> JobBook::load() {
  VOUCH_TRY(std::vector<JobRecord> open, read_open_jobs(database_));
  for (JobRecord& job : open) jobs_.emplace(job.number, std::move(job));
  for (auto& [number, job] : jobs_) {
    VOUCH_TRY(job.by_state, read_totals(database_, number));
  }
  return {};
}

Result<std::int64_t> JobBook::campaign_number(ObjectId campaign) {
  store::Statement& select = database_.prepared(kCampaignNumber);
  select.bind(":id", static_cast<std::int64_t>(campaign));
  VOUCH_TRY(const bool found, select.step());
  if (found) {
    const std::int64_t number = select.integer(0);
    select.reset();
    return number;
  }
  store::Statement& insert = database_.prepared(kInsertCampaign);
  insert.bind(":id", static_cast<std::int64_t>(campaign));
  VOUCH_TRY(const bool row, insert.step());
  VOUCH_ASSERT(row);
  const std::int64_t number = insert.integer(0);
  VOUCH_CHECK(insert.run());
  return number;
}

Result<std::optional<WallTime>> JobBook::restored_at(std::int64_t campaign) {
  store::Statement& select = database_.prepared(kCampaignRestored);
  select.bind(":number", campaign);
  VOUCH_TRY(const bool found, select.step());
  std::optional<WallTime> since;
  if (found && !select.is_null(0)) since = select.wall(0);
  select.reset();
  return since;
}

Result<void> JobBook::restore_campaign(std::int64_t campaign, WallTime since) {
  for (auto& [number, job] : jobs_) {
    if (job.campaign_number == campaign) {
      job.restored_at = std::min(job.restored_at.value_or(since), since);
    }
  }
  return database_.prepared(kRestoreCampaign)
      .bind(":number", campaign)
      .bind(":since_ms", since)
      .run();
}

std::vector<std::int64_t> JobBook::open_numbers() const {
  std::vector<std::int64_t> numbers;
  for (const auto& [number, job] : jobs_) numbers.push_back(number);
  return numbers;
}

JobRecord* JobBook::find(std::int64_t number) {
  const auto found = jobs_.find(number);
  return found == jobs_.end() ? nullptr : &found->second;
}

JobRecord* JobBook::find_id(ObjectId id) {
  for (auto& [number, job] : jobs_) {
    if (job.id == id) return &job;
  }
  return nullptr;
}

Result<std::optional<JobRecord>> JobBook::any(ObjectId id) {
  store::Statement& select = database_.prepared(kJobById);
  select.bind(":id", static_cast<std::int64_t>(id));
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<JobRecord>{};
  JobRecord job = read_job(select);
  select.reset();
  return std::optional<JobRecord>{std::move(job)};
}

Result<StateCounts> JobBook::totals(std::int64_t number) {
  store::Statement& sums = database_.prepared(kJobSums);
  sums.bind(":job", number);
  VOUCH_TRY(const bool row, sums.step());
  VOUCH_ASSERT(row);
  StateCounts counts{};
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = sums.integer(static_cast<int>(i));
  sums.reset();
  return counts;
}

Result<JobRecord*> JobBook::create(JobRecord record, WallTime now) {
  store::Statement& insert = database_.prepared(kInsertJob);
  insert.bind(":id", static_cast<std::int64_t>(record.id))
      .bind(":campaign", record.campaign_number)
      .bind(":kind", static_cast<std::int64_t>(record.kind))
      .bind(":state", static_cast<std::int64_t>(JobState::scheduled))
      .bind(":ranges", std::int64_t{record.ranges})
      .bind(":start_range", std::int64_t{record.start_range})
      .bind(":rows_accepted", record.rows_accepted)
      .bind(":items", std::int64_t{record.items})
      .bind(":pilot_left", record.pilot_left)
      .bind(":submitted_ms", now);
  VOUCH_TRY(const bool row, insert.step());
  VOUCH_ASSERT(row);
  record.number = insert.integer(0);
  VOUCH_CHECK(insert.run());
  VOUCH_TRY(record.restored_at, restored_at(record.campaign_number));
  const JobState wanted = std::exchange(record.state, JobState::scheduled);
  JobRecord& job = jobs_.emplace(record.number, std::move(record)).first->second;
  job.changed = true;  // a job without rows is done at once
  VOUCH_CHECK(set_state(job, wanted, PauseReason::none, "submitted", now));
  return &job;
}

Result<void> JobBook::set_state(JobRecord& job, JobState state, PauseReason reason,
                                std::string_view words, WallTime now) {
  job.state = state;
  job.has_started = job.has_started || state == JobState::running;
  job.pause_reason = reason;
  job.pause_detail = state == JobState::paused ? std::string{words} : std::string{};
  VOUCH_CHECK(database_.prepared(kSetState)
                  .bind(":state", static_cast<std::int64_t>(state))
                  .bind(":pause_reason", static_cast<std::int64_t>(reason))
                  .bind(":pause_detail", job.pause_detail)
                  .bind(":now_ms", now)
                  .bind(":number", job.number)
                  .run());
  std::string detail{name_of(state)};
  if (reason != PauseReason::none) detail += " (" + std::string{name_of(reason)} + ")";
  if (!words.empty()) detail += ": " + std::string{words};
  VOUCH_TRY(const std::int64_t seq, events_.append(EventKind::job, job.number, detail, now));
  static_cast<void>(seq);
  return {};
}

Result<void> JobBook::pause_older(JobRecord& job, std::string_view more, WallTime now) {
  const std::string words =
      "the ledger is an older copy: what was cancelled or paused since is not known to it";
  return set_state(job, JobState::paused, PauseReason::store,
                   more.empty() ? words : words + "; " + std::string{more}, now);
}

Result<void> JobBook::claim_range(std::int64_t job, std::int32_t range, std::int64_t epoch,
                                  std::string_view owner) {
  VOUCH_CHECK(database_.prepared(kClaimRange)
                  .bind(":job", job)
                  .bind(":range", std::int64_t{range})
                  .bind(":owner", owner)
                  .bind(":epoch", epoch)
                  .run());
  VOUCH_ASSERT(database_.changes() == 1);  // one writer, and its epochs only grow
  return {};
}

void JobBook::move(std::int64_t job, std::int32_t range, std::optional<IssuanceState> from,
                   IssuanceState to, std::optional<std::int64_t> amount_minor) {
  RangeChange& change = changes_[{job, range}];
  if (from) --change.by_state[at(*from)];
  ++change.by_state[at(to)];
  if (to == IssuanceState::issued) change.issued_minor += amount_minor.value_or(0);
}

void JobBook::move_away(std::int64_t job, std::int32_t range, IssuanceState from) {
  RangeChange& change = changes_[{job, range}];
  --change.by_state[at(from)];
  ++change.moved;
}

void JobBook::add_fresh(std::int64_t job, std::int32_t range, std::int64_t rows) {
  changes_[{job, range}].fresh += rows;
}

void JobBook::add_planned(std::int64_t job, std::int32_t range, const Planned& planned) {
  Planned& sum = changes_[{job, range}].planned;
  sum.rows += planned.rows;
  sum.repeats += planned.repeats;
  if (planned.planned_from && !sum.planned_from) sum.planned_from = planned.planned_from;
  if (!planned.planned_to.empty()) sum.planned_to = planned.planned_to;
  sum.range_done = sum.range_done || planned.range_done;
}

Result<void> JobBook::write_range(std::int64_t job, std::int32_t range, const RangeChange& change) {
  store::Statement& add = database_.prepared(kAddToRange);
  const Planned& planned = change.planned;
  add.bind(1, job).bind(2, std::int64_t{range});
  if (planned.planned_to.empty()) {
    add.bind(3, nullptr);
  } else {
    add.bind(3, store::as_blob(planned.planned_to));
  }
  if (planned.planned_from) {
    add.bind(21, store::as_blob(*planned.planned_from));
  } else {
    add.bind(21, nullptr);
  }
  add.bind(4, std::int64_t{planned.range_done ? 1 : 0}).bind(5, planned.rows);
  add.bind(6, planned.repeats).bind(7, change.fresh);
  int index = 8;
  for (const std::int64_t count : change.by_state) add.bind(index++, count);
  add.bind(19, change.moved).bind(20, change.issued_minor);
  return add.run();
}

Result<void> JobBook::write_job(JobRecord& job) {
  job.changed = false;
  return database_.prepared(kUpdateJob)
      .bind(":ranges_planned", std::int64_t{job.ranges_planned})
      .bind(":rows_accepted", job.rows_accepted)
      .bind(":pilot_left", job.pilot_left)
      .bind(":settle_by_repeat", std::int64_t{job.settle_by_repeat ? 1 : 0})
      .bind(":cancel_asked", std::int64_t{job.cancel_asked ? 1 : 0})
      .bind(":replans", job.replans)
      .bind(":number", job.number)
      .run();
}

Result<void> JobBook::flush(WallTime now) {
  for (const auto& [owner, change] : changes_) {
    const auto& [number, range] = owner;
    VOUCH_CHECK(write_range(number, range, change));
    JobRecord* job = find(number);
    if (job == nullptr) continue;  // a late answer to a job that is over
    for (std::size_t i = 0; i < change.by_state.size(); ++i) {
      job->by_state[i] += change.by_state[i];
    }
    if (change.planned.range_done) ++job->ranges_planned;
    if (job->pilot_left) *job->pilot_left -= change.planned.rows;
    job->changed = true;
  }
  changes_.clear();

  for (auto at_job = jobs_.begin(); at_job != jobs_.end();) {
    JobRecord& job = at_job->second;
    if (job.changed) {
      VOUCH_CHECK(write_job(job));
      VOUCH_CHECK(end_if_complete(job, now));
    }
    at_job = is_over(job.state) ? jobs_.erase(at_job) : std::next(at_job);
  }
  return {};
}

Result<void> JobBook::end_if_complete(JobRecord& job, WallTime now) {
  const std::int64_t startable =
      job.count(IssuanceState::planned) + job.count(IssuanceState::waiting);
  const std::int64_t in_doubt = job.count(IssuanceState::in_doubt);
  const std::int64_t held = job.count(IssuanceState::held);
  if (job.kind == JobKind::single || job.state == JobState::scheduled) return {};
  if (job.cancel_asked && startable > 0 && job.state == JobState::unsettled) {
    return set_state(job, JobState::cancelling, PauseReason::none,
                     "a call has been shown not to have been executed", now);
  }
  if (startable > 0 && job.state == JobState::unsettled) {
    return set_state(job, JobState::running, PauseReason::none,
                     "people have cleared rows to be called again", now);
  }
  if (job.count(IssuanceState::sending) + startable > 0) return {};

  if (job.cancel_asked) {
    if (in_doubt > 0 && job.settle_by_repeat) return {};
    const JobState end = in_doubt + held > 0 ? JobState::unsettled : JobState::cancelled;
    return job.state == end ? Result<void>{} : set_state(job, end, PauseReason::none, "", now);
  }
  if (in_doubt > 0) return {};
  if (job.ranges_planned == job.ranges) {
    const JobState end = held > 0 ? JobState::unsettled : JobState::done;
    return job.state == end ? Result<void>{} : set_state(job, end, PauseReason::none, "", now);
  }
  if (job.pilot_left && *job.pilot_left <= 0 && job.state == JobState::running) {
    return set_state(job, JobState::paused, PauseReason::pilot,
                     "the pilot's rows are settled; `vouchctl job resume` goes on", now);
  }
  return {};
}

Result<void> JobBook::record_applied(const CommandName& command, std::string_view answer,
                                     WallTime now) {
  return database_.prepared(kInsertApplied)
      .bind(":id", command.id)
      .bind(":nonce", command.nonce)
      .bind(":applied_ms", now)
      .bind(":answer", answer)
      .run();
}

}  // namespace vouch::data
