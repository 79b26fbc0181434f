// notices.hpp: when a person should know.
//
// Compares what the control thread sees from round to round.  Each notice has a kind, a subject
// (the job or the downstream) and words; how it reaches anyone is the caller's business.
//
// Threads: the control thread's.
// Errors:  none; what could not be read is told in a later round.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/service/lane.hpp"

namespace vouch::daemon {

class Notices {
 public:
  using Tell = std::function<void(const std::string& kind, const std::string& subject,
                                  const std::string& words)>;
  explicit Notices(Tell tell) : tell_{std::move(tell)} {}

  // A job that paused, goes on, is unsettled; `totals` are what is known of it now.
  void job_changed(const data::JobRecord& before, const data::JobRecord& now,
                   const data::StateCounts& totals);
  // A job that is over, as `end`.
  void job_ended(const data::JobRecord& job, JobState end, const data::StateCounts& totals);
  // A running job that at its pace of the last minutes will not end by `finish_by`, and one whose
  // finish_by has passed; each once.  `open` are its issuances that may still change.
  void late(const data::JobRecord& job, WallTime finish_by, std::int64_t open, Instant now,
            WallTime wall);
  // More rows of the job are held than were told of; again after a minute at the earliest.
  void held(const data::JobRecord& job, const data::StateCounts& totals, Instant now);
  // All that is left of the job, so many rows, waits for an export; told once, until none does.
  void exports(const data::JobRecord& job, std::int64_t waiting);
  // Pools with fewer codes left than their low water; each once, until codes were added.
  void pool(const store::PoolRow& pool, std::int64_t left);
  // Breakers that have not been closed for five minutes; each outage once.
  void breakers(const std::vector<service::LaneView>& lanes, Instant now);

 private:
  struct Held {
    std::int64_t told = 0;
    Instant next_at{};
  };
  struct Outage {
    Instant since;
    bool is_told = false;
  };

  Tell tell_;
  // A pace is measured from the first sample, which is a minute old at least.
  struct Pace {
    Instant at;
    std::int64_t open = 0;
    Instant next_at;
    std::int64_t next_open = 0;
    bool is_told = false;
  };
  std::set<std::int64_t> late_;         // by the job's number
  std::map<std::int64_t, Pace> paces_;  // by the job's number
  std::map<std::int64_t, Held> held_;   // by the job's number
  std::set<std::int64_t> exports_;      // by the job's number
  std::map<ObjectId, Outage> outages_;  // by downstream
  std::set<ObjectId> low_pools_;        // that were told of
};

}  // namespace vouch::daemon
