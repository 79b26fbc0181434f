#include "daemon/access/listening_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vouch::access {
namespace {

constexpr int kListenQueue = 1024;
constexpr int kKind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

tl::unexpected<Error> refused(const std::string& where) {
  return fail(Errc::unavailable, "listen on " + where + ": " + std::strerror(errno),
              "choose another, or stop what listens there");
}

// True when the file is a socket left behind by a process that is gone.
bool is_dead_socket(const sockaddr_un& name) {
  const int probe = ::socket(AF_UNIX, kKind, 0);
  if (probe < 0) return false;
  const bool dead = ::connect(probe, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
                    errno == ECONNREFUSED;
  ::close(probe);
  return dead;
}

}  // namespace

BoundSocket::~BoundSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<BoundSocket> bind_tcp(const std::string& address, std::uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool is_v4 = inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) != 1) {
    return fail(Errc::invalid, "listen address " + address + ": not a numeric address",
                "write it as 127.0.0.1 or ::1");
  }
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  auto* name = is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
  const std::string where = address + " port " + std::to_string(port);

  const int family = name->sa_family;
  BoundSocket bound{::socket(family, kKind, 0), family, address};
  if (bound.fd() < 0) return refused(where);
  const int on = 1;  // a port whose last connections linger is ours all the same
  (void)::setsockopt(bound.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!is_v4) (void)::setsockopt(bound.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(bound.fd(), name, size) != 0 || ::getsockname(bound.fd(), name, &size) != 0) {
    return refused(where);
  }
  bound.port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
  return bound;
}

Result<BoundSocket> bind_unix(const std::string& path, std::uint32_t mode) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return fail(Errc::invalid, "socket path " + path + ": must have 1 to 107 bytes");
  }
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  const auto* address = reinterpret_cast<const sockaddr*>(&name);

  BoundSocket bound{::socket(AF_UNIX, kKind, 0), AF_UNIX, path};
  if (bound.fd() < 0) return refused(path);
  if (::bind(bound.fd(), address, sizeof name) != 0) {
    if (errno != EADDRINUSE) return refused(path);
    if (!is_dead_socket(name) || ::unlink(path.c_str()) != 0 ||
        ::bind(bound.fd(), address, sizeof name) != 0) {
      errno = EADDRINUSE;
      return refused(path);
    }
  }
  // Nobody can connect before listen(), so the mode is in force from the first moment.
  if (::chmod(path.c_str(), mode) != 0) return refused(path);
  return bound;
}

std::optional<std::uint32_t> peer_uid_of(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

Result<void> start_listening(int fd, const std::string& where) {
  if (::listen(fd, kListenQueue) != 0) return refused(where);
  return {};
}

}  // namespace vouch::access
