// export_desk.hpp: where an export takes its codes, and says that a file has them.
//
// vouchctl writes the file, vouchd keeps the ledger; these two steps, of a page each, keep both
// together.  A row has its code, for ever, before the code is in any file; and it is issued only
// when vouchctl says that the file with this code is on the disk.  Whatever dies in between, the
// next export finds the rows taken, writes the same codes, and confirms them.
//
//   POST /exports/take      {"export","pool","job"}            {"ok":true,"rows":n,"more":b}
//   POST /exports/confirm   {"export","pool","runs":[[o,n]]}   {"ok":true,"rows":n}
//
// A run is n codes from the ordinal o on.  Only administrators, as the kernel names them, may do
// either.
//
// Threads: the control socket's.
// Errors:  not_permitted for anybody else; conflict when the job may start nothing now; attention
//          when the pool has no code left.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"
#include "daemon/data/ledger_messages.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::daemon {

class ExportDesk {
 public:
  // Hands a message to the ledger writer; returns when it is durable.
  using Write = std::function<Result<void>(data::LedgerMessage)>;

  ExportDesk(const data::SnapshotBoard& board, const Clock& clock, Write write)
      : board_{board}, clock_{clock}, write_{std::move(write)} {}

  // `verb` is "take" or "confirm".
  [[nodiscard]] Result<std::string> carry_out(store::ControlStore& control,
                                              const data::Authority& by, std::string_view verb,
                                              std::string_view body);

 private:
  [[nodiscard]] Result<std::string> take(store::ControlStore& control, const data::Authority& by,
                                         std::string_view body);
  [[nodiscard]] Result<std::string> confirm(store::ControlStore& control, const data::Authority& by,
                                            std::string_view body);
  // The job, when nothing keeps it; whether it runs at this moment, the ledger writer knows.
  [[nodiscard]] Result<data::JobNow> job_that_starts(std::string_view id) const;

  const data::SnapshotBoard& board_;
  const Clock& clock_;
  Write write_;
};

}  // namespace vouch::daemon
