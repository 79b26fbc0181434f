// failure_watch.hpp: when so many rows of a job end without a voucher that people should look.
//
// A wrong campaign, a wrong list or a downstream that refuses everybody shows in its answers first.
// Counted are the rows that ended, or were held, since the job last began to run here; rows in
// states that the submission tolerates do not count.  Of the latest ones: older counts fade.
//
// Threads: the control thread's.   Errors: none.
#pragma once

#include <map>
#include <string>

#include "daemon/data/job_book.hpp"

namespace vouch::daemon {

// With fewer, a row of bad luck would stop a job.
inline constexpr std::int64_t kFailuresRowsMin = 500;

class FailureWatch {
 public:
  // Why the job should pause; empty when it should not.  Called about once a second for each job.
  [[nodiscard]] std::string look(const data::JobRecord& job, const data::JobNow& wanted,
                                 const data::StateCounts& totals);
  void forget(std::int64_t job) { known_.erase(job); }

 private:
  struct Known {
    data::StateCounts seen{};  // totals at the last look
    double ended = 0;
    double failed = 0;  // of those
    bool runs = false;
  };
  std::map<std::int64_t, Known> known_;
};

}  // namespace vouch::daemon
