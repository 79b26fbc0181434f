// reconcile_settle.hpp: what a statement proves of rows in doubt or held is handed to vouchd.
//
// The rows are set aside on the disk while the two sides are merged, and go out afterwards, some
// hundred in a command: a statement that turns out to be wrong on its last line has then changed
// nothing.  vouchd looks at each row again before it changes it.
//
// Threads: main's.
// Errors:  those of the temporary file; vouchd's.
#pragma once

#include <string>

#include "cli/reconciliation.hpp"
#include "cli/session.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::cli {

class SettledRows {
 public:
  // With `negative` also what was proven not to have been executed.
  [[nodiscard]] static Result<SettledRows> create(const std::string& folder, bool negative);

  // Keeps the row when the statement settles it.
  [[nodiscard]] Result<void> add(const ReportRow& row, const Compared& compared);
  [[nodiscard]] std::int64_t size() const { return size_; }

  // Sends all of them.  Those that vouchd took over count in `balance` as matches of their jobs
  // (or as agreeing, when they were not executed); the number of them.
  [[nodiscard]] Result<std::int64_t> send(Session& session, const std::string& statement,
                                          Balance& balance);

 private:
  SettledRows(store::SpoolFile file, bool negative) : file_{std::move(file)}, negative_{negative} {}
  store::SpoolFile file_;
  bool negative_;
  std::int64_t size_ = 0;
};

}  // namespace vouch::cli
