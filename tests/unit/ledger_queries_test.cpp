// Goal: a query about a row in doubt changes that row, and no other doubt than the one it was
// about.  Method: single steps of the ledger; what the answers mean is query_policy's affair.
#include <doctest/doctest.h>

#include "tests/unit/ledger_world.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using data::Intent;
using World = LedgerWorld;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

// A query about a row that is in doubt, as intake and engine make it.
Intent query_of(World& world, Intent intent) {
  intent.asks = true;
  intent.last_event = world.row_of(intent)->last_event;
  return intent;
}

data::AttemptEnd asked_end(const Intent& query, E step, WallTime at) {
  data::AttemptEnd end = sample_end(query, step, at);
  end.kind = EventKind::asked;
  const auto to = next_state(S::in_doubt, step);
  end.next_at.reset();
  if (to == S::in_doubt || to == S::waiting) end.next_at = at + 5s;
  if (to != S::waiting) end.doubt_since = query.doubt_since;
  if (to == S::issued) end.outcome = Outcome::issued;
  return end;
}

constexpr std::string_view kAskedRow =
    "SELECT asked * 100 + known * 10 + (missing_ms IS NOT NULL) FROM issuance";

}  // namespace

TEST_CASE("issuance_ledger: a row that is being asked about is asked about by nobody else") {
  World world;
  const Intent row = world.row_in(1, S::in_doubt);
  const Intent query = query_of(world, row);
  CHECK(world.step([&] { return world.ledger.ask(query); }));
  CHECK(world.state_of(row) == S::in_doubt);
  CHECK(world.row_of(row)->next_at_ms == data::kInFlightMs);
  CHECK_FALSE(world.step([&] { return world.ledger.ask(query); }));

  data::AttemptEnd end = asked_end(query, E::lose, world.now());
  end.asked = 3;
  end.known = true;
  end.missing_since = world.now();
  world.settle(end);
  CHECK(world.count(kAskedRow) == 311);
  CHECK(world.row_of(row)->next_at_ms == to_ms(world.now() + 5s));
  const auto events = events_of(world.database, row);
  CHECK(events.back().kind == EventKind::asked);
  CHECK(events.back().from == S::in_doubt);
  CHECK(events.back().previous == query.last_event);
  CHECK_FALSE(world.step([&] { return world.ledger.ask(query); }));  // seen as it was before
  CHECK(world.step([&] { return world.ledger.ask(query_of(world, row)); }));
}

TEST_CASE("issuance_ledger: a query's end leads a row in doubt wherever it leads") {
  struct Case {
    E step;
    S want;
  };
  for (const Case& c :
       {Case{E::confirm, S::issued}, Case{E::decline, S::declined}, Case{E::clear, S::waiting},
        Case{E::hold, S::held}, Case{E::lose, S::in_doubt}}) {
    CAPTURE(name_of(c.want));
    World world;
    const Intent query = query_of(world, world.row_in(1, S::in_doubt));
    REQUIRE(world.step([&] { return world.ledger.ask(query); }));
    world.settle(asked_end(query, c.step, world.now()));
    CHECK(world.state_of(query) == c.want);
    CHECK(world.row_of(query)->next_at_ms.has_value() ==
          (c.want == S::waiting || c.want == S::in_doubt));
    CHECK(events_of(world.database, query).back().to == c.want);
  }
}

TEST_CASE("issuance_ledger: a cleared row that is given up has failed, in two steps") {
  World world;
  const Intent query = query_of(world, world.row_in(1, S::in_doubt));
  data::AttemptEnd end = asked_end(query, E::clear, world.now());
  end.gives_up = true;
  world.settle(end);
  CHECK(world.state_of(query) == S::failed);
  CHECK_FALSE(world.row_of(query)->next_at_ms);
  const auto events = events_of(world.database, query);
  REQUIRE(events.size() == 3);
  CHECK(events[1].to == S::waiting);
  CHECK(events[2].kind == EventKind::gave_up);
  CHECK(events[2].from == S::waiting);
  CHECK(events[2].previous == events[1].seq);
  CHECK(world.row_of(query)->last_event == events[2].seq);
}

TEST_CASE("issuance_ledger: a late \"not found\" frees no row that was called again meanwhile") {
  for (const E step : {E::clear, E::lose, E::hold, E::decline, E::confirm}) {
    CAPTURE(static_cast<int>(step));
    World world;
    Intent row = world.row_in(1, S::in_doubt);
    const Intent late = query_of(world, row);
    // Another query has cleared it, it was called again, and that answer was lost too.
    world.settle(asked_end(late, E::clear, world.now()));
    row.from = S::waiting;
    row.doubt_since.reset();
    row.last_event = world.row_of(row)->last_event;
    REQUIRE(world.step([&] { return world.ledger.send_again(row, world.now()); }));
    world.settle(sample_end(row, E::lose, world.now()));
    REQUIRE(world.state_of(row) == S::in_doubt);
    const auto before = world.row_of(row);

    world.settle(asked_end(late, step, world.now()));
    if (step == E::confirm) {
      CHECK(world.state_of(row) == S::issued);  // true whenever it was seen
    } else {
      CHECK(world.row_of(row) == before);
    }
    CHECK(events_of(world.database, row).back().kind == EventKind::asked);  // recorded all the same
  }
}

TEST_CASE("issuance_ledger: a row in doubt keeps when its call began, not when it became ready") {
  World world;
  const Intent intent = world.one(1);
  data::AttemptEnd end = sample_end(intent, E::lose, world.now() + 5min);
  end.started_at = world.now() + 4min;  // it was ready for long: the breaker was open
  world.settle(end);
  CHECK(world.row_of(intent)->intent_ms == to_ms(world.now() + 4min));
  CHECK(world.row_of(intent)->doubt_ms == to_ms(world.now()));
}

TEST_CASE("issuance_ledger: after a stop a call may have begun until then, and queries are due") {
  World world;
  const Intent out = world.one(1);
  const Intent query = query_of(world, world.row_in(2, S::in_doubt));
  REQUIRE(world.step([&] { return world.ledger.ask(query); }));
  const WallTime born = world.now();
  world.clock.advance(10s);
  CHECK(world.step([&] { return world.ledger.recover(1, false, world.now()); }) == 1);
  CHECK(world.state_of(out) == S::in_doubt);
  CHECK(world.row_of(out)->doubt_ms == to_ms(born));
  CHECK(world.row_of(out)->intent_ms == to_ms(world.now()));
  CHECK(world.state_of(query) == S::in_doubt);
  CHECK(world.row_of(query)->next_at_ms == to_ms(world.now()));
}

TEST_CASE("issuance_ledger: called again, a row has been asked about nothing") {
  World world;
  Intent row = world.row_in(1, S::in_doubt);
  data::AttemptEnd end = asked_end(query_of(world, row), E::lose, world.now());
  end.asked = 3;
  end.known = true;
  end.missing_since = world.now();
  world.settle(end);
  REQUIRE(world.count(kAskedRow) == 311);
  row.last_event = world.row_of(row)->last_event;
  REQUIRE(world.step([&] { return world.ledger.send_again(row, world.now()); }));
  CHECK(world.count(kAskedRow) == 0);
}
