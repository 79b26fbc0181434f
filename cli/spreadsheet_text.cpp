#include "cli/spreadsheet_text.hpp"

#include <algorithm>

namespace vouch::cli {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "-12.50" and "+491701234567" are computed with, not carried out.
bool is_plain_number(std::string_view text) {
  if (text.front() != '+' && text.front() != '-') return false;
  text.remove_prefix(1);
  return !text.empty() && is_digit(text.front()) && is_digit(text.back()) &&
         std::ranges::count(text, '.') <= 1 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '.'; });
}

}  // namespace

std::string spreadsheet_text(std::string_view text) {
  constexpr std::string_view kFormula = "=+-@\t\r";
  if (text.empty() || kFormula.find(text.front()) == std::string_view::npos ||
      is_plain_number(text)) {
    return std::string{text};
  }
  return "'" + std::string{text};
}

}  // namespace vouch::cli
