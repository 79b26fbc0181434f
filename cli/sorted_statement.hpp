// sorted_statement.hpp: the lines of a statement in the order of the ledger's primary key, on disk.
//
// Lines whose request id is not Vouch's come before all others, alike ones together.
//
// Threads: one at a time.
// Errors:  those of the temporary file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/judgement.hpp"
#include "common/identity.hpp"
#include "common/result.hpp"
#include "common/store/external_sort.hpp"

namespace vouch::cli {

// One sorted line: whose it is, and what it says.
struct SortedLine {
  std::optional<RequestId> id;  // nothing: not Vouch's
  std::string foreign_id;
  StatementEntry entry;
};

class SortedStatement {
 public:
  // `run_bytes` of the sort; 0: its own.
  SortedStatement(const std::string& folder, std::size_t run_bytes);

  // `id`: what `request_id` says, where it can be read.
  [[nodiscard]] Result<void> add(std::string_view request_id, const std::optional<RequestId>& id,
                                 const StatementEntry& entry);

  // Ends adding.  Then next() moves from line to line and is false behind the last; line() is
  // valid until next() is called again, and may be moved from.
  [[nodiscard]] Result<void> finish() { return sort_.finish(); }
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] SortedLine& line() { return line_; }

 private:
  store::ExternalSort sort_;
  SortedLine line_;
};

}  // namespace vouch::cli
