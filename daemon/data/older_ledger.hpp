// older_ledger.hpp: going on with a ledger that is an older copy: a restored backup, a cloned
// machine.
//
// What it says was executed, was; what it believes to be open may have been executed since, and
// what it has never heard of too.  So every open row becomes in_doubt, every campaign is marked,
// and from then on whatever is planned for a marked campaign is born in doubt.  How doubt is
// settled is the downstream's contract, as always: a repeat under the same key, a query, people.
//
// Nor does it know what people have stopped since, so every open job is paused until they resume
// it.  The job that singles share goes on: nobody could resume it, and each of its rows was asked
// for by itself.
//
// Jobs that it has never heard of are submitted again, and paused likewise: a mark stands in the
// ledger until all of them are back, whatever stops the daemon meanwhile.
//
// Threads: at the start, before any other; lost_before() on any.
// Errors:  those of the database; nothing is kept of what was begun then.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::data {

// When the ledger's last event was written: all that came later is unknown to it.  Nothing when it
// has none.
[[nodiscard]] Result<std::optional<WallTime>> last_event_time(store::Database& ledger);

struct Acceptance {
  std::int64_t rows_in_doubt = 0;  // for it alone
  std::int64_t jobs_paused = 0;
};

// From now on it is no copy any more.  Marks `campaigns`, puts open rows in doubt since `since`,
// pauses the open jobs, and writes an event that says so.  In one transaction.  `rerun_since`: jobs
// whose declined rows were run again by a job that this ledger does not know.
[[nodiscard]] Result<Acceptance> accept_older_ledger(store::Database& ledger,
                                                     const std::vector<ObjectId>& campaigns,
                                                     const std::set<ObjectId>& rerun_since,
                                                     WallTime since, WallTime now);

// What was submitted before then and is unknown to the ledger is to be submitted again; nothing
// when all of it is back.
[[nodiscard]] Result<std::optional<WallTime>> lost_before(store::Database& ledger);
[[nodiscard]] Result<void> forget_lost(store::Database& ledger);

}  // namespace vouch::data
