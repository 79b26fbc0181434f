#include "daemon/service/breaker.hpp"

#include <doctest/doctest.h>

#include "tests/support/manual_clock.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using service::Breaker;

namespace {

struct World {
  ManualClock clock;
  Breaker breaker{{}, clock.now()};

  void ends(int count, bool good) {
    for (int i = 0; i < count; ++i) breaker.ended(good, clock.now());
  }
  bool may_start() { return breaker.may_start(clock.now()); }
  // A call that tries, whole.
  void try_one(bool good) {
    REQUIRE(may_start());
    breaker.started(clock.now());
    breaker.ended(good, clock.now());
  }
  // Opens it, and waits until it lets a call try.
  void go_to_trying() {
    ends(20, false);
    REQUIRE(breaker.state() == Breaker::State::open);
    clock.advance(5s);
    REQUIRE(may_start());
    REQUIRE(breaker.state() == Breaker::State::trying);
  }
};

}  // namespace

TEST_CASE("breaker: opens when half of at least twenty outcomes of ten seconds are bad") {
  struct Case {
    const char* name;
    int good, bad;
    Nanos between;  // the good ones and the bad ones
    bool want_open;
  };
  const Case cases[] = {
      {"nineteen are too few", 0, 19, 0s, false},
      {"twenty, all bad", 0, 20, 0s, true},
      {"exactly half", 10, 10, 0s, true},
      {"just less than half", 11, 10, 0s, false},
      {"half of many", 500, 500, 0s, true},
      {"good ones of nine seconds ago still count", 20, 19, 9s, false},
      {"good ones of ten seconds ago are forgotten", 20, 20, 10s, true},
      {"and cannot make up the number", 10, 10, 10s, false},
      {"nor after a long time, in the same place", 20, 19, 100s, false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    World world;
    world.ends(c.good, true);
    world.clock.advance(c.between);
    world.ends(c.bad, false);
    CHECK(world.breaker.closed() != c.want_open);
    CHECK(world.may_start() != c.want_open);
  }
}

TEST_CASE("breaker: outcomes are added up over the seconds") {
  World world;
  for (int second = 0; second < 9; ++second) {
    world.ends(2, false);
    REQUIRE(world.breaker.closed());
    world.clock.advance(1s);
  }
  world.ends(1, false);
  CHECK(world.breaker.closed());
  world.ends(1, false);
  CHECK_FALSE(world.breaker.closed());
}

TEST_CASE("breaker: open, nothing starts for five seconds, then one call tries") {
  World world;
  world.ends(20, false);
  const Instant opened = world.clock.now();
  CHECK(world.breaker.since() == opened);
  CHECK(world.breaker.ready_at(opened) == opened + 5s);
  world.clock.advance(5s - 1ns);
  CHECK_FALSE(world.may_start());
  world.clock.advance(1ns);
  CHECK(world.may_start());
  CHECK(world.breaker.state() == Breaker::State::trying);
  world.breaker.started(world.clock.now());
  world.clock.advance(1h);
  CHECK_FALSE(world.may_start());  // one at a time, however long it takes
  CHECK(world.breaker.ready_at(world.clock.now()) == Instant::max());
}

TEST_CASE("breaker: each failed try doubles the wait, up to a minute") {
  World world;
  world.ends(20, false);
  const Instant first = world.clock.now();
  for (const Nanos wait : {5s, 10s, 20s, 40s, 60s, 60s}) {
    CAPTURE(wait.count());
    const Instant until = world.clock.now() + wait;
    REQUIRE(world.breaker.ready_at(world.clock.now()) == until);
    world.clock.advance(wait);
    world.try_one(false);
    CHECK(world.breaker.state() == Breaker::State::open);
    CHECK(world.breaker.since() == first);  // it has been away since then
  }
}

TEST_CASE("breaker: tries come at a second, then faster with each success, and the third closes") {
  World world;
  world.go_to_trying();
  for (const Nanos distance : {1'000ms, 500ms}) {
    const Instant begun = world.clock.now();
    world.try_one(true);
    CHECK(world.breaker.state() == Breaker::State::trying);
    CHECK_FALSE(world.may_start());
    CHECK(world.breaker.ready_at(begun) == begun + distance);
    world.clock.advance(distance);
  }
  world.try_one(true);
  CHECK(world.breaker.closed());
  CHECK(world.breaker.ready_at(world.clock.now()) == world.clock.now());
}

TEST_CASE("breaker: three successes must come in a row") {
  World world;
  world.go_to_trying();
  world.try_one(true);
  world.clock.advance(1s);
  world.try_one(true);
  world.clock.advance(1s);
  world.try_one(false);
  CHECK(world.breaker.state() == Breaker::State::open);
  world.clock.advance(10s);
  for (int i = 0; i < 2; ++i) {
    world.try_one(true);
    world.clock.advance(1s);
  }
  CHECK_FALSE(world.breaker.closed());
  world.try_one(true);
  CHECK(world.breaker.closed());
}

TEST_CASE("breaker: closed again, it has forgotten the outage") {
  World world;
  world.go_to_trying();
  for (int i = 0; i < 3; ++i) {
    world.try_one(true);
    world.clock.advance(1s);
  }
  REQUIRE(world.breaker.closed());
  world.ends(19, false);
  CHECK(world.breaker.closed());  // the twenty of before count no more
  const Instant opened = world.clock.now();
  world.ends(1, false);
  CHECK(world.breaker.since() == opened);
  CHECK(world.breaker.ready_at(opened) == opened + 5s);  // and the wait is short again
}

TEST_CASE("breaker: ends of calls from before it opened change nothing while it is open") {
  World world;
  world.ends(20, false);
  const Instant until = world.breaker.ready_at(world.clock.now());
  world.ends(50, false);
  world.ends(50, true);
  CHECK(world.breaker.state() == Breaker::State::open);
  CHECK(world.breaker.ready_at(world.clock.now()) == until);
}

TEST_CASE("breaker: an end that says nothing frees the try and is no success") {
  World world;
  world.go_to_trying();
  for (int i = 0; i < 5; ++i) {
    REQUIRE(world.may_start());
    world.breaker.started(world.clock.now());
    CHECK_FALSE(world.may_start());
    world.breaker.ended_neutral();
    world.clock.advance(1s);
  }
  CHECK(world.breaker.state() == Breaker::State::trying);
  CHECK(world.may_start());
}

TEST_CASE("breaker: closed, any number of calls may be out") {
  World world;
  for (int i = 0; i < 1'000; ++i) {
    REQUIRE(world.may_start());
    world.breaker.started(world.clock.now());
  }
  CHECK(world.may_start());
}

TEST_CASE("breaker: each opening begins a round, so that calls of earlier ones can be told") {
  World world;
  CHECK(world.breaker.round() == 0);
  world.go_to_trying();
  CHECK(world.breaker.round() == 1);
  world.try_one(false);
  CHECK(world.breaker.round() == 2);
  CHECK(world.breaker.state() == Breaker::State::open);
}
