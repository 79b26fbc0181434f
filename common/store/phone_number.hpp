// phone_number.hpp: phone numbers as E.164, so that one person written in three ways is one
// recipient.
//
// Small and exact on purpose: a number in international form (+ or 00) is taken for any country;
// a national form only for the countries in the table here, and only where it can mean nothing
// else.  What is uncertain is refused with the advice to write it with +.
//
// Threads: pure functions.
// Errors:  Errc::invalid; the message says what is wrong without the number in it.
#pragma once

#include <string>
#include <string_view>

#include "common/result.hpp"

namespace vouch::store {

// Errc::usage unless `country` is two capital letters (ISO 3166) and no common mistake for such.
[[nodiscard]] Result<void> check_phone_country(std::string_view country);

// "+4915112345678".  Blanks, hyphens, points, slashes and parentheses are passed over.
[[nodiscard]] Result<std::string> normalise_phone(std::string_view text, std::string_view country);

}  // namespace vouch::store
