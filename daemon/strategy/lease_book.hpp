// lease_book.hpp: the leases under which intake lets rows be called.
//
// A list's rows are called under the lease of their job's range, single issuances and what is in
// doubt under one of their own.  A range's epoch is written into the ledger before its lock is
// asked for.  Nothing here waits: what is not held yet is asked for, and is there a round later.
//
// A range is kept for as long as rows of it are to be called; an issuance's lease goes with its
// call and is over with it.
//
// Threads: the intake's.
// Errors:  of the ledger's reader.  A lock that somebody else has shows in problems().
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "common/clock.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/service/coordination.hpp"

namespace vouch::strategy {

struct LeaseSettings {
  service::LockSettings lock;
  std::string owner = "vouchd";  // written beside a range's epoch, for people
  std::int64_t first_epoch = 1;  // of this run; the ledger has none as great
};

class LeaseBook {
 public:
  LeaseBook(service::Coordination& coordination, data::LedgerWriter& writer,
            data::LedgerReader& reader, LeaseSettings settings)
      : coordination_{coordination},
        writer_{writer},
        reader_{reader},
        settings_{std::move(settings)},
        next_epoch_{settings_.first_epoch} {}

  // Lets go of what is needed no more.  `snapshot` lives until the next round.
  [[nodiscard]] Result<void> begin_round(Instant now, const data::Snapshot& snapshot);

  // The lease if it is held for long enough to call under it; else null, and it is asked for.
  [[nodiscard]] data::LeasePtr of_range(const data::JobNow& job, std::int32_t range);
  [[nodiscard]] data::LeasePtr of_issuance(const data::JobNow& job, const std::string& request_id);
  // The one under which a call of this intent is made.
  [[nodiscard]] data::LeasePtr of(const data::JobNow& job, const data::Intent& intent);

  // The lease of an issuance that is not called yet, for the next time it is wanted.
  void put_back(const data::JobNow& job, data::Intent& intent);

  // Somebody else has it.
  [[nodiscard]] bool is_refused(std::int64_t job, std::int32_t range) const;
  [[nodiscard]] bool is_refused(const data::JobNow& job, const data::Intent& intent) const;
  // A lease was wanted in this round and may be there in the next.
  [[nodiscard]] bool is_asking() const { return asking_; }
  // Which locks of a job somebody else has; empty when nobody has.
  [[nodiscard]] std::string problem_of(std::int64_t job) const;

 private:
  struct Entry {
    std::int64_t job = 0;
    std::int64_t epoch = 0;    // 0: none yet
    std::uint64_t ticket = 0;  // of the message that wrote it
    data::LeasePtr lease{};
    Instant wanted_at{};
    Instant again_at{};  // when it is asked for again after a refusal
  };
  struct Patience {
    Millis timeout{0};
    Millis settle{0};
  };

  [[nodiscard]] Patience patience_of(const data::JobNow& job) const;
  [[nodiscard]] data::LeasePtr held(Entry& entry, const std::string& name,
                                    const Patience& patience);
  [[nodiscard]] bool is_over(const Entry& entry) const;
  [[nodiscard]] Result<bool> is_needed(std::int64_t job, std::int32_t range, const Entry& entry);
  void note_refusals();

  service::Coordination& coordination_;
  data::LedgerWriter& writer_;
  data::LedgerReader& reader_;
  LeaseSettings settings_;

  std::int64_t next_epoch_;
  Instant now_{};
  const data::Snapshot* snapshot_ = nullptr;
  bool asking_ = false;
  Instant next_sweep_{};
  std::map<std::pair<std::int64_t, std::int32_t>, Entry> ranges_;  // by job and range
  std::map<std::string, Entry> issuances_;                         // by request id; not given yet
  std::map<std::int64_t, std::string> refusals_;                   // by job
};

}  // namespace vouch::strategy
