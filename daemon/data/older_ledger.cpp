#include "daemon/data/older_ledger.hpp"

#include "common/store/ledger_copy.hpp"
#include "common/text.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/job_book.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kLastTime = "SELECT at_ms FROM event ORDER BY seq DESC LIMIT 1";
constexpr std::string_view kMarkLost = R"sql(
  INSERT OR REPLACE INTO ledger_meta (key, value) VALUES ('lost_before_ms', :value)
)sql";
constexpr std::string_view kLostBefore =
    "SELECT value FROM ledger_meta WHERE key = 'lost_before_ms'";
constexpr std::string_view kForgetLost = "DELETE FROM ledger_meta WHERE key = 'lost_before_ms'";
constexpr std::string_view kRerunSince =
    "a rerun of its declined rows is not known to this ledger: resuming may give those a second "
    "voucher where the service does not remember refusals";

// An unsettled job is at rest already, and the one that singles share goes on.
bool is_stopped(const JobRecord& job) {
  return job.kind != JobKind::single && job.state != JobState::unsettled;
}

// What whoever resumes the job has to know besides.
std::string more_about(const JobRecord& job, bool is_rerun_since) {
  std::vector<std::string> more;
  if (job.state == JobState::paused) {
    more.push_back("it was paused before (" + std::string{name_of(job.pause_reason)} +
                   "): " + job.pause_detail);
  }
  if (job.state == JobState::cancelling) more.emplace_back("resuming goes on cancelling it");
  if (is_rerun_since) more.emplace_back(kRerunSince);
  return join(more, "; ");
}

}  // namespace

Result<std::optional<WallTime>> last_event_time(store::Database& ledger) {
  store::Statement& last = ledger.prepared(kLastTime);
  VOUCH_TRY(const bool row, last.step());
  std::optional<WallTime> at;
  if (row) at = last.wall(0);
  last.reset();
  return at;
}

Result<Acceptance> accept_older_ledger(store::Database& ledger,
                                       const std::vector<ObjectId>& campaigns,
                                       const std::set<ObjectId>& rerun_since, WallTime since,
                                       WallTime now) {
  EventLog events{ledger};
  JobBook jobs{ledger, events};
  PoolBook pools{ledger};
  CodeShelf shelf;  // nothing is handed out here
  IssuanceLedger issuances{ledger, events, jobs, pools, shelf};
  VOUCH_CHECK(events.load());
  VOUCH_CHECK(jobs.load());
  VOUCH_TRY(store::Transaction transaction, store::Transaction::begin(ledger));
  VOUCH_CHECK(store::unmark_copy(ledger));
  VOUCH_CHECK(ledger.prepared(kMarkLost).bind(":value", std::to_string(to_ms(now))).run());
  for (const ObjectId id : campaigns) {
    VOUCH_TRY(const std::int64_t campaign, jobs.campaign_number(id));
    VOUCH_CHECK(jobs.restore_campaign(campaign, since));
  }
  Acceptance accepted;
  for (const std::int64_t number : jobs.open_numbers()) {
    JobRecord& job = *jobs.find(number);
    // By that time rows are known that this ledger has never called: see JobNow::is_too_late().
    VOUCH_TRY(const std::int64_t in_doubt,
              issuances.doubt_open_rows(number, job.restored_at.value_or(since), now));
    accepted.rows_in_doubt += in_doubt;
    if (!is_stopped(job)) continue;
    VOUCH_CHECK(jobs.pause_older(job, more_about(job, rerun_since.contains(job.id)), now));
    ++accepted.jobs_paused;
  }
  VOUCH_TRY(const std::int64_t seq,
            events.append(EventKind::daemon, 0,
                          "an older ledger was accepted: what it does not know since " +
                              format_time_utc(since) + " is in doubt, " +
                              format_count(accepted.rows_in_doubt) + " rows at once; " +
                              format_count(accepted.jobs_paused) + " jobs are paused",
                          now));
  static_cast<void>(seq);
  VOUCH_CHECK(transaction.commit());
  return accepted;
}

Result<std::optional<WallTime>> lost_before(store::Database& ledger) {
  store::Statement& select = ledger.prepared(kLostBefore);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<WallTime>{};
  VOUCH_TRY(const std::int64_t at_ms, parse_integer(select.string(0)));
  select.reset();
  return std::optional{from_ms(at_ms)};
}

Result<void> forget_lost(store::Database& ledger) {
  return ledger.prepared(kForgetLost).run();
}

}  // namespace vouch::data
