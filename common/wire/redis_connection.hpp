// redis_connection.hpp: a connection to Redis; the one place that knows hiredis.
//
// Commands go out in one piece and their replies are read in order, all within a time limit.
// After any failure the connection is gone, and the next exchange makes a new one: what became of
// the commands is not known then.  Sentinels are asked anew for the master at every connection, and
// who they name must say himself that he is one.
//
// Debian's hiredis 0.14 has neither TLS nor an error of its own for a time limit: a Redis on
// another machine is reached through a tunnel, and a limit shows as EAGAIN.  It writes without
// MSG_NOSIGNAL: the process must ignore SIGPIPE.
//
// Threads: one at a time.   Errors: unavailable, in words; nothing of the password.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/wire/redis_address.hpp"

namespace vouch::wire {

using RedisCommand = std::vector<std::string>;

struct RedisReply {
  enum class Kind : std::uint8_t { nothing, text, number, error, list };
  Kind kind = Kind::nothing;
  std::string text;  // of text and error
  std::int64_t number = 0;
  std::vector<RedisReply> list;
};

class RedisConnection {
 public:
  RedisConnection(const Clock& clock, RedisAddress address, std::string password, Millis limit);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // As many replies as commands.  An error among them is a reply like any other.  With `anew` over
  // a new connection: what answered may not be who it was.
  [[nodiscard]] Result<std::vector<RedisReply>> exchange(const std::vector<RedisCommand>& commands,
                                                         bool anew = false);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vouch::wire
