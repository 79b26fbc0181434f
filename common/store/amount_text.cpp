#include "common/store/amount_text.hpp"

#include <algorithm>

#include "common/text.hpp"

namespace vouch::store {
namespace {

// With more digits than this it is above the maximum, and could overflow.
constexpr std::size_t kWholeDigitsMax = 13;
constexpr std::string_view kFullWidthLead = "\xef\xbc";  // U+FF00 to U+FF3F

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_digit);
}

// Why a text that is no plain decimal is none: the most telling reason there is.
AmountFault diagnose(std::string_view text) {
  if (text.find(kFullWidthLead) != std::string_view::npos) return AmountFault::full_width;
  const bool is_negative = text.front() == '-' || text.starts_with("\xe2\x88\x92");  // U+2212
  if (is_negative) return AmountFault::negative;
  const bool has_digit = std::any_of(text.begin(), text.end(), is_digit);
  if (has_digit && text.find_first_not_of("0123456789.,' ") == std::string_view::npos &&
      text.find(',') != std::string_view::npos) {
    return AmountFault::comma;
  }
  if (is_digit(text.front()) &&
      text.find_first_not_of("0123456789.eE+-") == std::string_view::npos &&
      text.find_first_of("eE") != std::string_view::npos) {
    return AmountFault::exponent;
  }
  return AmountFault::not_a_number;
}

}  // namespace

tl::expected<std::int64_t, AmountFault> parse_amount(std::string_view text, bool is_minor,
                                                     int digits) {
  using Refused = tl::unexpected<AmountFault>;
  text = trim_blanks(text);
  if (text.empty()) return Refused{AmountFault::empty};
  const std::size_t point = std::min(text.find('.'), text.size());
  std::string_view whole = text.substr(0, point);
  const bool has_point = point < text.size();
  const std::string_view part = has_point ? text.substr(point + 1) : std::string_view{};
  const bool is_decimal =
      !whole.empty() && all_digits(whole) && all_digits(part) && has_point == !part.empty();
  if (!is_decimal) return Refused{diagnose(text)};
  if (has_point && is_minor) return Refused{AmountFault::point_in_minor};
  if (part.size() > static_cast<std::size_t>(digits)) return Refused{AmountFault::too_many_digits};

  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  if (whole.size() > kWholeDigitsMax) return Refused{AmountFault::too_large};
  std::int64_t minor = 0;
  for (const char c : whole) minor = minor * 10 + (c - '0');
  if (!is_minor) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(digits); ++i) {
      minor = minor * 10 + (i < part.size() ? part[i] - '0' : 0);
    }
  }
  if (minor > kAmountMinorMax) return Refused{AmountFault::too_large};
  if (minor == 0) return Refused{AmountFault::zero};
  return minor;
}

}  // namespace vouch::store
