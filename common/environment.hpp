// environment.hpp: the only door to environment variables.
//
// Threads: any, as long as nobody changes the environment; we never do.
#pragma once

#include <optional>
#include <string>

namespace vouch {

// Nothing when the variable is not set; it may be set and empty.
[[nodiscard]] std::optional<std::string> environment(const char* name);

}  // namespace vouch
