// IssuanceLedger's part for what people, statements and deadlines change: declared in
// issuance_ledger.hpp.
#include "common/export_mark.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/issuance_rows.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kOneRow = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event,
         job, downstream_version
    FROM issuance
   WHERE campaign = (SELECT number FROM campaign WHERE id = ?1)
     AND recipient_key = ?2 AND occurrence = ?3 AND item = ?4
)sql";

// What was proven not to have been executed begins anew, without doubt and with all its attempts.
constexpr std::string_view kResolve = R"sql(
  UPDATE issuance SET last_event = ?1, state = ?2, next_at_ms = ?3, asked = 0, missing_ms = NULL,
                      known = 0, doubt_ms = CASE WHEN ?2 = 5 THEN doubt_ms END,
                      attempts = CASE WHEN ?2 = 2 THEN 0 ELSE attempts END,
                      strikes = CASE WHEN ?2 = 2 THEN 0 ELSE strikes END
   WHERE campaign = ?4 AND recipient_key = ?5 AND occurrence = ?6 AND item = ?7 AND state = ?8
)sql";

// By the index issuance_due; what an export has taken stands behind the others.
constexpr std::string_view kOpenRows = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = :job AND next_at_ms < 253402300001000 AND state IN (0, 2)
   LIMIT :rows_max
)sql";

// By the index issuance_unissued.
constexpr std::string_view kUnissued = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = :job AND state = :state AND (state = 4 OR state > 5)
   LIMIT :rows_max
)sql";

constexpr std::string_view kRerunRow = R"sql(
  UPDATE issuance SET state = ?9, round = ?1, job = ?2, last_event = ?3, next_at_ms = ?11,
                      intent_ms = ?4, asked = 0, missing_ms = NULL, known = 0,
                      attempts = 0, strikes = 0, doubt_ms = ?10,
                      downstream_version = iif(?12, 0, downstream_version)
   WHERE campaign = ?5 AND recipient_key = ?6 AND occurrence = ?7 AND item = ?8
)sql";

// Whether a statement that names this amount, or none, can be about the row.
bool is_amount_of(const IssuanceRow& row, const std::optional<std::int64_t>& amount_minor) {
  return !amount_minor || *amount_minor == row.amount_minor.value_or(0);
}

}  // namespace

struct IssuanceLedger::Owned {
  IssuanceRow row;
  std::int64_t job_number = 0;
  bool by_export = false;
};

Result<std::optional<IssuanceLedger::Owned>> IssuanceLedger::one_row(const IssuanceKey& key) {
  store::Statement& select = database_.prepared(kOneRow);
  bind_key(select, 1, static_cast<std::int64_t>(key.campaign), key);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<Owned>{};
  Owned owned{.row = read_row(select),
              .job_number = select.integer(9),
              .by_export = is_by_export(select.integer(10))};
  select.reset();
  return std::optional{std::move(owned)};
}

Result<std::optional<IssuanceLedger::Found>> IssuanceLedger::find(const IssuanceKey& key,
                                                                  std::int64_t job_number) {
  VOUCH_TRY(const auto owned, one_row(key));
  if (!owned || owned->job_number != job_number) return std::optional<Found>{};
  return std::optional{Found{owned->row.amount_minor}};
}

Result<void> IssuanceLedger::settle_outside(const Owned& owned, RowEvent event, WallTime now) {
  const IssuanceRow& row = owned.row;
  const IssuanceState to = event.to;
  VOUCH_TRY(const std::int64_t seq, events_.append(event, now));
  store::Statement& update = database_.prepared(kResolve);
  update.bind(1, seq).bind(2, static_cast<std::int64_t>(to));
  std::optional<std::int64_t> next_at;
  if (to == IssuanceState::waiting) next_at = to_ms(now);
  if (owned.by_export) next_at = export_mark_of(to, row.key.item);
  bind_or_null(update, 3, next_at);
  bind_key(update, 4, row.campaign, row.key);
  update.bind(8, static_cast<std::int64_t>(row.state));
  VOUCH_CHECK(update.run());
  jobs_.move(owned.job_number, row.range, row.state, to, row.amount_minor);
  if (!is_final(to)) return {};
  Intent ended;
  ended.campaign_number = row.campaign;
  ended.key = row.key;
  return drop_input(ended);
}

Result<bool> IssuanceLedger::settle_by_statement(const Statement& says, WallTime now) {
  VOUCH_TRY(const auto owned, one_row(says.key));
  // An exported code is nobody's call, and in nobody's statement.
  if (!owned || owned->by_export) return false;
  const IssuanceRow& row = owned->row;
  const JobRecord* job = jobs_.find(owned->job_number);
  const bool goes_on = job != nullptr && job->state != JobState::unsettled;
  const IssuanceEvent on = says.was_executed ? IssuanceEvent::resolve_issued
                           : goes_on         ? IssuanceEvent::resolve_waiting
                                             : IssuanceEvent::resolve_failed;
  const auto to = next_state(row.state, on);
  const bool same_amount = is_amount_of(row, says.amount_minor);
  // A statement that lacks the row says nothing of a call that was made since it was compared.
  const bool holds = says.was_executed ? same_amount : row.last_event == says.last_event;
  if (!to || row.round != says.round || !holds) return false;
  RowEvent event = event_of(row, EventKind::statement, owned->job_number, *to);
  event.detail = says.words;
  event.reference = says.reference;
  VOUCH_CHECK(settle_outside(*owned, event, now));
  return true;
}

Result<bool> IssuanceLedger::resolve(const Resolution& says, WallTime now) {
  VOUCH_TRY(const auto owned, one_row(says.key));
  if (!owned || (says.by_statement && owned->by_export)) return false;
  const IssuanceRow& row = owned->row;
  // That a statement has the row stays true, whatever was asked or repeated since; that it lacks
  // the row says nothing of a later call.
  const bool has_it = says.by_statement && says.to == IssuanceState::issued;
  const bool as_seen = has_it || (row.state == says.from && row.last_event == says.last_event);
  const bool same = as_seen && row.round == says.round && owned->job_number == says.job_number &&
                    is_amount_of(row, says.amount_minor);
  // A job that is over takes no row back.
  const bool goes_on = says.to != IssuanceState::waiting || jobs_.find(says.job_number) != nullptr;
  if (!same || !goes_on) return false;
  const IssuanceEvent on = says.to == IssuanceState::issued    ? IssuanceEvent::resolve_issued
                           : says.to == IssuanceState::waiting ? IssuanceEvent::resolve_waiting
                                                               : IssuanceEvent::resolve_failed;
  if (next_state(row.state, on) != says.to) return false;
  const EventKind kind = says.by_statement ? EventKind::statement : EventKind::resolved;
  RowEvent event = event_of(row, kind, owned->job_number, says.to);
  event.detail = says.words;
  event.reference = says.reference;
  VOUCH_CHECK(settle_outside(*owned, event, now));
  return true;
}

Result<int> IssuanceLedger::end_open_rows(std::int64_t job, IssuanceState to, int rows_max,
                                          WallTime now) {
  VOUCH_ASSERT(to == IssuanceState::cancelled || to == IssuanceState::expired);
  const EventKind kind = to == IssuanceState::cancelled ? EventKind::cancelled : EventKind::expired;
  store::Statement& select = database_.prepared(kOpenRows);
  select.bind(":job", job).bind(":rows_max", std::int64_t{rows_max});
  VOUCH_TRY(const std::vector<IssuanceRow> rows, read_rows(select));
  for (const IssuanceRow& row : rows) {
    VOUCH_TRY(const std::int64_t seq, events_.append(event_of(row, kind, job, to), now));
    VOUCH_CHECK(end_row(database_, to, seq, row.campaign, row.key));
    jobs_.move(job, row.range, row.state, to, row.amount_minor);
  }
  const int ended = static_cast<int>(rows.size());
  if (to != IssuanceState::cancelled || ended == rows_max) return ended;
  VOUCH_TRY(const int doubted,
            doubt_taken(job, rows_max - ended, "the job was cancelled before it was", now));
  return ended + doubted;
}

Result<int> IssuanceLedger::rerun(const Rerun& between, IssuanceState state, int rows_max,
                                  WallTime now) {
  VOUCH_ASSERT(is_final(state) && state != IssuanceState::issued);
  const auto& [to_job, from_job, exports, doubt_since] = between;
  store::Statement& select = database_.prepared(kUnissued);
  select.bind(":job", from_job).bind(":state", static_cast<std::int64_t>(state));
  select.bind(":rows_max", std::int64_t{rows_max});
  VOUCH_TRY(const std::vector<IssuanceRow> rows, read_rows(select));
  for (const IssuanceRow& row : rows) {
    const IssuanceState to = doubt_since ? IssuanceState::in_doubt : IssuanceState::planned;
    VOUCH_TRY(const std::int64_t seq,
              events_.append(event_of(row, EventKind::rerun, to_job, to), now));
    // A downstream repeats the refusal it has stored: only a new request id can be granted.
    const std::int64_t round = row.round + (state == IssuanceState::declined ? 1 : 0);
    VOUCH_ASSERT(round < 256);
    store::Statement& update = database_.prepared(kRerunRow);
    update.bind(1, round).bind(2, to_job).bind(3, seq).bind(4, to_ms(now));
    bind_key(update, 5, row.campaign, row.key);
    update.bind(9, static_cast<std::int64_t>(to));
    bind_time(update, 10, doubt_since);
    const bool by_export = exports.contains(row.key.item);
    bind_or_null(update, 11, by_export ? export_mark_of(to, row.key.item) : to_ms(now));
    update.bind(12, std::int64_t{by_export ? 1 : 0});
    VOUCH_CHECK(update.run());
    jobs_.move_away(from_job, row.range, state);
    jobs_.move(to_job, row.range, std::nullopt, to, row.amount_minor);
    jobs_.add_planned(to_job, row.range, {.rows = 1});
  }
  return static_cast<int>(rows.size());
}

}  // namespace vouch::data
