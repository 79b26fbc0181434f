// Goal: readers outside learn when a downstream is away, asks to wait, or answers again: each
// change once in the history, and what lasts renewed without filling it. Method: views of lanes by
// hand, a clock by hand, and a listener that remembers.
#include "daemon/lane_watch.hpp"

#include <doctest/doctest.h>

using namespace vouch;
using namespace std::chrono_literals;
using service::Breaker;
using service::LaneView;

namespace {

const WallTime kStart = from_ms(1'900'000'000'000);

struct World {
  LaneView lane;
  Instant now{1h};
  std::vector<DownstreamState> states;
  std::vector<std::string> words;
  daemon::LaneWatch watch{[this](const DownstreamState& state, const std::string& said) {
    states.push_back(state);
    if (!said.empty()) words.push_back(said);
  }};

  World() {
    lane.downstream = 7;
    lane.name = "coupons";
    lane.next_call = lane.next_query = now;
  }
  void look() {
    watch.look({lane}, now, kStart + std::chrono::duration_cast<Millis>(now - Instant{1h}));
  }
  void look_later(Nanos later) {
    now += later;
    look();
  }
  void open(Nanos for_long) {
    lane.breaker = Breaker::State::open;
    lane.ailing_since = now;
    lane.next_call = now + for_long;
    lane.last_failure = "HTTP 503";
  }
  std::string last_words() { return words.empty() ? "" : words.back(); }
};

}  // namespace

TEST_CASE("lane watch: a downstream that is well is not spoken of") {
  World world;
  for (int i = 0; i < 10; ++i) world.look_later(1s);
  CHECK(world.states.empty());
}

TEST_CASE("lane watch: away, renewed, and back") {
  World world;
  world.open(5s);
  world.look_later(1s);
  REQUIRE(world.states.size() == 1);
  CHECK(world.states[0].condition == DownstreamCondition::away);
  CHECK(world.states[0].since == kStart);
  CHECK(world.states[0].next == kStart + 5s);
  CHECK(world.states[0].detail == "HTTP 503");
  CHECK(world.last_words() ==
        "downstream coupons does not answer: HTTP 503; calls are held back for 4.0s, then single "
        "ones try");
  for (int i = 0; i < 4; ++i) world.look_later(1s);
  CHECK(world.states.size() == 1);

  // It opens again, for longer: the state is renewed, the history is not filled.
  world.lane.next_call = world.now + 10s;
  world.look_later(1s);
  REQUIRE(world.states.size() == 2);
  CHECK(world.states[1].since == kStart);
  CHECK(world.states[1].next == kStart + 15s);
  CHECK(world.words.size() == 1);

  world.lane.breaker = Breaker::State::closed;
  world.look_later(54s);
  REQUIRE(world.states.size() == 3);
  CHECK(world.states[2].condition == DownstreamCondition::answers);
  CHECK(world.last_words() == "downstream coupons answers again after 1m 00s");
}

TEST_CASE("lane watch: a pause that was asked for is told from three seconds on, once a minute") {
  World world;
  const auto hold = [&](Nanos length) {
    world.lane.held_since = world.now;
    world.lane.held_until = world.now + length;
  };
  hold(2s);
  world.look_later(1s);
  CHECK(world.states.empty());
  world.look_later(2s);
  hold(8s);
  world.look_later(1s);
  REQUIRE(world.states.size() == 1);
  CHECK(world.states[0].condition == DownstreamCondition::holds);
  CHECK(world.last_words() ==
        "downstream coupons asks to wait (HTTP 429); calls are held back for 7.0s");
  world.look_later(8s);
  CHECK(world.last_words() == "downstream coupons answers again after 9.0s");
  // Again and again: what is seen is right, the history has one pause a minute.
  for (int i = 0; i < 4; ++i) {
    hold(8s);
    world.look_later(1s);
    CHECK(world.states.back().condition == DownstreamCondition::holds);
    world.look_later(8s);
    CHECK(world.states.back().condition == DownstreamCondition::answers);
  }
  CHECK(world.words.size() == 2);
}

TEST_CASE("lane watch: who answers calls and no queries is told so") {
  World world;
  world.lane.query_breaker = Breaker::State::open;
  world.lane.queries_ailing_since = world.now;
  world.lane.next_query = Instant::max();
  world.lane.last_failure = "timed out";
  world.look();
  REQUIRE(world.states.size() == 1);
  CHECK(world.states[0].condition == DownstreamCondition::mute);
  CHECK_FALSE(world.states[0].next);
  CHECK(world.last_words() ==
        "downstream coupons does not answer queries: timed out; rows in doubt wait");
  world.lane.query_breaker = Breaker::State::closed;
  world.look_later(1s);
  CHECK(world.last_words() == "downstream coupons answers queries again after 1.0s");
}

TEST_CASE("lane watch: what an earlier run left does not stay") {
  World world;
  world.watch.begin({{.downstream = 7, .condition = DownstreamCondition::away, .since = kStart},
                     {.downstream = 8, .condition = DownstreamCondition::answers}},
                    {{7, "coupons"}}, kStart);
  REQUIRE(world.states.size() == 1);
  CHECK(world.states[0].downstream == 7);
  CHECK(world.states[0].condition == DownstreamCondition::answers);
  CHECK(world.last_words() == "downstream coupons is called again, since vouchd has started");
}
