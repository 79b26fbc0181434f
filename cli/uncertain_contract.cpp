#include "cli/uncertain_contract.hpp"

#include <algorithm>

#include "cli/job_view.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// An error names at most so many jobs.
constexpr std::size_t kJobsNamedMax = 5;

std::string consequence_of(plan::Contract contract) {
  switch (contract) {
    case plan::Contract::key:
      return "a call whose answer is lost is then made again under its key, which gives a second "
             "voucher where the service does not honour keys";
    case plan::Contract::query:
      return "the service is then asked what became of a call whose answer is lost";
    case plan::Contract::none:
      break;
  }
  return "a call whose answer is lost is then held until a statement or people settle it";
}

bool calls(const plan::Campaign& campaign, const std::string& downstream) {
  return std::ranges::any_of(campaign.items, [&](const plan::Item& item) {
    return !item.by_export() && item.downstream == downstream;
  });
}

// Jobs that will still call the downstream and were submitted without --accept-uncertain.
Result<std::vector<std::string>> jobs_against(Session& session, const std::string& downstream) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(const auto views, board.all());
  std::vector<std::string> jobs;
  for (const JobView& view : views) {
    if (view.is_at_rest() || view.row.options.accept_uncertain) continue;
    VOUCH_TRY(const plan::Campaign campaign,
              control->campaign_version(view.row.campaign, view.row.campaign_version));
    if (calls(campaign, downstream)) jobs.push_back(view.id());
  }
  return jobs;
}

std::string named(std::vector<std::string> jobs) {
  if (jobs.size() <= kJobsNamedMax) return join(jobs, ", ");
  const std::size_t others = jobs.size() - kJobsNamedMax;
  jobs.resize(kJobsNamedMax);
  return join(jobs, ", ") + " and " + std::to_string(others) + " more";
}

}  // namespace

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

Result<void> confirm_contract(Session& session, const store::DownstreamRow& changed,
                              plan::Contract before) {
  const plan::Contract after = changed.definition.contract;
  if (after == before) return {};
  const std::string& name = changed.definition.name;
  if (after == plan::Contract::none) {
    VOUCH_TRY(const auto jobs, jobs_against(session, name));
    if (!jobs.empty()) {
      return fail(
          Errc::conflict,
          "open jobs call " + name + " and have not accepted the contract none: " + named(jobs),
          "let them end or cancel them first; jobs submitted with --accept-uncertain do "
          "not stand in the way");
    }
  }
  const std::string words = "contract of " + name + " from " + std::string{plan::name_of(before)} +
                            " to " + std::string{plan::name_of(after)};
  if (session.dry_run()) {
    session.out().note("this asks for a yes: the " + words + "; " + consequence_of(after));
    return {};
  }
  return session.require_yes("change the " + words + "?  " + consequence_of(after));
}

Arguments& add_uncertain_flag(Arguments& arguments, bool& accepted) {
  return arguments.flag("--accept-uncertain", accepted,
                        "call downstreams of contract none: rows in doubt are held for people");
}

}  // namespace vouch::cli
