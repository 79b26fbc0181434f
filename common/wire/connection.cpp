#include "common/wire/connection.hpp"

#include <fcntl.h>
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace vouch::wire {
namespace {

using asio::ip::tcp;

constexpr std::size_t kReadBytes = 4096;  // our replies are a few hundred bytes
constexpr std::chrono::seconds kAddressesKept{60};

bool is_certificate_error(const error_code& error) {
  return error.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(error.value())) ==
             SSL_R_CERTIFICATE_VERIFY_FAILED;
}

}  // namespace

Connection::Connection(asio::io_context& io, asio::ssl::context& trust, Origin& origin,
                       const Clock& clock, ConnectionUser& user)
    : resolver_{io},
      trust_{trust},
      socket_{io},
      origin_{origin},
      clock_{clock},
      user_{user},
      in_(kReadBytes) {}

void Connection::open() {
  if (clock_.now() < origin_.looked_up + kAddressesKept && !origin_.addresses.empty()) {
    addresses_ = origin_.addresses;
    connect(0);
  } else {
    look_up();
  }
}

void Connection::look_up() {
  resolver_.async_resolve(origin_.target.host, origin_.target.port,
                          [self = shared_from_this()](const error_code& error,
                                                      const tcp::resolver::results_type& found) {
                            if (self->is_closed_) return;
                            if (error) return self->lose(Transport::unreachable, error);
                            for (const auto& entry : found)
                              self->addresses_.push_back(entry.endpoint());
                            self->origin_.addresses = self->addresses_;
                            self->origin_.looked_up = self->clock_.now();
                            self->connect(0);
                          });
}

// One address after the other, as the resolver has sorted them.
void Connection::connect(std::size_t nth) {
  error_code error;
  socket_.close(error);
  socket_.open(addresses_[nth].protocol(), error);
  if (error) return lose(Transport::unreachable, error);
  fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);
  socket_.async_connect(
      addresses_[nth], [self = shared_from_this(), nth](const error_code& failed) {
        if (self->is_closed_) return;
        if (!failed) return self->origin_.target.tls ? self->shake_hands() : self->become_open();
        if (nth + 1 < self->addresses_.size()) return self->connect(nth + 1);
        self->origin_.addresses.clear();  // they may have moved
        self->lose(Transport::unreachable, failed);
      });
}

void Connection::shake_hands() {
  const std::string& host = origin_.target.host;
  tls_.emplace(socket_, trust_);
  tls_->set_verify_mode(asio::ssl::verify_peer);
  tls_->set_verify_callback(asio::ssl::host_name_verification{host});
  SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
  tls_->async_handshake(
      asio::ssl::stream_base::client, [self = shared_from_this()](const error_code& error) {
        if (self->is_closed_) return;
        if (!error) return self->become_open();
        self->lose(is_certificate_error(error) ? Transport::certificate : Transport::tls, error);
      });
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

bool Connection::send(std::string text) {
  unsent_ = std::move(text);
  if (tls_) {
    write_rest();
    return true;
  }
  // At once, without a turn of the loop.
  error_code error;
  const std::size_t sent = socket_.send(asio::buffer(unsent_), 0, error);
  if (error && error != asio::error::would_block) return false;
  unsent_.erase(0, sent);
  if (!unsent_.empty()) write_rest();
  return true;
}

void Connection::write_rest() {
  auto written = [self = shared_from_this()](const error_code& error, std::size_t) {
    if (self->is_closed_) return;
    self->unsent_.clear();
    if (error) self->lose(Transport::broken, error);
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

void Connection::lose(Transport why, const error_code& error) {
  const bool ended = error == asio::error::eof;
  close();
  user_.lost(*this, why, error.message(), ended);
}

void Connection::close() {
  is_closed_ = true;
  is_open_ = false;
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace vouch::wire
