// IssuanceLedger's part for beginning again after a stop, or with an older copy: declared in
// issuance_ledger.hpp.
#include <utility>

#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/issuance_rows.hpp"

namespace vouch::data {
namespace {

constexpr int kRecoverPage = 1000;

// Recovery.  Resent rows are found by the index issuance_due, fresh ones by their range: a range
// whose fresh rows have all been settled once is not looked at.
constexpr std::string_view kResentSending = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event,
         faults
    FROM issuance
   WHERE job = :job AND next_at_ms = 253402300799000 AND state = 1
   LIMIT 1000
)sql";

constexpr std::string_view kOpenRanges =
    "SELECT range FROM job_range WHERE job = :job AND fresh > 0 ORDER BY range";

constexpr std::string_view kFreshSending = R"sql(
  SELECT issuance.campaign, recipient_key, occurrence, item, issuance.state, round,
         issuance.range, amount_minor, last_event, faults
    FROM job
    JOIN job_range ON job_range.job = job.number AND job_range.range = :range
    JOIN issuance ON issuance.campaign = job.campaign
                 AND recipient_key BETWEEN planned_from AND planned_to
   WHERE job.number = :job AND issuance.job = :job AND issuance.state = 1
     AND next_at_ms IS NULL
   LIMIT 1000
)sql";

constexpr std::string_view kRecoverRow = R"sql(
  UPDATE issuance SET state = ?7, last_event = ?1, doubt_ms = ifnull(doubt_ms, intent_ms),
                      next_at_ms = ?2, intent_ms = ?8, faults = ?9
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6 AND state = 1
)sql";

// What a ledger that is an older copy held for certain, it holds for certain no more.  What waited
// for an export may have been exported: from the mark `waits` to the mark `in_doubt`.
constexpr std::string_view kDoubtOpenRows = R"sql(
  UPDATE issuance SET state = 3, doubt_ms = ifnull(doubt_ms, :since_ms), intent_ms = :now_ms,
                      next_at_ms = iif(next_at_ms >= 253402300000000, next_at_ms + 2000, :now_ms)
   WHERE job = :job AND next_at_ms < 253402300001000 AND state IN (0, 2)
)sql";

constexpr std::string_view kDoubtInRanges = R"sql(
  UPDATE job_range SET in_doubt = in_doubt + planned + waiting, planned = 0, waiting = 0
   WHERE job = :job
)sql";

constexpr std::string_view kAskAgain = R"sql(
  UPDATE issuance SET next_at_ms = :now_ms
   WHERE job = :job AND next_at_ms = 253402300799000 AND state = 3
)sql";

}  // namespace

Result<int> IssuanceLedger::recover(std::int64_t job, bool after_fault, WallTime now) {
  std::vector<std::int64_t> ranges;
  store::Statement& open = database_.prepared(kOpenRanges);
  open.bind(":job", job);
  while (true) {
    VOUCH_TRY(const bool more, open.step());
    if (!more) break;
    ranges.push_back(open.integer(0));
  }
  int count = 0;
  for (const std::int64_t range : ranges) {
    VOUCH_TRY(const int fresh, recover_rows(job, range, after_fault, now));
    count += fresh;
  }
  VOUCH_TRY(const int resent, recover_rows(job, std::nullopt, after_fault, now));
  while (true) {
    VOUCH_TRY(const int taken, doubt_taken(job, kRecoverPage, "vouchd stopped before it was", now));
    count += taken;
    if (taken < kRecoverPage) break;
  }
  VOUCH_CHECK(database_.prepared(kAskAgain).bind(":now_ms", now).bind(":job", job).run());
  return count + resent;
}

Result<int> IssuanceLedger::recover_rows(std::int64_t job, std::optional<std::int64_t> range,
                                         bool after_fault, WallTime now) {
  int count = 0;
  while (true) {
    store::Statement& select = database_.prepared(range ? kFreshSending : kResentSending);
    select.bind(":job", job);
    if (range) select.bind(":range", *range);
    std::vector<std::pair<IssuanceRow, std::int64_t>> rows;  // with their faults
    while (true) {
      VOUCH_TRY(const bool more, select.step());
      if (!more) break;
      rows.emplace_back(read_row(select), select.integer(9));
    }
    for (const auto& [row, faults] : rows) {
      VOUCH_CHECK(recover_row(job, row, faults + (after_fault ? 1 : 0), now));
      if (range) jobs_.add_fresh(job, row.range, -1);
    }
    count += static_cast<int>(rows.size());
    if (rows.empty()) return count;
  }
}

Result<void> IssuanceLedger::recover_row(std::int64_t job, const IssuanceRow& row,
                                         std::int64_t faults, WallTime now) {
  const bool is_suspect = faults >= kFaultsMax;
  const IssuanceState to = is_suspect ? IssuanceState::held : IssuanceState::in_doubt;
  RowEvent event = event_of(row, is_suspect ? EventKind::held : EventKind::recovered, job, to);
  if (is_suspect) event.detail = "vouchd died of a fault each time that this call was out";
  VOUCH_TRY(const std::int64_t seq, events_.append(event, now));
  store::Statement& update = database_.prepared(kRecoverRow);
  update.bind(1, seq).bind(7, static_cast<std::int64_t>(to)).bind(8, to_ms(now)).bind(9, faults);
  bind_time(update, 2, is_suspect ? std::nullopt : std::optional{now});
  bind_key(update, 3, row.campaign, row.key);
  VOUCH_CHECK(update.run());
  jobs_.move(job, row.range, IssuanceState::sending, to, row.amount_minor);
  return {};
}

Result<std::int64_t> IssuanceLedger::doubt_open_rows(std::int64_t job, WallTime since,
                                                     WallTime now) {
  VOUCH_CHECK(database_.prepared(kDoubtOpenRows)
                  .bind(":job", job)
                  .bind(":since_ms", since)
                  .bind(":now_ms", now)
                  .run());
  const std::int64_t rows = database_.changes();
  VOUCH_CHECK(database_.prepared(kDoubtInRanges).bind(":job", job).run());
  return rows;
}

}  // namespace vouch::data
