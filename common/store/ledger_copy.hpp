// ledger_copy.hpp: the mark by which a ledger that was restored from a backup is known.
//
// `vouchctl store backup` puts it into each ledger that it has copied.  vouchd does not start with
// a ledger that has it until it is told to go on: such a ledger does not know what was sent since,
// and where the copy is put elsewhere no anchor tells.
//
// Threads: those of the connection.
// Errors:  those of the database.
#pragma once

#include <optional>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::store {

[[nodiscard]] Result<void> mark_copy(Database& ledger, WallTime at);
// When it was copied; nothing when it is no copy, or one that was accepted.
[[nodiscard]] Result<std::optional<WallTime>> copied_at(Database& ledger);
[[nodiscard]] Result<void> unmark_copy(Database& ledger);

}  // namespace vouch::store
