#include "daemon/access/http_connection.hpp"

#include <sys/socket.h>

#include <exception>

namespace vouch::access {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
// Requests sent ahead of their turn wait in the connection's buffer up to here, then in the kernel.
constexpr std::size_t kPipelinedBytesMax = 64 * 1024;
// How long a connection that we refuse stays to let the peer read why.
constexpr Millis kLingerMax{1000};

RefusedRequest refused(const error_code& error) {
  if (error == http::error::header_limit) return {431, "the header is too large"};
  if (error == http::error::body_limit) return {413, "the body is too large"};
  return {400, error.message()};
}

}  // namespace

std::string_view ConnectionHost::http_date() {
  const WallTime wall = clock.wall_now();
  const std::int64_t second = to_ms(wall) / 1000;
  if (second != date_second_) {
    date_ = format_http_date(wall);
    date_second_ = second;
  }
  return date_;
}

void ConnectionHost::failed(std::string_view what) {
  ++counters.handler_failures;
  if (report) report(what);
}

void Connection::start() {
  expect_request();
  read();
}

HttpFraming Connection::framing() const {
  return {.date = host_.http_date(),
          .with_body = !is_head_,
          .keep_alive = keep_alive_ && !peer_ended_ && !host_.stopping,
          .http_1_0 = is_http_1_0_};
}

void Connection::expect_request() {
  busy_ = false;
  answered_ = false;
  continued_ = false;
  between_requests_ = true;  // the parser stays: the handler may still look at its request
  deadline_ = host_.now + host_.limits.idle_max;
}

// A read is always under way, also while a request waits for its answer: so a peer that goes away
// is noticed.  Too much sent ahead stops it until the answer is out.
void Connection::read() {
  if (reading_ || closed_ || peer_ended_) return;
  if (busy_ && !abandoned_ && buffer_.size() >= kPipelinedBytesMax) return;
  reading_ = true;
  incoming_.resize(kReadBytes);
  socket_.async_read_some(asio::buffer(incoming_),
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
  if (!abandoned_ && !lingering_) {
    buffer_.commit(asio::buffer_copy(buffer_.prepare(bytes), asio::buffer(incoming_, bytes)));
  }
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
    parser_->header_limit(static_cast<std::uint32_t>(host_.limits.header_bytes_max));
    parser_->body_limit(host_.limits.body_bytes_max);
    deadline_ = host_.now + host_.limits.read_max;
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
  host_.header_views.clear();
  for (const auto& field : message) {
    host_.header_views.push_back({{field.name_string().data(), field.name_string().size()},
                                  {field.value().data(), field.value().size()}});
  }
  const auto mark = target.find('?');
  HttpRequest request;
  request.method = {message.method_string().data(), message.method_string().size()};
  request.path = target.substr(0, mark);
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  request.body = message.body();
  request.headers = host_.header_views;
  request.connection = id_;
  request.sequence = ++sequence_;
  request.peer_uid = peer_uid_;
  busy_ = true;
  deadline_ = kNever;  // how long an answer takes is the handler's affair
  ++host_.counters.requests;
  const HttpTicket ticket{id_, sequence_};
  try {
    host_.handler(request, ticket);
  } catch (const std::exception& error) {
    host_.failed(error.what());
    if (awaits(ticket.sequence)) {
      const auto bytes = render(HttpResponse::problem(500, "internal error"), framing());
      answer(*bytes, true);
    }
  }
}

void Connection::refuse(const RefusedRequest& refusal) {
  ++host_.counters.requests_refused;
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
  const auto self = shared_from_this();  // the peer may have gone, and this with it
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
  const auto self = shared_from_this();
  while (sent_ < unsent_.size()) {
    error_code error;
    sent_ +=
        socket_.write_some(asio::buffer(unsent_.data() + sent_, unsent_.size() - sent_), error);
    if (error == asio::error::would_block) {
      writing_ = true;
      deadline_ = host_.now + host_.limits.write_max;
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
  if (!keep_alive_ || peer_ended_ || host_.stopping) return linger();
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
  deadline_ = host_.now + kLingerMax;
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
  host_.connections.erase(id_);
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

}  // namespace vouch::access
