// submissions.hpp: jobs that stand in the control store are handed to the ledger: each as its
// command comes, and again where an older ledger has not heard of it.
//
// An older ledger may not know of jobs that were submitted: they are submitted again, and paused.
// That is looked at until all of them are durable, at each start anew.
//
// Threads: the control thread's.
// Errors:  not_found and conflict for a job that cannot be; those of the stores.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/store/control_store.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/definitions.hpp"

namespace vouch::daemon {

// With contract `none` a lost answer is nobody's to find out: somebody must have accepted that.
[[nodiscard]] Result<void> check_uncertain(const Definitions& definitions,
                                           const plan::Campaign& campaign, bool accepted);

class Submissions {
 public:
  Submissions(store::ControlStore& control, data::LedgerReader& reader, Definitions& definitions,
              data::LedgerWriter& writer, const store::StorePaths& paths,
              const std::string& instance)
      : control_{control},
        reader_{reader},
        definitions_{definitions},
        writer_{writer},
        paths_{paths},
        instance_{instance} {}

  // What the ledger says of itself; before the first of the others.
  [[nodiscard]] Result<void> begin();
  // Passes the job to the ledger writer, which answers `command`.
  [[nodiscard]] Result<void> submit(ObjectId job, const data::CommandName& command);
  // `open_jobs`: as the last snapshot has them.
  [[nodiscard]] Result<void> bring_lost_jobs_back(Instant now,
                                                  const std::vector<data::JobRecord>& open_jobs);

 private:
  [[nodiscard]] Result<void> hand_over(const store::JobRow& row, const data::CommandName& command);
  [[nodiscard]] Result<bool> is_lost(const store::JobRow& row);
  void bring_back(const store::JobRow& row, const std::vector<data::JobRecord>& open_jobs);

  store::ControlStore& control_;
  data::LedgerReader& reader_;
  Definitions& definitions_;
  data::LedgerWriter& writer_;
  const store::StorePaths& paths_;
  const std::string& instance_;
  std::optional<WallTime> lost_before_;  // see data::lost_before()
  std::set<ObjectId> lost_told_;         // the log has named them
  Instant next_lost_{};
};

}  // namespace vouch::daemon
