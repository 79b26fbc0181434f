#include "daemon/data/ledger_reader.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kLastEvent = "SELECT ifnull(max(seq), 0) FROM event";
constexpr std::string_view kJobState = "SELECT state FROM job WHERE number = :job";
constexpr std::string_view kOpenRows = R"sql(
  SELECT (j.rows_accepted - ifnull(sum(r.rows_planned), 0)) * j.items +
         ifnull(sum(r.planned + r.sending + r.waiting + r.in_doubt), 0)
    FROM job AS j LEFT JOIN job_range AS r ON r.job = j.number WHERE j.number = :job
)sql";
constexpr std::string_view kEndedJobs = R"sql(
  SELECT number, id, state FROM job
   WHERE number > :after AND (state = 4 OR state > 5) ORDER BY number
)sql";
constexpr std::string_view kLastJob = "SELECT ifnull(max(number), 0) FROM job";
constexpr std::string_view kHasJob = "SELECT 1 FROM job WHERE id = :id";
constexpr std::string_view kRanges =
    "SELECT range, planned_to, planned_all FROM job_range WHERE job = :job";
constexpr std::string_view kRangeIsOpen = R"sql(
  SELECT iif(:called, planned, 0) + sending + waiting > 0 FROM job_range
   WHERE job = :job AND range = :range
)sql";
// By the index issuance_due, which holds the item too.
constexpr std::string_view kDue = R"sql(
  SELECT i.campaign, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.range,
         i.campaign_version, i.downstream_version, i.amount_minor, i.call_digest, i.next_at_ms,
         i.doubt_ms, i.attempts, i.strikes, i.last_event, e.at_ms, e.http_status, e.reply_digest,
         i.intent_ms, i.asked, i.missing_ms, i.known, e.kind, e.outcome, i.ordinal, e.shared_by
    FROM issuance AS i LEFT JOIN event AS e ON e.seq = i.last_event
   WHERE i.job = :job AND i.next_at_ms <= :now_ms AND i.state IN (0, 2, 3)
     AND (iif(i.state = 3, :doubtful, :items) >> i.item) & 1
   ORDER BY i.next_at_ms
   LIMIT :rows_max
)sql";
constexpr std::string_view kDueSetupFirst = R"sql(
  SELECT i.campaign, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.range,
         i.campaign_version, i.downstream_version, i.amount_minor, i.call_digest, i.next_at_ms,
         i.doubt_ms, i.attempts, i.strikes, i.last_event, e.at_ms, e.http_status, e.reply_digest,
         i.intent_ms, i.asked, i.missing_ms, i.known, e.kind, e.outcome, i.ordinal, e.shared_by
    FROM issuance AS i LEFT JOIN event AS e ON e.seq = i.last_event
   WHERE i.job = :job AND i.next_at_ms <= :now_ms AND i.state IN (0, 2, 3)
     AND (iif(i.state = 3, :doubtful, :items) >> i.item) & 1
   ORDER BY ifnull(e.outcome IN (4, 5), 0) DESC, i.next_at_ms
   LIMIT :rows_max
)sql";
constexpr std::string_view kDueSetupLast = R"sql(
  SELECT i.campaign, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.range,
         i.campaign_version, i.downstream_version, i.amount_minor, i.call_digest, i.next_at_ms,
         i.doubt_ms, i.attempts, i.strikes, i.last_event, e.at_ms, e.http_status, e.reply_digest,
         i.intent_ms, i.asked, i.missing_ms, i.known, e.kind, e.outcome, i.ordinal, e.shared_by
    FROM issuance AS i LEFT JOIN event AS e ON e.seq = i.last_event
   WHERE i.job = :job AND i.next_at_ms <= :now_ms AND i.state IN (0, 2, 3)
     AND (iif(i.state = 3, :doubtful, :items) >> i.item) & 1
   ORDER BY ifnull(e.outcome IN (4, 5), 0), i.next_at_ms
   LIMIT :rows_max
)sql";
// What waits for an export (common/export_mark.hpp) is never due.
constexpr std::string_view kNextDue = R"sql(
  SELECT min(next_at_ms) FROM (
    SELECT min(next_at_ms) AS next_at_ms FROM issuance
     WHERE job = :job AND next_at_ms < 253402300000000
    UNION ALL
    SELECT min(next_at_ms) FROM issuance WHERE job = :job AND next_at_ms >= 253402300003000)
)sql";
constexpr std::string_view kHasStartable = R"sql(
  SELECT 1 FROM issuance
   WHERE job = :job AND next_at_ms < 253402300001000 AND state IN (0, 2) LIMIT 1
)sql";
constexpr std::string_view kHasTaken = R"sql(
  SELECT 1 FROM issuance
   WHERE job = :job AND next_at_ms >= 253402300001000 AND next_at_ms < 253402300002000 LIMIT 1
)sql";
constexpr std::string_view kInput = R"sql(
  SELECT input FROM issuance_input
   WHERE campaign = :campaign AND recipient_key = :recipient_key AND occurrence = :occurrence
)sql";

// By address: a statement is cached under it.
std::string_view due_sql(SetupOrder order) {
  if (order == SetupOrder::first) return kDueSetupFirst;
  return order == SetupOrder::last ? kDueSetupLast : kDue;
}

std::optional<WallTime> time_or_none(const store::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.wall(column);
}

DueRow read_due(const store::Statement& row) {
  DueRow due;
  due.key.campaign = static_cast<ObjectId>(row.integer(0));
  due.key.recipient = row.digest(1);
  due.key.occurrence = static_cast<std::uint64_t>(row.integer(2));
  due.key.item = static_cast<std::uint8_t>(row.integer(3));
  due.state = static_cast<IssuanceState>(row.integer(4));
  due.round = static_cast<std::uint8_t>(row.integer(5));
  due.range = static_cast<std::int32_t>(row.integer(6));
  due.campaign_version = static_cast<int>(row.integer(7));
  due.downstream_version = static_cast<int>(row.integer(8));
  due.amount_minor = row.integer_or_null(9);
  due.call_digest = row.digest(10);
  due.next_at = row.wall(11);
  due.doubt_since = time_or_none(row, 12);
  due.attempts = static_cast<int>(row.integer(13));
  due.strikes = static_cast<int>(row.integer(14));
  due.last_event = row.integer_or_null(15);
  due.last_attempt_at = time_or_none(row, 16);
  due.last_status = static_cast<int>(row.integer(17));
  due.last_reply = row.digest(18);
  due.intent_at = row.wall(19);
  due.asked = static_cast<int>(row.integer(20));
  due.missing_since = time_or_none(row, 21);
  due.known = row.integer(22) != 0;
  due.last_kind = static_cast<EventKind>(row.integer(23));
  due.last_outcome = static_cast<Outcome>(row.integer(24));
  due.ordinal = row.integer_or_null(25);
  if (!row.is_null(26)) due.last_shared_by = static_cast<int>(row.integer(26));
  return due;
}

// All rows of a statement through `read`.
template <typename Read>
auto all(store::Statement& select, Read read)
    -> Result<std::vector<decltype(read(std::declval<const store::Statement&>()))>> {
  std::vector<decltype(read(select))> rows;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return rows;
    rows.push_back(read(select));
  }
}

// The first row's value, or nothing.
template <typename Read>
auto first(store::Statement& select, Read read)
    -> Result<std::optional<decltype(read(std::declval<const store::Statement&>()))>> {
  VOUCH_TRY(const bool found, select.step());
  std::optional<decltype(read(select))> value;
  if (found) value = read(select);
  select.reset();
  return value;
}

}  // namespace

Result<std::vector<JobRecord>> LedgerReader::open_jobs() {
  return read_open_jobs(database_);
}

Result<std::int64_t> LedgerReader::last_event() {
  VOUCH_TRY(const auto last, first(database_.prepared(kLastEvent),
                                   [](const store::Statement& row) { return row.integer(0); }));
  return last.value_or(0);
}

Result<bool> LedgerReader::has_job(ObjectId id) {
  VOUCH_TRY(const auto found,
            first(database_.prepared(kHasJob).bind(":id", static_cast<std::int64_t>(id)),
                  [](const store::Statement& row) { return row.integer(0); }));
  return found.has_value();
}

Result<std::int64_t> LedgerReader::open_rows(std::int64_t job) {
  VOUCH_TRY(const auto rows, first(database_.prepared(kOpenRows).bind(":job", job),
                                   [](const store::Statement& row) { return row.integer(0); }));
  return rows.value_or(0);
}

Result<std::vector<JobRecord>> LedgerReader::ended_jobs(std::int64_t after) {
  return all(database_.prepared(kEndedJobs).bind(":after", after), [](const store::Statement& row) {
    JobRecord job;
    job.number = row.integer(0);
    job.id = static_cast<ObjectId>(row.integer(1));
    job.state = static_cast<JobState>(row.integer(2));
    return job;
  });
}

Result<std::int64_t> LedgerReader::last_job() {
  VOUCH_TRY(const auto last, first(database_.prepared(kLastJob),
                                   [](const store::Statement& row) { return row.integer(0); }));
  return last.value_or(0);
}

Result<JobState> LedgerReader::job_state(std::int64_t job) {
  VOUCH_TRY(const auto state, first(database_.prepared(kJobState).bind(":job", job),
                                    [](const store::Statement& row) { return row.integer(0); }));
  if (!state) return fail(Errc::not_found, "no job " + std::to_string(job));
  return static_cast<JobState>(*state);
}

Result<std::optional<std::string>> LedgerReader::applied(const CommandName& command) {
  return applied_answer(database_, command);
}

Result<std::map<std::int32_t, RangeCursor>> LedgerReader::ranges(std::int64_t job) {
  VOUCH_TRY(const auto rows,
            all(database_.prepared(kRanges).bind(":job", job), [](const store::Statement& row) {
              const store::Blob cursor = row.blob(1);
              return RangeCursor{.range = static_cast<std::int32_t>(row.integer(0)),
                                 .planned_to = std::string(cursor.begin(), cursor.end()),
                                 .done = row.integer(2) != 0};
            }));
  std::map<std::int32_t, RangeCursor> cursors;
  for (const RangeCursor& cursor : rows) cursors.emplace(cursor.range, cursor);
  return cursors;
}

Result<bool> LedgerReader::range_has_open_rows(std::int64_t job, std::int32_t range,
                                               Planned planned) {
  VOUCH_TRY(const auto open,
            first(database_.prepared(kRangeIsOpen)
                      .bind(":job", job)
                      .bind(":range", std::int64_t{range})
                      .bind(":called", std::int64_t{planned == Planned::called ? 1 : 0}),
                  [](const store::Statement& row) { return row.integer(0); }));
  return open.value_or(0) != 0;
}

Result<std::vector<DueRow>> LedgerReader::due(std::int64_t job, WallTime now,
                                              const DueWanted& wanted) {
  return all(database_.prepared(due_sql(wanted.setup))
                 .bind(":job", job)
                 .bind(":now_ms", now)
                 .bind(":items", wanted.items.bits())
                 .bind(":doubtful", wanted.doubtful.bits())
                 .bind(":rows_max", std::int64_t{wanted.rows_max}),
             read_due);
}

Result<std::optional<WallTime>> LedgerReader::next_due(std::int64_t job) {
  VOUCH_TRY(const auto soonest,
            first(database_.prepared(kNextDue).bind(":job", job),
                  [](const store::Statement& row) { return row.integer_or_null(0); }));
  if (!soonest || !*soonest) return std::optional<WallTime>{};
  return std::optional<WallTime>{from_ms(**soonest)};
}

Result<bool> LedgerReader::has_startable(std::int64_t job) {
  VOUCH_TRY(const auto found, first(database_.prepared(kHasStartable).bind(":job", job),
                                    [](const store::Statement&) { return true; }));
  return found.value_or(false);
}

Result<bool> LedgerReader::has_taken(std::int64_t job) {
  VOUCH_TRY(const auto found, first(database_.prepared(kHasTaken).bind(":job", job),
                                    [](const store::Statement&) { return true; }));
  return found.value_or(false);
}

Result<std::optional<std::string>> LedgerReader::single_input(std::int64_t campaign_number,
                                                              const IssuanceKey& key) {
  return first(database_.prepared(kInput)
                   .bind(":campaign", campaign_number)
                   .bind(":recipient_key", store::as_blob(key.recipient))
                   .bind(":occurrence", static_cast<std::int64_t>(key.occurrence)),
               [](const store::Statement& row) { return row.string(0); });
}

}  // namespace vouch::data
