#include "daemon/access/http_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <unordered_map>

namespace vouch::access {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

using Socket =
    asio::basic_stream_socket<asio::generic::stream_protocol, asio::io_context::executor_type>;
using Parser = http::request_parser<http::string_body>;

constexpr std::size_t kReadBytes = 16 * 1024;
// Requests sent ahead of their turn wait in the connection's buffer up to here, then in the kernel.
constexpr std::size_t kPipelinedBytesMax = 64 * 1024;
// Handlers run in one round, so that the round hook is never put off for long.
constexpr int kRoundEventsMax = 1024;
constexpr int kListenQueue = 1024;
constexpr Millis kSweepEvery{200};
// How long a connection that we refuse stays to let the peer read why.
constexpr Millis kLingerMax{1000};
constexpr Instant kNever = Instant::max();

std::string errno_text() {
  return std::strerror(errno);
}

void set_option(int fd, int level, int name, int value) {
  // Options of comfort only: a socket without them still works.
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

struct RefusedRequest {
  int status = 400;
  std::string detail;
};

// A socket bound to a TCP port, not listening yet.
Result<int> bind_tcp(const std::string& address, std::uint16_t port) {
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
  const auto* name =
      is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
  const socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
  const std::string where = address + " port " + std::to_string(port);

  const int fd = ::socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(Errc::unavailable, "listen on " + where + ": " + errno_text());
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!is_v4) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (::bind(fd, name, size) != 0) {
    const std::string why = errno_text();
    ::close(fd);
    return fail(Errc::unavailable, "listen on " + where + ": " + why,
                "choose another port, or stop what listens there");
  }
  return fd;
}

RefusedRequest refused(const error_code& error) {
  if (error == http::error::header_limit) return {431, "the header is too large"};
  if (error == http::error::body_limit) return {413, "the body is too large"};
  return {400, error.message()};
}

}  // namespace

struct Listener {
  asio::posix::basic_stream_descriptor<asio::io_context::executor_type> descriptor;
  int family = 0;
  std::uint16_t port = 0;
  std::string address;  // or the path of a Unix socket
  bool suspended = false;
  bool waiting = false;  // an async_wait is under way
};

// One peer.  Kept alive by the map of the server and by the operation under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpServer::State& server, Socket socket, std::uint64_t id)
      : server_{server}, socket_{std::move(socket)}, id_{id} {}

  void start();
  void answer(std::string bytes, bool close);
  bool write_part(std::string_view bytes);
  void finish_parts();
  void end(ConnectionEnd how);
  void abandon();
  void refuse(const RefusedRequest& refusal);
  void sweep(Instant now);
  [[nodiscard]] bool awaits(std::uint64_t sequence) const {
    return busy_ && sequence == sequence_ && !closed_;
  }
  [[nodiscard]] bool peer_ended() const { return peer_ended_; }
  [[nodiscard]] HttpFraming framing() const;

 private:
  void read();
  void on_read(const error_code& error, std::size_t bytes);
  void pump();
  bool parse_one();
  void hand_over();
  void flush();
  void written();
  void linger();
  void expect_request();

  HttpServer::State& server_;
  Socket socket_;
  std::uint64_t id_;
  std::uint64_t sequence_ = 0;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::string unsent_;
  std::size_t sent_ = 0;
  Instant deadline_ = kNever;
  bool between_requests_ = true;
  bool reading_ = false;    // a read is under way
  bool writing_ = false;    // a wait for room to write is under way
  bool busy_ = false;       // a request was handed out and is not answered
  bool answered_ = false;   // its last byte is in unsent_
  bool pumping_ = false;    // pump() is on the stack: an answer given inside must not nest it
  bool keep_alive_ = true;  // as the request asked
  bool is_head_ = false;
  bool is_http_1_0_ = false;
  bool continued_ = false;   // "100 Continue" was sent for this request
  bool peer_ended_ = false;  // the peer sent its FIN
  bool abandoned_ = false;   // see HttpServer::abandon
  bool lingering_ = false;   // we are done and read only to throw away
  bool closed_ = false;
};

struct HttpServer::State {
  State(const Clock& the_clock, HttpLimits the_limits) : clock{the_clock}, limits{the_limits} {}

  const Clock& clock;
  HttpLimits limits;
  // The hint tells Asio that one thread runs the loop; posting from others stays safe.
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>,
                             asio::io_context::executor_type>
      timer{io.get_executor()};
  std::vector<std::unique_ptr<Listener>> listeners;
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections;
  std::uint64_t connection_last = 0;
  LaterHandler handler;
  RoundHook hook;
  Report report;
  HttpCounters counters;
  std::atomic<bool> stopping{false};
  Instant now{};
  Instant hook_due{};  // the first round calls it
  Instant sweep_due{};
  std::string date;
  std::int64_t date_second = -1;
  std::vector<HttpHeaderView> header_views;  // of the request being handed over

  Connection* find(HttpTicket ticket) {
    const auto found = connections.find(ticket.connection);
    if (found == connections.end() || !found->second->awaits(ticket.sequence)) return nullptr;
    return found->second.get();
  }
  void failed(std::string_view what) {
    ++counters.handler_failures;
    if (report) report(what);
  }
  void open_listener(int fd, int family, std::uint16_t port, std::string address);
  void await_connections(Listener& listener);
  void accept(Listener& listener);
  bool accept_one(Listener& listener);
  void forget(std::uint64_t id);
  void wait(Nanos wait_max);
  void sweep();
  void close_all();
  std::string_view http_date();
};

void Connection::start() {
  expect_request();
  read();
}

HttpFraming Connection::framing() const {
  return {.date = server_.http_date(),
          .with_body = !is_head_,
          .keep_alive = keep_alive_ && !peer_ended_ && !server_.stopping,
          .http_1_0 = is_http_1_0_};
}

void Connection::expect_request() {
  busy_ = false;
  answered_ = false;
  continued_ = false;
  between_requests_ = true;  // the parser stays: the handler may still look at its request
  deadline_ = server_.now + server_.limits.idle_max;
}

// A read is always under way, also while a request waits for its answer: so a peer that goes away
// is noticed.  Too much sent ahead stops it until the answer is out.
void Connection::read() {
  if (reading_ || closed_ || peer_ended_) return;
  if (busy_ && !abandoned_ && buffer_.size() >= kPipelinedBytesMax) return;
  reading_ = true;
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            self->on_read(error, bytes);
                          });
}

void Connection::on_read(const error_code& error, std::size_t bytes) {
  reading_ = false;
  if (closed_) return;
  if (error) {
    peer_ended_ = error == asio::error::eof;
    // Half closed: a peer may end its side and still read the answer to what it sent.
    const bool answer_to_come = busy_ && !abandoned_ && !lingering_;
    if (!peer_ended_ || !answer_to_come) end(ConnectionEnd::fin);
    return;
  }
  buffer_.commit(bytes);
  if (abandoned_ || lingering_) buffer_.consume(buffer_.size());
  pump();
  read();
}

// Hands out what has arrived, one request at a time.
void Connection::pump() {
  if (pumping_) return;
  const auto self = shared_from_this();
  pumping_ = true;
  while (!busy_ && !closed_ && !lingering_ && buffer_.size() > 0 && parse_one()) hand_over();
  pumping_ = false;
}

// True when a request is complete in parser_.
bool Connection::parse_one() {
  if (between_requests_) {
    between_requests_ = false;
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(static_cast<std::uint32_t>(server_.limits.header_bytes_max));
    parser_->body_limit(server_.limits.body_bytes_max);
    deadline_ = server_.now + server_.limits.read_max;
  }
  error_code error;
  buffer_.consume(parser_->put(buffer_.data(), error));
  if (error && error != http::error::need_more) {
    refuse(refused(error));
    return false;
  }
  if (parser_->is_done()) return true;
  if (parser_->is_header_done() && !continued_) {
    continued_ = true;
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
      unsent_ += "HTTP/1.1 100 Continue\r\n\r\n";
      flush();
    }
  }
  return false;
}

void Connection::hand_over() {
  const auto& message = parser_->get();
  keep_alive_ = message.keep_alive();
  is_http_1_0_ = message.version() == 10;
  is_head_ = message.method() == http::verb::head;
  const std::string_view target{message.target().data(), message.target().size()};
  if (target.empty() || target.front() != '/' || target.find('#') != std::string_view::npos) {
    return refuse({400, "the target must be a path"});
  }
  if (!is_http_1_0_ && message.count(http::field::host) != 1) {
    return refuse({400, "exactly one Host header is needed"});
  }
  server_.header_views.clear();
  for (const auto& field : message) {
    server_.header_views.push_back({{field.name_string().data(), field.name_string().size()},
                                    {field.value().data(), field.value().size()}});
  }
  const auto mark = target.find('?');
  HttpRequest request;
  request.method = {message.method_string().data(), message.method_string().size()};
  request.path = target.substr(0, mark);
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  request.body = message.body();
  request.headers = server_.header_views;
  request.connection = id_;
  request.sequence = ++sequence_;
  busy_ = true;
  deadline_ = kNever;  // how long an answer takes is the handler's affair
  ++server_.counters.requests;
  const HttpTicket ticket{id_, sequence_};
  try {
    server_.handler(request, ticket);
  } catch (const std::exception& error) {
    server_.failed(error.what());
    if (awaits(ticket.sequence)) {
      const auto bytes = render(HttpResponse::problem(500, "internal error"), framing());
      answer(*bytes, true);
    }
  }
}

void Connection::refuse(const RefusedRequest& refusal) {
  ++server_.counters.requests_refused;
  keep_alive_ = false;
  const auto bytes = render(HttpResponse::problem(refusal.status, refusal.detail), framing());
  VOUCH_ASSERT(bytes.has_value());
  busy_ = true;
  answer(*bytes, true);
}

void Connection::answer(std::string bytes, bool close) {
  if (close) keep_alive_ = false;
  if (unsent_.empty()) {
    unsent_ = std::move(bytes);
  } else {
    unsent_ += bytes;
  }
  answered_ = true;
  flush();
}

bool Connection::write_part(std::string_view bytes) {
  if (closed_ || unsent_.size() - sent_ > HttpServer::kUnsentBytesMax) return false;
  unsent_ += bytes;
  flush();
  return !closed_;
}

void Connection::finish_parts() {
  answered_ = true;
  flush();
}

void Connection::flush() {
  if (writing_ || closed_) return;
  while (sent_ < unsent_.size()) {
    error_code error;
    sent_ +=
        socket_.write_some(asio::buffer(unsent_.data() + sent_, unsent_.size() - sent_), error);
    if (error == asio::error::would_block) {
      writing_ = true;
      deadline_ = server_.now + server_.limits.write_max;
      socket_.async_wait(Socket::wait_write,
                         [self = shared_from_this()](const error_code& failure) {
                           self->writing_ = false;
                           if (!failure) self->flush();
                         });
      return;
    }
    if (error) return end(ConnectionEnd::fin);  // the peer has gone; nobody is left to be told
  }
  unsent_.clear();
  sent_ = 0;
  written();
}

// Everything given so far is with the kernel.
void Connection::written() {
  if (!answered_) {
    if (busy_) deadline_ = kNever;
    return;
  }
  if (!keep_alive_ || peer_ended_ || server_.stopping) return linger();
  expect_request();
  pump();
  read();
}

// Closing a socket with unread bytes in it sends a reset, which can overtake the answer.  So our
// side is ended first and the peer's bytes are thrown away until its own end, or for a while.
void Connection::linger() {
  if (peer_ended_) return end(ConnectionEnd::fin);
  lingering_ = true;
  busy_ = false;
  error_code ignored;  // a peer that has gone is what we are waiting for
  socket_.shutdown(Socket::shutdown_send, ignored);
  buffer_.consume(buffer_.size());
  deadline_ = server_.now + kLingerMax;
  read();
}

void Connection::end(ConnectionEnd how) {
  if (closed_) return;
  closed_ = true;
  const auto self = shared_from_this();
  if (how == ConnectionEnd::reset) {
    const ::linger at_once{1, 0};
    (void)setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  error_code ignored;  // the descriptor is gone either way
  socket_.close(ignored);
  server_.forget(id_);
}

void Connection::abandon() {
  abandoned_ = true;
  buffer_.consume(buffer_.size());
  if (peer_ended_) return end(ConnectionEnd::fin);
  read();
}

void Connection::sweep(Instant now) {
  if (now < deadline_ || closed_) return;
  if (writing_) return end(ConnectionEnd::reset);
  if (!lingering_ && !between_requests_) return refuse({408, "the request did not arrive in time"});
  end(ConnectionEnd::fin);
}

void HttpServer::State::open_listener(int fd, int family, std::uint16_t port, std::string address) {
  listeners.push_back(std::make_unique<Listener>(
      Listener{{io.get_executor(), fd}, family, port, std::move(address)}));
  await_connections(*listeners.back());
}

void HttpServer::State::await_connections(Listener& listener) {
  if (listener.waiting || listener.suspended) return;
  listener.waiting = true;
  listener.descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                 [this, &listener](const error_code& error) {
                                   listener.waiting = false;
                                   if (!error && !listener.suspended) accept(listener);
                                 });
}

// Takes what stands in the queue.  At the limit, or when descriptors run out, the rest stays there
// and sweep() looks again.
void HttpServer::State::accept(Listener& listener) {
  while (connections.size() < limits.connections_max) {
    if (accept_one(listener)) continue;
    const int why = errno;
    if (why == EINTR || why == ECONNABORTED) continue;
    if (why == EAGAIN || why == EWOULDBLOCK) await_connections(listener);
    return;
  }
}

bool HttpServer::State::accept_one(Listener& listener) {
  const int fd = ::accept4(listener.descriptor.native_handle(), nullptr, nullptr,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return false;
  if (listener.family != AF_UNIX) set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  Socket socket{io.get_executor()};
  error_code error;
  socket.assign(asio::generic::stream_protocol{listener.family, 0}, fd, error);
  VOUCH_ASSERT(!error);
  socket.non_blocking(true, error);
  const std::uint64_t id = ++connection_last;
  ++counters.connections_accepted;
  auto connection = std::make_shared<Connection>(*this, std::move(socket), id);
  connections.emplace(id, connection);
  connection->start();
  return true;
}

void HttpServer::State::forget(std::uint64_t id) {
  connections.erase(id);
}

std::string_view HttpServer::State::http_date() {
  const WallTime wall = clock.wall_now();
  const std::int64_t second = to_ms(wall) / 1000;
  if (second != date_second) {
    date = format_http_date(wall);
    date_second = second;
  }
  return date;
}

// Nothing is ready: sleeps until something is, the wait is over or another thread wakes us.
void HttpServer::State::wait(Nanos wait_max) {
  if (wait_max <= Nanos::zero()) return;
  timer.expires_after(wait_max);
  timer.async_wait([](const error_code&) {});
  io.run_one();
  timer.cancel();
}

void HttpServer::State::sweep() {
  if (now < sweep_due) return;
  sweep_due = now + kSweepEvery;
  std::vector<std::shared_ptr<Connection>> all;  // ending one changes the map
  all.reserve(connections.size());
  for (const auto& [id, connection] : connections) all.push_back(connection);
  for (const auto& connection : all) connection->sweep(now);
  for (const auto& listener : listeners) {
    if (!listener->suspended && !listener->waiting) accept(*listener);
  }
}

void HttpServer::State::close_all() {
  for (const auto& listener : listeners) {
    error_code ignored;
    listener->descriptor.close(ignored);
    if (listener->family == AF_UNIX) (void)::unlink(listener->address.c_str());
  }
  while (!connections.empty()) {
    const auto connection = connections.begin()->second;
    connection->end(ConnectionEnd::fin);
  }
  // What was under way ends with operation_aborted, and with it the last references.
  while (io.poll() > 0) {
  }
}

HttpServer::HttpServer(const Clock& clock, HttpLimits limits)
    : state_{std::make_unique<State>(clock, limits)} {
  state_->now = clock.now();
  serve([](const HttpRequest&) { return HttpResponse::problem(404, "nothing is served here"); });
}

HttpServer::~HttpServer() {
  state_->close_all();
}

void HttpServer::serve(Handler handler) {
  state_->handler = [this, handler = std::move(handler)](const HttpRequest& request,
                                                         HttpTicket ticket) {
    reply(ticket, handler(request));
  };
}

void HttpServer::serve_later(LaterHandler handler) {
  state_->handler = std::move(handler);
}
void HttpServer::on_round(RoundHook hook) {
  state_->hook = std::move(hook);
}
void HttpServer::on_report(Report report) {
  state_->report = std::move(report);
}

Result<ListenerId> HttpServer::listen_tcp(const std::string& address, std::uint16_t port) {
  VOUCH_TRY(const int fd, bind_tcp(address, port));
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::listen(fd, kListenQueue) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    const std::string why = errno_text();
    ::close(fd);
    return fail(Errc::unavailable,
                "listen on " + address + " port " + std::to_string(port) + ": " + why);
  }
  // The port stands at the same place in both families.
  const std::uint16_t chosen = ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  state_->open_listener(fd, bound.ss_family, chosen, address);
  return state_->listeners.size() - 1;
}

Result<ListenerId> HttpServer::listen_unix(const std::string& path, std::uint32_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid, "socket path " + path + ": must have 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* bound = reinterpret_cast<const sockaddr*>(&address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(Errc::unavailable, "listen on " + path + ": " + errno_text());

  int failed = ::bind(fd, bound, sizeof address);
  if (failed != 0 && errno == EADDRINUSE) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const bool dead = ::connect(probe, bound, sizeof address) != 0 && errno == ECONNREFUSED;
    ::close(probe);
    if (dead && ::unlink(path.c_str()) == 0) failed = ::bind(fd, bound, sizeof address);
    errno = failed != 0 ? EADDRINUSE : 0;
  }
  if (failed != 0 || ::chmod(path.c_str(), mode) != 0 || ::listen(fd, kListenQueue) != 0) {
    const std::string why = errno_text();
    ::close(fd);
    return fail(Errc::unavailable, "listen on " + path + ": " + why);
  }
  state_->open_listener(fd, AF_UNIX, 0, path);
  return state_->listeners.size() - 1;
}

std::uint16_t HttpServer::port_of(ListenerId listener) const {
  return state_->listeners.at(listener)->port;
}

// The listening socket is closed and its port bound again at once, without listening: connecting
// is refused, and the system gives the port to nobody else meanwhile.
Result<void> HttpServer::suspend_listener(ListenerId listener) {
  Listener& chosen = *state_->listeners.at(listener);
  if (chosen.suspended) return {};
  chosen.suspended = true;
  error_code ignored;  // the descriptor is gone either way
  chosen.descriptor.close(ignored);
  VOUCH_TRY(const int fd, bind_tcp(chosen.address, chosen.port));
  chosen.descriptor.assign(fd, ignored);
  return {};
}

Result<void> HttpServer::resume_listener(ListenerId listener) {
  Listener& chosen = *state_->listeners.at(listener);
  if (!chosen.suspended) return {};
  if (::listen(chosen.descriptor.native_handle(), kListenQueue) != 0) {
    return fail(Errc::unavailable,
                "listen again on port " + std::to_string(chosen.port) + ": " + errno_text());
  }
  chosen.suspended = false;
  state_->await_connections(chosen);
  return {};
}

void HttpServer::reply(HttpTicket ticket, const HttpResponse& response) {
  Connection* connection = state_->find(ticket);
  if (connection == nullptr) return;
  HttpFraming framing = connection->framing();
  if (response.close) framing.keep_alive = false;
  auto bytes = render(response, framing);
  if (!bytes) {
    state_->failed(bytes.error().message);
    framing.keep_alive = false;
    bytes = render(HttpResponse::problem(500, "internal error"), framing);
    VOUCH_ASSERT(bytes.has_value());
  }
  connection->answer(std::move(*bytes), !framing.keep_alive);
}

bool HttpServer::reply_part(HttpTicket ticket, std::string_view bytes) {
  Connection* connection = state_->find(ticket);
  return connection != nullptr && connection->write_part(bytes);
}

void HttpServer::end_reply(HttpTicket ticket) {
  if (Connection* connection = state_->find(ticket)) connection->finish_parts();
}

void HttpServer::end(HttpTicket ticket, ConnectionEnd how) {
  if (Connection* connection = state_->find(ticket)) connection->end(how);
}

void HttpServer::abandon(HttpTicket ticket) {
  if (Connection* connection = state_->find(ticket)) connection->abandon();
}

bool HttpServer::is_open(HttpTicket ticket) const {
  const Connection* connection = state_->find(ticket);
  return connection != nullptr && !connection->peer_ended();
}

void HttpServer::run_once(Nanos wait_max) {
  State& state = *state_;
  state.now = state.clock.now();
  const Instant due = std::min(state.hook_due, state.sweep_due);
  int events = 0;
  while (events < kRoundEventsMax && state.io.poll_one() > 0) ++events;
  if (events == 0 && !state.stopping) {
    state.wait(std::min<Nanos>(wait_max, due - state.now));
    state.now = state.clock.now();
    while (events < kRoundEventsMax && state.io.poll_one() > 0) ++events;
  }
  state.hook_due = state.hook ? state.hook(state.now) : kNever;
  state.sweep();
}

void HttpServer::run() {
  while (!state_->stopping) run_once(std::chrono::hours{1});
  state_->close_all();
}

void HttpServer::stop() {
  state_->stopping = true;
  wake();
}

void HttpServer::wake() {
  asio::post(state_->io, [] {});
}

HttpCounters HttpServer::counters() const {
  HttpCounters counters = state_->counters;
  counters.connections_open = state_->connections.size();
  return counters;
}

}  // namespace vouch::access
