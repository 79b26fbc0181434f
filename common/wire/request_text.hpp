// request_text.hpp: where a call goes and the bytes that go there (RFC 9112).
//
// Threads: pure functions.
// Errors:  invalid, for a URL or header that cannot be sent as it is.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::wire {

struct Target {
  bool tls = false;
  std::string host;       // without brackets
  std::string port;       // a number
  std::string authority;  // as the Host header has it
  std::string path;       // with the query; begins with '/'
};

// http:// or https://, host or [IPv6], no user, no fragment, no blank or control byte.
[[nodiscard]] Result<Target> parse_target(std::string_view url);

// Head and body.
[[nodiscard]] Result<std::string> request_text(const Target& target, const HttpCall& call);

}  // namespace vouch::wire
