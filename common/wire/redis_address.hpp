// redis_address.hpp: where a Redis is, as an operator writes it.
//
//   redis://[USER@]HOST[:PORT][/DB]
//   unix:/PATH[?db=DB]
//   sentinel://HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]
//
// The password is never part of it: it would stand in process lists and logs.
//
// Threads: pure.   Errors: invalid, with a hint that shows the form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace vouch::wire {

struct RedisAddress {
  struct Host {
    std::string name;
    std::uint16_t port = 0;
    bool operator==(const Host&) const = default;
  };
  std::vector<Host> hosts{};  // one; or the sentinels
  std::string path{};         // of a Unix socket; then without hosts
  std::string master{};       // not empty: hosts are sentinels, and this is whom they watch
  std::string user{};
  int database = 0;

  // As it was written, for people.
  [[nodiscard]] std::string text() const;
};

[[nodiscard]] Result<RedisAddress> parse_redis_address(std::string_view text);

}  // namespace vouch::wire
