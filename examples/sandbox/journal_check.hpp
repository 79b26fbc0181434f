// journal_check.hpp: what the sandbox's journals prove, without the sandbox.
//
// Threads: pure functions over files that may still be growing.
// Errors:  Errc::not_found, Errc::io, Errc::corrupt with file and line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/result.hpp"

namespace vouch::sandbox {

struct DoubleExecution {
  std::string request_id;
  std::uint64_t executions = 0;
};

struct JournalSummary {
  std::string file;
  std::uint64_t executions = 0;
  std::uint64_t request_ids = 0;  // distinct
  std::uint64_t recipients = 0;   // distinct
  std::uint64_t double_request_ids = 0;
  std::vector<DoubleExecution> doubles;                  // the first kDoublesListedMax of them
  std::map<std::string, std::int64_t> sums_by_currency;  // minor units
  bool torn = false;  // the last line has no end: it was being written
};

inline constexpr std::size_t kDoublesListedMax = 20;

// Reads SERVICE.csv.  32 bytes of memory per line.
[[nodiscard]] Result<JournalSummary> check_journal(const std::string& path);

// The SERVICE.csv files that stand in a folder, or the path itself when it is a file.
[[nodiscard]] Result<std::vector<std::string>> journals_at(const std::string& path);

}  // namespace vouch::sandbox
