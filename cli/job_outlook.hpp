// job_outlook.hpp: how a job that is under way will go on.
//
// Threads: main's.   Errors: those of the stores.
#pragma once

#include <optional>
#include <vector>

#include "cli/job_forecast.hpp"
#include "cli/job_standing.hpp"
#include "cli/job_view.hpp"

namespace vouch::cli {

// Issuances that may still change by themselves.
[[nodiscard]] std::int64_t remaining_of(const JobStanding& job);

struct Outlook {
  JobPace pace;
  std::optional<WallTime> end;  // nothing for a job that is paused, kept or at rest
  std::vector<store::DownstreamRow> downstreams;
};

// By the pace of the last seconds; before there is one, by the rates in force.
[[nodiscard]] Result<Outlook> outlook_of(Session& session, JobBoard& board, const JobView& view);

// When what remains would end at the rates in force and `rate` of the job's own.
[[nodiscard]] Result<WallTime> end_at_rates_in_force(Session& session, const JobView& view,
                                                     std::optional<double> rate);

}  // namespace vouch::cli
