// Goal: whoever reads an explanation knows where an issuance is, what was tried, what comes next
// under its downstream's contract, and what to type.  Method: every state with every contract, and
// what keeps a job, against the words that must be there.
#include <doctest/doctest.h>

#include "cli/issuance_words.hpp"

using namespace vouch;
using namespace vouch::cli;
using plan::Contract;
using S = IssuanceState;

namespace {

const WallTime kNow = from_ms(1'900'000'000'000);

store::IssuanceRow row_in(S state) {
  store::IssuanceRow row;
  row.state = state;
  row.intent = kNow - Millis{60'000};
  row.doubt = row.intent;
  row.next_at = kNow + Millis{30'000};
  row.last_event = 7;
  return row;
}

IssuanceFacts facts_with(Contract contract, bool can_be_asked) {
  IssuanceFacts facts;
  facts.item = "coupon";
  facts.campaign = "birthday";
  facts.downstream = "coupons";
  facts.job = "job_1";
  facts.job_state = "running";
  facts.contract = contract;
  facts.can_be_asked = can_be_asked;
  facts.key_lifetime = Millis{86'400'000};
  facts.settled_after = Millis{70'000};
  return facts;
}

store::EventRow call(EventKind kind, Outcome outcome, std::optional<int> status, int sends) {
  store::EventRow event;
  event.at = kNow - Millis{50'000};
  event.kind = kind;
  event.outcome = static_cast<int>(outcome);
  event.http_status = status;
  event.sends = sends;
  return event;
}

void check_holds(const std::string& text, std::string_view part) {
  CAPTURE(text);
  CAPTURE(part);
  CHECK(text.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("explain words: every state under every contract says what comes next, and what to do") {
  struct Case {
    S state;
    Contract contract;
    bool can_be_asked;
    const char* next;
    const char* advice;
  };
  constexpr auto key = Contract::key;
  constexpr auto query = Contract::query;
  constexpr auto none = Contract::none;
  const char* resolve = "vouchctl issuance resolve ";
  const char* rerun = "vouchctl job rerun job_1 --state ";
  const Case cases[] = {
      {S::planned, key, false, "its call starts at ", ""},
      {S::planned, query, true, "its call starts at ", ""},
      {S::planned, none, false, "its call starts at ", ""},
      {S::sending, key, false, "it counts as in doubt", ""},
      {S::sending, query, true, "it counts as in doubt", ""},
      {S::sending, none, false, "it counts as in doubt, and is held", ""},
      {S::waiting, key, false, "it is tried again at ", ""},
      {S::waiting, query, true, "it is tried again at ", ""},
      {S::waiting, none, false, "it is tried again at ", ""},
      {S::in_doubt, key, false, "the same call is repeated under the same key at ", resolve},
      {S::in_doubt, key, true, "coupons is asked what became of it at ", resolve},
      {S::in_doubt, query, true, "know nothing of it, it is called again under the same", resolve},
      {S::in_doubt, none, false, "it is held as soon as vouchd looks at it", resolve},
      {S::held, key, true, "nothing, until people decide", resolve},
      {S::held, query, true, "nothing, until people decide", resolve},
      {S::held, none, false, "nothing, until people decide", resolve},
      {S::issued, key, false, "nothing: it is given", "vouchctl reconcile coupons"},
      {S::issued, none, false, "nothing: it is given", "vouchctl reconcile coupons"},
      {S::declined, key, false, "nothing by itself", rerun},
      {S::failed, query, true, "nothing by itself", rerun},
      {S::cancelled, none, false, "nothing by itself", rerun},
      {S::expired, key, false, "nothing by itself", rerun},
      {S::skipped, key, false, "nothing by itself", rerun},
  };
  for (const Case& c : cases) {
    CAPTURE(name_of(c.state));
    CAPTURE(static_cast<int>(c.contract));
    const Explanation words =
        explain(row_in(c.state), {}, facts_with(c.contract, c.can_be_asked), kNow);
    check_holds(words.where, "coupon of birthday is ");
    check_holds(words.next, c.next);
    check_holds(words.advice, c.advice);
    CHECK(words.advice.empty() == (c.advice[0] == '\0'));
  }
}

TEST_CASE("explain words: people are told each way to decide, with the whole id") {
  const store::IssuanceRow row = row_in(S::held);
  const std::string advice = explain(row, {}, facts_with(Contract::none, false), kNow).advice;
  check_holds(advice, format_request_id(row.key, row.round));
  for (const char* part : {"--as issued --reference REF", "--as waiting", "--as failed",
                           "vouchctl reconcile coupons --statement FILE --resolve"}) {
    check_holds(advice, part);
  }
}

TEST_CASE("explain words: what keeps a job comes before what its contract would do") {
  struct Case {
    const char* job_state;
    const char* obstacle;
    std::vector<std::string> blocks;
    S state;
    Contract contract;
    bool can_be_asked;
    const char* next;
  };
  const Case cases[] = {
      {"paused",
       "an operator paused it",
       {},
       S::waiting,
       Contract::key,
       false,
       "it waits: the job job_1 is paused: an operator paused it"},
      {"paused", "an operator paused it", {}, S::in_doubt, Contract::key, false, "it waits: "},
      {"paused",
       "an operator paused it",
       {},
       S::in_doubt,
       Contract::key,
       true,
       "it is asked about and not repeated: "},
      {"paused",
       "an operator paused it",
       {},
       S::in_doubt,
       Contract::query,
       true,
       "coupons is asked what became of it"},
      {"running",
       "",
       {"the client shop is paused: stocktaking"},
       S::in_doubt,
       Contract::query,
       true,
       "it waits: the client shop is paused: stocktaking"},
      {"scheduled", "", {}, S::planned, Contract::key, false, "has not started yet"},
      {"cancelling", "", {}, S::waiting, Contract::key, false, "it is cancelled with its job"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.next);
    IssuanceFacts facts = facts_with(c.contract, c.can_be_asked);
    facts.job_state = c.job_state;
    facts.job_obstacle = c.obstacle;
    facts.job_advice = "vouchctl job resume job_1";
    facts.blocks = c.blocks;
    check_holds(explain(row_in(c.state), {}, facts, kNow).next, c.next);
  }
  IssuanceFacts cancelled = facts_with(Contract::key, false);
  cancelled.job_state = "unsettled";
  check_holds(explain(row_in(S::in_doubt), {}, cancelled, kNow).advice,
              "vouchctl job cancel job_1 --settle-by-repeat");
}

TEST_CASE("explain words: a deadline is told before and after it") {
  IssuanceFacts facts = facts_with(Contract::key, false);
  facts.finish_by = kNow + Millis{60'000};
  check_holds(explain(row_in(S::waiting), {}, facts, kNow).next, "if it has not by ");
  facts.finish_by = kNow - Millis{1};
  check_holds(explain(row_in(S::waiting), {}, facts, kNow).next, "it expires: ");
  // Doubt is settled after it too.
  check_holds(explain(row_in(S::in_doubt), {}, facts, kNow).next, "is repeated");
}

TEST_CASE(
    "explain words: what was tried counts calls and queries, and says whether bytes had left") {
  const IssuanceFacts facts = facts_with(Contract::query, true);
  const auto tried = [&](std::vector<store::EventRow> history) {
    return explain(row_in(S::in_doubt), history, facts, kNow).tried;
  };
  CHECK(tried({}) == "no call is on record");
  const auto refused = call(EventKind::attempt, Outcome::not_executed, {}, 0);
  const auto lost = call(EventKind::attempt, Outcome::unknown, {}, 1);
  const auto asked = call(EventKind::asked, Outcome::not_found, 404, 1);
  check_holds(tried({refused}), "one call, at ");
  check_holds(tried({refused}), "not one byte had left, not executed");
  check_holds(tried({lost, refused}), "2 calls, the last at ");
  check_holds(tried({lost, refused}), "bytes had left, may have been executed");
  store::EventRow shared = lost;
  for (const auto& [by, words] : {std::pair{2, "in a call with one other, bytes"},
                                  std::pair{20, "in a call with 19 others, bytes"}}) {
    shared.shared_by = by;
    check_holds(tried({shared}), words);
  }
  check_holds(tried({asked, lost}), "one call and one query, the last at ");
  check_holds(tried({asked, lost}), "HTTP 404, the downstream knows of no such call");
  store::EventRow people;
  people.kind = EventKind::resolved;
  people.detail = "by hand: asked them (prp_1 by jo)";
  people.reference = "c-17";
  const auto words = explain(row_in(S::issued), {people, lost}, facts, kNow);
  check_holds(words.why, "settled by people: by hand: asked them (prp_1 by jo), reference c-17");
  check_holds(words.tried, "one call, at ");
}

TEST_CASE("explain words: of a code that goes out by an export, with the whole command") {
  IssuanceFacts facts = facts_with(Contract::key, true);
  facts.downstream.clear();
  facts.pool = "vip";
  store::EventRow taken;
  taken.kind = EventKind::exported;
  taken.to_state = static_cast<int>(S::in_doubt);
  struct Case {
    S state;
    bool has_code;
    const char* next;
    const char* advice;
  };
  for (const Case& c : {
           Case{S::planned, false, "an export of the pool vip gives it its code",
                "vouchctl pool export vip --job job_1 --to FILE"},
           Case{S::sending, true, "issued when the export has its file on the disk",
                "vouchctl pool export vip --job job_1 --to FILE"},
           Case{S::in_doubt, true, "the next export of its job writes the same code",
                "vouchctl pool export vip --job job_1 --to FILE"},
           Case{S::in_doubt, false, "until people decide", "in the exported files"},
           Case{S::issued, true, "nothing: it is given", "export the code again"},
           Case{S::cancelled, false, "nothing by itself", "vouchctl job rerun job_1"},
       }) {
    CAPTURE(static_cast<int>(c.state));
    store::IssuanceRow row = row_in(c.state);
    row.by_export = true;
    row.next_at.reset();
    const std::vector<store::EventRow> history(c.has_code ? 1 : 0, taken);
    const Explanation words = explain(row, history, facts, kNow);
    check_holds(words.next, c.next);
    check_holds(words.advice, c.advice);
    check_holds(words.tried, "nobody is called about it");
    CHECK(words.next.find("coupons") == std::string::npos);
    CHECK(words.advice.find("reconcile") == std::string::npos);
  }
  facts.blocks = {"the campaign is paused"};
  store::IssuanceRow waits = row_in(S::planned);
  waits.by_export = true;
  check_holds(explain(waits, {}, facts, kNow).next,
              "no export can take it: the campaign is paused");
}
