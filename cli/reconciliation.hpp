// reconciliation.hpp: the ledger against a downstream's statement, row by row.
//
// Both sides are brought into the order of the request id: the ledger is kept in it, the statement
// is sorted on disk (common/store/external_sort.hpp).  Then they are merged in one pass, so that
// memory does not grow with either.  What the two say of one issuance is judged by classify(),
// which is pure; here nothing is changed and nobody is asked.
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

#include "common/crypto.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/set_digest.hpp"
#include "common/store/external_sort.hpp"

namespace vouch::cli {

// What the two sides together say of one issuance.
enum class Class : std::uint8_t {
  match,      // issued here, there once and alike
  agrees,     // not issued here, and not there
  lost,       // issued here, not there
  ghost,      // there, not issued here
  doubled,    // there more than once
  differs,    // on both sides, but not alike
  resolves,   // in doubt or held here, there once and alike: it was issued
  absent,     // in doubt or held here, not there, and the statement would show it: not executed
  open,       // in doubt, held or being sent here; the statement does not reach it
  early,      // there already; here its call is still out
  late,       // issued here so near the end of the statement that the next one may have it
  outside,    // belongs to a time that the statement is not about
  elsewhere,  // of another campaign, job or store than those looked at
};
inline constexpr std::size_t kClasses = 13;
// As in reports: "match", "lost", "double", "resolves_negative".
[[nodiscard]] std::string_view name_of(Class c);
// lost, ghost, double, differs: with one of these nothing balances.
[[nodiscard]] bool is_difference(Class c);

// What a statement is about: executions from `since` to before `until`.
struct Window {
  std::optional<WallTime> since;  // nothing: from the beginning
  WallTime until;
  // How far the clocks of both sides may be apart, and how late an execution may be booked.
  Millis margin{300'000};
  // From the start of a call until the downstream can no longer act on it: timeout + settle time.
  Millis settle{70'000};
  // The statement is known to be complete up to `until`, so that what it lacks was not executed.
  bool is_complete = false;
};

// Columns that the statement has; what it has not is not compared.
struct Compared {
  bool reference = false, recipient = false, amount = false, currency = false, time = false;
};

// One line of a statement that counts as an execution.
struct StatementEntry {
  std::int64_t line = 0;
  std::uint8_t round = 0;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  std::string reference;
  std::optional<WallTime> time;
  bool is_of_another_recipient = false;  // its recipient is not the one in the request id
};

// One row of the ledger, with the evidence of its last event.
struct LedgerEntry {
  enum class Place : std::uint8_t { here, other_job, other_downstream };
  IssuanceKey key;
  Place place = Place::here;
  IssuanceState state = IssuanceState::planned;
  std::uint8_t round = 0;
  std::optional<std::int64_t> last_event;
  ObjectId job = 0;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  std::string reference;
  WallTime first_sent;  // of the earliest call that may have acted
  WallTime last_sent;   // of the latest call
  WallTime ended;       // when the state came about
};

enum class Difference : std::uint8_t { amount, currency, recipient, reference };
inline constexpr std::array<std::string_view, 4> kDifferenceNames = {"amount", "currency",
                                                                     "recipient", "reference"};

using Differences = std::array<bool, kDifferenceNames.size()>;  // by Difference

struct Judgement {
  Class c = Class::agrees;
  Differences differs{};
};

// `entries` are those of the row's own round.
[[nodiscard]] Judgement classify(const LedgerEntry& row, std::span<const StatementEntry> entries,
                                 const Window& window, const Compared& compared);

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
