// pool_export.hpp: codes, written whole to a file, with whom they belong to: those that are out
// already, and those of rows that wait for an export (code_export.hpp).
//
// The only place where Vouch shows a code to a person: administrators alone, asked for a yes, and
// recorded in the audit trail before the file is there.
//
// Threads: main's.
// Errors:  not_permitted for anybody else; conflict when the file exists, or without a yes.
#pragma once

#include <string>

#include "cli/session.hpp"

namespace vouch::cli {

struct PoolExport {
  std::string pool;
  std::string job;   // of this one only; empty: of all
  std::string file;  // made anew, for its owner's eyes alone
};

[[nodiscard]] Result<int> export_codes(Session& session, const PoolExport& options);

}  // namespace vouch::cli
