// backup.hpp: one consistent copy of a store.
//
// The control store's write lock is held while it and the ledgers are copied, so that no command
// is answered in one and unknown in the other; vouchd goes on issuing meanwhile, and its later
// writes are not in the copy.  Lists and segments of pools never change and are copied afterwards.
// Everything is made beside the target and renamed to it at the end: a target that is there is
// complete.  Each copied ledger is marked as a copy, with which vouchd starts only on request.
//
// Not in the copy: recipient.key and the pools' key, which belong into a safe of their own, and
// stop.json.
//
// Threads: main's.   Errors: conflict when the target exists; busy, io.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.hpp"

namespace vouch::cli {

class Session;

struct BackupFile {
  std::string path;  // below the store, and below the copy: "control/control.db"
  std::int64_t bytes = 0;
  std::string sha256;  // of the copy
};

// What would be copied; sizes are those of now.
[[nodiscard]] Result<std::vector<BackupFile>> plan_backup(Session& session);
[[nodiscard]] Result<std::vector<BackupFile>> make_backup(Session& session,
                                                          const std::string& target);

}  // namespace vouch::cli
