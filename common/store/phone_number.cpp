#include "common/store/phone_number.hpp"

#include <algorithm>

namespace vouch::store {
namespace {

// How a country writes its numbers nationally.  The national significant number is what follows
// the calling code; `trunk` is what stands before it in national form only.
struct Country {
  std::string_view iso;
  std::string_view code;          // calling code
  std::string_view trunk;         // "" where there is none
  bool trunk_required;            // without it a number could also be something else
  std::string_view first_digits;  // a significant number starts with one of these
  std::size_t digits_min;         // of the significant number
  std::size_t digits_max;
};

// After the ITU's national numbering plans.  Where a plan is of one length, a number without its
// trunk prefix is still certain; where lengths vary, it may be an international number that lost
// its +, or a national one that lost its 0 in a spreadsheet, and is refused.
constexpr Country kCountries[] = {
    {"AT", "43", "0", true, "123456789", 7, 13}, {"AU", "61", "0", true, "23478", 9, 9},
    {"BE", "32", "0", true, "123456789", 8, 9},  {"CA", "1", "1", false, "23456789", 10, 10},
    {"CH", "41", "0", true, "123456789", 9, 9},  {"DE", "49", "0", true, "123456789", 7, 12},
    {"ES", "34", "", false, "6789", 9, 9},       {"FR", "33", "0", true, "123456789", 9, 9},
    {"GB", "44", "0", true, "123578", 9, 10},    {"HK", "852", "", false, "2345679", 8, 8},
    {"ID", "62", "0", true, "23456789", 8, 12},  {"IN", "91", "0", false, "6789", 10, 10},
    {"IT", "39", "", false, "03", 8, 11},        {"JP", "81", "0", true, "123456789", 9, 10},
    {"KR", "82", "0", true, "123456", 8, 10},    {"MO", "853", "", false, "268", 8, 8},
    {"MY", "60", "0", true, "13456789", 8, 10},  {"NL", "31", "0", true, "123456789", 9, 9},
    {"NZ", "64", "0", true, "234679", 8, 10},    {"PH", "63", "0", true, "9", 10, 10},
    {"PL", "48", "", false, "123456789", 9, 9},  {"SG", "65", "", false, "3689", 8, 8},
    {"TH", "66", "0", true, "12345689", 8, 9},   {"TW", "886", "0", true, "23456789", 8, 9},
    {"US", "1", "1", false, "23456789", 10, 10}, {"VN", "84", "0", true, "235789", 9, 10},
};

// China's mobile numbers (11 digits from 13 to 19) have no trunk prefix, its fixed lines (area
// code and number, 10 or 11 digits) have one.
constexpr Country kChinaMobile{"CN", "86", "", false, "1", 11, 11};
constexpr Country kChinaFixed{"CN", "86", "0", true, "123456789", 9, 11};

constexpr std::size_t kE164DigitsMin = 8;
constexpr std::size_t kE164DigitsMax = 15;
constexpr std::string_view kFiller = " -./()\t";
constexpr const char* kWriteWithPlus = "write it in international form, such as +8613812345678";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_significant(const Country& country, std::string_view digits) {
  return digits.size() >= country.digits_min && digits.size() <= country.digits_max &&
         country.first_digits.find(digits.front()) != std::string_view::npos;
}

bool is_china_mobile(std::string_view digits) {
  return is_significant(kChinaMobile, digits) && digits[1] >= '3';
}

// The significant number of a national form; empty when it is none.
std::string_view significant_part(const Country& country, std::string_view digits) {
  const bool has_trunk = !country.trunk.empty() && digits.starts_with(country.trunk);
  if (has_trunk) {
    const std::string_view rest = digits.substr(country.trunk.size());
    if (is_significant(country, rest)) return rest;
  } else if (!country.trunk_required && is_significant(country, digits)) {
    return digits;
  }
  return {};
}

const Country* find_country(std::string_view iso) {
  const auto found = std::find_if(std::begin(kCountries), std::end(kCountries),
                                  [&](const Country& c) { return c.iso == iso; });
  return found == std::end(kCountries) ? nullptr : found;
}

Result<std::string> from_national(std::string_view digits, std::string_view iso) {
  std::string_view code;
  std::string_view significant;
  if (iso == kChinaMobile.iso) {
    code = kChinaMobile.code;
    significant = is_china_mobile(digits) ? digits : significant_part(kChinaFixed, digits);
  } else if (const Country* country = find_country(iso)) {
    code = country->code;
    significant = significant_part(*country, digits);
  } else {
    return fail(Errc::invalid,
                "has no +, and the national form of " + std::string{iso} + " is not known here",
                kWriteWithPlus);
  }
  if (significant.empty()) {
    return fail(Errc::invalid, "is no number of " + std::string{iso} + " in national form",
                kWriteWithPlus);
  }
  return "+" + std::string{code} + std::string{significant};
}

// "+49 0151...": both the calling code and the national form's 0.  It cannot be dialled, and would
// make a second recipient of the same person.
bool keeps_trunk(std::string_view digits) {
  const auto has_zero = [&](const Country& c) {
    return digits.starts_with(c.code) && digits.substr(c.code.size()).starts_with('0') &&
           c.first_digits.find('0') == std::string_view::npos;
  };
  return has_zero(kChinaFixed) ||
         std::any_of(std::begin(kCountries), std::end(kCountries), has_zero);
}

// `digits` follow the + or 00.
Result<std::string> from_international(std::string_view digits) {
  if (digits.size() < kE164DigitsMin || digits.size() > kE164DigitsMax || digits[0] == '0') {
    return fail(Errc::invalid,
                "is no international number: 8 to 15 digits after the +, the "
                "first of them not 0",
                kWriteWithPlus);
  }
  if (keeps_trunk(digits)) {
    return fail(Errc::invalid, "has the 0 of the national form behind the calling code",
                "write +49151..., not +490151...");
  }
  return "+" + std::string{digits};
}

// The digits alone.  A trunk 0 that people put in parentheses behind the calling code,
// "+44 (0)20 7946 0958", is not part of the number.
Result<std::string> digits_of(std::string_view text, bool is_international) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_international && text.substr(i).starts_with("(0)")) {
      i += 2;
    } else if (is_digit(text[i])) {
      digits.push_back(text[i]);
    } else if (kFiller.find(text[i]) == std::string_view::npos) {
      return fail(Errc::invalid, "has a character that no phone number has", kWriteWithPlus);
    }
  }
  return digits;
}

}  // namespace

Result<void> check_phone_country(std::string_view country) {
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (country.size() != 2 || !std::all_of(country.begin(), country.end(), is_capital)) {
    return fail(Errc::usage, "\"" + std::string{country} + "\" is not a country",
                "write two capital letters of ISO 3166, such as CN or DE");
  }
  if (country == "UK") return fail(Errc::usage, "\"UK\" is not a country code", "write GB");
  return {};
}

Result<std::string> normalise_phone(std::string_view text, std::string_view country) {
  bool is_international = text.starts_with('+');
  if (is_international) text.remove_prefix(1);
  VOUCH_TRY(std::string digits, digits_of(text, is_international));
  if (!is_international && digits.starts_with("00")) {
    is_international = true;
    digits.erase(0, 2);
  }
  if (digits.empty()) return fail(Errc::invalid, "has no digits", kWriteWithPlus);
  return is_international ? from_international(digits) : from_national(digits, country);
}

}  // namespace vouch::store
