// ledger_view_rows.hpp: how the parts of LedgerView read rows.
//
// Threads: those of the view.
// Errors:  those of the database.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::store {

inline std::optional<WallTime> wall_or_null(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.wall(column);
}

// Copies every row and leaves the statement reset: no read lock outlives this call.
template <typename Read>
auto copy_rows(Statement& statement, Read read) -> Result<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  while (true) {
    VOUCH_TRY(const bool more, statement.step());
    if (!more) return rows;
    rows.push_back(read(statement));
  }
}

template <typename T>
std::optional<T> first_of(std::vector<T> rows) {
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

}  // namespace vouch::store
