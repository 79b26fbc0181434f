// uncertain_contract.hpp: whether a campaign calls downstreams that can neither honour a key nor be
// asked, and whoever starts it has said that he knows.
//
// Threads: any; reads the control store.
#pragma once

#include "cli/command_line.hpp"
#include "common/plan/campaign.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

// Usage error, with what it means, when an item goes to contract `none` without `accepted`.
[[nodiscard]] Result<void> check_uncertain(store::ControlStore& control,
                                           const plan::Campaign& campaign, bool accepted);

// --accept-uncertain
Arguments& add_uncertain_flag(Arguments& arguments, bool& accepted);

}  // namespace vouch::cli
