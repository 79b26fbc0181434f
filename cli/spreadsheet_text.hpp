// spreadsheet_text.hpp: text from outside, safe in a CSV file that people open with a spreadsheet.
//
// Threads: a pure function.
#pragma once

#include <string>
#include <string_view>

namespace vouch::cli {

// With an apostrophe in front where a spreadsheet would take the text for a formula: it begins with
// = + - @, a tab or a carriage return and is no plain number.
[[nodiscard]] std::string spreadsheet_text(std::string_view text);

}  // namespace vouch::cli
