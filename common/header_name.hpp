// header_name.hpp: which HTTP headers a call may bring along.
//
// Threads: pure functions.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "common/text.hpp"

namespace vouch {

// What tells the peer where the request ends and what becomes of the connection is said once, by
// the HTTP client.  In small letters.
inline constexpr std::string_view kClientsOwnHeaders[] = {
    "connection", "content-length",    "expect",  "host",       "keep-alive", "te",
    "trailer",    "transfer-encoding", "upgrade", "user-agent",
};

[[nodiscard]] inline bool is_clients_own_header(std::string_view name) {
  return std::ranges::find(kClientsOwnHeaders, lower_ascii(name)) != std::end(kClientsOwnHeaders);
}

// RFC 9110, 5.6.2
[[nodiscard]] inline bool is_header_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
  });
}

}  // namespace vouch
