// issuance_facts.hpp: what must be known besides an issuance's row to say what becomes of it.
//
// Threads: main's.   Errors: those of the stores.
#pragma once

#include <optional>

#include "cli/issuance_words.hpp"
#include "cli/job_view.hpp"
#include "common/plan/campaign.hpp"

namespace vouch::cli {

// `job` is the one that is responsible; nothing for a single issuance.
[[nodiscard]] Result<IssuanceFacts> facts_of(Session& session, JobBoard& board,
                                             const store::IssuanceRow& row,
                                             const plan::Campaign& campaign,
                                             const std::optional<JobView>& job);

}  // namespace vouch::cli
