// reconciliation.hpp: the ledger against a downstream's statement, row by row.
//
// Both sides are brought into the order of the request id: the ledger is kept in it, the statement
// is sorted on disk (sorted_statement.hpp).  Then they are merged in one pass, so that
// memory does not grow with either.  What the two say of one issuance is judged by classify()
// (judgement.hpp); nothing is changed and nobody is asked.
//
// Threads: one at a time.
// Units:   amounts in minor units, times UTC.
// Errors:  those of the two sides; invalid for a wrong statement, with its line and column.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/judgement.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/set_digest.hpp"

namespace vouch::cli {

// The two sides, as the merge reads them.
class LedgerRows {
 public:
  virtual ~LedgerRows() = default;
  // Rising by key; false at the end.  What row() gives is valid until the next call.
  [[nodiscard]] virtual Result<bool> next() = 0;
  [[nodiscard]] virtual const LedgerEntry& row() const = 0;
};

// A statement as it is read: fields are the partner's, trimmed.
struct StatementLine {
  std::int64_t line = 0;
  std::string_view request_id;
  std::string_view recipient_id;
  StatementEntry entry;
  bool counts = true;  // its status says that something was executed
};
class Statement {
 public:
  virtual ~Statement() = default;
  [[nodiscard]] virtual Result<bool> next() = 0;
  [[nodiscard]] virtual const StatementLine& line() const = 0;
  // Known from the first next() on.
  [[nodiscard]] virtual Compared columns() const = 0;
};

// What a report says of one issuance, or of one line that belongs to none.
struct ReportRow {
  Class c = Class::match;
  std::string detail;      // why, in a word or two: "declined", "unknown_id"
  std::string request_id;  // of the row's present round; of the statement where there is no row
  const LedgerEntry* row = nullptr;         // null: the ledger has none
  std::span<const StatementEntry> entries;  // at most kEntriesKept
  std::int64_t entry_count = 0;
  std::int64_t statement_minor = 0;  // of all its lines
  Differences differs{};
};
inline constexpr std::size_t kEntriesKept = 16;
using ReportSink = std::function<Result<void>(const ReportRow&)>;

// What was found of one class in one currency.
struct ClassTotal {
  std::int64_t found = 0;
  std::int64_t lines = 0;
  std::int64_t ledger_minor = 0;
  std::int64_t statement_minor = 0;
};
struct JobTotal {
  std::array<std::int64_t, kClasses> by_class{};
  std::array<std::int64_t, kIssuanceStates> by_state{};
};

struct Balance {
  std::array<std::int64_t, kClasses> found{};  // issuances, and lines that belong to none
  std::array<std::int64_t, kClasses> rows{};   // of the ledger
  std::array<std::int64_t, kClasses> lines{};  // of the statement
  std::map<std::pair<Class, std::string>, ClassTotal> totals;  // by class and currency
  std::map<ObjectId, JobTotal> jobs;                           // rows in scope, at this downstream
  // All rows walked of each job, at other downstreams too: to be held against the job's totals.
  std::map<ObjectId, std::array<std::int64_t, kIssuanceStates>> walked;
  std::int64_t ledger_rows = 0;      // in scope
  std::int64_t statement_lines = 0;  // read
  std::int64_t passed_over = 0;      // lines whose status says that nothing was executed
  std::int64_t ghosts_of_no_job = 0;
  std::int64_t lost_behind_last = 0;  // lost rows that were sent after the statement's last time
  std::optional<WallTime> first_time, last_time;  // in the statement
  Compared compared;
  SetDigest ledger_digest, statement_digest;  // of what matches

  [[nodiscard]] std::int64_t count(Class c) const { return found[static_cast<std::size_t>(c)]; }
  [[nodiscard]] std::int64_t differences() const;
  [[nodiscard]] std::int64_t undecided() const;  // resolves, resolves_negative and open
  // The proof: every row and every line read is in exactly one class, and what matches is the
  // same set on both sides.
  [[nodiscard]] bool is_proved() const;
};

struct ReconcileOptions {
  Window window;
  // Whether a campaign is looked at, belongs to the store at all, or to another ledger.
  enum class Scope : std::uint8_t { here, other_campaign, other_ledger, other_store };
  std::function<Scope(ObjectId campaign)> scope_of;
  // Others use the downstream too: request ids that are not Vouch's are not ghosts.
  bool is_shared = false;
  std::string sort_folder;
  std::size_t run_bytes = 0;  // of the sort; 0: its own.  Tests make it small.
  // Called now and then: lines read, then rows merged.
  std::function<void(std::int64_t lines, std::int64_t rows)> progress;
};

// Recipient keys are made from the statement's recipient ids, to be held against the request ids.
[[nodiscard]] Result<Balance> reconcile(Statement& statement, LedgerRows& ledger,
                                        const RecipientKeys& keys, const ReconcileOptions& options,
                                        const ReportSink& sink);

}  // namespace vouch::cli
