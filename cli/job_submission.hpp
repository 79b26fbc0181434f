// job_submission.hpp: what one line of `job submit` asks for, and what of it the store knows.
//
// Threads: main's.
// Errors:  usage or invalid for a line that says too little or too much; not_found; those of the
//          stores and of an import.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/import_list.hpp"
#include "cli/job_commands.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

struct SubmitOptions {
  ImportOptions import;  // file, campaign and name too
  std::string list, client, submit_key, start_at, finish_by, for_date;
  std::optional<double> rate;
  std::optional<std::int64_t> pilot;
  std::optional<std::int64_t> failures_percent_max;
  std::vector<std::string> tolerate;
  bool accept_late = false;
  bool accept_uncertain = false;
  std::optional<Millis> lock_wait;
  AfterSubmission after;
};

// All that is needed to submit, looked up.
struct Submission {
  store::CampaignRow campaign;
  store::ClientRow client;
  ImportedList imported;  // of --list only its list and sealed_file
  store::JobRow job;
};

// Reads the line, looks up what it names and, of --file, seals the list.  Nothing is kept yet: what
// was sealed is to be registered or discarded.
[[nodiscard]] Result<Submission> prepare_submission(Session& session, const SubmitOptions& options);

// The job that is there under the submit key, if it asked for the same; a conflict if it did not.
[[nodiscard]] Result<bool> is_there_already(Session& session, const Submission& submission);

}  // namespace vouch::cli
