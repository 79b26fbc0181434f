#include "common/text.hpp"

#include <date/date.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <sstream>

namespace vouch {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string printf_string(const char* format, auto... values) {
  char buffer[96];
  const int n = std::snprintf(buffer, sizeof buffer, format, values...);
  return {buffer, static_cast<std::size_t>(n)};
}

struct Unit {
  std::string_view name;
  std::int64_t ms;
};
constexpr Unit kUnits[] = {{"ms", 1},        {"s", 1000},       {"m", 60'000},
                           {"h", 3'600'000}, {"d", 86'400'000}, {"w", 604'800'000}};

struct Currency {
  std::string_view code;
  int digits;
};
// ISO 4217, those in use for vouchers; all others of the standard have two digits and are listed
// so that a typing error is met here.
constexpr Currency kCurrencies[] = {
    {"AED", 2}, {"ARS", 2}, {"AUD", 2}, {"BDT", 2}, {"BGN", 2}, {"BHD", 3}, {"BRL", 2}, {"CAD", 2},
    {"CHF", 2}, {"CLP", 0}, {"CNY", 2}, {"COP", 2}, {"CZK", 2}, {"DKK", 2}, {"EGP", 2}, {"EUR", 2},
    {"GBP", 2}, {"HKD", 2}, {"HUF", 2}, {"IDR", 2}, {"ILS", 2}, {"INR", 2}, {"ISK", 0}, {"JOD", 3},
    {"JPY", 0}, {"KES", 2}, {"KRW", 0}, {"KWD", 3}, {"MAD", 2}, {"MOP", 2}, {"MXN", 2}, {"MYR", 2},
    {"NGN", 2}, {"NOK", 2}, {"NZD", 2}, {"OMR", 3}, {"PEN", 2}, {"PHP", 2}, {"PKR", 2}, {"PLN", 2},
    {"QAR", 2}, {"RON", 2}, {"RUB", 2}, {"SAR", 2}, {"SEK", 2}, {"SGD", 2}, {"THB", 2}, {"TND", 3},
    {"TRY", 2}, {"TWD", 2}, {"UAH", 2}, {"USD", 2}, {"UYU", 2}, {"VND", 0}, {"XAF", 0}, {"XOF", 0},
    {"ZAR", 2}};

// The ISO form with offset, after the shortcuts have been tried.
Result<WallTime> parse_iso(std::string_view text) {
  const std::string copy{text};
  for (const char* format : {"%FT%T%Ez", "%FT%H:%M%Ez", "%FT%TZ", "%FT%H:%MZ", "%F"}) {
    std::istringstream in{copy};
    date::sys_time<Millis> time;
    in >> date::parse(format, time);
    if (in.fail()) continue;
    in.peek();
    if (in.eof()) return WallTime{time.time_since_epoch()};
  }
  return fail(Errc::invalid, "\"" + copy + "\" is not a time",
              "write 2026-11-22T10:00+02:00, 2026-11-22, yesterday or 1h");
}

std::string civil(WallTime time) {
  const date::sys_time<Millis> point{time.time_since_epoch()};
  return date::format("%FT%T", point);
}

}  // namespace

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? kLetters[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

Result<std::string> from_hex(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) break;
    out += static_cast<char>(high * 16 + low);
  }
  if (out.size() * 2 != text.size()) return fail(Errc::invalid, "not hexadecimal");
  return out;
}

std::string_view trim_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

bool is_valid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p < end) {
    const unsigned char c = *p++;
    if (c < 0x80) continue;
    int more = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf)
      more = 1;
    else if (c >= 0xe0 && c <= 0xef)
      more = 2;
    else if (c >= 0xf0 && c <= 0xf4)
      more = 3;
    else
      return false;
    if (c == 0xe0) low = 0xa0;   // no overlong forms
    if (c == 0xed) high = 0x9f;  // no surrogates
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;  // not above U+10FFFF
    for (; more > 0; --more, low = 0x80, high = 0xbf) {
      if (p == end || *p < low || *p > high) return false;
      ++p;
    }
  }
  return true;
}

std::string lower_ascii(std::string_view text) {
  std::string out{text};
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Result<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || text.empty()) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not a whole number");
  }
  return value;
}

Result<Millis> parse_duration(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_integer(text.substr(0, digits));
  for (const Unit& unit : kUnits) {
    if (!number || text.substr(digits) != unit.name) continue;
    if (*number > (std::int64_t{1} << 52) / unit.ms) break;
    return Millis{*number * unit.ms};
  }
  return fail(Errc::invalid, "\"" + std::string{text} + "\" is not a duration",
              "write a number and a unit: 500ms, 10s, 5m, 36h, 90d");
}

std::string format_duration(Millis duration) {
  const long long ms = duration.count();
  if (ms < 0) return "-" + format_duration(-duration);
  if (ms < 1000) return printf_string("%lldms", ms);
  if (ms < 60'000) return printf_string("%.1fs", static_cast<double>(ms) / 1000);
  if (ms < 3'600'000) return printf_string("%lldm %02llds", ms / 60'000, ms / 1000 % 60);
  if (ms < 172'800'000) return printf_string("%lldh %02lldm", ms / 3'600'000, ms / 60'000 % 60);
  return printf_string("%lldd %02lldh", ms / 86'400'000, ms / 3'600'000 % 24);
}

Result<double> parse_rate(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view number = text.substr(0, slash);
  const std::string_view unit = slash == std::string_view::npos ? "s" : text.substr(slash + 1);
  double value = 0;
  const char* const end = number.data() + number.size();
  const auto [stop, error] = std::from_chars(number.data(), end, value, std::chars_format::fixed);
  const double seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (error != std::errc{} || stop != end || seconds == 0 || !(value > 0) ||
      value / seconds > 1e6) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not a rate",
                "write calls per second or minute: 300/s, 20/m");
  }
  return value / seconds;
}

std::string format_rate(double calls_per_second) {
  std::string number = printf_string("%.2f", calls_per_second);
  while (number.back() == '0') number.pop_back();
  if (number.back() == '.') number.pop_back();
  return number + "/s";
}

Result<WallTime> parse_time(std::string_view text, WallTime now) {
  using std::chrono::floor;
  if (text == "now") return now;
  if (text == "today") return WallTime{floor<std::chrono::days>(now)};
  if (text == "yesterday") return WallTime{floor<std::chrono::days>(now)} - std::chrono::days{1};
  if (const auto ago = parse_duration(text)) return now - *ago;
  return parse_iso(text);
}

std::string format_time_utc(WallTime time) {
  return civil(time) + "Z";
}

std::string format_time_local(WallTime time) {
  const std::int64_t ms = to_ms(time);
  const std::time_t seconds = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm local{};
  localtime_r(&seconds, &local);
  char buffer[64];
  const std::size_t n = std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S %z", &local);
  std::string out{buffer, n};
  if (out.size() > 2) out.insert(out.size() - 2, ":");
  return out;
}

Result<std::int64_t> parse_major_amount(std::string_view text, int digits) {
  const auto refuse = [&] {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not an amount",
                "write it as 12.50: digits, a point, no sign of thousands, no exponent");
  };
  const auto point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view part =
      point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  const bool bare_point = point != std::string_view::npos && part.empty();
  if (whole.empty() || bare_point || whole.size() > 15 ||
      whole.find_first_not_of("0123456789") != std::string_view::npos ||
      part.find_first_not_of("0123456789") != std::string_view::npos) {
    return refuse();
  }
  if (part.size() > static_cast<std::size_t>(digits)) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" has more than " +
                                   std::to_string(digits) + " digits after the point");
  }
  std::int64_t minor = 0;
  for (const char c : whole) minor = minor * 10 + (c - '0');
  for (int i = 0; i < digits; ++i) {
    const auto at = static_cast<std::size_t>(i);
    minor = minor * 10 + (at < part.size() ? part[at] - '0' : 0);
  }
  return minor;
}

Result<int> currency_digits(std::string_view currency) {
  for (const Currency& known : kCurrencies) {
    if (known.code == currency) return known.digits;
  }
  return fail(Errc::invalid, "\"" + std::string{currency} + "\" is not a currency",
              "write the three letters of ISO 4217, such as CNY or EUR");
}

std::string format_amount(std::int64_t minor, std::string_view currency) {
  const int digits = currency_digits(currency).value_or(0);
  std::string text = std::to_string(minor < 0 ? -minor : minor);
  const auto wanted = static_cast<std::size_t>(digits) + 1;
  if (text.size() < wanted) text.insert(0, wanted - text.size(), '0');
  if (digits > 0) text.insert(text.size() - static_cast<std::size_t>(digits), ".");
  return (minor < 0 ? "-" : "") + text + " " + std::string{currency};
}

std::string format_count(std::int64_t value) {
  std::string text = std::to_string(value);
  const std::size_t first = text.front() == '-' ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, ",");
  return text;
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
  std::string best;
  std::size_t best_distance = 3;
  for (const std::string& candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t change = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

}  // namespace vouch
