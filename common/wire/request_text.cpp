#include "common/wire/request_text.hpp"

#include <algorithm>

#include "common/text.hpp"

namespace vouch::wire {
namespace {

// A line's end within a header would make two of it.
bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// What tells the peer where the request ends and what becomes of the connection is said once, here.
constexpr std::string_view kOwnHeaders[] = {
    "connection", "content-length",    "expect",  "host",       "keep-alive", "te",
    "trailer",    "transfer-encoding", "upgrade", "user-agent",
};

// RFC 9110, 5.6.2
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
  });
}

// Never with the value, which may be a secret.
Result<void> check_header(std::string_view header) {
  const auto colon = header.find(':');
  const std::string name{header.substr(0, colon)};
  if (colon == std::string_view::npos || !is_token(name)) {
    return fail(Errc::invalid, "a header does not begin with a name and a colon");
  }
  if (!is_printable(header)) {
    return fail(Errc::invalid, "header " + name + " has a control byte in it");
  }
  if (std::ranges::find(kOwnHeaders, lower_ascii(name)) != std::end(kOwnHeaders)) {
    return fail(Errc::invalid, "header " + name + " is the client's own");
  }
  return {};
}

bool fits_url(char c) {
  return c > 0x20 && c < 0x7f;
}

// "[::1]:80", "name:80", "name"
Result<void> split_authority(Target& target) {
  std::string_view rest = target.authority;
  if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return fail(Errc::invalid, "url: a bracket is open");
    target.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest.front() != ':') {
      return fail(Errc::invalid, "url: no colon behind the bracket in " + target.authority);
    }
  } else {
    const auto end = std::min(rest.find(':'), rest.size());
    target.host = rest.substr(0, end);
    rest.remove_prefix(end);
  }
  target.port = target.tls ? "443" : "80";
  if (rest.starts_with(':')) target.port = rest.substr(1);
  const auto port = parse_integer(target.port);
  if (target.host.empty() || !port || *port < 1 || *port > 65535) {
    return fail(Errc::invalid, "url: no host and port in " + target.authority);
  }
  return {};
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  Target target;
  target.tls = url.starts_with("https://");
  const std::string_view scheme = target.tls ? "https://" : "http://";
  if (!url.starts_with(scheme)) return fail(Errc::invalid, "url: neither http nor https");
  if (!std::ranges::all_of(url, fits_url)) {
    return fail(Errc::invalid, "url: a byte that must be percent-encoded");
  }
  url.remove_prefix(scheme.size());
  const auto path = std::min(url.find_first_of("/?#"), url.size());
  target.authority = url.substr(0, path);
  if (target.authority.find('@') != std::string::npos) {
    return fail(Errc::invalid, "url: credentials do not belong there");
  }
  VOUCH_CHECK(split_authority(target));
  url.remove_prefix(path);
  url = url.substr(0, url.find('#'));  // meant for browsers alone
  target.path = url.starts_with('/') ? std::string{url} : "/" + std::string{url};
  return target;
}

Result<std::string> request_text(const Target& target, const HttpCall& call) {
  // The peer would take it for the next request.
  if (call.get && !call.body.empty()) return fail(Errc::invalid, "a GET has no body");
  std::string text;
  text.reserve(256 + target.path.size() + call.body.size() + 64 * call.headers.size());
  text += call.get ? "GET " : "POST ";
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
