#include "daemon/access/http_message.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "common/text.hpp"

namespace vouch::access {
namespace {

struct StatusName {
  int status;
  std::string_view phrase;
};

constexpr StatusName kStatusNames[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

constexpr std::string_view kServerHeaders[] = {"content-length", "transfer-encoding", "connection",
                                               "content-type", "date"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_any_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 9110, section 5.6.2: what a header name may hold.
bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

Result<void> check_header(std::string_view name, std::string_view value) {
  if (!is_token(name)) return fail(Errc::invalid, "a header name holds a byte it may not hold");
  if (has_control_bytes(value)) {
    return fail(Errc::invalid, "header " + std::string{name} + ": holds a control byte");
  }
  return {};
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c) & 0xffU);
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const HttpHeaderView& header : headers) {
    if (equal_any_case(header.name, name)) return header.value;
  }
  return {};
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(), [&](const HttpHeaderView& header) {
    return equal_any_case(header.name, name);
  });
}

Result<std::optional<std::string>> HttpRequest::query_value(std::string_view name) const {
  std::optional<std::string> found;
  for (const std::string_view part : split(query, '&')) {
    const auto equals = part.find('=');
    VOUCH_TRY(const std::string key, percent_decode(part.substr(0, equals)));
    if (key != name) continue;
    if (found) return fail(Errc::invalid, "query: " + key + " stands twice");
    const auto value = equals == std::string_view::npos ? "" : part.substr(equals + 1);
    VOUCH_TRY(found, percent_decode(value));
  }
  return found;
}

HttpResponse HttpResponse::text(int status, std::string body) {
  return {.status = status, .body = std::move(body), .content_type = "text/plain; charset=utf-8"};
}

HttpResponse HttpResponse::json(int status, std::string body) {
  return {.status = status, .body = std::move(body), .content_type = "application/json"};
}

HttpResponse HttpResponse::problem(int status, std::string_view detail) {
  std::string body = "{\"type\":\"about:blank\",\"title\":" + quoted(reason_phrase(status)) +
                     ",\"status\":" + std::to_string(status) + ",\"detail\":" + quoted(detail) +
                     "}\n";
  return {.status = status, .body = std::move(body), .content_type = "application/problem+json"};
}

Result<std::string> render(const HttpResponse& response, const HttpFraming& framing) {
  if (response.status < 200 || response.status > 599) {
    return fail(Errc::invalid, "status " + std::to_string(response.status) + ": from 200 to 599");
  }
  std::string out;
  out.reserve(256 + response.body.size());
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  out.append(reason_phrase(response.status)).append("\r\n");
  if (!framing.date.empty()) append_header(out, "Date", framing.date);
  if (!response.content_type.empty()) {
    VOUCH_CHECK(check_header("Content-Type", response.content_type));
    append_header(out, "Content-Type", response.content_type);
  }
  for (const auto& [name, value] : response.headers) {
    VOUCH_CHECK(check_header(name, value));
    for (const std::string_view own : kServerHeaders) {
      if (equal_any_case(name, own)) return fail(Errc::invalid, "header " + name + ": not yours");
    }
    append_header(out, name, value);
  }
  if (!framing.keep_alive) {
    append_header(out, "Connection", "close");
  } else if (framing.http_1_0) {
    append_header(out, "Connection", "keep-alive");
  }
  // These two have no body, and RFC 9110 forbids a length with 204.
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) append_header(out, "Content-Length", std::to_string(response.body.size()));
  out.append("\r\n");
  if (framing.with_body && !bodiless) out.append(response.body);
  return out;
}

std::string_view reason_phrase(int status) {
  for (const StatusName& known : kStatusNames) {
    if (known.status == status) return known.phrase;
  }
  return "Status";
}

std::string format_http_date(WallTime time) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{std::chrono::floor<std::chrono::seconds>(time - day)};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02u %s %04d %02d:%02d:%02d GMT",
                kDays[std::chrono::weekday{day}.c_encoding()], static_cast<unsigned>(date.day()),
                kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text.data();
}

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || high + low == 0) {
      return fail(Errc::invalid, "broken percent sequence in \"" + std::string{text} + "\"");
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace vouch::access
