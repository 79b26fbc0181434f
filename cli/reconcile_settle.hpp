// reconcile_settle.hpp: what a statement proves of rows in doubt or held is handed to vouchd.
//
// The rows are set aside on the disk while the two sides are merged, and go out afterwards, some
// hundred in a command: a statement that turns out to be wrong on its last line has then changed
// nothing.  vouchd looks at each row again before it changes it.
//
// Nobody can see of a statement that it is the downstream's.  Where the store asks for four eyes it
// therefore makes proposals, one for each job and state, and a second operator confirms them.
//
// Threads: main's.
// Errors:  those of the temporary file; vouchd's.
#pragma once

#include <string>
#include <vector>

#include "cli/reconciliation.hpp"
#include "cli/session.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::cli {

// Rows of one job that a statement settles in one way, when a second operator has confirmed it.
struct StatementProposal {
  std::string id;
  ObjectId job = 0;
  IssuanceState to = IssuanceState::issued;
  std::int64_t rows = 0;
  std::string digest;

  [[nodiscard]] std::string confirm_command() const;
};

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
  // Proposes all of them and changes nothing.
  [[nodiscard]] Result<std::vector<StatementProposal>> propose(Session& session,
                                                               const std::string& statement,
                                                               const std::string& downstream);

 private:
  SettledRows(store::SpoolFile file, bool negative) : file_{std::move(file)}, negative_{negative} {}
  store::SpoolFile file_;
  bool negative_;
  std::int64_t size_ = 0;
};

}  // namespace vouch::cli
