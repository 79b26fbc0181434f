// reconcile_report.hpp: what a reconciliation found, for people and for programs.
//
// Whatever is no match goes row by row into the report files while the merge runs; they are
// written aside and take their names when all is read, so that a statement which is refused
// half-way leaves no half report behind.
//
// Threads: main's.
// Errors:  those of the files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/reconcile_settle.hpp"
#include "cli/reconciliation.hpp"
#include "cli/session.hpp"

namespace vouch::cli {

// How a job's totals stand: I2 of the protocol, and the rows against the counters.
struct JobProof {
  ObjectId job = 0;
  std::int64_t rows_in = 0;  // accepted rows x items
  std::int64_t by_state = 0;
  std::int64_t repeats = 0;
  std::int64_t moved = 0;
  std::int64_t not_planned = 0;
  bool balances = true;
  bool counters_agree = true;  // of a job at rest: its rows, counted, are what its totals say
};

struct Reconciled {
  std::string downstream;
  std::string source;  // the file's name, or the address that was asked
  std::string scope;   // "campaign birthday"; empty: all
  Window window;
  Balance balance;
  std::vector<JobProof> jobs;
  std::int64_t resolved = 0;                 // rows that vouchd took over from the statement
  std::vector<StatementProposal> proposals;  // or that wait for a second operator's yes
  std::vector<std::string> waits_for;        // operators who can give it, by name

  [[nodiscard]] bool is_proved() const;
  [[nodiscard]] bool is_balanced() const { return is_proved() && balance.differences() == 0; }
  [[nodiscard]] std::int64_t undecided() const { return balance.undecided() - resolved; }
  [[nodiscard]] std::int64_t proposed() const;  // rows
  [[nodiscard]] std::string verdict() const;    // balanced, undecided, differences, unproved
};

class ReportFiles {
 public:
  // Either path may be empty: no such file.
  [[nodiscard]] static Result<ReportFiles> create(const std::string& json_path,
                                                  const std::string& csv_path);
  ~ReportFiles();
  ReportFiles(ReportFiles&&) noexcept;
  ReportFiles& operator=(ReportFiles&&) noexcept;

  [[nodiscard]] Result<void> add(const ReportRow& row);
  // The summary, and the files' names.
  [[nodiscard]] Result<void> finish(const Reconciled& done);

 private:
  struct State;
  explicit ReportFiles(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// On stdout: the classes as a table and the proof below it, or one object.
[[nodiscard]] Result<void> print(Session& session, const Reconciled& done);

}  // namespace vouch::cli
