// open_exports.hpp: what of a job waits for people to export its codes.
//
// Threads: main's.   Errors: those of the stores.
#pragma once

#include <optional>
#include <string>

#include "cli/job_standing.hpp"
#include "cli/job_verdict.hpp"
#include "cli/session.hpp"
#include "common/plan/campaign.hpp"

namespace vouch::cli {

// Fills `job.exports`.
[[nodiscard]] Result<void> add_exports(store::LedgerView& ledger, const plan::Campaign& campaign,
                                       JobStanding& job);

// "vouchctl pool export vip --job job_7h3k9q2x --to FILE"; of single issuances without a job.
[[nodiscard]] std::string export_command(const std::string& pool, const std::string& job);

// All that is left of the job waits for an export; nothing while it goes on by itself.
[[nodiscard]] std::optional<Obstacle> export_obstacle(const JobStanding& job);
// What the export of a job that is over to the rest has left; empty when nothing.
[[nodiscard]] std::string export_advice(const JobStanding& job);

}  // namespace vouch::cli
