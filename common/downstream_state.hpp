// downstream_state.hpp: how a downstream fares, as vouchd tells those who look from outside.
//
// The numbers are stored in the ledger and never change their meaning.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/identity.hpp"

namespace vouch {

enum class DownstreamCondition : std::uint8_t {
  answers = 0,  // or nothing is known against it
  away = 1,     // it does not answer, or ails: calls are held back, single ones try
  holds = 2,    // it answered 429 and named a time before which no call is wanted
  mute = 3,     // it takes calls, but does not answer queries about them
};

[[nodiscard]] constexpr std::string_view name_of(DownstreamCondition condition) {
  constexpr std::string_view names[] = {"ok", "away", "holds", "mute"};
  return names[static_cast<std::size_t>(condition)];
}

struct DownstreamState {
  ObjectId downstream = 0;
  DownstreamCondition condition = DownstreamCondition::answers;
  WallTime since{};
  std::optional<WallTime> next{};  // when the next call may start; nothing while one is out
  std::string detail{};            // what the last failure was: "HTTP 503"

  bool operator==(const DownstreamState&) const = default;
};

}  // namespace vouch
