#include "daemon/data/older_ledger.hpp"

#include "common/store/ledger_copy.hpp"
#include "common/text.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/job_book.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kLastTime = "SELECT at_ms FROM event ORDER BY seq DESC LIMIT 1";

}  // namespace

Result<std::optional<WallTime>> last_event_time(store::Database& ledger) {
  store::Statement& last = ledger.prepared(kLastTime);
  VOUCH_TRY(const bool row, last.step());
  std::optional<WallTime> at;
  if (row) at = last.wall(0);
  last.reset();
  return at;
}

Result<std::int64_t> accept_older_ledger(store::Database& ledger,
                                         const std::vector<ObjectId>& campaigns, WallTime since,
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
  for (const ObjectId id : campaigns) {
    VOUCH_TRY(const std::int64_t campaign, jobs.campaign_number(id));
    VOUCH_CHECK(jobs.restore_campaign(campaign, since));
  }
  std::int64_t rows = 0;
  for (const std::int64_t job : jobs.open_numbers()) {
    VOUCH_TRY(const std::int64_t in_doubt, issuances.doubt_open_rows(job, since, now));
    rows += in_doubt;
  }
  VOUCH_TRY(const std::int64_t seq,
            events.append(EventKind::daemon, 0,
                          "an older ledger was accepted: what it does not know since " +
                              format_time_utc(since) + " is in doubt, " + format_count(rows) +
                              " rows at once",
                          now));
  static_cast<void>(seq);
  VOUCH_CHECK(transaction.commit());
  return rows;
}

}  // namespace vouch::data
