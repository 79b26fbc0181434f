// job_view.hpp: a job as people see it: what was asked for (control store), how far it is (ledger
// of its instance), what keeps it, and when it will end.
//
// Threads: main's.
// Errors:  those of the stores.  A ledger that does not exist yet is no error: the job has not
//          been taken by vouchd.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/job_standing.hpp"
#include "cli/session.hpp"

namespace vouch::cli {

// Something that keeps a job, or one of its rows, from going on.
struct Block {
  // What kind it is.  Of trouble, unlike a pause or a stop, nobody may know yet.
  enum class Kind : std::uint8_t { paused, stopped, not_yet, trouble };
  Kind kind = Kind::paused;
  std::string subject;   // vouchd, or the name of what is paused, stopped or away
  std::string words;     // a sentence without a full stop
  std::string advice{};  // what a person can do; empty: what keeps it says so itself
  bool of_lane = false;  // keeps only what goes to the downstream `subject`
};

struct JobView {
  store::JobRow row;
  std::string campaign, client;
  std::string list;  // of the job that a rerun began with
  ObjectId list_id = 0;
  std::optional<JobStanding> progress;  // nothing: vouchd has not taken it
  std::optional<Error> refusal;         // why vouchd refused it
  bool is_lost = false;                 // taken once, and unknown to the ledger since
  DaemonState daemon;                   // of its instance; unknown for a job that is over
  std::vector<Block> blocks;            // where blocks_of() has been asked

  // "submitted" before vouchd has taken it, "refused", else the ledger's word.
  [[nodiscard]] std::string state() const;
  [[nodiscard]] std::string id() const { return format_id(ObjectKind::job, row.id); }
  [[nodiscard]] std::int64_t count(IssuanceState state) const;
  // Nothing will happen any more unless somebody acts: over, unsettled or refused.
  [[nodiscard]] bool is_at_rest() const;
  // At rest, and no row of it may still change: its list is needed no more.
  [[nodiscard]] bool is_settled() const;
};

class JobBoard {
 public:
  [[nodiscard]] static Result<JobBoard> open(Session& session);

  // By id or submit key.
  [[nodiscard]] Result<JobView> find(std::string_view job);
  [[nodiscard]] Result<std::vector<JobView>> all();
  // Reads again what changes.
  [[nodiscard]] Result<void> refresh(JobView& view);

  // Null when the instance has no ledger yet.
  [[nodiscard]] Result<store::LedgerView*> ledger(const std::string& instance);

 private:
  JobBoard(Session& session, store::ControlStore& control)
      : session_{&session}, control_{&control} {}
  [[nodiscard]] Result<void> read_names();
  [[nodiscard]] Result<JobView> view_of(store::JobRow row);
  [[nodiscard]] Result<void> count_exports(store::LedgerView& of, JobView& view);
  // The job that a rerun, or a rerun of reruns, began with.
  [[nodiscard]] Result<store::JobRow> root_of(store::JobRow row);

  Session* session_;
  store::ControlStore* control_;
  std::map<ObjectId, std::string> campaigns_, clients_, lists_;
  std::map<std::string, store::LedgerView> ledgers_;
  std::map<std::pair<ObjectId, int>, plan::Campaign> definitions_;  // by campaign and version
};

// How fast a job goes at this moment, by the last ten seconds of its ledger's history, or by those
// since it began.
struct JobPace {
  double calls_per_second = 0;    // attempts ended
  double settled_per_second = 0;  // issuances that became final
};
[[nodiscard]] Result<JobPace> pace_of(store::LedgerView& ledger, const store::JobProgress& job,
                                      WallTime now);

// "limit 500/s, warning 450/s, target 427.5/s": whoever shows a limit shows what follows from it.
[[nodiscard]] std::string rates_text(const store::DownstreamRow& row);

// The job belongs to the instance this session commands; usage otherwise.
[[nodiscard]] Result<void> check_instance(const Session& session, const JobView& view);

// Whether its vouchd works; nothing for a job that is over.
[[nodiscard]] Value daemon_value(const JobView& view);

// A row of `job list`; also what a change leaves behind.
[[nodiscard]] Record summary_of(const JobView& view);

}  // namespace vouch::cli
