// connection.hpp: one connection to a server: found, connected, encrypted, written to, read from.
//
// From the moment it is open it always reads, so that the end of an idle connection is noticed
// when it comes, and not when the next call has been sent into it.
//
// Threads: the loop's.
// Errors:  told to the ConnectionUser, in words.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/wire/origin.hpp"
#include "common/wire/transport.hpp"

namespace vouch::wire {

class Connection;

// Whoever opened a connection.  It is told nothing any more once it has closed it.
class ConnectionUser {
 public:
  virtual void opened(Connection& connection) = 0;
  virtual void received(Connection& connection, std::string_view bytes) = 0;
  // `ended`: by the peer, in good order.
  virtual void lost(Connection& connection, Transport why, std::string words, bool ended) = 0;

 protected:
  ~ConnectionUser() = default;
};

struct Exchange;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& io, asio::ssl::context& trust, Origin& origin, ConnectionUser& user);

  // Ends in opened() or lost().
  void open();
  // An error when the kernel refused the very first byte: nothing has left, and nothing will.
  [[nodiscard]] error_code send(std::string text);
  // Of the last send: every byte is with the kernel.
  [[nodiscard]] bool all_sent() const { return unsent_.empty(); }
  void close();

  [[nodiscard]] bool is_open() const { return is_open_; }
  // Of an idle one: neither bytes nor the end of it have come and not been looked at yet.
  [[nodiscard]] bool is_quiet();
  [[nodiscard]] const std::string& peer_address() const { return peer_address_; }
  [[nodiscard]] Origin& origin() { return origin_; }

  Exchange* exchange = nullptr;  // the call it carries; null while idle
  Instant idle_since{};
  bool was_used = false;  // a call has ended on it

 private:
  using Socket = asio::ip::tcp::socket;

  void connect(std::size_t nth);
  void connect_next(const error_code& failed);
  [[nodiscard]] bool is_itself() const;
  void shake_hands();
  void become_open();
  void read();
  void write_rest();
  [[nodiscard]] std::string certificate_words();
  // In the words of `error`, unless there are better ones.
  void lose(Transport why, const error_code& error, std::string words = {});

  asio::ssl::context& trust_;
  Socket socket_;
  std::optional<asio::ssl::stream<Socket&>> tls_;
  Origin& origin_;
  ConnectionUser& user_;
  Origin::Addresses addresses_;
  std::size_t nth_ = 0;  // address that is being tried
  std::string peer_address_;
  std::string unsent_;
  error_code write_error_;
  std::vector<char> in_;
  bool is_open_ = false;
  bool is_closed_ = false;
};

}  // namespace vouch::wire
