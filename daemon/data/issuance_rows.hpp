// issuance_rows.hpp: what the parts of the IssuanceLedger share: a row as the rarer changes need
// it, and how keys, times and amounts are bound.
//
// Threads: the ledger writer's.  Errors: those of the database.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::data {

struct IssuanceRow {
  std::int64_t campaign = 0;
  IssuanceKey key;
  IssuanceState state = IssuanceState::planned;
  std::uint8_t round = 0;
  std::int32_t range = 0;
  std::optional<std::int64_t> amount_minor;
  std::optional<std::int64_t> last_event;
};

// Of a SELECT that begins with campaign, recipient_key, occurrence, item, state, round, range,
// amount_minor, last_event.
[[nodiscard]] IssuanceRow read_row(const store::Statement& select);
[[nodiscard]] Result<std::vector<IssuanceRow>> read_rows(store::Statement& select);

[[nodiscard]] RowEvent event_of(const IssuanceRow& row, EventKind kind, std::int64_t job,
                                IssuanceState to);

// Binds campaign, recipient, occurrence and item from `index` on.
void bind_key(store::Statement& statement, int index, std::int64_t campaign,
              const IssuanceKey& key);
void bind_or_null(store::Statement& statement, int index,
                  const std::optional<std::int64_t>& number);
void bind_time(store::Statement& statement, int index, const std::optional<WallTime>& time);

// Leaves a row in a final state without a voucher; it is due no more.
[[nodiscard]] Result<void> end_row(store::Database& database, IssuanceState to, std::int64_t event,
                                   std::int64_t campaign, const IssuanceKey& key);

}  // namespace vouch::data
