// older_ledger.hpp: going on with a ledger that is an older copy: a restored backup, a cloned
// machine.
//
// What it says was executed, was; what it believes to be open may have been executed since, and
// what it has never heard of too.  So every open row becomes in_doubt, every campaign is marked,
// and from then on whatever is planned for a marked campaign is born in doubt.  How doubt is
// settled is the downstream's contract, as always: a repeat under the same key, a query, people.
//
// Threads: at the start, before any other.
// Errors:  those of the database; nothing is kept of what was begun then.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::data {

// When the ledger's last event was written: all that came later is unknown to it.  Nothing when it
// has none.
[[nodiscard]] Result<std::optional<WallTime>> last_event_time(store::Database& ledger);

// From now on it is no copy any more.  Marks `campaigns`, puts open rows in doubt since `since`,
// and writes an event that says so.  In one transaction.  Returns how many rows are in doubt for
// it.
[[nodiscard]] Result<std::int64_t> accept_older_ledger(store::Database& ledger,
                                                       const std::vector<ObjectId>& campaigns,
                                                       WallTime since, WallTime now);

}  // namespace vouch::data
