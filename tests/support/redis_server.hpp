// redis_server.hpp: a real redis-server that belongs to a test: on a Unix socket, and a port of the
// loopback interface, in a folder of its own, with nothing kept on disk.
//
// Threads: the test's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/wire/redis_connection.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

class RedisServer {
 public:
  // Its program's own options, "--requirepass", "secret".  Answers when it is made.
  explicit RedisServer(std::vector<std::string> options = {});
  ~RedisServer();  // by its pid
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void kill();                                           // -9; what it held is gone
  void restart();                                        // empty
  [[nodiscard]] wire::RedisAddress address() const;      // of the socket
  [[nodiscard]] wire::RedisAddress tcp_address() const;  // 127.0.0.1
  [[nodiscard]] std::uint16_t port() const { return port_; }
  // As a line, without asking who answers; for sentinels.
  void tell(const std::string& line);
  // A connection of its own, without password.
  wire::RedisReply ask(const wire::RedisCommand& command);
  // The folder's file `sentinel.conf` with these lines, and the program as a sentinel.
  struct Sentinel {
    std::string config;
  };
  explicit RedisServer(const Sentinel& sentinel);

 private:
  void start();

  TemporaryFolder folder_;
  SystemClock clock_;
  std::vector<std::string> arguments_;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace vouch::test
