#include "common/wire/request_text.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/src.hpp>  // the library itself, compiled here alone
#include <boost/url/url_view.hpp>

#include "common/header_name.hpp"

namespace vouch::wire {
namespace {

// A line's end within a header would make two of it.
bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// Never with the value, which may be a secret.
Result<void> check_header(std::string_view header) {
  const auto colon = header.find(':');
  const std::string name{header.substr(0, colon)};
  if (colon == std::string_view::npos || !is_header_name(name)) {
    return fail(Errc::invalid, "a header does not begin with a name and a colon");
  }
  if (!is_printable(header)) {
    return fail(Errc::invalid, "header " + name + " has a control byte in it");
  }
  if (is_clients_own_header(name)) {
    return fail(Errc::invalid, "header " + name + " is the client's own");
  }
  return {};
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  const auto parsed = boost::urls::parse_uri({url.data(), url.size()});
  if (!parsed) return fail(Errc::invalid, "url: " + parsed.error().message());
  const boost::urls::url_view& view = *parsed;
  Target target;
  target.tls = view.scheme_id() == boost::urls::scheme::https;
  if (!target.tls && view.scheme_id() != boost::urls::scheme::http) {
    return fail(Errc::invalid, "url: neither http nor https");
  }
  if (view.has_userinfo()) return fail(Errc::invalid, "url: credentials do not belong there");
  target.host = view.host_address();
  target.authority = std::string{view.encoded_host_and_port()};
  const bool any_port = view.has_port() && view.port_number() == 0;
  if (target.host.empty() || any_port || target.authority.ends_with(':')) {
    return fail(Errc::invalid, "url: no host and port in " + target.authority);
  }
  target.port = view.has_port() ? std::string{view.port()} : target.tls ? "443" : "80";
  // The fragment is meant for browsers alone.
  target.path = std::string{view.encoded_target()};
  if (target.path.empty() || target.path.front() == '?') target.path.insert(0, 1, '/');
  if (target.path.front() != '/') return fail(Errc::invalid, "url: no / behind host and port");
  return target;
}

Result<std::string> request_text(const Target& target, const HttpCall& call) {
  // The peer would take it for the next request.
  if (call.get && !call.body.empty()) return fail(Errc::invalid, "a GET has no body");
  std::string text;
  text.reserve(256 + target.path.size() + call.body.size() + 64 * call.headers.size());
  text += call.method();
  text += ' ';
  text += target.path;
  text += " HTTP/1.1\r\nHost: ";
  text += target.authority;
  text += "\r\nUser-Agent: vouch/" VOUCH_VERSION "\r\n";
  for (const std::string& header : call.headers) {
    VOUCH_CHECK(check_header(header));
    text += header;
    text += "\r\n";
  }
  if (!call.get) {
    text += "Content-Length: ";
    text += std::to_string(call.body.size());
    text += "\r\n";
  }
  text += "\r\n";
  text += call.body;
  return text;
}

}  // namespace vouch::wire
