// The parts of the audit that read a ledger's whole history, codes and evidence; declared in
// audit.hpp.
#include <algorithm>
#include <set>

#include "tests/simulation/audit_rows.hpp"
#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

using store::Statement;

constexpr std::string_view kRowsWithEvidence = R"sql(
  SELECT c.id, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.amount_minor,
         e.kind, e.outcome, e.to_state, e.reference, e.reply_digest, i.ordinal,
         i.downstream_version = 0
    FROM issuance AS i JOIN campaign AS c ON c.number = i.campaign
    LEFT JOIN event AS e ON e.seq = i.last_event
)sql";
constexpr std::string_view kEvents = R"sql(
  SELECT seq, kind, campaign, recipient_key, occurrence, item, from_state, to_state, prev_seq,
         (SELECT id FROM campaign WHERE number = event.campaign)
    FROM event WHERE recipient_key IS NOT NULL ORDER BY seq
)sql";
constexpr std::string_view kGaps = "SELECT max(seq) - count(*) FROM event";
constexpr std::string_view kLastEvents = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, last_event, ordinal IS NOT NULL,
         (SELECT id FROM campaign WHERE number = issuance.campaign), downstream_version = 0
    FROM issuance
)sql";

constexpr std::string_view kCodesFrom = R"sql(
  SELECT ordinal, campaign, recipient_key, occurrence, item FROM code
   WHERE ordinal >= :from ORDER BY ordinal
)sql";
constexpr std::string_view kCodesOut = "SELECT ifnull(max(next_ordinal), 0) FROM pool";
constexpr std::string_view kRowsWithCode = R"sql(
  SELECT ordinal, campaign, recipient_key, occurrence, item FROM issuance
   WHERE ordinal IS NOT NULL
)sql";

std::string code_name(std::int64_t ordinal) {
  return "code " + std::to_string(ordinal);
}

}  // namespace

// --- codes ---------------------------------------------------------------------------------------

std::int64_t Audit::codes_out() {
  return number(kCodesOut);
}

// Those that have gone out since the last look: the next ordinals, each to somebody without one.
std::optional<std::string> Audit::see_new_codes() {
  const std::int64_t out = codes_out();
  if (out < seen_.codes_out) return "the pool's cursor went back to " + std::to_string(out);
  if (out == seen_.codes_out) return std::nullopt;
  std::optional<std::string> wrong;
  Statement& code = database_.prepared(kCodesFrom).bind(":from", seen_.codes_out);
  while (next(code)) {
    const std::int64_t ordinal = code.integer(0);
    const Place owner = place_at(code, 1);
    if (ordinal != seen_.codes_out++) {
      wrong = code_name(ordinal) + " has gone out before those that come first";
    }
    const auto is_his = [&](const auto& one) { return one.second == owner; };
    if (std::ranges::any_of(seen_.code_owners, is_his)) {
      wrong = code_name(ordinal) + " is the second one of its owner";
    }
    seen_.code_owners.emplace(ordinal, owner);
  }
  if (seen_.codes_out != out) {
    wrong =
        "the pool's cursor is at " + std::to_string(out) + ", and not all codes before it are out";
  }
  return wrong;
}

std::optional<std::string> Audit::codes_hold() {
  std::optional<std::string> wrong;
  std::size_t found = 0;
  Statement& code = database_.prepared(kCodesFrom).bind(":from", std::int64_t{0});
  while (next(code)) {
    const auto owner = seen_.code_owners.find(code.integer(0));
    if (owner == seen_.code_owners.end() || owner->second != place_at(code, 1)) {
      wrong = code_name(code.integer(0)) + " has another owner than before";
    }
    ++found;
  }
  if (found != seen_.code_owners.size()) wrong = "a code that was out has no owner any more";
  std::size_t rows = 0;
  Statement& row = database_.prepared(kRowsWithCode);
  while (next(row)) {
    const auto owner = seen_.code_owners.find(row.integer(0));
    if (owner == seen_.code_owners.end() || owner->second != place_at(row, 1)) {
      wrong = code_name(row.integer(0)) + " stands in a row that is not its owner";
    }
    ++rows;
  }
  if (rows != seen_.code_owners.size()) wrong = "not as many rows with a code as codes are out";
  return wrong;
}

std::optional<std::string> Audit::has_code_rightly(ObjectId campaign, std::int64_t item,
                                                   bool has_code, bool was_sending) const {
  const bool wanted = was_sending && store_.is_code(campaign, static_cast<std::size_t>(item));
  if (has_code == wanted) return std::nullopt;
  return std::string{"a row "} + (was_sending ? "that was sending" : "that was never sending") +
         (has_code ? " has a code" : " has no code");
}

// --- evidence and history ------------------------------------------------------------------------

std::optional<std::string> Audit::agrees_with(Journal& journal) {
  std::optional<std::string> wrong;
  Statement& row = database_.prepared(kRowsWithEvidence);
  while (next(row)) {
    const IssuanceKey key{.campaign = static_cast<ObjectId>(row.integer(0)),
                          .recipient = row.digest(1),
                          .occurrence = static_cast<std::uint64_t>(row.integer(2)),
                          .item = static_cast<std::uint8_t>(row.integer(3))};
    const IssuanceState state = state_at(row, 4);
    const auto round = static_cast<std::uint8_t>(row.integer(5));
    const std::string id = format_request_id(key, round);
    const auto ordinal = row.integer_or_null(12);
    if (row.integer(13) != 0) {
      const Exported exported{.state = state,
                              .ordinal = ordinal,
                              .kind = static_cast<EventKind>(row.integer(7)),
                              .to = state_at(row, 9),
                              .reference = std::string{row.text(10)}};
      if (auto why = was_exported_rightly(id, exported, key)) wrong = std::move(why);
      if (!store_.is_by_export(key.campaign, key.item)) wrong = id + " is not to be exported";
      continue;
    }
    int effects = 0;
    std::optional<Execution> last;
    for (int r = 0; r <= round; ++r) {
      const auto found = journal.find(format_request_id(key, static_cast<std::uint8_t>(r)));
      if (found == journal.end()) continue;
      ++effects;
      const bool unknown_code = seen_.is_restored && !ordinal;
      const std::string code = ordinal ? SamplePool::shared().code(*ordinal) : "";
      if (found->second.code != code && !unknown_code) {
        wrong = id + " was executed with another code than the ledger's";
      }
      if (r == round) last = found->second;
      journal.erase(found);
    }
    const bool unknown = state == IssuanceState::sending || state == IssuanceState::in_doubt ||
                         state == IssuanceState::held;
    if (effects > 1) wrong = id + " has had " + std::to_string(effects) + " effects";
    const bool by_others = seen_.has_copy && !is_final(state);
    if (!unknown && state != IssuanceState::issued && effects > 0 && !by_others) {
      wrong = id + " is " + std::string{name_of(state)} + " and was executed";
    }
    if (state != IssuanceState::issued) continue;
    if (!last) {
      wrong = id + " is issued and was not executed";
    } else if ((row.integer(7) != 1 && row.integer(7) != 9) || row.integer(8) != 0 ||
               row.integer(9) != static_cast<std::int64_t>(IssuanceState::issued) ||
               row.is_null(11)) {
      wrong = id + " is issued without evidence";
    } else if (row.text(10) != last->reference || row.integer_or_null(6) != last->amount_minor) {
      wrong = id + " is issued with somebody else's evidence";
    }
  }
  return wrong;
}

std::optional<std::string> Audit::history() {
  if (number(kGaps) != 0) return "the events have gaps";
  struct Last {
    std::int64_t seq = 0;
    IssuanceState state = IssuanceState::planned;
    bool was_sending = false;
  };
  std::map<Place, Last> lasts;
  std::optional<std::string> wrong;
  Statement& event = database_.prepared(kEvents);
  while (next(event)) {
    const std::int64_t seq = event.integer(0);
    const auto kind = static_cast<EventKind>(event.integer(1));
    const IssuanceState from = state_at(event, 6);
    const IssuanceState to = state_at(event, 7);
    const std::string name = "event " + std::to_string(seq);
    const bool listed = std::ranges::any_of(
        kTransitions, [&](const Transition& t) { return t.from == from && t.to == to; });
    const bool rerun = kind == EventKind::rerun && is_final(from) &&
                       from != IssuanceState::issued && to == IssuanceState::planned;
    const bool recovered = kind == EventKind::recovered && from == IssuanceState::sending &&
                           to == IssuanceState::in_doubt;
    if (!listed && !rerun && !recovered) wrong = name + ": no such transition";
    const auto [last, is_first] = lasts.try_emplace(place_at(event, 2));
    if (is_first) {
      if (!event.is_null(8)) wrong = name + " names an event before the first";
    } else {
      if (event.integer(8) != last->second.seq) wrong = name + " does not follow the one before";
      const bool sent = from == IssuanceState::sending &&
                        next_state(last->second.state, IssuanceEvent::send) == from;
      const bool doubted = seen_.is_restored && !is_final(last->second.state) &&
                           (from == IssuanceState::in_doubt || from == IssuanceState::sending);
      if (from != last->second.state && !sent && !doubted)
        wrong = name + " starts in another state";
      const auto contract = store_.contract_of(static_cast<ObjectId>(event.integer(9)),
                                               static_cast<std::size_t>(event.integer(5)));
      const bool twice = from == IssuanceState::sending && contract != plan::Contract::key &&
                         last->second.state == IssuanceState::in_doubt;
      if (twice) wrong = name + " ends a second call of what may have been executed";
      if (is_final(last->second.state) && !rerun) wrong = name + " changes a final state";
    }
    const bool was_sending = last->second.was_sending || from == IssuanceState::sending;
    last->second = {seq, to, was_sending};
  }
  Statement& row = database_.prepared(kLastEvents);
  while (next(row)) {
    const auto last = lasts.find(place_at(row, 0));
    const IssuanceState state = state_at(row, 4);
    if (last == lasts.end()) {
      const bool waits = state == IssuanceState::planned && row.integer(8) != 0;  // for an export
      const bool silent = waits || state == IssuanceState::sending ||
                          state == IssuanceState::expired ||
                          (seen_.is_restored && state == IssuanceState::in_doubt);
      if (!silent || !row.is_null(5))
        wrong = "a row without events is " + std::string{name_of(state)};
    } else if (row.integer(5) != last->second.seq ||
               (state != last->second.state && state != IssuanceState::sending &&
                !(seen_.is_restored && state == IssuanceState::in_doubt))) {
      wrong = "a row does not stand where its last event, " + std::to_string(last->second.seq) +
              ", has left it";
    }
    const bool was_sending =
        state == IssuanceState::sending || (last != lasts.end() && last->second.was_sending);
    if (auto why = has_code_rightly(static_cast<ObjectId>(row.integer(7)), row.integer(3),
                                    row.integer(6) != 0, was_sending)) {
      wrong = std::move(why);
    }
  }
  return wrong;
}

}  // namespace vouch::test
