#include "common/wire/local_call.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/files.hpp"
#include "common/wire/reply_parser.hpp"

namespace vouch::wire {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

tl::unexpected<Error> failed(const LocalCall& call, std::string_view what, int error) {
  const std::string message = call.socket + ": " + std::string{what} + ": " + std::strerror(error);
  if (error == EACCES || error == EPERM) {
    return fail(Errc::not_permitted, message, "join the store's group, then log in again");
  }
  if (error == EAGAIN || error == EWOULDBLOCK) {
    return fail(Errc::timed_out, call.socket + ": no answer in time", "see `vouchctl doctor`");
  }
  return fail(Errc::unavailable, message, "is vouchd running? see `vouchctl doctor`");
}

Result<FileDescriptor> connect_to(const LocalCall& call) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (call.socket.size() >= sizeof name.sun_path) {
    return fail(Errc::invalid, "socket path " + call.socket + ": must have 1 to 107 bytes");
  }
  std::memcpy(name.sun_path, call.socket.c_str(), call.socket.size() + 1);
  FileDescriptor peer{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!peer.is_open()) return failed(call, "socket", errno);
  timeval limit{};
  limit.tv_sec = static_cast<time_t>(call.timeout.count() / 1000);
  limit.tv_usec = static_cast<suseconds_t>(call.timeout.count() % 1000 * 1000);
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(peer.get(), SOL_SOCKET, option, &limit, sizeof limit) != 0) {
      return failed(call, "set a time limit", errno);
    }
  }
  if (::connect(peer.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return failed(call, "connect", errno);
  }
  return peer;
}

Result<void> send_all(const LocalCall& call, const FileDescriptor& peer, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(call, "write", errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Result<std::string> call_locally(const LocalCall& call) {
  VOUCH_TRY(const FileDescriptor peer, connect_to(call));
  std::string request = call.method + " " + call.path +
                        " HTTP/1.1\r\nHost: vouchd\r\nConnection: close\r\n"
                        "Content-Type: application/json\r\nContent-Length: " +
                        std::to_string(call.body.size()) + "\r\n\r\n";
  request += call.body;
  VOUCH_CHECK(send_all(call, peer, request));
  HttpEnd end;
  ReplyParser parser;
  parser.begin(end);
  std::array<char, kReadBytes> buffer{};
  auto progress = ReplyParser::Progress::more;
  while (progress == ReplyParser::Progress::more) {
    const ssize_t n = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(call, "read", errno);
    progress =
        n == 0 ? parser.take_end() : parser.take({buffer.data(), static_cast<std::size_t>(n)});
  }
  if (progress == ReplyParser::Progress::done) return std::move(end.body);
  return fail(Errc::unavailable, call.socket + ": half an answer: " + parser.problem(),
              "did vouchd stop? see `vouchctl doctor`");
}

}  // namespace vouch::wire
