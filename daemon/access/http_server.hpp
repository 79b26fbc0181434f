// http_server.hpp: an HTTP/1.1 server on one thread.  It knows nothing of vouchers: vouchd's
// listeners and the sandbox both stand on it.
//
// Keep-alive, and pipelining with the answers in order: a connection's next request is handed out
// when the one before has been answered.  Parsing is strict (Boost.Beast 1.81, which only the .cpp
// files know).  An answer is one buffer and, as long as the peer keeps up, one write.
//
// Two ways to answer.  serve() takes a function from request to response.  serve_later() takes a
// function that is given a ticket and may answer now or in any later round: with a response, or
// with bytes of its own (an event stream; the sandbox's half answers).
//
// The loop is run_once(): wait, handle all that is ready, then call the round hook once.  What the
// hook does is done for everything that came in together: the sandbox syncs its journal there and
// only then answers.
//
// Threads: all calls on the thread that runs the server (or before it runs), except stop() and
// wake(), which any thread may call.
// Errors:  listening fails with Errc::unavailable or Errc::invalid.  What a peer does wrong is
//          answered by the server itself (400, 408, 413, 431) and ends the connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "daemon/access/http_message.hpp"

namespace vouch::access {

struct HttpLimits {
  std::size_t header_bytes_max = 16 * 1024;     // more is answered 431
  std::size_t body_bytes_max = 1024 * 1024;     // more is answered 413
  std::size_t connections_max = 1024;           // more wait in the listen queue until one closes
  Millis idle_max = std::chrono::seconds{60};   // between requests; then closed without a word
  Millis read_max = std::chrono::seconds{10};   // from a request's first byte to its last: 408
  Millis write_max = std::chrono::seconds{10};  // a peer that does not take its answer is reset
};

struct HttpCounters {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_open = 0;
  std::uint64_t requests = 0;          // handed to the handler
  std::uint64_t requests_refused = 0;  // answered by the server itself with 4xx or 5xx
  std::uint64_t handler_failures = 0;  // an exception, or a response that could not be rendered
};

// Names one request that has not been answered yet.  It stays harmless when the peer goes away:
// answering it then does nothing.
struct HttpTicket {
  std::uint64_t connection = 0;
  std::uint64_t sequence = 0;
};

enum class ConnectionEnd : std::uint8_t {
  fin,    // what was written arrives, then the end of the stream
  reset,  // RST: what the peer has not received yet is lost
};

using ListenerId = std::size_t;

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;
  using LaterHandler = std::function<void(const HttpRequest&, HttpTicket)>;
  // Called once a round; returns when it wants to be called again although nothing comes in.
  using RoundHook = std::function<Instant(Instant now)>;
  // Given what went wrong inside (a handler's exception); a peer's mistakes are not reported.
  using Report = std::function<void(std::string_view)>;

  explicit HttpServer(const Clock& clock, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void serve(Handler handler);
  void serve_later(LaterHandler handler);
  void on_round(RoundHook hook);
  void on_report(Report report);

  // `address` is a numeric IPv4 or IPv6 address; port 0 lets the system choose.
  [[nodiscard]] Result<ListenerId> listen_tcp(const std::string& address, std::uint16_t port);
  // Replaces a socket that nobody listens on any more.  `mode` as chmod takes it.
  [[nodiscard]] Result<ListenerId> listen_unix(const std::string& path, std::uint32_t mode);
  [[nodiscard]] std::uint16_t port_of(ListenerId listener) const;
  // For TCP.  While suspended, connecting is refused and what stood in the listen queue is reset.
  // The port stays bound, so that the system gives it to nobody else.  Open connections live on.
  [[nodiscard]] Result<void> suspend_listener(ListenerId listener);
  [[nodiscard]] Result<void> resume_listener(ListenerId listener);

  // Answers a request of serve_later.
  void reply(HttpTicket ticket, const HttpResponse& response);
  // Part of an answer as bytes on the wire; the request stays open until end_reply or end.  False
  // when the peer is gone or has left more than `kUnsentBytesMax` untaken.
  bool reply_part(HttpTicket ticket, std::string_view bytes);
  // Bytes of parts that the peer has not taken yet.
  [[nodiscard]] std::size_t unsent_bytes(HttpTicket ticket) const;
  // All parts are given: the connection is ready for its next request.
  void end_reply(HttpTicket ticket);
  // Ends the connection, whether or not anything was answered.
  void end(HttpTicket ticket, ConnectionEnd how);
  // No answer will ever come: the connection stays until the peer ends it or stop().
  void abandon(HttpTicket ticket);
  // True while the request waits for its answer and the peer has not ended the connection.
  [[nodiscard]] bool is_open(HttpTicket ticket) const;

  // One round; waits `wait_max` at most.
  void run_once(Nanos wait_max);
  // Rounds until stop(); then closes all listeners and connections.
  void run();
  void stop();
  void wake();

  [[nodiscard]] HttpCounters counters() const;

  static constexpr std::size_t kUnsentBytesMax = 4 * 1024 * 1024;

  struct State;  // for the .cpp alone

 private:
  std::unique_ptr<State> state_;
};

}  // namespace vouch::access
