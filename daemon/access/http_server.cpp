#include "daemon/access/http_server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "daemon/access/http_connection.hpp"
#include "daemon/access/listening_socket.hpp"

namespace vouch::access {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Handlers run in one round, so that the round hook is never put off for long.
constexpr int kRoundEventsMax = 1024;
constexpr Millis kSweepEvery{500};

}  // namespace

struct Listener {
  Listener(asio::io_context& io, BoundSocket bound)
      : family{bound.family},
        port{bound.port},
        address{std::move(bound.address)},
        descriptor{io.get_executor(), bound.release()} {}

  int family;
  std::uint16_t port;
  std::string address;
  asio::posix::basic_stream_descriptor<asio::io_context::executor_type> descriptor;
  bool suspended = false;
  bool waiting = false;  // an async_wait is under way
};

struct HttpServer::State : ConnectionHost {
  using ConnectionHost::ConnectionHost;

  // The hint tells Asio that one thread runs the loop; posting from others stays safe.
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>,
                             asio::io_context::executor_type>
      timer{io.get_executor()};
  std::vector<std::unique_ptr<Listener>> listeners;
  std::uint64_t connection_last = 0;
  RoundHook hook;
  Instant hook_due{};  // the first round calls it
  Instant sweep_due{};

  Connection* find(HttpTicket ticket) {
    const auto found = connections.find(ticket.connection);
    if (found == connections.end() || !found->second->awaits(ticket.sequence)) return nullptr;
    return found->second.get();
  }
  Result<ListenerId> open_listener(BoundSocket socket);
  void await_connections(Listener& listener);
  void accept(Listener& listener);
  bool accept_one(Listener& listener);
  void wait(Nanos wait_max);
  int handle_ready();
  void sweep();
  void close_all();
};

Result<ListenerId> HttpServer::State::open_listener(BoundSocket socket) {
  VOUCH_CHECK(start_listening(socket.fd(), socket.address));
  listeners.push_back(std::make_unique<Listener>(io, std::move(socket)));
  await_connections(*listeners.back());
  return listeners.size() - 1;
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
// and the end of the next round looks again.
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
  const int on = 1;  // has no effect on a Unix socket
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Socket socket{io.get_executor()};
  error_code error;
  socket.assign(asio::generic::stream_protocol{listener.family, 0}, fd, error);
  VOUCH_ASSERT(!error);
  socket.non_blocking(true, error);
  const std::uint64_t id = ++connection_last;
  ++counters.connections_accepted;
  const auto peer = listener.family == AF_UNIX ? peer_uid_of(fd) : std::nullopt;
  auto connection = std::make_shared<Connection>(*this, std::move(socket), id, peer);
  connections.emplace(id, connection);
  connection->start();
  return true;
}

// Nothing is ready: sleeps until something is, the wait is over or another thread wakes us.
void HttpServer::State::wait(Nanos wait_max) {
  if (wait_max <= Nanos::zero()) return;
  timer.expires_after(wait_max);
  timer.async_wait([](const error_code&) {});
  io.run_one();
  timer.cancel();
}

int HttpServer::State::handle_ready() {
  int events = 0;
  while (events < kRoundEventsMax && io.poll_one() > 0) ++events;
  return events;
}

void HttpServer::State::sweep() {
  for (const auto& listener : listeners) {
    if (!listener->suspended && !listener->waiting) accept(*listener);
  }
  if (now < sweep_due) return;
  sweep_due = now + kSweepEvery;
  std::vector<std::shared_ptr<Connection>> all;  // ending one changes the map
  all.reserve(connections.size());
  for (const auto& [id, connection] : connections) all.push_back(connection);
  for (const auto& connection : all) connection->sweep(now);
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
  VOUCH_TRY(BoundSocket socket, bind_tcp(address, port));
  return state_->open_listener(std::move(socket));
}

Result<ListenerId> HttpServer::listen_unix(const std::string& path, std::uint32_t mode) {
  VOUCH_TRY(BoundSocket socket, bind_unix(path, mode));
  return state_->open_listener(std::move(socket));
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
  VOUCH_TRY(BoundSocket socket, bind_tcp(chosen.address, chosen.port));
  chosen.descriptor.assign(socket.release(), ignored);
  return {};
}

Result<void> HttpServer::resume_listener(ListenerId listener) {
  Listener& chosen = *state_->listeners.at(listener);
  if (!chosen.suspended) return {};
  VOUCH_CHECK(start_listening(chosen.descriptor.native_handle(), chosen.address));
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

std::size_t HttpServer::unsent_bytes(HttpTicket ticket) const {
  const Connection* connection = state_->find(ticket);
  return connection == nullptr ? 0 : connection->unsent_bytes();
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
  if (state.handle_ready() == 0 && !state.stopping) {
    state.wait(std::min<Nanos>(wait_max, due - state.now));
    state.now = state.clock.now();
    state.handle_ready();
  }
  const std::uint64_t requests = state.counters.requests;
  state.hook_due = state.hook ? state.hook(state.now) : kNever;
  // An answer given in the hook lets the next pipelined request through: no waiting for that one.
  if (state.counters.requests != requests) state.hook_due = state.now;
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
