// scenario_steps.hpp: what scenarios say of a world in one line.
//
// Threads: one.
#pragma once

#include <doctest/doctest.h>

#include "tests/simulation/world.hpp"

namespace vouch::test {

inline std::int64_t calls_of(const World& world) {
  return world.coupons.calls() + world.balances.calls();
}

// True when it came to that; else what kept it stands in the test's output.
inline bool comes_to(World& world, const std::function<bool()>& done) {
  const bool came = world.run_until(done);
  CHECK(world.problem() == "");
  return came;
}

inline bool run_until_calls(World& world, std::int64_t calls) {
  return comes_to(world, [&] { return calls_of(world) >= calls; });
}

inline bool run_until_state(World& world, ObjectId job, JobState state) {
  return comes_to(world, [&] { return world.job(job).state == state; });
}

}  // namespace vouch::test
