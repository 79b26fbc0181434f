// local_call.hpp: one HTTP call over a Unix socket, to a daemon on this machine.
//
// A connection of its own, blocking, with a time limit for each step.
//
// Threads: pure.
// Errors:  unavailable when nobody listens there or the daemon went away, not_permitted when this
//          account may not connect, timed_out when no answer came.
#pragma once

#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::wire {

struct LocalCall {
  std::string socket;  // its path
  std::string method = "GET";
  std::string path;
  std::string body;  // JSON
  Millis timeout{30'000};
};

// The answer's body, whatever its status.
[[nodiscard]] Result<std::string> call_locally(const LocalCall& call);

}  // namespace vouch::wire
