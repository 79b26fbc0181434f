#include "daemon/service/pacer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "common/random.hpp"
#include "tests/support/manual_clock.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using service::kPacerTolerance;
using service::Pacer;

namespace {

constexpr double kRates[] = {0.5, 1, 7, 50, 333, 950, 20'000};

Nanos interval(double rate) {
  return Nanos{static_cast<std::int64_t>(1e9 / rate)};
}

// Starts every call that may start now.
int take_all(Pacer& pacer, const ManualClock& clock, std::vector<Instant>* starts = nullptr) {
  int taken = 0;
  while (pacer.room(clock.now()) > 0) {
    pacer.take(clock.now());
    if (starts != nullptr) starts->push_back(clock.now());
    ++taken;
  }
  return taken;
}

// The most calls that began within `window` of one another.
std::int64_t worst_window(const std::vector<Instant>& starts, Nanos window) {
  std::int64_t worst = 0;
  for (auto first = starts.begin(); first != starts.end(); ++first) {
    const auto end = std::lower_bound(first, starts.end(), *first + window);
    worst = std::max<std::int64_t>(worst, end - first);
  }
  return worst;
}

}  // namespace

TEST_CASE("pacer: woken when it asks to be, it calls at even distances") {
  for (const double rate : kRates) {
    CAPTURE(rate);
    ManualClock clock;
    Pacer pacer{rate, clock.now(), Nanos{0}};
    CHECK(pacer.ready_at(clock.now()) == clock.now());
    for (int i = 0; i < 100; ++i) {
      REQUIRE(pacer.room(clock.now()) == 1);
      pacer.take(clock.now());
      REQUIRE(pacer.room(clock.now()) == 0);
      const Nanos wait = pacer.ready_at(clock.now()) - clock.now();
      REQUIRE(wait == interval(rate));
      clock.advance(wait);
    }
  }
}

TEST_CASE("pacer: polled every millisecond, it keeps its rate over ten seconds") {
  for (const double rate : kRates) {
    CAPTURE(rate);
    ManualClock clock;
    Pacer pacer{rate, clock.now()};
    int calls = 0;
    for (int ms = 0; ms < 10'000; ++ms) {
      calls += take_all(pacer, clock);
      clock.advance(1ms);
    }
    // Up to one call early by the tolerance, and the very first at once.
    CHECK(calls >= static_cast<int>(rate * 9.99));
    CHECK(calls <= static_cast<int>(rate * 10.004) + 1);
  }
}

TEST_CASE("pacer: at once goes one call, and what the tolerance lets run ahead") {
  struct Case {
    const char* name;
    double rate;
    Nanos tolerance;
    int want;
  };
  const Case cases[] = {
      {"slow: the tolerance is less than a distance", 50, 4ms, 1},
      {"a distance that equals the tolerance", 250, 4ms, 2},
      {"a distance just above the tolerance", 249, 4ms, 1},
      {"four distances", 1'000, 4ms, 5},
      {"eighty distances", 20'000, 4ms, 81},
      {"no tolerance", 20'000, 0ms, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ManualClock clock;
    Pacer pacer{c.rate, clock.now(), c.tolerance};
    CHECK(pacer.room(clock.now()) == c.want);
    CHECK(take_all(pacer, clock) == c.want);
  }
}

TEST_CASE("pacer: room and ready_at agree to the nanosecond") {
  SeededRandom random{11};
  for (const double rate : kRates) {
    CAPTURE(rate);
    ManualClock clock;
    Pacer pacer{rate, clock.now()};
    for (int i = 0; i < 200; ++i) {
      take_all(pacer, clock);
      const Instant ready = pacer.ready_at(clock.now());
      REQUIRE(ready > clock.now());
      REQUIRE(pacer.room(ready - 1ns) == 0);
      REQUIRE(pacer.room(ready) > 0);
      clock.advance(Nanos{static_cast<std::int64_t>(random.below(10'000'000))});
    }
  }
}

// Goal: no downstream sees more than its target in any tenth of a second, however the engine is
// woken.  Method: greedy calls at random moments, with stalls and long pauses; the worst of all
// sliding windows is compared with GCRA's bound, which must also be reached.
TEST_CASE("pacer: the worst sliding 100 ms window holds one tolerance more than the rate") {
  constexpr Nanos kWindow = 100ms;
  for (const double rate : {1.0, 50.0, 333.0, 950.0, 20'000.0}) {
    CAPTURE(rate);
    SeededRandom random{static_cast<std::uint64_t>(rate)};
    ManualClock clock;
    Pacer pacer{rate, clock.now()};
    std::vector<Instant> starts;
    for (int i = 0; i < 4'000; ++i) {
      take_all(pacer, clock, &starts);
      const Nanos until_ready = pacer.ready_at(clock.now()) - clock.now();
      Nanos step = random.chance(0.5) ? until_ready
                                      : Nanos{static_cast<std::int64_t>(random.below(3'000'000))};
      if (random.chance(0.01)) step += 50ms;
      if (random.chance(0.001)) step += 30s;
      clock.advance(step);
    }
    const std::int64_t most = (kWindow - 1ns + kPacerTolerance) / interval(rate) + 1;
    const std::int64_t worst = worst_window(starts, kWindow);
    CHECK(worst <= most);
    CHECK(worst >= most - 1);
  }
}

TEST_CASE("pacer: an hour's pause stores nothing") {
  ManualClock clock;
  Pacer pacer{1'000, clock.now()};
  take_all(pacer, clock);
  clock.advance(1h);
  CHECK(pacer.room(clock.now()) == 5);
  int calls = 0;
  for (int ms = 0; ms < 1'000; ++ms) {
    calls += take_all(pacer, clock);
    clock.advance(1ms);
  }
  CHECK(calls <= 1'004);
  CHECK(calls >= 1'000);
}

TEST_CASE("pacer: a new rate counts from the call before") {
  struct Case {
    const char* name;
    double before, after;
    Nanos pause;  // between the call and the change
    Nanos want;   // from the call to the next one
  };
  const Case cases[] = {
      {"slower at once", 10, 2, 0ms, 500ms},
      {"slower half-way", 10, 2, 50ms, 500ms},
      {"faster at once", 2, 10, 0ms, 100ms},
      {"faster half-way", 2, 10, 50ms, 100ms},
      {"faster when the new distance is over", 2, 10, 250ms, 250ms},
      {"slower after a pause that is longer than both", 10, 2, 900ms, 900ms},
      {"slower after a pause between the two", 10, 2, 200ms, 500ms},
      {"the same", 10, 10, 30ms, 100ms},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ManualClock clock;
    Pacer pacer{c.before, clock.now(), Nanos{0}};
    const Instant call = clock.now();
    pacer.take(call);
    clock.advance(c.pause);
    pacer.set_rate(c.after);
    CHECK(pacer.rate() == c.after);
    CHECK(pacer.ready_at(clock.now()) - call == c.want);
  }
}

TEST_CASE("pacer: rates that change all the time never give more than the fastest of them") {
  SeededRandom random{3};
  ManualClock clock;
  Pacer pacer{500, clock.now()};
  std::vector<Instant> starts;
  for (int i = 0; i < 20'000; ++i) {
    pacer.set_rate(random.chance(0.5) ? 500 : 20);
    take_all(pacer, clock, &starts);
    clock.advance(Nanos{static_cast<std::int64_t>(random.below(2'000'000))});
  }
  CHECK(worst_window(starts, 100ms) <= (100ms - 1ns + kPacerTolerance) / interval(500) + 1);
  CHECK(worst_window(starts, 1s) > 20);
}

TEST_CASE("pacer: held, it gives no call before that moment and no burst after it") {
  ManualClock clock;
  Pacer pacer{1'000, clock.now()};
  const Instant until = clock.now() + 30s;
  pacer.hold_until(until);
  CHECK(pacer.room(clock.now()) == 0);
  CHECK(pacer.ready_at(clock.now()) == until);
  CHECK(pacer.room(until - 1ns) == 0);
  pacer.hold_until(clock.now() + 10s);  // an earlier date does not shorten it
  CHECK(pacer.ready_at(clock.now()) == until);
  pacer.set_rate(20'000);  // nor does a new rate
  CHECK(pacer.room(until - 1ns) == 0);
  pacer.set_rate(1'000);
  clock.advance(30s);
  CHECK(take_all(pacer, clock) == 5);
}
