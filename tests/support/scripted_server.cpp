#include "tests/support/scripted_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/result.hpp"

namespace vouch::test {
namespace {

constexpr int kPatienceSeconds = 10;

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* session) const { SSL_free(session); }
};

int listen_on_loopback(bool ipv6, std::uint16_t& port) {
  const int fd = ::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  VOUCH_ASSERT(fd >= 0);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address =
      ipv6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
  socklen_t size = ipv6 ? sizeof six : sizeof four;
  VOUCH_ASSERT(::bind(fd, address, size) == 0);
  VOUCH_ASSERT(::listen(fd, 512) == 0);
  VOUCH_ASSERT(::getsockname(fd, address, &size) == 0);
  port = ntohs(ipv6 ? six.sin6_port : four.sin_port);
  return fd;
}

// The length that a head tells.
std::size_t body_bytes(const std::string& head) {
  constexpr std::string_view kName = "Content-Length: ";
  const auto at = head.find(kName);
  return at == std::string::npos
             ? 0
             : static_cast<std::size_t>(std::atoll(head.c_str() + at + kName.size()));
}

}  // namespace

struct Peer::Tls {
  std::unique_ptr<SSL_CTX, FreeTls> context;
  std::unique_ptr<SSL, FreeTls> session;
};

Peer::Peer(int fd, int number) : fd_{fd}, number_{number} {
  const timeval patience{kPatienceSeconds, 0};
  const int on = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Peer::~Peer() = default;  // its server closes the socket

bool Peer::fill() {
  char bytes[65536];
  const auto n = tls_ ? SSL_read(tls_->session.get(), bytes, sizeof bytes)
                      : ::recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<std::size_t>(n));
  return true;
}

std::string Peer::request() {
  std::size_t head = std::string::npos;
  while ((head = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, {});
  }
  return read(head + 4 + body_bytes(buffer_.substr(0, head + 4)));
}

std::string Peer::read(std::size_t bytes) {
  while (buffer_.size() < bytes && fill()) {
  }
  const std::string all = buffer_.substr(0, bytes);
  buffer_.erase(0, all.size());
  return all;
}

void Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n =
        tls_ ? SSL_write(tls_->session.get(), bytes.data(), static_cast<int>(bytes.size()))
             : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;  // the client has ended; its test sees that there
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void Peer::send_bytewise(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) send(bytes.substr(i, 1));
}

std::string Peer::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

void Peer::finish() {
  if (tls_) SSL_shutdown(tls_->session.get());
  ::shutdown(fd_, SHUT_WR);
}

void Peer::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool Peer::shake_hands(const std::string& certificate_file, const std::string& key_file) {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  auto tls = std::make_unique<Tls>();
  tls->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = tls->context.get();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) return false;
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) return false;
  tls->session.reset(SSL_new(context));
  SSL_set_fd(tls->session.get(), fd_);
  if (SSL_accept(tls->session.get()) != 1) return false;
  tls_ = std::move(tls);
  return true;
}

ScriptedServer::ScriptedServer(std::vector<Script> scripts, bool ipv6)
    : scripts_{std::move(scripts)},
      ipv6_{ipv6},
      listener_{listen_on_loopback(ipv6, port_)},
      accepting_{[this] { accept_all(); }} {}

ScriptedServer::~ScriptedServer() {
  stop_listening();
  {
    const std::lock_guard lock{guard_};
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : running_) thread.join();
}

std::string ScriptedServer::url(const std::string& path) const {
  return (ipv6_ ? "http://[::1]:" : "http://127.0.0.1:") + std::to_string(port_) + path;
}

void ScriptedServer::stop_listening() {
  if (!accepting_.joinable()) return;
  ::shutdown(listener_, SHUT_RDWR);  // wakes the accepting thread
  accepting_.join();
  ::close(listener_);
}

void ScriptedServer::accept_all() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard lock{guard_};
    open_.push_back(fd);
    running_.emplace_back([this, fd, number = connections_++] { serve(fd, number); });
  }
}

void ScriptedServer::serve(int fd, int number) {
  {
    Peer peer{fd, number};
    scripts_[std::min(static_cast<std::size_t>(number), scripts_.size() - 1)](peer);
  }
  const std::lock_guard lock{guard_};
  std::erase(open_, fd);
  ::close(fd);
  ++ended_;
}

std::uint16_t closed_port() {
  std::uint16_t port = 0;
  ::close(listen_on_loopback(false, port));
  return port;
}

}  // namespace vouch::test
