// audit_rows.hpp: how the audit reads rows of a ledger.
//
// Threads: the simulation's only one.
#pragma once

#include "common/issuance_state.hpp"
#include "common/store/database.hpp"
#include "tests/simulation/audit.hpp"

namespace vouch::test {

// A ledger that cannot be read is the end of the run.
inline bool next(store::Statement& select) {
  auto row = select.step();
  if (!row) std::fprintf(stderr, "audit: %s\n", row.error().message.c_str());
  VOUCH_ASSERT(row.has_value());
  return *row;
}

inline IssuanceState state_at(const store::Statement& row, int column) {
  return static_cast<IssuanceState>(row.integer(column));
}

inline Place place_at(const store::Statement& row, int column) {
  return {row.integer(column), row.digest(column + 1), row.integer(column + 2),
          row.integer(column + 3)};
}

}  // namespace vouch::test
