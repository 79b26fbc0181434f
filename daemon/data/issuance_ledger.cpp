#include "daemon/data/issuance_ledger.hpp"

#include <algorithm>
#include <utility>

namespace vouch::data {
namespace {

// Hot statements are bound by position.  All but two find their row by the primary key.

constexpr std::string_view kInsert = R"sql(
  INSERT INTO issuance (campaign, recipient_key, occurrence, item, state, round, job, range,
                        campaign_version, downstream_version, amount_minor, call_digest,
                        intent_ms, next_at_ms, doubt_ms)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
)sql";

// A page of a new campaign, the usual case, is shown to be new by one look.
constexpr std::string_view kAnyInPage = R"sql(
  SELECT 1 FROM issuance
   WHERE campaign = ?1 AND recipient_key BETWEEN ?2 AND ?3 LIMIT 1
)sql";
constexpr std::string_view kAnyOfRecipient = R"sql(
  SELECT 1 FROM issuance
   WHERE campaign = ?1 AND recipient_key = ?2 AND occurrence = ?3 LIMIT 1
)sql";

constexpr std::string_view kInsertInput = R"sql(
  INSERT OR IGNORE INTO issuance_input (campaign, recipient_key, occurrence, input)
  VALUES (:campaign, :recipient_key, :occurrence, :input)
)sql";

// What cannot have been executed in this round may be sent with other bytes (makes_new_call).
constexpr std::string_view kSendAgain = R"sql(
  UPDATE issuance SET state = 1, intent_ms = ?1, next_at_ms = ?2, asked = 0, missing_ms = NULL,
                      call_digest = CASE WHEN state = 0 OR (state = 2 AND doubt_ms IS NULL)
                                         THEN ?3 ELSE call_digest END, known = 0,
                      downstream_version = ?4, campaign_version = ?5
   WHERE campaign = ?6 AND recipient_key = ?7 AND occurrence = ?8 AND item = ?9 AND state = ?10
)sql";

// Born as sending and issued at the first attempt: touches no index.
constexpr std::string_view kSettleFresh = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6 AND state = 1
)sql";
constexpr std::string_view kSettle = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2, attempts = ?3, strikes = ?4, doubt_ms = ?5,
                      next_at_ms = ?6, intent_ms = ?11
   WHERE campaign = ?7 AND recipient_key = ?8 AND occurrence = ?9 AND item = ?10 AND state = 1
)sql";
// A query leaves its row in doubt; until its answer is recorded nobody asks again.
constexpr std::string_view kAsk = R"sql(
  UPDATE issuance SET next_at_ms = ?1
   WHERE campaign = ?2 AND recipient_key = ?3 AND occurrence = ?4 AND item = ?5 AND state = 3
     AND last_event IS ?6 AND next_at_ms < ?1
)sql";
// Evidence is always true of its request id; "not found" may be about a call before the latest.
constexpr std::string_view kSettleAsked = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2, doubt_ms = ?3, next_at_ms = ?4, asked = ?5,
                      missing_ms = ?6, known = ?12
   WHERE campaign = ?7 AND recipient_key = ?8 AND occurrence = ?9 AND item = ?10 AND state = 3
     AND (last_event IS ?11 OR ?1 = 5)
)sql";
constexpr std::string_view kDropInput = R"sql(
  DELETE FROM issuance_input
   WHERE campaign = ?1 AND recipient_key = ?2 AND occurrence = ?3
     AND NOT EXISTS (SELECT 1 FROM issuance AS open
                      WHERE open.campaign = ?1 AND open.recipient_key = ?2
                        AND open.occurrence = ?3 AND open.state < 5)
)sql";
constexpr std::string_view kHold = R"sql(
  UPDATE issuance SET state = 4, last_event = ?1, next_at_ms = NULL
   WHERE campaign = ?2 AND recipient_key = ?3 AND occurrence = ?4 AND item = ?5 AND state = ?6
)sql";

constexpr std::string_view kOneRow = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event,
         job
    FROM issuance
   WHERE campaign = (SELECT number FROM campaign WHERE id = ?1)
     AND recipient_key = ?2 AND occurrence = ?3 AND item = ?4
)sql";
// What was proven not to have been executed begins anew, without doubt.
constexpr std::string_view kResolve = R"sql(
  UPDATE issuance SET last_event = ?1, state = ?2, next_at_ms = ?3, asked = 0, missing_ms = NULL,
                      known = 0, doubt_ms = CASE WHEN ?2 = 5 THEN doubt_ms END
   WHERE campaign = ?4 AND recipient_key = ?5 AND occurrence = ?6 AND item = ?7 AND state = ?8
)sql";

// By the index issuance_due.
constexpr std::string_view kOpenRows = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = :job AND next_at_ms IS NOT NULL AND state IN (0, 2)
   LIMIT :rows_max
)sql";
// By the index issuance_unissued.
constexpr std::string_view kUnissued = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = :job AND state = :state AND (state = 4 OR state > 5)
   LIMIT :rows_max
)sql";
constexpr std::string_view kEndRow = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2, next_at_ms = NULL
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6
)sql";
constexpr std::string_view kRerunRow = R"sql(
  UPDATE issuance SET state = ?9, round = ?1, job = ?2, last_event = ?3, next_at_ms = ?4,
                      intent_ms = ?4, asked = 0, missing_ms = NULL, known = 0,
                      attempts = 0, strikes = 0, doubt_ms = ?10
   WHERE campaign = ?5 AND recipient_key = ?6 AND occurrence = ?7 AND item = ?8
)sql";

// Recovery.  Resent rows are found by the index issuance_due, fresh ones by their range: a range
// whose fresh rows have all been settled once is not looked at.
constexpr std::string_view kResentSending = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = :job AND next_at_ms = 253402300799000 AND state = 1
   LIMIT 1000
)sql";
constexpr std::string_view kOpenRanges =
    "SELECT range FROM job_range WHERE job = :job AND fresh > 0 ORDER BY range";
constexpr std::string_view kFreshSending = R"sql(
  SELECT issuance.campaign, recipient_key, occurrence, item, issuance.state, round,
         issuance.range, amount_minor, last_event
    FROM job
    JOIN job_range ON job_range.job = job.number AND job_range.range = :range
    JOIN issuance ON issuance.campaign = job.campaign
                 AND recipient_key BETWEEN planned_from AND planned_to
   WHERE job.number = :job AND issuance.job = :job AND issuance.state = 1
     AND next_at_ms IS NULL
   LIMIT 1000
)sql";
constexpr std::string_view kRecoverRow = R"sql(
  UPDATE issuance SET state = 3, last_event = ?1, doubt_ms = ifnull(doubt_ms, intent_ms),
                      next_at_ms = ?2, intent_ms = ?2
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6 AND state = 1
)sql";

// What a ledger that is an older copy held for certain, it holds for certain no more.
constexpr std::string_view kDoubtOpenRows = R"sql(
  UPDATE issuance SET state = 3, doubt_ms = ifnull(doubt_ms, :since_ms), next_at_ms = :now_ms,
                      intent_ms = :now_ms
   WHERE job = :job AND next_at_ms IS NOT NULL AND state IN (0, 2)
)sql";
constexpr std::string_view kDoubtInRanges = R"sql(
  UPDATE job_range SET in_doubt = in_doubt + planned + waiting, planned = 0, waiting = 0
   WHERE job = :job
)sql";
constexpr std::string_view kAskAgain = R"sql(
  UPDATE issuance SET next_at_ms = :now_ms
   WHERE job = :job AND next_at_ms = 253402300799000 AND state = 3
)sql";

// What the rarer changes need of a row.
struct Row {
  std::int64_t campaign = 0;
  IssuanceKey key;
  IssuanceState state = IssuanceState::planned;
  std::uint8_t round = 0;
  std::int32_t range = 0;
  std::optional<std::int64_t> amount_minor;
  bool fresh = false;
  std::optional<std::int64_t> last_event;
};

Row read_row(const store::Statement& select) {
  Row row;
  row.campaign = select.integer(0);
  row.key.recipient = select.digest(1);
  row.key.occurrence = static_cast<std::uint64_t>(select.integer(2));
  row.key.item = static_cast<std::uint8_t>(select.integer(3));
  row.state = static_cast<IssuanceState>(select.integer(4));
  row.round = static_cast<std::uint8_t>(select.integer(5));
  row.range = static_cast<std::int32_t>(select.integer(6));
  row.amount_minor = select.integer_or_null(7);
  row.last_event = select.integer_or_null(8);
  return row;
}

Result<std::vector<Row>> read_rows(store::Statement& select) {
  std::vector<Row> rows;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return rows;
    rows.push_back(read_row(select));
  }
}

RowEvent event_of(const Row& row, EventKind kind, std::int64_t job, IssuanceState to) {
  return {.kind = kind,
          .job_number = job,
          .campaign_number = row.campaign,
          .key = row.key,
          .round = row.round,
          .from = row.state,
          .to = to,
          .detail = {},
          .previous = row.last_event};
}

void bind_key(store::Statement& statement, int index, std::int64_t campaign,
              const IssuanceKey& key) {
  statement.bind(index, campaign);
  statement.bind(index + 1, store::as_blob(key.recipient));
  statement.bind(index + 2, static_cast<std::int64_t>(key.occurrence));
  statement.bind(index + 3, std::int64_t{key.item});
}

void bind_or_null(store::Statement& statement, int index,
                  const std::optional<std::int64_t>& number) {
  if (number) {
    statement.bind(index, *number);
  } else {
    statement.bind(index, nullptr);
  }
}

void bind_time(store::Statement& statement, int index, const std::optional<WallTime>& time) {
  bind_or_null(statement, index, time ? std::optional{to_ms(*time)} : std::nullopt);
}

}  // namespace

Result<bool> IssuanceLedger::page_is_new(const PlanPage& page) {
  store::Statement& any = database_.prepared(kAnyInPage);
  any.bind(1, page.campaign_number);
  any.bind(2, store::as_blob(page.intents.front().key.recipient));
  any.bind(3, store::as_blob(page.intents.back().key.recipient));
  VOUCH_TRY(const bool found, any.step());
  any.reset();
  return !found;
}

Result<bool> IssuanceLedger::recipient_is_new(const Intent& intent) {
  store::Statement& any = database_.prepared(kAnyOfRecipient);
  any.bind(1, intent.campaign_number);
  any.bind(2, store::as_blob(intent.key.recipient));
  any.bind(3, static_cast<std::int64_t>(intent.key.occurrence));
  VOUCH_TRY(const bool found, any.step());
  any.reset();
  return !found;
}

Result<void> IssuanceLedger::insert(const Intent& intent, IssuanceState state, WallTime now) {
  store::Statement& row = database_.prepared(kInsert);
  bind_key(row, 1, intent.campaign_number, intent.key);
  row.bind(5, static_cast<std::int64_t>(state)).bind(6, std::int64_t{intent.round});
  row.bind(7, intent.job_number).bind(8, std::int64_t{intent.range});
  row.bind(9, std::int64_t{intent.campaign_version});
  row.bind(10, std::int64_t{intent.downstream_version});
  bind_or_null(row, 11, intent.amount_minor);
  row.bind(12, store::as_blob(intent.call_digest)).bind(13, to_ms(now));
  std::optional<std::int64_t> next_at;
  if (intent.single) next_at = kInFlightMs;
  if (state == IssuanceState::in_doubt) next_at = to_ms(now);
  bind_or_null(row, 14, next_at);
  bind_time(row, 15, intent.doubt_since);
  VOUCH_CHECK(row.run());
  jobs_.move(intent.job_number, intent.range, std::nullopt, state, intent.amount_minor);
  return {};
}

Result<void> IssuanceLedger::plan(PlanPage& page, WallTime now) {
  std::int64_t repeats = 0;
  bool all_new = true;
  if (!page.intents.empty()) {
    VOUCH_TRY(all_new, page_is_new(page));
  }
  std::vector<Intent> kept;
  if (!all_new) kept.reserve(page.intents.size());
  for (std::size_t i = 0; i < page.intents.size();) {
    // The items of one recipient stand together; they are new, or repeats, together.
    std::size_t end = i + 1;
    while (end < page.intents.size() &&
           page.intents[end].key.recipient == page.intents[i].key.recipient &&
           page.intents[end].key.occurrence == page.intents[i].key.occurrence) {
      ++end;
    }
    bool is_new = true;
    if (!all_new) {
      VOUCH_TRY(is_new, recipient_is_new(page.intents[i]));
    }
    if (!is_new) {
      repeats += static_cast<std::int64_t>(end - i);
      i = end;
      continue;
    }
    for (; i < end; ++i) {
      page.intents[i].intent_at = now;
      page.intents[i].doubt_since = page.doubt_since;
      VOUCH_CHECK(insert(page.intents[i], page.state, now));
      if (!all_new) kept.push_back(std::move(page.intents[i]));
    }
  }
  if (!all_new) page.intents = std::move(kept);
  jobs_.add_planned(page.job_number, page.range,
                    {.rows = page.rows,
                     .repeats = repeats,
                     .planned_from = page.planned_from,
                     .planned_to = page.planned_to,
                     .range_done = page.range_done});
  if (page.state == IssuanceState::sending) {
    jobs_.add_fresh(page.job_number, page.range, static_cast<std::int64_t>(page.intents.size()));
  }
  return {};
}

Result<bool> IssuanceLedger::plan_single(std::vector<Intent>& intents, std::string_view input,
                                         std::optional<WallTime> doubt_since, WallTime now) {
  VOUCH_ASSERT(!intents.empty());
  VOUCH_TRY(const bool is_new, recipient_is_new(intents.front()));
  if (!is_new) return false;
  const Intent& first = intents.front();
  VOUCH_CHECK(database_.prepared(kInsertInput)
                  .bind(":campaign", first.campaign_number)
                  .bind(":recipient_key", store::as_blob(first.key.recipient))
                  .bind(":occurrence", static_cast<std::int64_t>(first.key.occurrence))
                  .bind(":input", input)
                  .run());
  for (Intent& intent : intents) {
    VOUCH_ASSERT(intent.single);
    intent.intent_at = now;
    intent.doubt_since = doubt_since;
    VOUCH_CHECK(
        insert(intent, doubt_since ? IssuanceState::in_doubt : IssuanceState::sending, now));
    intent.fresh = false;  // recovery finds it by its date, not by its range
  }
  jobs_.add_planned(first.job_number, first.range, {.rows = 1});
  return true;
}

Result<bool> IssuanceLedger::send_again(Intent& intent, WallTime now) {
  VOUCH_ASSERT(next_state(intent.from, IssuanceEvent::send) == IssuanceState::sending);
  // Only who honours keys may be called again about a call that may have been executed.
  VOUCH_ASSERT(intent.from != IssuanceState::in_doubt ||
               intent.definition->contract == plan::Contract::key);
  store::Statement& update = database_.prepared(kSendAgain);
  update.bind(1, to_ms(now)).bind(2, kInFlightMs).bind(3, store::as_blob(intent.call_digest));
  update.bind(4, std::int64_t{intent.downstream_version});
  update.bind(5, std::int64_t{intent.campaign_version});
  bind_key(update, 6, intent.campaign_number, intent.key);
  update.bind(10, static_cast<std::int64_t>(intent.from));
  VOUCH_CHECK(update.run());
  if (database_.changes() == 0) return false;
  intent.intent_at = now;
  jobs_.move(intent.job_number, intent.range, intent.from, IssuanceState::sending,
             intent.amount_minor);
  return true;
}

Result<bool> IssuanceLedger::ask(const Intent& intent) {
  store::Statement& update = database_.prepared(kAsk).bind(1, kInFlightMs);
  bind_key(update, 2, intent.campaign_number, intent.key);
  bind_or_null(update, 6, intent.last_event);
  VOUCH_CHECK(update.run());
  return database_.changes() > 0;
}

Result<void> IssuanceLedger::settle_asked(const AttemptEnd& end) {
  const Intent& intent = end.intent;
  auto to = next_state(IssuanceState::in_doubt, end.step);
  VOUCH_ASSERT(to.has_value());
  std::optional<std::int64_t> seq = intent.last_event;
  if (end.kind != EventKind::unstarted) {
    VOUCH_TRY(seq, events_.append(end, *to));
  }
  store::Statement& update = database_.prepared(kSettleAsked);
  update.bind(1, static_cast<std::int64_t>(*to));
  bind_or_null(update, 2, seq);
  bind_time(update, 3, end.doubt_since);
  bind_time(update, 4, end.next_at);
  update.bind(5, std::int64_t{end.asked});
  bind_time(update, 6, end.missing_since);
  bind_key(update, 7, intent.campaign_number, intent.key);
  bind_or_null(update, 11, intent.last_event);
  update.bind(12, std::int64_t{end.known ? 1 : 0});
  VOUCH_CHECK(update.run());
  if (database_.changes() == 0 || *to == IssuanceState::in_doubt) return {};
  if (end.gives_up) {
    VOUCH_CHECK(give_up(end, *seq));
    to = IssuanceState::failed;
  }
  jobs_.move(intent.job_number, intent.range, IssuanceState::in_doubt, *to, intent.amount_minor);
  return intent.single && is_final(*to) ? drop_input(intent) : Result<void>{};
}

Result<void> IssuanceLedger::give_up(const AttemptEnd& end, std::int64_t previous) {
  const Intent& intent = end.intent;
  RowEvent event{.kind = EventKind::gave_up,
                 .job_number = intent.job_number,
                 .campaign_number = intent.campaign_number,
                 .key = intent.key,
                 .round = intent.round,
                 .from = IssuanceState::waiting,
                 .to = IssuanceState::failed,
                 .detail = "its calls were answered to no use, and none of them was executed",
                 .previous = previous};
  VOUCH_TRY(const std::int64_t seq, events_.append(event, end.at));
  store::Statement& update = database_.prepared(kEndRow);
  update.bind(1, static_cast<std::int64_t>(IssuanceState::failed)).bind(2, seq);
  bind_key(update, 3, intent.campaign_number, intent.key);
  return update.run();
}

Result<void> IssuanceLedger::drop_input(const Intent& intent) {
  store::Statement& drop = database_.prepared(kDropInput);
  drop.bind(1, intent.campaign_number).bind(2, store::as_blob(intent.key.recipient));
  drop.bind(3, static_cast<std::int64_t>(intent.key.occurrence));
  return drop.run();
}

Result<void> IssuanceLedger::settle(const AttemptEnd& end) {
  const Intent& intent = end.intent;
  if (intent.asks) return settle_asked(end);
  const auto to = next_state(IssuanceState::sending, end.step);
  VOUCH_ASSERT(to.has_value());
  VOUCH_TRY(const std::int64_t seq, events_.append(end, *to));
  const bool plain = intent.fresh && is_final(*to);
  store::Statement& update = database_.prepared(plain ? kSettleFresh : kSettle);
  update.bind(1, static_cast<std::int64_t>(*to)).bind(2, seq);
  if (!plain) {
    update.bind(3, std::int64_t{end.attempts}).bind(4, std::int64_t{end.strikes});
    bind_time(update, 5, end.doubt_since);
    bind_time(update, 6, end.next_at);
    // It may have been ready for long; what settles, settles from the call on.
    const WallTime called_at = *to == IssuanceState::in_doubt ? end.started_at : intent.intent_at;
    update.bind(11, to_ms(std::max(called_at, intent.intent_at)));
  }
  bind_key(update, plain ? 3 : 7, intent.campaign_number, intent.key);
  VOUCH_CHECK(update.run());
  if (database_.changes() == 0) return {};  // late evidence: the event stands
  jobs_.move(intent.job_number, intent.range, IssuanceState::sending, *to, intent.amount_minor);
  if (intent.fresh) jobs_.add_fresh(intent.job_number, intent.range, -1);
  return intent.single && is_final(*to) ? drop_input(intent) : Result<void>{};
}

Result<void> IssuanceLedger::hold(const Intent& intent, std::string_view reason, WallTime now) {
  VOUCH_ASSERT(next_state(intent.from, IssuanceEvent::hold) == IssuanceState::held);
  VOUCH_TRY(const std::int64_t seq, events_.append({.kind = EventKind::held,
                                                    .job_number = intent.job_number,
                                                    .campaign_number = intent.campaign_number,
                                                    .key = intent.key,
                                                    .round = intent.round,
                                                    .from = intent.from,
                                                    .to = IssuanceState::held,
                                                    .detail = reason,
                                                    .previous = intent.last_event},
                                                   now));
  store::Statement& update = database_.prepared(kHold);
  update.bind(1, seq);
  bind_key(update, 2, intent.campaign_number, intent.key);
  update.bind(6, static_cast<std::int64_t>(intent.from));
  VOUCH_CHECK(update.run());
  if (database_.changes() > 0) {
    jobs_.move(intent.job_number, intent.range, intent.from, IssuanceState::held,
               intent.amount_minor);
  }
  return {};
}

Result<bool> IssuanceLedger::settle_by_statement(const Statement& says, WallTime now) {
  store::Statement& select = database_.prepared(kOneRow);
  bind_key(select, 1, static_cast<std::int64_t>(says.key.campaign), says.key);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return false;
  const std::int64_t job_number = select.integer(9);
  const Row row = read_row(select);
  select.reset();
  const JobRecord* job = jobs_.find(job_number);
  const bool goes_on = job != nullptr && job->state != JobState::unsettled;
  const IssuanceEvent on = says.was_executed ? IssuanceEvent::resolve_issued
                           : goes_on         ? IssuanceEvent::resolve_waiting
                                             : IssuanceEvent::resolve_failed;
  const auto to = next_state(row.state, on);
  const bool same_amount = !says.amount_minor || *says.amount_minor == row.amount_minor.value_or(0);
  if (!to || row.round != says.round || (says.was_executed && !same_amount)) return false;
  RowEvent event = event_of(row, EventKind::statement, job_number, *to);
  event.detail = says.words;
  event.reference = says.reference;
  VOUCH_TRY(const std::int64_t seq, events_.append(event, now));
  store::Statement& update = database_.prepared(kResolve);
  update.bind(1, seq).bind(2, static_cast<std::int64_t>(*to));
  bind_time(update, 3, *to == IssuanceState::waiting ? std::optional{now} : std::nullopt);
  bind_key(update, 4, row.campaign, row.key);
  update.bind(8, static_cast<std::int64_t>(row.state));
  VOUCH_CHECK(update.run());
  jobs_.move(job_number, row.range, row.state, *to, row.amount_minor);
  if (!is_final(*to)) return true;
  Intent ended;
  ended.campaign_number = row.campaign;
  ended.key = row.key;
  VOUCH_CHECK(drop_input(ended));
  return true;
}

Result<int> IssuanceLedger::end_open_rows(std::int64_t job, IssuanceState to, int rows_max,
                                          WallTime now) {
  VOUCH_ASSERT(to == IssuanceState::cancelled || to == IssuanceState::expired);
  const EventKind kind = to == IssuanceState::cancelled ? EventKind::cancelled : EventKind::expired;
  store::Statement& select = database_.prepared(kOpenRows);
  select.bind(":job", job).bind(":rows_max", std::int64_t{rows_max});
  VOUCH_TRY(const std::vector<Row> rows, read_rows(select));
  for (const Row& row : rows) {
    VOUCH_TRY(const std::int64_t seq, events_.append(event_of(row, kind, job, to), now));
    store::Statement& update = database_.prepared(kEndRow);
    update.bind(1, static_cast<std::int64_t>(to)).bind(2, seq);
    bind_key(update, 3, row.campaign, row.key);
    VOUCH_CHECK(update.run());
    jobs_.move(job, row.range, row.state, to, row.amount_minor);
  }
  return static_cast<int>(rows.size());
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

Result<int> IssuanceLedger::rerun(std::int64_t to_job, std::int64_t from_job, IssuanceState state,
                                  int rows_max, std::optional<WallTime> doubt_since, WallTime now) {
  VOUCH_ASSERT(is_final(state) && state != IssuanceState::issued);
  store::Statement& select = database_.prepared(kUnissued);
  select.bind(":job", from_job).bind(":state", static_cast<std::int64_t>(state));
  select.bind(":rows_max", std::int64_t{rows_max});
  VOUCH_TRY(const std::vector<Row> rows, read_rows(select));
  for (const Row& row : rows) {
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
    VOUCH_CHECK(update.run());
    jobs_.move_away(from_job, row.range, state);
    jobs_.move(to_job, row.range, std::nullopt, to, row.amount_minor);
    jobs_.add_planned(to_job, row.range, {.rows = 1});
  }
  return static_cast<int>(rows.size());
}

Result<int> IssuanceLedger::recover(std::int64_t job, WallTime now) {
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
    VOUCH_TRY(const int fresh, recover_rows(job, range, now));
    count += fresh;
  }
  VOUCH_TRY(const int resent, recover_rows(job, std::nullopt, now));
  VOUCH_CHECK(database_.prepared(kAskAgain).bind(":now_ms", now).bind(":job", job).run());
  return count + resent;
}

Result<int> IssuanceLedger::recover_rows(std::int64_t job, std::optional<std::int64_t> range,
                                         WallTime now) {
  int count = 0;
  while (true) {
    store::Statement& select = database_.prepared(range ? kFreshSending : kResentSending);
    select.bind(":job", job);
    if (range) select.bind(":range", *range);
    VOUCH_TRY(const std::vector<Row> rows, read_rows(select));
    for (const Row& row : rows) {
      VOUCH_TRY(
          const std::int64_t seq,
          events_.append(event_of(row, EventKind::recovered, job, IssuanceState::in_doubt), now));
      store::Statement& update = database_.prepared(kRecoverRow);
      update.bind(1, seq).bind(2, to_ms(now));
      bind_key(update, 3, row.campaign, row.key);
      VOUCH_CHECK(update.run());
      jobs_.move(job, row.range, IssuanceState::sending, IssuanceState::in_doubt, row.amount_minor);
      if (range) jobs_.add_fresh(job, row.range, -1);
    }
    count += static_cast<int>(rows.size());
    if (rows.empty()) return count;
  }
}

}  // namespace vouch::data
