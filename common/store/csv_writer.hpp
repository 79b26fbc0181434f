// csv_writer.hpp: fields as CSV (RFC 4180) that our own reader and a spreadsheet read back alike.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace vouch::store {

// Appends the field, in quotes where it must be.
void append_csv_field(std::string& out, std::string_view field, char delimiter);

// Appends a whole row and LF.  A lone empty field is written as quotes, since an empty line is no
// row.
template <typename Fields>
void append_csv_row(std::string& out, const Fields& fields, char delimiter) {
  const std::size_t start = out.size();
  bool is_first = true;
  for (const auto& field : fields) {
    if (!is_first) out.push_back(delimiter);
    is_first = false;
    append_csv_field(out, field, delimiter);
  }
  if (out.size() == start) out.append("\"\"");
  out.push_back('\n');
}

}  // namespace vouch::store
