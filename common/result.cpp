#include "common/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace vouch {
namespace {

struct ErrcRow {
  Errc code;
  std::string_view name;
  int exit_code;
  bool retryable;
};

// The one table that ties an error's kind to what programs see of it.
constexpr ErrcRow kRows[] = {
    {Errc::failure, "failure", 1, false},
    {Errc::usage, "usage", 2, false},
    {Errc::not_permitted, "not_permitted", 4, false},
    {Errc::not_found, "not_found", 5, false},
    {Errc::conflict, "conflict", 6, false},
    {Errc::invalid, "invalid", 7, false},
    {Errc::timed_out, "timed_out", 8, true},
    {Errc::attention, "attention", 9, false},
    {Errc::store, "store", 10, false},
    {Errc::locked, "locked", 11, true},
    {Errc::unavailable, "unavailable", 12, true},
    {Errc::busy, "busy", 12, true},
    {Errc::io, "io", 1, false},
    {Errc::corrupt, "corrupt", 1, false},
};

const ErrcRow& row_of(Errc code) {
  for (const ErrcRow& row : kRows) {
    if (row.code == code) return row;
  }
  return kRows[0];
}

}  // namespace

std::string_view name_of(Errc code) {
  return row_of(code).name;
}

Errc errc_of(std::string_view name) {
  for (const ErrcRow& row : kRows) {
    if (row.name == name) return row.code;
  }
  return Errc::failure;
}

int exit_code_of(Errc code) {
  return row_of(code).exit_code;
}
bool is_retryable(Errc code) {
  return row_of(code).retryable;
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "vouch: bug: %s does not hold at %s:%d; stopping, nothing is lost\n",
               expression, file, line);
  std::abort();
}

}  // namespace vouch
