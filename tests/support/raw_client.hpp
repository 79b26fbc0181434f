// raw_client.hpp: a socket client that shows a server's bytes as they are: half answers, ends and
// resets.  It never blocks: the test says how the server is moved on meanwhile.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::test {

// Calls `step` until `done` holds; false when it does not within the (generous) time.
inline bool until(const std::function<bool()>& done, const std::function<void()>& step) {
  const SystemClock clock;
  const Instant deadline = clock.now() + std::chrono::seconds{10};
  while (!done()) {
    if (clock.now() > deadline) return false;
    step();
  }
  return true;
}

class RawClient {
 public:
  enum class End { none, fin, reset, refused };

  explicit RawClient(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  explicit RawClient(const std::string& unix_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    VOUCH_ASSERT(unix_path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, unix_path.c_str(), unix_path.size() + 1);
    connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  RawClient(RawClient&& other) noexcept
      : received{std::move(other.received)}, end{other.end}, fd_{std::exchange(other.fd_, -1)} {}
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { close(); }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return;  // the test sees the end when it reads
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Our side has nothing more to say, and still listens.
  void half_close() { (void)::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // Takes what is there.
  void read_available() {
    char buffer[65536];
    while (fd_ >= 0 && end == End::none) {
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n > 0) received.append(buffer, static_cast<std::size_t>(n));
      if (n == 0) end = End::fin;
      if (n < 0 && errno == ECONNRESET) end = End::reset;
      if (n < 0) return;
    }
  }

  std::string received;
  End end = End::none;

 private:
  void connect(int family, const sockaddr* address, socklen_t size) {
    fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    VOUCH_ASSERT(fd_ >= 0);
    if (::connect(fd_, address, size) != 0) end = End::refused;
  }

  int fd_ = -1;
};

}  // namespace vouch::test
