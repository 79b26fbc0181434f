// ledger_reader.hpp: the daemon's own reads of the ledger, beside the writer.
//
// On a read-only connection of its own: a WAL reader never waits for the writer nor keeps it
// waiting.  What it reads may be a moment old; every change that follows from it is guarded.
//
// Threads: one LedgerReader per thread (intake and control have one each).
// Errors:  those of the database.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/item_set.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/pool_book.hpp"

namespace vouch::data {

// A row that is due, with what the attempt before it has left.
struct DueRow {
  IssuanceKey key;  // campaign: of this ledger's number, not the random id
  IssuanceState state = IssuanceState::waiting;
  std::uint8_t round = 0;
  std::int32_t range = 0;
  int campaign_version = 0;
  int downstream_version = 0;
  std::optional<std::int64_t> amount_minor;
  Digest128 call_digest{};
  WallTime next_at;
  std::optional<WallTime> doubt_since;
  int attempts = 0;
  int strikes = 0;
  std::optional<std::int64_t> last_event;
  std::optional<WallTime> last_attempt_at;
  int last_status = 0;
  Digest128 last_reply{};
  WallTime intent_at;  // of the latest call; in doubt: when it began, at the latest
  int asked = 0;
  std::optional<WallTime> missing_since;
  bool known = false;                   // a query was told that the downstream knows the call
  std::optional<std::int64_t> ordinal;  // of its code
  EventKind last_kind = EventKind::attempt;
  Outcome last_outcome = Outcome::unknown;  // of an attempt or a query
  std::optional<int> last_shared_by;        // likewise, as the event has it

  [[nodiscard]] bool met_setup() const {
    return last_outcome == Outcome::setup || last_outcome == Outcome::unknown_setup;
  }
  // As Intent has it.
  [[nodiscard]] int unanswered_with() const {
    if (!last_event) return 0;
    if (last_kind == EventKind::asked) return last_shared_by.value_or(0);
    const bool was_called = last_kind == EventKind::attempt && last_outcome == Outcome::unknown;
    return was_called && last_status == 0 ? last_shared_by.value_or(1) : 0;
  }
};

// Rows that met a wrong set-up go before all others, or come after them: for probes, a slower look.
enum class SetupOrder : std::uint8_t { none, first, last };

// Which of the rows that are due.
struct DueWanted {
  SetupOrder setup = SetupOrder::none;
  plan::ItemSet items = plan::ItemSet::all();     // whose rows are planned or waiting
  plan::ItemSet doubtful = plan::ItemSet::all();  // whose rows are in doubt
  int rows_max = 0;
};

struct RangeCursor {
  std::int32_t range = 0;
  std::string planned_to;  // empty: not begun
  bool done = false;
};

class LedgerReader {
 public:
  explicit LedgerReader(store::Database database) : database_{std::move(database)} {}

  // Jobs that are not over.
  [[nodiscard]] Result<std::vector<JobRecord>> open_jobs();
  [[nodiscard]] Result<StateCounts> totals(std::int64_t job) { return read_totals(database_, job); }
  [[nodiscard]] Result<std::int64_t> last_event();
  [[nodiscard]] Result<bool> has_job(ObjectId id);
  // Issuances of a job that may still change by themselves, those not planned yet included.
  [[nodiscard]] Result<std::int64_t> open_rows(std::int64_t job);
  // Jobs with a greater number than `after` that are over, by number.
  [[nodiscard]] Result<std::vector<JobRecord>> ended_jobs(std::int64_t after);
  [[nodiscard]] Result<std::int64_t> last_job();
  [[nodiscard]] Result<JobState> job_state(std::int64_t job);
  [[nodiscard]] Result<std::optional<std::string>> applied(const CommandName& command);
  [[nodiscard]] Result<std::int64_t> last_applied() { return data::last_applied(database_); }
  [[nodiscard]] Result<std::map<std::int32_t, RangeCursor>> ranges(std::int64_t job);

  // Whether rows of a range are to be called, or are being called.  Planned rows of a list wait for
  // an export and never for a call: whoever knows that says `exported`, and they do not count.
  enum class Planned : std::uint8_t { called, exported };
  [[nodiscard]] Result<bool> range_has_open_rows(std::int64_t job, std::int32_t range,
                                                 Planned planned = Planned::called);

  // Rows of a job whose time has come, soonest first; by the index issuance_due.
  [[nodiscard]] Result<std::vector<DueRow>> due(std::int64_t job, WallTime now,
                                                const DueWanted& wanted);
  // When the soonest row of a job is due; nothing when none waits.
  [[nodiscard]] Result<std::optional<WallTime>> next_due(std::int64_t job);
  // Whether planned or waiting rows are left.
  [[nodiscard]] Result<bool> has_startable(std::int64_t job);
  // Whether rows are left that an export has taken and not confirmed.
  [[nodiscard]] Result<bool> has_taken(std::int64_t job);
  // How many codes of a pool are out.
  [[nodiscard]] Result<std::int64_t> codes_out(ObjectId pool) {
    return data::codes_out(database_, pool);
  }
  // The input of a single issuance; nothing when it is final.
  [[nodiscard]] Result<std::optional<std::string>> single_input(std::int64_t campaign_number,
                                                                const IssuanceKey& key);
  [[nodiscard]] store::Database& database() { return database_; }

 private:
  store::Database database_;
};

}  // namespace vouch::data
