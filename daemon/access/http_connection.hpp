// http_connection.hpp: one peer of the HTTP server.  Private to http_server.cpp and its own .cpp:
// the two files that know Boost.Beast and Asio.
//
// Threads: the server's thread only.
#pragma once

#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "daemon/access/http_server.hpp"

namespace vouch::access {

inline constexpr Instant kNever = Instant::max();

using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                boost::asio::io_context::executor_type>;

class Connection;

// What all connections of a server share.
struct ConnectionHost {
  ConnectionHost(const Clock& the_clock, const HttpLimits& the_limits)
      : clock{the_clock}, limits{the_limits} {}

  const Clock& clock;
  const HttpLimits limits;
  HttpServer::LaterHandler handler{};
  HttpServer::Report report{};
  HttpCounters counters{};
  std::atomic<bool> stopping{false};
  Instant now{};  // of this round
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections{};
  std::vector<HttpHeaderView> header_views{};  // of the request being handed over

  [[nodiscard]] std::string_view http_date();
  void failed(std::string_view what);

 private:
  std::string date_{};
  std::int64_t date_second_ = -1;
};

struct RefusedRequest {
  int status = 400;
  std::string detail;
};

// One peer.  Kept alive by the map of the server and by the operation under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionHost& host, Socket socket, std::uint64_t id,
             std::optional<std::uint32_t> peer_uid)
      : host_{host}, socket_{std::move(socket)}, id_{id}, peer_uid_{peer_uid} {}

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
  [[nodiscard]] std::size_t unsent_bytes() const { return unsent_.size() - sent_; }
  [[nodiscard]] HttpFraming framing() const;

 private:
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  void pump();
  bool parse_one();
  void hand_over();
  void flush();
  void written();
  void linger();
  void expect_request();

  ConnectionHost& host_;
  Socket socket_;
  std::uint64_t id_;
  std::optional<std::uint32_t> peer_uid_;
  std::uint64_t sequence_ = 0;
  std::vector<char> incoming_;  // where a read under way writes, apart from what is parsed
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
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

}  // namespace vouch::access
