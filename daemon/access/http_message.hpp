// http_message.hpp: what an HTTP handler is given and what it gives back.
//
// A request is a set of views into the connection's buffer: they hold while the handler runs and
// not longer, so a handler that answers later copies what it needs.  A response is a plain value;
// it is checked when it is rendered, so that no header, wherever its text came from, can end its
// line early and begin another.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::access {

struct HttpHeaderView {
  std::string_view name;
  std::string_view value;
};

struct HttpRequest {
  std::string_view method;  // "GET", as it was sent: methods are case-sensitive
  std::string_view path;    // up to the '?', still percent-encoded
  std::string_view query;   // after the '?', still percent-encoded
  std::string_view body;
  std::span<const HttpHeaderView> headers;
  std::uint64_t connection = 0;  // number of the connection, from 1, never used again
  std::uint64_t sequence = 0;    // of this request on its connection, from 1
  // On a Unix socket: the account that connected, as the kernel has it.
  std::optional<std::uint32_t> peer_uid;

  // The value of the first header of that name in any case; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  [[nodiscard]] bool has_header(std::string_view name) const;
  // The decoded value of `name` in the query, nullopt when absent.  Errc::invalid when a percent
  // sequence is broken or the name stands twice.
  [[nodiscard]] Result<std::optional<std::string>> query_value(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string body{};
  std::string content_type{};  // no Content-Type is sent when empty
  std::vector<std::pair<std::string, std::string>> headers{};
  bool close = false;  // close the connection after this answer

  [[nodiscard]] static HttpResponse text(int status, std::string body);
  [[nodiscard]] static HttpResponse json(int status, std::string body);
  // RFC 9457: {"type":"about:blank","title":...,"status":...,"detail":...}
  [[nodiscard]] static HttpResponse problem(int status, std::string_view detail);
};

// What the server adds to a response when it renders it.
struct HttpFraming {
  std::string_view date;   // IMF-fixdate; no Date is sent when empty
  bool with_body = true;   // false for HEAD, where the length is told and the body is not sent
  bool keep_alive = true;  // false adds "Connection: close"
  bool http_1_0 = false;   // such a client must be told that the connection stays
};

// The response as bytes on the wire, one buffer.  Errc::invalid when the status is outside 200 to
// 599 or a header's name or value could break the line (control bytes, an empty name, a colon or
// blank in the name), or when a header is one that the server itself sets (Content-Length,
// Transfer-Encoding, Connection, Content-Type, Date).
[[nodiscard]] Result<std::string> render(const HttpResponse& response, const HttpFraming& framing);

[[nodiscard]] std::string_view reason_phrase(int status);
// "Sun, 06 Nov 1994 08:49:37 GMT"
[[nodiscard]] std::string format_http_date(WallTime time);
// "%2F" -> "/".  Errc::invalid for a broken or a zero percent sequence.
[[nodiscard]] Result<std::string> percent_decode(std::string_view text);

}  // namespace vouch::access
