// job_prospect.hpp: what a submission would do, and what can be said against it before it is kept.
//
// Threads: main's; reads the stores.
// Units:   calls per second, money in minor units.
// Errors:  invalid or conflict for a job that cannot be, or cannot keep its end; those of the
//          stores.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/job_forecast.hpp"
#include "cli/job_submission.hpp"
#include "cli/output.hpp"

namespace vouch::cli {

// What is known of the job before it starts.
struct Prospect {
  JobPlan plan;
  std::vector<LaneLoad> loads;
  std::vector<store::DownstreamRow> downstreams;
  std::int64_t exports = 0;  // codes that people will export
  WallTime start{};
  WallTime end{};
};

// What can be said against a job that is not there yet.  Sets its id type.
[[nodiscard]] Result<Prospect> check_submission(Session& session, const SubmitOptions& options,
                                                Submission& submission);

// As a dry run shows it.
[[nodiscard]] Record forecast_of(const Submission& submission, const Prospect& prospect,
                                 bool for_people);

}  // namespace vouch::cli
