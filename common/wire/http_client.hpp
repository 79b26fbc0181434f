// http_client.hpp: many HTTP calls at once, each sent once or not at all.
//
// No policy: it sends what it is given and says how that ended.  Nothing below it sends a request
// a second time, which libraries with a retry of their own do when a connection that they reuse
// dies before an answer came: the server has then executed twice, and the caller sees one answer.
// Here a call has one connection, and once the kernel has taken a byte of it, it has been sent.
//
// HTTP/1.1 with keep-alive; TLS 1.2 and later, checked against the system's authorities.  No
// redirects, no proxies, no cookies, no compression, no credentials but those in the headers.
//
// Threads: one HttpClient per thread; wake() may be called from any.  Names are resolved by a
//          thread of the library's, one after the other.
// Units:   times in milliseconds, durations in microseconds.
// Errors:  a call that fails is an HttpEnd with another `transport` than complete.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/wire/transport.hpp"

namespace vouch::wire {

struct HttpCall {
  std::uint64_t tag = 0;  // comes back with the end
  bool get = false;       // GET instead of POST
  bool put = false;       // PUT instead of POST
  std::string url;
  std::vector<std::string> headers;  // "Name: value"; refused when they hold control bytes
  std::string body;
  Millis connect_timeout{2'000};
  Millis timeout{10'000};
  bool fresh_connection = false;  // neither takes a used one nor leaves its own to others
  bool http_allowed = false;      // else https only
  std::string address_allow;      // CIDR of the peer; empty: any

  [[nodiscard]] std::string_view method() const { return get ? "GET" : put ? "PUT" : "POST"; }
};

struct HttpEnd {
  std::uint64_t tag = 0;
  Transport transport = Transport::complete;
  int status = 0;    // 0 when no status line was read
  int sends = 0;     // 0: not one byte has left; 1: bytes may have left
  std::string body;  // at most kReplyBytesMax
  std::string content_type;
  std::string retry_after;  // header's value
  std::string detail;       // words when it failed
  std::int64_t duration_us = 0;
};
inline constexpr std::size_t kReplyBytesMax = 1 << 20;

struct HttpSettings {
  int calls_max = 1024;     // out at once; connections are made as they are needed and kept
  std::string authorities;  // PEM text, as read_authorities has it, to trust besides the system's
};

// The text of a file of certificates in PEM, of at least one authority.
[[nodiscard]] Result<std::string> read_authorities(const std::string& path);

class HttpClient {
 public:
  HttpClient(const Clock& clock, HttpSettings settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Asked with a call's tag as the last thing before its first byte: what it says is why the call
  // must not leave.  It ends as `refused` then, with sends 0.  Called on the thread of start, step
  // and wait; before the first start.
  void set_guard(std::function<std::string(std::uint64_t tag)> guard);

  // Requires in_flight() < calls_max.  Bytes may leave at once, or at a later step or wait.
  void start(HttpCall call);
  // Moves bytes without waiting, and appends the calls that have ended.
  void step(std::vector<HttpEnd>& ended);
  // Sleeps until something moves, wake() is called, or `limit` is over.
  void wait(Millis limit);
  void wake();
  [[nodiscard]] int in_flight() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vouch::wire
