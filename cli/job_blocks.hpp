// job_blocks.hpp: what keeps a job that runs from starting calls: something is paused or stopped.
//
// Threads: main's.   Errors: those of the store.
#pragma once

#include <string>
#include <vector>

#include "cli/job_view.hpp"

namespace vouch::cli {

// Sentences without a full stop, such as "the client shop is paused: wrong prices"; empty when
// nothing keeps it.
[[nodiscard]] Result<std::vector<std::string>> blocks_of(Session& session, const JobView& view);

// The downstreams of the campaign's items, each once.
[[nodiscard]] Result<std::vector<store::DownstreamRow>> downstreams_of(
    store::ControlStore& control, const plan::Campaign& campaign);

}  // namespace vouch::cli
