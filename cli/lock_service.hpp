// lock_service.hpp: where a vouchd that runs keeps its locks, and whether it reaches that place.
//
// vouchd writes it into its ledger whenever it changes; nothing is asked of Redis itself.
//
// Threads: main's.   Errors: those of the ledger.
#pragma once

#include <optional>
#include <string>

#include "cli/daemon_state.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

struct LockService {
  std::string where;
  bool is_up = true;
  std::string why;  // why it is not
  WallTime since;
};

// Nothing without a ledger, without a vouchd that runs, and where the locks lie in vouchd itself.
[[nodiscard]] Result<std::optional<LockService>> lock_service_of(store::LedgerView* ledger,
                                                                 const DaemonState& daemon);
// "redis://... since ..." or "redis://... is lost since ...: ...; vouchd goes on by its lock file";
// empty for nothing.
[[nodiscard]] std::string words_of(const std::optional<LockService>& service);

}  // namespace vouch::cli
