// listening_socket.hpp: sockets as the system knows them, before the server's loop takes them.
//
// Threads: plain values with an owner.
// Errors:  Errc::invalid for an address that is none, Errc::unavailable for one that is taken.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/result.hpp"

namespace vouch::access {

// A socket bound to an address, closed with its scope unless released.
class BoundSocket {
 public:
  BoundSocket(int descriptor, int its_family, std::string its_address)
      : family{its_family}, address{std::move(its_address)}, fd_{descriptor} {}
  BoundSocket(BoundSocket&& other) noexcept
      : family{other.family},
        port{other.port},
        address{std::move(other.address)},
        fd_{other.release()} {}
  BoundSocket& operator=(BoundSocket&&) = delete;
  ~BoundSocket();

  [[nodiscard]] int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

  int family;              // AF_INET, AF_INET6 or AF_UNIX
  std::uint16_t port = 0;  // as the system chose it, for TCP
  std::string address;     // numeric, or the path of a Unix socket

 private:
  int fd_;
};

// `address` is numeric; port 0 lets the system choose.  Connecting is refused until listen().
[[nodiscard]] Result<BoundSocket> bind_tcp(const std::string& address, std::uint16_t port);
// Replaces a socket file that nobody listens on any more.  `mode` as chmod takes it.
[[nodiscard]] Result<BoundSocket> bind_unix(const std::string& path, std::uint32_t mode);
// The account at the other end of a Unix socket, at the moment when it connected; the kernel says
// it, not the peer.
[[nodiscard]] std::optional<std::uint32_t> peer_uid_of(int fd);
[[nodiscard]] Result<void> start_listening(int fd, const std::string& where);

}  // namespace vouch::access
