// job_commands.hpp: the leaves of `vouchctl job`, one file for each kind, and what they share.
//
// Threads: main's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.hpp"
#include "cli/job_view.hpp"

namespace vouch::cli {

void add_job_submit(Group& job);
void add_job_views(Group& job);  // list, show, watch
void add_job_wait(Group& job);
void add_job_changes(Group& job);  // update, limit, pause, resume, cancel
void add_job_rerun(Group& job);
void add_job_results(Group& job);
void add_job_close(Group& job);

inline constexpr const char* kJobHelp = "id or submit key of the job";

// What `job wait` waits for, and what it calls a success.
struct WaitOptions {
  std::vector<std::string> jobs;
  std::string until = "done";  // done, started, paused
  std::optional<Millis> timeout;
  std::vector<std::string> tolerate{};  // "declined=2%"; empty: as the job was submitted with
};
// Waits, and prints how the jobs stand then.  The exit status: 0, 3 where rows ended without a
// voucher; attention (9) as soon as a person is needed, timed_out (8) at the time limit.
[[nodiscard]] Result<int> wait_for_jobs(Session& session, const WaitOptions& options);

// A command to vouchd about a job.  Without a vouchd, or with `no_wait`, it is kept in the store
// and carried out when vouchd takes it, but not after an hour.
struct OrderOptions {
  bool no_wait = false;
};
void add_order_arguments(Arguments& arguments, OrderOptions& options);
// True when vouchd has carried it out; its refusal is the error.
[[nodiscard]] Result<bool> order(Session& session, const JobView& view, const std::string& kind,
                                 const std::string& arguments_json, const OrderOptions& options);

// What follows a submission that stands in the store: vouchd takes it, or it is said that none
// runs; then it is printed, or waited for.
struct AfterSubmission {
  bool wait = false;
  std::optional<Millis> timeout;
  OrderOptions order;
};
void add_wait_arguments(Arguments& arguments, AfterSubmission& options);
[[nodiscard]] Result<int> after_submission(Session& session,
                                           const store::ControlStore::Submission& submitted,
                                           const AfterSubmission& options);

}  // namespace vouch::cli
