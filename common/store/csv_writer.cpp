#include "common/store/csv_writer.hpp"

#include <algorithm>

namespace vouch::store {

void append_csv_field(std::string& out, std::string_view field, char delimiter) {
  const auto needs_quotes = [&](char c) {
    return c == delimiter || c == '"' || c == '\n' || c == '\r';
  };
  const bool has_outer_blank = !field.empty() && (field.front() == ' ' || field.back() == ' ');
  if (!has_outer_blank && std::none_of(field.begin(), field.end(), needs_quotes)) {
    out.append(field);
    return;
  }
  out.push_back('"');
  for (const char c : field) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace vouch::store
