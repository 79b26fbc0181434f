// job_standing.hpp: how a job stands: what its ledger says, and what of it waits for an export.
//
// Threads: plain values.   Units: issuances.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/export_mark.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

// Open issuances of a job whose codes go out by an export: what people must know to export them.
struct OpenExports {
  std::array<std::int64_t, kExportStages> by_stage{};
  std::int64_t unknown = 0;        // of those in doubt: which code they have is not known here
  std::vector<std::string> pools;  // that the codes come from, by name

  [[nodiscard]] std::int64_t rows() const { return by_stage[0] + by_stage[1] + by_stage[2]; }
};

struct JobStanding : store::JobProgress {
  OpenExports exports{};  // none where nobody has looked (open_exports.hpp)
};

}  // namespace vouch::cli
