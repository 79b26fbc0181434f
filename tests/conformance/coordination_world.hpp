// coordination_world.hpp: a coordination through a Redis of the test's own, and what a test does
// with leases.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/service/redis_coordination.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/redis_server.hpp"

namespace vouch::test {

using data::Lease;
using data::LeasePtr;

inline constexpr Millis kLife{30'000};

inline LeasePtr claim(service::Coordination& coordination, const std::string& name,
                      std::int64_t epoch = 1, Millis life = kLife) {
  return coordination.claim({.name = name, .epoch = epoch, .life = life});
}

// One vouchd's coordination; the daemon's own time stands still, that of Redis does not.  For as
// long as an exchange is said to take, the daemon's time passes before its answers are there.
struct RedisOwner {
  explicit RedisOwner(const wire::RedisAddress& address, std::string place = "here",
                      const std::string& password = {})
      : connection{system, address, password, Millis{2'000}},
        coordination{clock,
                     {.where = address.text(),
                      .prefix = "vouch:1:",
                      .place = std::move(place),
                      .name = "main on north"},
                     [this](const auto& commands, bool anew) {
                       auto replies = connection.exchange(commands, anew);
                       clock.advance(exchange_takes);
                       return replies;
                     },
                     {.on_change = [this] { ++changes; },
                      .on_turn =
                          [this](bool is_up, const std::string& why) {
                            turns.push_back((is_up ? "up: " : "lost: ") + why);
                          }}} {
    signal(SIGPIPE, SIG_IGN);  // as vouchd does
  }

  void run() { coordination.run_once(clock.now()); }

  SystemClock system;
  ManualClock clock;
  Nanos exchange_takes{0};
  wire::RedisConnection connection;
  service::RedisCoordination coordination;
  int changes = 0;
  std::vector<std::string> turns;
};

}  // namespace vouch::test
