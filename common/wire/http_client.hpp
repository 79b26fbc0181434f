// http_client.hpp: many HTTP calls at once; with http_client.cpp the only code that knows libcurl.
//
// No policy: it sends what it is given, once, and says how that ended.  "Once" needs a guard:
// libcurl re-sends a POST by itself when a reused connection dies before an answer came, and the
// server has then executed twice.  The guard counts every send of a call and stops the second
// (CURLOPT_PREREQFUNCTION, called between connect and the first byte); `sends` tells the caller.
//
// Threads: one HttpClient per thread; wake() may be called from any.
// Units:   times in milliseconds, durations in microseconds.
// Errors:  a call that fails is an HttpEnd with `transport` other than 0, never a Result.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"

namespace vouch::wire {

struct HttpCall {
  std::uint64_t tag = 0;  // comes back with the end
  bool get = false;       // GET instead of POST
  std::string url;
  std::vector<std::string> headers;  // "Name: value", without control bytes
  std::string body;
  Millis connect_timeout{2'000};
  Millis timeout{10'000};
  bool fresh_connection = false;  // never reuse one, so that libcurl cannot re-send
  bool http_allowed = false;      // else https only
  std::string address_allow;      // CIDR of the peer; empty: any
};

// What kept a call from a complete answer, as far as the protocol cares.
enum class Transport : std::uint8_t {
  complete,     // an answer was read to its end
  unreachable,  // name, route or port: no connection came about
  tls,          // the handshake failed, or the certificate is wrong
  timed_out,
  broken,  // reset, closed, partial, too large, not HTTP
  guard,   // stopped by the guard: a second send, or a peer address not allowed
};

struct HttpEnd {
  std::uint64_t tag = 0;
  Transport transport = Transport::complete;
  int curl_code = 0;  // libcurl's own number, for people
  int status = 0;     // 0 when no status line was read
  int sends = 0;      // how often the guard fired: above 1, a re-send was stopped
  std::string body;   // decoded reply, at most kReplyBytesMax
  std::string content_type;
  std::string retry_after;  // header's value on 429 and 503, else empty
  std::string detail;       // libcurl's words when it failed
  std::int64_t duration_us = 0;
};
inline constexpr std::size_t kReplyBytesMax = 1 << 20;

class HttpClient {
 public:
  // `calls_max` calls may be out at once; handles are made as they are needed and kept.
  explicit HttpClient(int calls_max);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Requires in_flight() < calls_max.  Bytes may leave at the next step or wait.
  void start(HttpCall call);
  // Moves bytes without waiting, and appends the calls that have ended.
  void step(std::vector<HttpEnd>& ended);
  // Sleeps until bytes arrive, wake() is called, or `limit` is over.
  void wait(Millis limit);
  void wake();
  [[nodiscard]] int in_flight() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vouch::wire
