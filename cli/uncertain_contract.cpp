#include "cli/uncertain_contract.hpp"

namespace vouch::cli {

Result<void> check_uncertain(store::ControlStore& control, const plan::Campaign& campaign,
                             bool accepted) {
  if (accepted) return {};
  for (const plan::Item& item : campaign.items) {
    if (item.by_export()) continue;
    VOUCH_TRY(const store::DownstreamRow row, control.downstream(item.downstream));
    if (row.definition.contract != plan::Contract::none) continue;
    return fail(Errc::usage,
                item.downstream +
                    " has the contract none: what becomes of a call whose answer is "
                    "lost, nobody can find out by calling",
                "add --accept-uncertain: such rows are held until a statement or people settle "
                "them");
  }
  return {};
}

Arguments& add_uncertain_flag(Arguments& arguments, bool& accepted) {
  return arguments.flag("--accept-uncertain", accepted,
                        "call downstreams of contract none: rows in doubt are held for people");
}

}  // namespace vouch::cli
