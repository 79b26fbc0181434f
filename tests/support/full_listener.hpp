// full_listener.hpp: a port of the loopback interface where connecting never ends.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "common/result.hpp"

namespace vouch::test {

// Its listener takes no further connection: the kernel leaves them without an answer.
class FullListener {
 public:
  // On 127.0.0.1, or on ::1 at a port that is given.
  FullListener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fill(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
    port = ntohs(address.sin_port);
  }
  explicit FullListener(std::uint16_t port_of_ipv6) : port{port_of_ipv6} {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    address.sin6_port = htons(port);
    fill(AF_INET6, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  ~FullListener() {
    for (const int fd : fds_) ::close(fd);
  }
  FullListener(const FullListener&) = delete;
  FullListener& operator=(const FullListener&) = delete;

  std::uint16_t port = 0;

 private:
  void fill(int family, sockaddr* address, socklen_t size) {
    fds_.push_back(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    VOUCH_ASSERT(::bind(fds_[0], address, size) == 0 && ::listen(fds_[0], 0) == 0);
    VOUCH_ASSERT(::getsockname(fds_[0], address, &size) == 0);
    for (int i = 0; i < 4; ++i) {
      fds_.push_back(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      static_cast<void>(::connect(fds_.back(), address, size));
    }
  }

  std::vector<int> fds_;
};

}  // namespace vouch::test
