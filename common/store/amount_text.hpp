// amount_text.hpp: amounts of money as a partner's file has them.
//
// Exact decimals only.  Whatever could be read in two ways is refused with its own reason, since
// the person who mends the file is not the one who wrote it.
//
// Threads: pure functions.
// Units:   the result is in minor units.
#pragma once

#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

namespace vouch::store {

inline constexpr std::int64_t kAmountMinorMax = 1'000'000'000'000;

enum class AmountFault : std::uint8_t {
  empty,
  not_a_number,
  exponent,    // 1e3
  comma,       // 1,00 or 1,000
  full_width,  // full-width digits
  negative,
  zero,
  point_in_minor,   // 12.50 where minor units are expected
  too_many_digits,  // more digits behind the point than the currency has
  too_large,
};

// Blanks around it are passed over.  `digits` behind the point are allowed: those of the currency
// for amounts in the major unit; none when `is_minor`.
[[nodiscard]] tl::expected<std::int64_t, AmountFault> parse_amount(std::string_view text,
                                                                   bool is_minor, int digits);

}  // namespace vouch::store
