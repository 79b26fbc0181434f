// issuance_ledger.hpp: the only way an issuance is born and the only way it changes its state.
//
// Every function is one step inside the ledger writer's transaction.  Changes of state are
// guarded by the state expected: a row that is somewhere else meanwhile is left alone, and the
// caller is told.  Totals go to the JobBook, history to the EventLog, in the same transaction.
//
// Threads: the ledger writer alone, and recovery before the threads start.
// Errors:  those of the database.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/issuance_state.hpp"
#include "common/plan/item_set.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/code_shelf.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/intent.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/pool_book.hpp"

namespace vouch::data {

// next_at_ms of a single, and of a row that was due, while it is `sending` or asked about: recovery
// finds it by that.  The year 9999.  A row of a list is born without; its range finds it.
inline constexpr std::int64_t kInFlightMs = 253'402'300'799'000;

// A row whose call was out so often when the program died of a fault, with no end of a call in
// between, is held: it may be what the program dies of.
inline constexpr int kFaultsMax = 3;

struct IssuanceRow;

// A page of a list, planned: what the rows between two keys become.
struct PlanPage {
  std::int64_t job_number = 0;
  std::int64_t campaign_number = 0;
  std::int32_t range = 0;
  int rows = 0;                              // rows of the list in this page
  std::optional<RecipientKey> planned_from;  // the first of them
  std::string planned_to;  // cursor behind the last of them (store::RowKey::to_bytes)
  bool range_done = false;
  // Or expired, when finish_by has passed; or in_doubt, when the ledger is an older copy.
  IssuanceState state = IssuanceState::sending;
  std::optional<WallTime> doubt_since;  // with in_doubt
  std::vector<Intent> intents;          // ascending by recipient, then item
  // Where codes are handed out: the cursor behind each row of the list, so that the page can end
  // at any of them.
  std::vector<std::string> cursors{};
  std::int64_t replans = 0;  // of the job, when the page was planned
  // Set by plan(): why the rows behind the last that was planned could not be: no code is left.
  std::string cut{};
};

class IssuanceLedger {
 public:
  IssuanceLedger(store::Database& database, EventLog& events, JobBook& jobs, PoolBook& pools,
                 CodeShelf& shelf)
      : database_{database}, events_{events}, jobs_{jobs}, pools_{pools}, shelf_{shelf} {}

  // Inserts the page's issuances.  A recipient who was planned before under this campaign and
  // occurrence is a repeat: counted, and left out of page.intents.  Where no code is left the page
  // ends early, and page.cut says why.
  [[nodiscard]] Result<void> plan(PlanPage& page, WallTime now);

  // Codes for those of one recipient's intents that want one and have none yet: for all of them,
  // or for none.  Says why not; empty when all have theirs.
  [[nodiscard]] Result<std::string> give_codes(std::span<Intent> intents);

  // A single issuance with the input it came with.  False when the recipient was planned before.
  // Its codes must have been given.
  // With `doubt_since` it is born in doubt: an older copy of the ledger cannot know.
  [[nodiscard]] Result<bool> is_planned(const Intent& intent);
  // Whether the row is in this state, and has no code.
  [[nodiscard]] Result<bool> is_in(const Intent& intent, IssuanceState state);
  [[nodiscard]] Result<bool> plan_single(std::vector<Intent>& intents, std::string_view input,
                                         std::optional<WallTime> doubt_since, WallTime now);

  // planned, waiting or in_doubt -> sending.  False when it is no longer in `intent.from`.
  [[nodiscard]] Result<bool> send_again(Intent& intent, WallTime now);

  // A row in doubt will be asked about: nobody else asks until the end of the query is settled.
  // False when it is no longer as the intent saw it.
  [[nodiscard]] Result<bool> ask(const Intent& intent);

  // sending -> wherever the attempt's end leads, with one event.  An end that finds the row in
  // another state is recorded as an event all the same.  Of a query: in_doubt -> wherever, and
  // anything but evidence only while the row is as it was when it was asked about.
  [[nodiscard]] Result<void> settle(const AttemptEnd& end);

  // The same for an end that was kept aside while the ledger could not be written, and may be
  // recorded already.  False when it is.
  [[nodiscard]] Result<bool> settle_late(const AttemptEnd& end);

  // intent.from, waiting or in_doubt, -> held, for a reason in words.
  [[nodiscard]] Result<void> hold(const Intent& intent, std::string_view reason, WallTime now);

  // in_doubt or held -> issued, waiting or failed, by what a downstream's statement says; waiting
  // where the job may still send.  False, and nothing changed, when the row is in another state or
  // round, or has another amount; one that was not executed, when it had another event since.
  struct Statement {
    IssuanceKey key;
    std::uint8_t round = 0;
    bool was_executed = true;
    std::optional<std::int64_t> amount_minor;
    std::optional<std::int64_t> last_event;
    std::string_view reference;
    std::string_view words;
  };
  [[nodiscard]] Result<bool> settle_by_statement(const Statement& says, WallTime now);

  // in_doubt or held -> issued, waiting or failed, because people say so.  False, and nothing
  // changed, when the row is not in this state and round, has had another event since, or belongs
  // to another job.  Where they go by a statement that has the row, its state and last event may be
  // others, and its amount must be the statement's.
  struct Resolution {
    IssuanceKey key;
    std::uint8_t round = 0;
    std::int64_t job_number = 0;
    IssuanceState from = IssuanceState::held;
    std::optional<std::int64_t> last_event;
    IssuanceState to = IssuanceState::failed;
    bool by_statement = false;
    std::optional<std::int64_t> amount_minor;  // as the statement has it
    std::string_view reference;
    std::string_view words;
  };
  [[nodiscard]] Result<bool> resolve(const Resolution& says, WallTime now);

  // The row's amount, when it belongs to that job.
  struct Found {
    std::optional<std::int64_t> amount_minor;
  };
  [[nodiscard]] Result<std::optional<Found>> find(const IssuanceKey& key, std::int64_t job_number);

  // planned and waiting -> cancelled or expired, at most `rows_max`; and, of a job that was
  // cancelled, what an export has taken and not confirmed -> in_doubt.  Returns how many.
  [[nodiscard]] Result<int> end_open_rows(std::int64_t job, IssuanceState to, int rows_max,
                                          WallTime now);

  // Moves final issuances of `from_job` in `state` to the job `to_job` as planned, at most
  // `rows_max`; a declined one starts its next round.  Returns how many.
  // With `doubt_since` as in_doubt.  Those of `exports` wait for an export.
  struct Rerun {
    std::int64_t to_job = 0;
    std::int64_t from_job = 0;
    plan::ItemSet exports{};
    std::optional<WallTime> doubt_since{};
  };
  [[nodiscard]] Result<int> rerun(const Rerun& between, IssuanceState state, int rows_max,
                                  WallTime now);

  // planned or waiting -> sending, at most `rows_max` of the job's rows that wait for an export,
  // of these items: each with its own code of the pool, from then on for ever.
  struct ExportPage {
    std::int64_t job_number = 0;
    plan::ItemSet items;
    const store::PoolRow& pool;
    int rows_max = 0;
  };
  struct TakenForExport {
    int rows = 0;
    bool is_short = false;  // the pool has no code left for the next row
  };
  [[nodiscard]] Result<TakenForExport> take_for_export(const ExportPage& page, WallTime now);

  // sending or in_doubt -> issued: a file has these codes of the pool, `codes` of them from `first`
  // on.  Rows that are somewhere else meanwhile stay there, with an event.  Returns how many are
  // issued now by an export, this one or another.
  struct ExportedCodes {
    const store::PoolRow& pool;
    std::int64_t first = 0;
    std::int64_t codes = 0;
    std::string_view export_id;
  };
  [[nodiscard]] Result<int> confirm_export(const ExportedCodes& exported, WallTime now);

  // sending -> in_doubt: what an export has taken and not confirmed, at most `rows_max`.
  [[nodiscard]] Result<int> doubt_taken(std::int64_t job, int rows_max, std::string_view words,
                                        WallTime now);

  // The ledger is an older copy: what was planned or waiting in it may have been executed since.
  // Returns how many rows are in doubt for it.
  [[nodiscard]] Result<std::int64_t> doubt_open_rows(std::int64_t job, WallTime since,
                                                     WallTime now);

  // After a stop of any kind: every row of the job that is still `sending` may have been executed
  // and becomes in_doubt; what was being asked about is due again.  `after_fault`: the program
  // died of itself, perhaps of one of these rows; the third time in a row a row is held instead.
  // Returns how many rows that were.
  [[nodiscard]] Result<int> recover(std::int64_t job, bool after_fault, WallTime now);

 private:
  struct Owned;  // a row and its job
  [[nodiscard]] Result<std::optional<Owned>> one_row(const IssuanceKey& key);
  // Whatever settles a row that may have been executed, without a call.
  [[nodiscard]] Result<void> settle_outside(const Owned& owned, RowEvent event, WallTime now);
  [[nodiscard]] Result<void> insert(const Intent& intent, IssuanceState state, WallTime now);
  [[nodiscard]] Result<void> settle_asked(const AttemptEnd& end);
  // A row that was cleared is not called again: waiting -> failed.
  [[nodiscard]] Result<void> give_up(const AttemptEnd& end, std::int64_t previous);
  [[nodiscard]] Result<void> drop_input(const Intent& intent);
  [[nodiscard]] static std::size_t end_of_recipient(const PlanPage& page, std::size_t begin);
  static void cut_page(PlanPage& page, std::size_t begin, std::string why);
  [[nodiscard]] Result<bool> page_is_new(const PlanPage& page);
  [[nodiscard]] Result<bool> recipient_is_new(const Intent& intent);
  // The fresh rows of one range, or without one the rows that were sent again.
  [[nodiscard]] Result<int> recover_rows(std::int64_t job, std::optional<std::int64_t> range,
                                         bool after_fault, WallTime now);

  [[nodiscard]] Result<void> recover_row(std::int64_t job, const IssuanceRow& row,
                                         std::int64_t faults, WallTime now);

  store::Database& database_;
  EventLog& events_;
  JobBook& jobs_;
  PoolBook& pools_;
  CodeShelf& shelf_;
};

}  // namespace vouch::data
