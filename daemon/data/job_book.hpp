// job_book.hpp: jobs, their ranges and totals, and the commands that have been applied.
//
// Totals by state are kept per range in the same transaction as the rows they count; a group of
// writes gathers its changes here and flush() writes each touched range once.  The sums of all
// jobs that are not over are also held in memory, so that the end of a job is noticed without a
// query.
//
// Threads: the ledger writer alone, inside its transaction; the free functions read on any.
// Errors:  those of the database; anything else is a broken invariant.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::data {

using StateCounts = std::array<std::int64_t, kIssuanceStates>;

struct JobRecord {
  std::int64_t number = 0;
  ObjectId id = 0;
  std::int64_t campaign_number = 0;
  JobKind kind = JobKind::list;
  JobState state = JobState::running;
  PauseReason pause_reason = PauseReason::none;
  std::string pause_detail;
  std::int32_t ranges = 0;
  std::int32_t start_range = 0;
  std::int32_t ranges_planned = 0;
  std::int64_t rows_accepted = 0;
  int items = 0;
  std::optional<std::int64_t> pilot_left;
  bool settle_by_repeat = false;
  std::int64_t replans = 0;  // how often a page was cut short: pages behind it are planned anew
  bool has_started = false;
  std::optional<WallTime> restored_at;  // of its campaign: see restore_campaign()
  bool cancel_asked = false;            // it is over as `cancelled`, not as `done`
  StateCounts by_state{};
  bool changed = false;

  // Intake looks at the job as it was a moment ago: what it asks for then may come too late.
  [[nodiscard]] bool takes_fresh_rows() const {
    return state == JobState::running || state == JobState::paused;
  }
  [[nodiscard]] bool takes_rows_again() const {
    return takes_fresh_rows() || state == JobState::scheduled || settle_by_repeat;
  }
  [[nodiscard]] std::int64_t count(IssuanceState state_) const {
    return by_state[static_cast<std::size_t>(state_)];
  }
};

// Jobs that are not over, by number, without their totals; those of one job; what a command was
// answered, if it was applied.  On any connection to the ledger, and any thread.
[[nodiscard]] Result<std::vector<JobRecord>> read_open_jobs(store::Database& ledger);
[[nodiscard]] Result<StateCounts> read_totals(store::Database& ledger, std::int64_t job);
[[nodiscard]] Result<std::optional<std::string>> applied_answer(store::Database& ledger,
                                                                const CommandName& command);
// The greatest id of a command that was applied; 0 when none was.
[[nodiscard]] Result<std::int64_t> last_applied(store::Database& ledger);

class JobBook {
 public:
  JobBook(store::Database& database, EventLog& events) : database_{database}, events_{events} {}

  // Reads the jobs that are not over.  Once.
  [[nodiscard]] Result<void> load();

  [[nodiscard]] Result<std::int64_t> campaign_number(ObjectId campaign);
  // This ledger is an older copy and knows nothing of the campaign since then: whatever it plans
  // may have been executed already.  Holds for ever.
  [[nodiscard]] Result<void> restore_campaign(std::int64_t campaign, WallTime since);
  [[nodiscard]] Result<std::optional<WallTime>> restored_at(std::int64_t campaign);
  [[nodiscard]] std::vector<std::int64_t> open_numbers() const;
  // Null when there is none, or it is over.
  [[nodiscard]] JobRecord* find(std::int64_t number);
  [[nodiscard]] JobRecord* find_id(ObjectId id);
  // Also those that are over; nothing when the ledger has never seen it.
  [[nodiscard]] Result<std::optional<JobRecord>> any(ObjectId id);
  // The issuances of any job by state, as far as they are written.
  [[nodiscard]] Result<StateCounts> totals(std::int64_t number);
  // `record.number` is given here.
  [[nodiscard]] Result<JobRecord*> create(JobRecord record, WallTime now);
  // Writes the change of state and an event with `words`.
  [[nodiscard]] Result<void> set_state(JobRecord& job, JobState state, PauseReason reason,
                                       std::string_view words, WallTime now);

  // The ledger is an older copy, which does not know who stopped the job since: it waits for
  // people. `more`: what else they have to know; may be empty.
  [[nodiscard]] Result<void> pause_older(JobRecord& job, std::string_view more, WallTime now);

  // Who calls the rows of a range from now on; `epoch` is above that of the owner before.
  [[nodiscard]] Result<void> claim_range(std::int64_t job, std::int32_t range, std::int64_t epoch,
                                         std::string_view owner);

  // What a row's change does to the totals.  `from` is nothing for a row just born.
  void move(std::int64_t job, std::int32_t range, std::optional<IssuanceState> from,
            IssuanceState to, std::optional<std::int64_t> amount_minor);
  // A row goes over to another job.
  void move_away(std::int64_t job, std::int32_t range, IssuanceState from);
  void add_fresh(std::int64_t job, std::int32_t range, std::int64_t rows);
  struct Planned {
    std::int64_t rows = 0;
    std::int64_t repeats = 0;
    std::optional<RecipientKey> planned_from{};  // first recipient of the page
    std::string planned_to{};                    // cursor behind its last row; may be empty
    bool range_done = false;
  };
  void add_planned(std::int64_t job, std::int32_t range, const Planned& planned);

  // Writes what was gathered, and ends or pauses the jobs whose last open row that was.
  [[nodiscard]] Result<void> flush(WallTime now);

  [[nodiscard]] Result<std::optional<std::string>> applied(const CommandName& command) {
    return applied_answer(database_, command);
  }
  [[nodiscard]] Result<void> record_applied(const CommandName& command, std::string_view answer,
                                            WallTime now);

 private:
  struct RangeChange {
    StateCounts by_state{};
    std::int64_t fresh = 0;
    std::int64_t moved = 0;
    std::int64_t issued_minor = 0;
    Planned planned;
  };

  [[nodiscard]] Result<void> write_range(std::int64_t job, std::int32_t range,
                                         const RangeChange& change);
  [[nodiscard]] Result<void> write_job(JobRecord& job);
  [[nodiscard]] Result<void> end_if_complete(JobRecord& job, WallTime now);

  store::Database& database_;
  EventLog& events_;
  std::map<std::int64_t, JobRecord> jobs_;
  std::map<std::pair<std::int64_t, std::int32_t>, RangeChange> changes_;
};

}  // namespace vouch::data
