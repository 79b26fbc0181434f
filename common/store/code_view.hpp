// code_view.hpp: whose the codes of a pool are, read from a ledger.
//
// Threads: those of the LedgerView.   Errors: those of the database.
#pragma once

#include <cstdint>
#include <vector>

#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::store {

inline constexpr std::int64_t kCodesPage = 1000;

struct CodeOwner {
  std::int64_t ordinal = 0;
  IssuanceKey key;
  IssuanceState state = IssuanceState::sending;
  ObjectId job = 0;        // that is responsible now
  bool by_export = false;  // the code goes out by an export, not in a call
};

// The owners of the codes from ordinal `from` on, in their order: of kCodesPage codes.
[[nodiscard]] Result<std::vector<CodeOwner>> code_owners(LedgerView& ledger, ObjectId pool,
                                                         std::int64_t from);

}  // namespace vouch::store
