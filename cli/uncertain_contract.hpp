// uncertain_contract.hpp: contract `none`, under which nobody finds out what a lost call did, needs
// the word of whoever starts a job; and a contract does not change behind a job's back.
//
// Threads: main's; reads the stores.
#pragma once

#include "cli/command_line.hpp"
#include "cli/session.hpp"
#include "common/plan/campaign.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

// Usage error, with what it means, when an item goes to contract `none` without `accepted`.
[[nodiscard]] Result<void> check_uncertain(store::ControlStore& control,
                                           const plan::Campaign& campaign, bool accepted);

// Before `changed` is kept, whose contract was `before`: asks for a yes where it is another.  To
// `none` it is a conflict while jobs that are not at rest call the downstream without having
// accepted that.  A dry run says what would be asked.
[[nodiscard]] Result<void> confirm_contract(Session& session, const store::DownstreamRow& changed,
                                            plan::Contract before);

// --accept-uncertain
Arguments& add_uncertain_flag(Arguments& arguments, bool& accepted);

}  // namespace vouch::cli
