// event_log.hpp: the append-only history of the ledger.
//
// An event's number is its place in commit order, without gaps; the counter is kept here, since
// the ledger has one writer.
//
// Threads: the ledger writer alone, inside its transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::data {

// An event of one issuance that is not the end of an attempt.
struct RowEvent {
  EventKind kind = EventKind::attempt;
  std::int64_t job_number = 0;
  std::int64_t campaign_number = 0;
  IssuanceKey key;
  std::uint8_t round = 0;
  IssuanceState from = IssuanceState::planned;
  IssuanceState to = IssuanceState::planned;
  std::string_view detail;
  std::optional<std::int64_t> previous;
  std::string_view reference = {};  // the downstream's, where a statement names it
};

class EventLog {
 public:
  explicit EventLog(store::Database& database) : database_{database} {}

  // Finds the last number.  Once, before anything is appended.
  [[nodiscard]] Result<void> load();

  // Each returns the event's number.
  [[nodiscard]] Result<std::int64_t> append(const AttemptEnd& end, IssuanceState to);
  [[nodiscard]] Result<std::int64_t> append(const RowEvent& event, WallTime at);
  // Of a job (number 0: of none), a downstream or the daemon; `detail` says what in words.
  [[nodiscard]] Result<std::int64_t> append(EventKind kind, std::int64_t job_number,
                                            std::string_view detail, WallTime at);
  [[nodiscard]] std::int64_t last() const { return last_; }

 private:
  store::Database& database_;
  std::int64_t last_ = 0;
};

}  // namespace vouch::data
