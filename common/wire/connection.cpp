#include "common/wire/connection.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <utility>

namespace vouch::wire {
namespace {

using asio::ip::tcp;

constexpr std::size_t kReadBytes = 4096;  // our replies are a few hundred bytes

bool is_certificate_error(const error_code& error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) ==
             SSL_R_CERTIFICATE_VERIFY_FAILED;
}

}  // namespace

Connection::Connection(asio::io_context& io, asio::ssl::context& trust, Origin& origin,
                       ConnectionUser& user)
    : trust_{trust}, socket_{io}, origin_{origin}, user_{user}, in_(kReadBytes) {}

void Connection::open() {
  origin_.look_up([self = shared_from_this()](const error_code& error) {
    if (self->is_closed_) return;
    if (error) return self->lose(Transport::unreachable, error);
    self->addresses_ = self->origin_.addresses();
    self->connect(0);
  });
}

// One address after the other, as the resolver has sorted them.
void Connection::connect(std::size_t nth) {
  nth_ = nth;
  error_code error;
  socket_.close(error);
  const auto protocol = addresses_[nth].protocol();
  // Asio would open it without SOCK_CLOEXEC, and a program that is started at this very moment
  // would keep the connection open.
  const int fd = ::socket(protocol.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return connect_next({errno, boost::system::system_category()});
  socket_.assign(protocol, fd, error);
  if (error) {
    ::close(fd);
    return connect_next(error);
  }
  socket_.async_connect(addresses_[nth], [self = shared_from_this()](const error_code& failed) {
    if (self->is_closed_) return;
    if (failed) return self->connect_next(failed);
    if (self->is_itself()) return self->connect_next(asio::error::connection_refused);
    self->origin_.target().tls ? self->shake_hands() : self->become_open();
  });
}

// Also where the machine has no IPv6 and the name has.
void Connection::connect_next(const error_code& failed) {
  if (nth_ + 1 < addresses_.size()) return connect(nth_ + 1);
  origin_.forget();
  lose(Transport::unreachable, failed);
}

// Where nobody listens at a port of this machine, the kernel may choose that very port for our own
// end, and the socket is connected with itself: once in 30,000 attempts, measured.
bool Connection::is_itself() const {
  error_code error;
  const tcp::endpoint own = socket_.local_endpoint(error);
  return !error && own == socket_.remote_endpoint(error);
}

void Connection::shake_hands() {
  const std::string& host = origin_.target().host;
  tls_.emplace(socket_, trust_);
  tls_->set_verify_mode(asio::ssl::verify_peer);
  tls_->set_verify_callback(asio::ssl::host_name_verification{host});
  // Names only (RFC 6066, 3): there are servers that refuse an address here.
  error_code no_address;
  asio::ip::make_address(host, no_address);
  if (no_address) SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
  tls_->async_handshake(asio::ssl::stream_base::client,
                        [self = shared_from_this()](const error_code& error) {
                          if (self->is_closed_) return;
                          if (!error) return self->become_open();
                          if (!is_certificate_error(error))
                            return self->lose(Transport::tls, error);
                          self->lose(Transport::certificate, error, self->certificate_words());
                        });
}

std::string Connection::certificate_words() {
  const long result = SSL_get_verify_result(tls_->native_handle());
  // Our own check of the name leaves no code behind.
  const std::string why = result == X509_V_ERR_UNSPECIFIED
                              ? "it is not for " + origin_.target().host
                              : X509_verify_cert_error_string(result);
  return "a certificate that does not prove who it is: " + why;
}

void Connection::become_open() {
  error_code error;
  const tcp::endpoint peer = socket_.remote_endpoint(error);
  if (!error) peer_address_ = peer.address().to_string();
  if (!error) socket_.set_option(tcp::no_delay{true}, error);
  if (!error) socket_.non_blocking(true, error);
  if (error) return lose(Transport::unreachable, error);
  is_open_ = true;
  read();
  user_.opened(*this);
}

bool Connection::is_quiet() {
  char byte = 0;
  error_code error;
  socket_.receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
  return error == asio::error::would_block;
}

error_code Connection::send(std::string text) {
  unsent_ = std::move(text);
  error_code error;
  if (!tls_) {  // at once, without a turn of the loop
    const std::size_t sent = socket_.send(asio::buffer(unsent_), 0, error);
    if (error && error != asio::error::would_block) return error;
    unsent_.erase(0, sent);
  }
  if (!unsent_.empty()) write_rest();
  return {};
}

// A peer that wants no more of the request may have answered before it closed: what came is read
// first, and the reader finds the end.
void Connection::write_rest() {
  auto written = [self = shared_from_this()](const error_code& error, std::size_t) {
    if (self->is_closed_) return;
    self->write_error_ = error;
    if (!error) self->unsent_.clear();
  };
  if (tls_) {
    asio::async_write(*tls_, asio::buffer(unsent_), std::move(written));
  } else {
    asio::async_write(socket_, asio::buffer(unsent_), std::move(written));
  }
}

void Connection::read() {
  auto came = [self = shared_from_this()](const error_code& error, std::size_t bytes) {
    if (self->is_closed_) return;
    if (error) return self->lose(Transport::broken, error);
    self->user_.received(*self, {self->in_.data(), bytes});
    if (!self->is_closed_) self->read();
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(in_), std::move(came));
  } else {
    socket_.async_read_some(asio::buffer(in_), std::move(came));
  }
}

// The kernel tells of a reset once: when the writer was told, the reader sees an end.
void Connection::lose(Transport why, const error_code& error, std::string words) {
  const error_code& cause = write_error_ ? write_error_ : error;
  const bool ended = cause == asio::error::eof;
  close();
  user_.lost(*this, why, words.empty() ? cause.message() : std::move(words), ended);
}

void Connection::close() {
  if (!is_closed_ && !is_open_ && nth_ < addresses_.size()) origin_.avoid(addresses_[nth_]);
  is_closed_ = true;
  is_open_ = false;
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace vouch::wire
