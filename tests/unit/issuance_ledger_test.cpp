#include "daemon/data/issuance_ledger.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/unit/ledger_world.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using data::Intent;
using data::PlanPage;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr std::string_view kEvents = "SELECT count(*) FROM event";
constexpr std::string_view kRows = "SELECT count(*) FROM issuance";
constexpr std::string_view kInputs = "SELECT count(*) FROM issuance_input";
constexpr std::string_view kFresh = "SELECT sum(fresh) FROM job_range WHERE job = 1";
constexpr std::string_view kRepeats = "SELECT sum(repeats) FROM job_range";
constexpr std::string_view kRowsPlanned = "SELECT sum(rows_planned) FROM job_range";
constexpr std::string_view kMoved = "SELECT sum(moved) FROM job_range WHERE job = 1";
constexpr std::string_view kIssuedMinor = "SELECT sum(issued_minor) FROM job_range";

using World = LedgerWorld;

constexpr S kAfterACall[] = {S::sending, S::waiting,  S::in_doubt, S::held,
                             S::issued,  S::declined, S::failed,   S::cancelled};

}  // namespace

TEST_CASE("issuance_ledger: rows of a page are born as sending, with their intent's time") {
  World world;
  const auto intents = world.plan(sample_page({1, 2, 3}));
  REQUIRE(intents.size() == 3);
  for (const Intent& intent : intents) {
    CHECK(intent.intent_at == world.now());
    CHECK(world.row_of(intent) == SeenRow{.state = S::sending,
                                          .round = 0,
                                          .job = 1,
                                          .intent_ms = to_ms(world.now()),
                                          .attempts = 0,
                                          .strikes = 0,
                                          .doubt_ms = {},
                                          .next_at_ms = {},
                                          .last_event = {},
                                          .call_digest = intent.call_digest});
  }
  CHECK(world.count(kRowsPlanned) == 3);
  CHECK(world.count(kRepeats) == 0);
  CHECK(world.count(kFresh) == 3);
}

TEST_CASE("issuance_ledger: a page past its deadline is born expired and was never sending") {
  World world;
  PlanPage page = sample_page({1, 2});
  page.state = S::expired;
  const auto intents = world.plan(std::move(page));
  CHECK(world.state_of(intents[0]) == S::expired);
  CHECK(world.count(kFresh) == 0);
}

TEST_CASE("issuance_ledger: who was planned before is a repeat, whatever became of it") {
  for (const S state : kAfterACall) {
    CAPTURE(name_of(state));
    World world;
    const Intent before = world.row_in(2, state);
    const auto was = world.row_of(before);
    const auto kept = world.plan(sample_page({1, 2, 3}, 2));
    REQUIRE(kept.size() == 2);
    CHECK(kept[0].key.recipient == sample_recipient(1));
    CHECK(kept[1].key.recipient == sample_recipient(3));
    CHECK(world.row_of(before) == was);
    CHECK(world.count(kRepeats) == 1);
    CHECK(world.count(kRowsPlanned) == 4);
    CHECK(world.count(kRows) == 3);
  }
}

TEST_CASE("issuance_ledger: the same list again plans nothing at all") {
  World world;
  world.plan(sample_page({1, 2, 3}));
  CHECK(world.plan(sample_page({1, 2, 3}, 2)).empty());
  CHECK(world.count(kRepeats) == 3);
  CHECK(world.count(kRows) == 3);
}

// Goal: a recipient is planned once, also when the campaign would give him something else by now.
// Method: lists that come again after an edit of weights, which draw other items.
TEST_CASE("issuance_ledger: who is drawn another item since an edit is a repeat all the same") {
  World world;
  world.plan(sample_page({1, 2, 3}));
  PlanPage edited = sample_page({1, 2, 4}, 2);
  for (Intent& intent : edited.intents) {
    intent.key.item = 1;
    intent.campaign_version = 2;
  }
  const auto kept = world.plan(std::move(edited));
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].key.recipient == sample_recipient(4));
  CHECK(kept[0].key.item == 1);
  CHECK(world.count(kRepeats) == 2);
  CHECK(world.count(kRows) == 4);
}

TEST_CASE("issuance_ledger: another occurrence is another issuance") {
  World world;
  world.plan(sample_page({1}));
  PlanPage next_year = sample_page({1}, 2);
  next_year.intents[0].key.occurrence = 2031;
  CHECK(world.plan(std::move(next_year)).size() == 1);
  CHECK(world.count(kRows) == 2);
}

TEST_CASE("issuance_ledger: of a recipient's two occurrences in a page, one may be a repeat") {
  World world;
  PlanPage first = sample_page({1});
  first.intents[0].key.occurrence = 7;
  world.plan(std::move(first));
  PlanPage both = sample_page({1, 1}, 2);
  both.intents[0].key.occurrence = 7;
  both.intents[1].key.occurrence = 8;
  const auto kept = world.plan(std::move(both));
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].key.occurrence == 8);
  CHECK(world.count(kRepeats) == 1);
}

TEST_CASE("issuance_ledger: the items of a recipient are new or repeats together") {
  World world;
  world.plan(sample_page({2}));  // when the campaign had one item
  PlanPage page = sample_page({1, 2});
  page.intents.insert(page.intents.begin() + 1, sample_intent(1, 1));
  page.intents.push_back(sample_intent(2, 1));
  for (Intent& intent : page.intents) intent.job_number = 2;
  page.job_number = 2;
  const auto kept = world.plan(std::move(page));
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].key.recipient == sample_recipient(1));
  CHECK(kept[1].key.recipient == sample_recipient(1));
  CHECK(kept[1].key.item == 1);
  CHECK(world.count(kRepeats) == 2);
}

TEST_CASE("issuance_ledger: each end of a call leads where the table says, with one event") {
  struct Case {
    E step;
    S want;
    bool fresh;
  };
  const Case cases[] = {
      {E::confirm, S::issued, true},  {E::decline, S::declined, true},
      {E::defer, S::waiting, true},   {E::unstart, S::waiting, true},
      {E::lose, S::in_doubt, true},   {E::hold, S::held, true},
      {E::confirm, S::issued, false}, {E::decline, S::declined, false},
      {E::defer, S::waiting, false},  {E::unstart, S::waiting, false},
      {E::lose, S::in_doubt, false},  {E::hold, S::held, false},
      {E::give_up, S::failed, false},
  };
  for (const Case& c : cases) {
    CAPTURE(name_of(c.want));
    CAPTURE(c.fresh);
    World world;
    Intent intent = c.fresh ? world.one(1) : world.row_in(1, S::waiting);
    if (!c.fresh) REQUIRE(world.step([&] { return world.ledger.send_again(intent, world.now()); }));
    data::AttemptEnd end = sample_end(intent, c.step, world.now() + 2s);
    const bool goes_on = !is_final(c.want);
    if (goes_on) end.attempts = 3;
    if (goes_on) end.strikes = 2;
    if (c.want == S::held) end.doubt_since = intent.intent_at;
    world.settle(end);

    const auto row = world.row_of(intent);
    REQUIRE(row);
    CHECK(row->state == c.want);
    CHECK(row->attempts == end.attempts);
    CHECK(row->strikes == end.strikes);
    CHECK(row->next_at_ms == (end.next_at ? std::optional{to_ms(*end.next_at)} : std::nullopt));
    CHECK(row->doubt_ms ==
          (end.doubt_since ? std::optional{to_ms(*end.doubt_since)} : std::nullopt));
    const auto events = events_of(world.database, intent);
    REQUIRE(events.size() == (c.fresh ? 1 : 2));
    CHECK(events.back().seq == row->last_event);
    CHECK(events.back().from == S::sending);
    CHECK(events.back().to == c.want);
    CHECK(events.back().previous == intent.last_event);
    CHECK(world.count(kFresh) == 0);
    CHECK(world.count(kIssuedMinor) == (c.want == S::issued ? 500 : 0));
  }
}

TEST_CASE("issuance_ledger: an attempt's event holds all of its evidence") {
  World world;
  data::AttemptEnd end = sample_end(world.one(1), E::confirm, world.now() + 2s);
  end.detail = "words";
  world.settle(end);
  const auto events = events_of(world.database, end.intent);
  REQUIRE(events.size() == 1);
  const SeenEvent& event = events.front();
  CHECK(event.kind == EventKind::attempt);
  CHECK(event.job == 1);
  CHECK(event.outcome == static_cast<std::int64_t>(Outcome::issued));
  CHECK(event.http_status == 200);
  CHECK(event.transport == 0);
  CHECK(event.sends == 1);
  CHECK(event.duration_us == 1'500);
  CHECK(event.at_ms == to_ms(world.now() + 2s));
  CHECK(event.reference == "C-1");
  CHECK(event.detail == "words");
  CHECK(event.reply_digest == sha256_128("reply"));
}

TEST_CASE("issuance_ledger: late evidence is recorded and changes no state and no total") {
  for (const S state : {S::waiting, S::in_doubt, S::held, S::issued, S::declined, S::failed}) {
    for (const E step : {E::confirm, E::lose, E::decline}) {
      CAPTURE(name_of(state));
      CAPTURE(static_cast<int>(step));
      World world;
      Intent intent = world.row_in(1, state);
      intent.fresh = true;  // as the engine, which knows nothing of it, still has it
      const auto before = world.row_of(intent);
      const std::int64_t events = world.count(kEvents);
      const std::int64_t minor = world.count(kIssuedMinor);
      data::AttemptEnd late = sample_end(intent, step, world.now() + 60s);
      late.reference = "C-2";
      world.settle(late);
      CHECK(world.row_of(intent) == before);
      CHECK(world.count(kEvents) == events + 1);
      CHECK(world.count(kIssuedMinor) == minor);
      CHECK(world.count(kFresh) == 0);
      const auto history = events_of(world.database, intent);
      CHECK(history.back().reference == "C-2");
      CHECK(history.back().sends == 1);
    }
  }
}

TEST_CASE("issuance_ledger: sent again, a row is found by recovery; in doubt it keeps its call") {
  for (const S state : {S::waiting, S::in_doubt}) {
    CAPTURE(name_of(state));
    World world;
    Intent intent = world.row_in(1, state);
    const auto before = world.row_of(intent);
    world.clock.advance(10s);
    intent.call_digest = sha256_128("other bytes");
    REQUIRE(world.step([&] { return world.ledger.send_again(intent, world.now()); }));
    const auto row = world.row_of(intent);
    CHECK(row->state == S::sending);
    CHECK(row->intent_ms == to_ms(world.now()));
    CHECK(intent.intent_at == world.now());
    CHECK(row->next_at_ms == data::kInFlightMs);
    CHECK(row->doubt_ms == before->doubt_ms);
    // What cannot have been executed may be called with other bytes, as the definition now says.
    const bool may_differ = state == S::waiting;
    CHECK(row->call_digest == (may_differ ? intent.call_digest : before->call_digest));
  }
}

TEST_CASE("issuance_ledger: a row that is elsewhere meanwhile is not sent again, nor held") {
  for (const S state : kAfterACall) {
    for (const S expected : {S::waiting, S::in_doubt}) {
      if (state == expected) continue;
      CAPTURE(name_of(state));
      CAPTURE(name_of(expected));
      World world;
      Intent intent = world.row_in(1, state);
      const auto before = world.row_of(intent);
      intent.from = expected;
      CHECK_FALSE(world.step([&] { return world.ledger.send_again(intent, world.now()); }));
      CHECK(world.row_of(intent) == before);
      world.step([&] { return world.ledger.hold(intent, "too old", world.now()); });
      CHECK(world.row_of(intent) == before);
    }
  }
}

TEST_CASE("issuance_ledger: held, a row keeps its doubt and is due no more") {
  for (const S state : {S::waiting, S::in_doubt}) {
    CAPTURE(name_of(state));
    World world;
    const Intent intent = world.row_in(1, state);
    const auto before = world.row_of(intent);
    world.step([&] { return world.ledger.hold(intent, "too old", world.now()); });
    const auto row = world.row_of(intent);
    CHECK(row->state == S::held);
    CHECK(row->doubt_ms == before->doubt_ms);
    CHECK_FALSE(row->next_at_ms);
    const SeenEvent event = events_of(world.database, intent).back();
    CHECK(event.kind == EventKind::held);
    CHECK(event.from == state);
    CHECK(event.to == S::held);
    CHECK(event.detail == "too old");
    CHECK(event.previous == before->last_event);
    CHECK(event.seq == row->last_event);
  }
}

TEST_CASE(
    "issuance_ledger: a stop ends what is planned or waiting, and nothing that may have "
    "acted") {
  for (const S to : {S::cancelled, S::expired}) {
    CAPTURE(name_of(to));
    World world;
    std::vector<Intent> others;
    int recipient = 1;
    for (const S state : {S::sending, S::in_doubt, S::held, S::issued, S::declined, S::failed}) {
      others.push_back(world.row_in(recipient++, state));
    }
    const Intent resent = [&] {
      Intent intent = world.row_in(recipient++, S::waiting);
      REQUIRE(world.step([&] { return world.ledger.send_again(intent, world.now()); }));
      return intent;
    }();
    const Intent waiting = world.row_in(recipient++, S::waiting);
    const Intent planned = world.row_in(recipient++, S::failed);
    CHECK(world.step([&] {
      return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::failed, 10, world.now());
    }) == 2);
    others.pop_back();  // the other failed one is planned now, too
    const std::int64_t minor = world.count(kIssuedMinor);

    CHECK(world.step([&] { return world.ledger.end_open_rows(1, to, 10, world.now()); }) == 1);
    CHECK(world.step([&] { return world.ledger.end_open_rows(2, to, 1, world.now()); }) == 1);
    CHECK(world.step([&] { return world.ledger.end_open_rows(2, to, 10, world.now()); }) == 1);
    CHECK(world.step([&] { return world.ledger.end_open_rows(2, to, 10, world.now()); }) == 0);
    for (const Intent& intent : {waiting, planned}) {
      CHECK(world.state_of(intent) == to);
      CHECK_FALSE(world.row_of(intent)->next_at_ms);
      const SeenEvent event = events_of(world.database, intent).back();
      CHECK(event.kind == (to == S::cancelled ? EventKind::cancelled : EventKind::expired));
      CHECK(event.to == to);
      CHECK(event.seq == world.row_of(intent)->last_event);
    }
    CHECK(world.state_of(resent) == S::sending);
    for (const Intent& intent : others) {
      CHECK(world.state_of(intent) == (intent.fresh ? S::sending : intent.from));
    }
    CHECK(world.count(kIssuedMinor) == minor);
  }
}

TEST_CASE("issuance_ledger: a rerun takes rows over as planned; only a refusal gets a new round") {
  for (const S state : {S::declined, S::failed, S::cancelled, S::expired}) {
    CAPTURE(name_of(state));
    World world;
    const Intent intent = world.row_in(1, state);
    const Intent issued = world.row_in(2, S::issued);
    const auto before = world.row_of(intent);
    const auto untouched = world.row_of(issued);
    world.clock.advance(1h);
    CHECK(world.step([&] {
      return world.ledger.rerun({.to_job = 2, .from_job = 1}, state, 10, world.now());
    }) == 1);
    const auto row = world.row_of(intent);
    CHECK(row->state == S::planned);
    CHECK(row->round == (state == S::declined ? 1 : 0));
    CHECK(row->job == 2);
    CHECK(row->attempts == 0);
    CHECK(row->strikes == 0);
    CHECK_FALSE(row->doubt_ms);
    CHECK(row->next_at_ms == to_ms(world.now()));
    CHECK(world.count(kMoved) == 1);
    CHECK(world.row_of(issued) == untouched);
    const SeenEvent event = events_of(world.database, intent).back();
    CHECK(event.kind == EventKind::rerun);
    CHECK(event.job == 2);
    CHECK(event.from == state);
    CHECK(event.previous == before->last_event);
    CHECK(event.seq == row->last_event);

    // Planned, it may be sent with other bytes: its new round has a new request id.
    Intent again = intent;
    again.job_number = 2;
    again.from = S::planned;
    again.call_digest = sha256_128("of the new round");
    CHECK(world.step([&] { return world.ledger.send_again(again, world.now()); }));
    CHECK(world.row_of(intent)->call_digest == again.call_digest);
  }
}

TEST_CASE("issuance_ledger: a rerun begins without the counters and the doubt of before") {
  World world;
  Intent intent = world.row_in(1, S::in_doubt);
  REQUIRE(world.step([&] { return world.ledger.send_again(intent, world.now()); }));
  data::AttemptEnd refused = sample_end(intent, E::decline, world.now());
  refused.attempts = 3;
  refused.strikes = 2;
  refused.doubt_since = intent.doubt_since;
  world.settle(refused);
  REQUIRE(world.row_of(intent)->doubt_ms);
  CHECK(world.step([&] {
    return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::declined, 1, world.now());
  }) == 1);
  CHECK(world.row_of(intent)->attempts == 0);
  CHECK(world.row_of(intent)->strikes == 0);
  CHECK_FALSE(world.row_of(intent)->doubt_ms);
}

TEST_CASE("issuance_ledger: a rerun takes no more rows than asked for, and no other state's") {
  World world;
  for (int i = 1; i <= 5; ++i) world.row_in(i, S::declined);
  for (int i = 6; i <= 7; ++i) world.row_in(i, S::failed);
  CHECK(world.step([&] {
    return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::declined, 3, world.now());
  }) == 3);
  CHECK(world.step([&] {
    return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::declined, 3, world.now());
  }) == 2);
  CHECK(world.step([&] {
    return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::expired, 3, world.now());
  }) == 0);
  CHECK(world.count(kMoved) == 5);
}

TEST_CASE("issuance_ledger: after a stop every row that was sending is in doubt, and no other") {
  World world;
  const auto fresh = world.plan(sample_page({1, 9}));
  const auto of_job_2 = world.plan(sample_page({2, 8}, 2));  // between them
  const Intent settled = world.row_in(3, S::issued);
  const Intent waiting = world.row_in(4, S::waiting);
  Intent resent = world.row_in(5, S::waiting);
  Intent doubted = world.row_in(6, S::in_doubt);
  std::vector<Intent> single = {sample_intent(7)};
  single[0].single = true;
  REQUIRE(world.step([&] { return world.ledger.plan_single(single, "{}", {}, world.now()); }));
  world.clock.advance(10s);
  for (Intent* intent : {&resent, &doubted}) {
    REQUIRE(world.step([&] { return world.ledger.send_again(*intent, world.now()); }));
  }
  world.plan(sample_page({10}));
  world.clock.advance(10s);

  CHECK(world.step([&] { return world.ledger.recover(1, false, world.now()); }) == 6);
  CHECK(world.step([&] { return world.ledger.recover(1, false, world.now()); }) == 0);
  for (const Intent& intent : {fresh[0], fresh[1], resent, doubted, single[0]}) {
    const auto row = world.row_of(intent);
    CHECK(row->state == S::in_doubt);
    CHECK(row->next_at_ms == to_ms(world.now()));
    const SeenEvent event = events_of(world.database, intent).back();
    CHECK(event.kind == EventKind::recovered);
    CHECK(event.from == S::sending);
    CHECK(event.seq == row->last_event);
  }
  CHECK(world.row_of(fresh[0])->doubt_ms == to_ms(fresh[0].intent_at));
  CHECK(world.row_of(resent)->doubt_ms == to_ms(resent.intent_at));
  CHECK(world.row_of(doubted)->doubt_ms == to_ms(*doubted.doubt_since));  // the earliest
  CHECK(world.state_of(settled) == S::issued);
  CHECK(world.state_of(waiting) == S::waiting);
  for (const Intent& intent : of_job_2) CHECK(world.state_of(intent) == S::sending);
  CHECK(world.count(kFresh) == 0);
}

TEST_CASE("issuance_ledger: recovery reaches every row of every range, in pages") {
  World world;
  std::vector<int> recipients(2'500);
  std::iota(recipients.begin(), recipients.end(), 1);
  world.plan(sample_page(recipients));
  PlanPage other_range = sample_page({3'000, 3'001});
  other_range.range = 2;
  for (Intent& intent : other_range.intents) intent.range = 2;
  world.plan(std::move(other_range));
  world.plan(sample_page({2'600}));  // a later page of the first range
  CHECK(world.step([&] { return world.ledger.recover(1, false, world.now()); }) == 2'503);
  CHECK(world.count(kFresh) == 0);
}

TEST_CASE("issuance_ledger: a single keeps its input until all of its items are final") {
  World world;
  std::vector<Intent> intents = {sample_intent(1), sample_intent(1, 1)};
  for (Intent& intent : intents) intent.single = true;
  REQUIRE(
      world.step([&] { return world.ledger.plan_single(intents, R"({"a":1})", {}, world.now()); }));
  for (const Intent& intent : intents) {
    CHECK(intent.intent_at == world.now());
    CHECK_FALSE(intent.fresh);
    CHECK(world.row_of(intent)->next_at_ms == data::kInFlightMs);
  }
  CHECK(world.count(kRowsPlanned) == 1);
  CHECK(world.count(kInputs) == 1);
  world.settle(sample_end(intents[1], E::lose, world.now()));
  CHECK(world.count(kInputs) == 1);
  world.settle(sample_end(intents[0], E::confirm, world.now()));
  CHECK(world.count(kInputs) == 1);  // the other one may have to be sent again
  intents[1].from = S::in_doubt;
  REQUIRE(world.step([&] { return world.ledger.send_again(intents[1], world.now()); }));
  world.settle(sample_end(intents[1], E::decline, world.now()));
  CHECK(world.count(kInputs) == 0);
}

TEST_CASE("issuance_ledger: a single for whom a list has planned is refused, and changes nothing") {
  World world;
  world.plan(sample_page({1}));
  std::vector<Intent> single = {sample_intent(1, 1)};
  single[0].single = true;
  CHECK_FALSE(world.step([&] { return world.ledger.plan_single(single, "{}", {}, world.now()); }));
  CHECK(world.count(kInputs) == 0);
  CHECK(world.count(kRows) == 1);
  CHECK(world.count(kRowsPlanned) == 1);
}
