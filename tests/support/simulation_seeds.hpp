// simulation_seeds.hpp: which seeds a simulation runs.
//
// VOUCH_SIM_SEED=17 replays one; VOUCH_SIM_SEEDS=5000 runs so many (tests/run.sh --count sets it);
// otherwise the number that the test names.
#pragma once

#include <charconv>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "common/environment.hpp"
#include "common/result.hpp"

namespace vouch::test {

[[nodiscard]] inline std::vector<std::uint64_t> simulation_seeds(std::uint64_t count) {
  const auto number = [](const std::string& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    VOUCH_ASSERT(error == std::errc{} && end == text.data() + text.size());  // a mistyped seed
    return value;
  };
  if (const auto one = environment("VOUCH_SIM_SEED")) return {number(*one)};
  if (const auto many = environment("VOUCH_SIM_SEEDS")) count = number(*many);
  std::vector<std::uint64_t> seeds(count);
  std::iota(seeds.begin(), seeds.end(), std::uint64_t{1});
  return seeds;
}

}  // namespace vouch::test
