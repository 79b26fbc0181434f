#include "daemon/data/issuance_ledger.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "common/export_mark.hpp"
#include "daemon/data/issuance_rows.hpp"

namespace vouch::data {
namespace {

// Hot statements are bound by position.  All but two find their row by the primary key.

constexpr std::string_view kInsert = R"sql(
  INSERT INTO issuance (campaign, recipient_key, occurrence, item, state, round, job, range,
                        campaign_version, downstream_version, amount_minor, call_digest,
                        intent_ms, next_at_ms, doubt_ms, ordinal)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
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

constexpr std::string_view kStateWithoutCode = R"sql(
  SELECT state FROM issuance
   WHERE campaign = ?1 AND recipient_key = ?2 AND occurrence = ?3 AND item = ?4
     AND ordinal IS NULL
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
                      downstream_version = ?4, campaign_version = ?5,
                      ordinal = ifnull(ordinal, ?11)
   WHERE campaign = ?6 AND recipient_key = ?7 AND occurrence = ?8 AND item = ?9 AND state = ?10
)sql";

// Born as sending and issued at the first attempt: touches no index.
constexpr std::string_view kSettleFresh = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6 AND state = 1
)sql";
constexpr std::string_view kSettle = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2, attempts = ?3, strikes = ?4, doubt_ms = ?5,
                      next_at_ms = ?6, intent_ms = ?11, faults = 0
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
constexpr std::string_view kLastEnd = R"sql(
  SELECT issuance.state, event.at_ms FROM issuance LEFT JOIN event ON event.seq = last_event
   WHERE issuance.campaign = ?1 AND issuance.recipient_key = ?2 AND issuance.occurrence = ?3
     AND issuance.item = ?4
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
  // Nobody is called about it: it waits until people export its code.
  if (intent.by_export && state == IssuanceState::sending) state = IssuanceState::planned;
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
  if (intent.by_export) next_at = export_mark_of(state, intent.key.item);
  bind_or_null(row, 14, next_at);
  bind_time(row, 15, intent.doubt_since);
  bind_or_null(row, 16, intent.ordinal);
  VOUCH_CHECK(row.run());
  jobs_.move(intent.job_number, intent.range, std::nullopt, state, intent.amount_minor);
  return {};
}

// All or none: a code that is taken for an issuance which is not born would be lost.
Result<std::string> IssuanceLedger::give_codes(std::span<Intent> intents) {
  std::map<ObjectId, std::int64_t> next;
  std::vector<const Intent*> filled;
  for (Intent& intent : intents) {
    if (intent.pool == nullptr || intent.ordinal) continue;
    const auto [at, is_first] = next.try_emplace(intent.pool->id, 0);
    if (is_first) {
      VOUCH_TRY(at->second, pools_.next(intent.pool->id));
    }
    if (at->second >= intent.pool->codes()) {
      return "the pool " + intent.pool->name + " has no code left";
    }
    if (const auto read = shelf_.fill(intent, at->second++); !read) return read.error().message;
    filled.push_back(&intent);
  }
  for (const Intent* intent : filled) VOUCH_CHECK(pools_.take(*intent));
  return std::string{};
}

// The items of one recipient stand together; they are new, or repeats, together.
std::size_t IssuanceLedger::end_of_recipient(const PlanPage& page, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < page.intents.size() &&
         page.intents[end].key.recipient == page.intents[begin].key.recipient &&
         page.intents[end].key.occurrence == page.intents[begin].key.occurrence) {
    ++end;
  }
  return end;
}

// Takes the recipients from `begin` on out of the page: they are planned another time.
void IssuanceLedger::cut_page(PlanPage& page, std::size_t begin, std::string why) {
  const std::size_t items = page.intents.size() / page.cursors.size();
  page.rows = static_cast<int>(begin / items);
  page.planned_to = page.rows == 0 ? "" : page.cursors[static_cast<std::size_t>(page.rows) - 1];
  if (page.rows == 0) page.planned_from.reset();
  page.range_done = false;
  page.intents.resize(begin);
  page.cut = std::move(why);
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
    const std::size_t end = end_of_recipient(page, i);
    bool is_new = true;
    if (!all_new) {
      VOUCH_TRY(is_new, recipient_is_new(page.intents[i]));
    }
    if (!is_new) {
      repeats += static_cast<std::int64_t>(end - i);
      i = end;
      continue;
    }
    if (page.state == IssuanceState::sending && !page.cursors.empty()) {
      VOUCH_TRY(std::string why, give_codes(std::span{page.intents}.subspan(i, end - i)));
      if (!why.empty()) {
        cut_page(page, i, std::move(why));
        break;
      }
    }
    for (; i < end; ++i) {
      page.intents[i].intent_at = now;
      page.intents[i].doubt_since = page.doubt_since;
      VOUCH_CHECK(insert(page.intents[i], page.state, now));
      if (!all_new) kept.push_back(std::move(page.intents[i]));
    }
  }
  if (!all_new) page.intents = std::move(kept);
  std::erase_if(page.intents, [](const Intent& intent) { return intent.by_export; });
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

Result<bool> IssuanceLedger::is_in(const Intent& intent, IssuanceState state) {
  store::Statement& select = database_.prepared(kStateWithoutCode);
  bind_key(select, 1, intent.campaign_number, intent.key);
  VOUCH_TRY(const bool found, select.step());
  const bool is = found && select.integer(0) == static_cast<std::int64_t>(state);
  select.reset();
  return is;
}

Result<bool> IssuanceLedger::is_planned(const Intent& intent) {
  VOUCH_TRY(const bool is_new, recipient_is_new(intent));
  return !is_new;
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
  bind_or_null(update, 11, intent.ordinal);
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
  return end_row(database_, IssuanceState::failed, seq, intent.campaign_number, intent.key);
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

Result<bool> IssuanceLedger::settle_late(const AttemptEnd& end) {
  store::Statement& last = database_.prepared(kLastEnd);
  bind_key(last, 1, end.intent.campaign_number, end.intent.key);
  VOUCH_TRY(const bool found, last.step());
  const auto from = end.intent.asks ? IssuanceState::in_doubt : IssuanceState::sending;
  const bool waits_for_it =
      found && last.integer(0) == static_cast<std::int64_t>(from) &&
      (!end.intent.asks || last.integer_or_null(1).value_or(0) < to_ms(end.at));
  const bool is_recorded = found && last.integer_or_null(1) == to_ms(end.at);
  last.reset();
  if (!found || (is_recorded && !waits_for_it)) return false;
  VOUCH_CHECK(settle(end));
  return true;
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

}  // namespace vouch::data
