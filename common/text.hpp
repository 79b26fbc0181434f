// text.hpp: small conversions between bytes and the text that people and files hold.
//
// Threads: pure functions.
// Errors:  parse functions return Errc::invalid with the offending text in the message; callers
//          add where it stood.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/result.hpp"

namespace vouch {

[[nodiscard]] std::string hex(std::span<const std::uint8_t> bytes);
template <std::size_t N>
[[nodiscard]] std::string hex(const std::array<std::uint8_t, N>& bytes) {
  return hex(std::span<const std::uint8_t>{bytes.data(), N});
}
// RFC 4648, 4: with + and /, padded.
[[nodiscard]] std::string base64(std::span<const std::uint8_t> bytes);
[[nodiscard]] Result<std::string> from_hex(std::string_view text);

[[nodiscard]] std::string_view trim_blanks(std::string_view text);  // ASCII space, tab, CR, LF
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);
[[nodiscard]] bool is_valid_utf8(std::string_view text);
[[nodiscard]] std::string lower_ascii(std::string_view text);

// A decimal integer, optional sign, nothing else; the whole text.
[[nodiscard]] Result<std::int64_t> parse_integer(std::string_view text);

// "500ms", "10s", "5m", "36h", "90d".
[[nodiscard]] Result<Millis> parse_duration(std::string_view text);
[[nodiscard]] std::string format_duration(Millis duration);  // "1h 05m", "12.3s", "450ms"

// "300/s", "300", "20/m".  Calls per second, above 0 and at most 1,000,000.
[[nodiscard]] Result<double> parse_rate(std::string_view text);
[[nodiscard]] std::string format_rate(double calls_per_second);  // "427.5/s"

// ISO 8601 with offset or Z: "2026-11-22T10:00+02:00", "2026-11-22T10:00:00.123Z"; a date alone
// is midnight UTC; "now", "yesterday", "today" and "1h" (that long before `now`) are understood.
[[nodiscard]] Result<WallTime> parse_time(std::string_view text, WallTime now);
[[nodiscard]] std::string format_time_utc(WallTime time);    // "2026-11-22T08:00:00.123Z"
[[nodiscard]] std::string format_time_local(WallTime time);  // "2026-11-22 10:00:00 +02:00"

// An amount of money as people write it in the major unit, "12.50" with two digits -> 1250.
// Exact: no exponent, no thousands sign, no more digits than the currency has.
[[nodiscard]] Result<std::int64_t> parse_major_amount(std::string_view text, int digits);
[[nodiscard]] std::string format_amount(std::int64_t minor, std::string_view currency);
// ISO 4217: how many digits the minor unit has; Errc::invalid for an unknown code.
[[nodiscard]] Result<int> currency_digits(std::string_view currency);

// Thousands grouped: 1,234,567.
[[nodiscard]] std::string format_count(std::int64_t value);
// The nearest of `known` to a mistyped word, or empty when none is near (edit distance <= 2).
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> known);

// A header value or URL part must hold no control characters: they would let one line become two.
[[nodiscard]] bool has_control_bytes(std::string_view text);

}  // namespace vouch
