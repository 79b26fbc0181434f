// downstream_book.hpp: what the ledger says of how each downstream fares.
//
// One row for each downstream that has ever been in trouble, so that readers outside the daemon
// find it without looking through the history.
//
// Threads: record() the ledger writer's, inside its transaction; read_downstreams() any.
// Errors:  those of the database.
#pragma once

#include <vector>

#include "common/downstream_state.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::data {

[[nodiscard]] Result<void> record_downstream(store::Database& ledger, const DownstreamState& state);
[[nodiscard]] Result<std::vector<DownstreamState>> read_downstreams(store::Database& ledger);

}  // namespace vouch::data
