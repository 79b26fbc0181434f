#include "cli/job_outlook.hpp"

#include <algorithm>

#include "cli/job_blocks.hpp"
#include "cli/open_exports.hpp"

namespace vouch::cli {
namespace {

constexpr double kPaceMin = 0.01;  // slower than that says nothing about an end

}  // namespace

std::int64_t remaining_of(const JobStanding& job) {
  // What waits for people says nothing of the pace.
  std::int64_t open = job.not_planned() - job.exports.rows();
  for (int i = 0; i < static_cast<int>(IssuanceState::held); ++i) {
    open += job.by_state[static_cast<std::size_t>(i)];
  }
  return open;
}

Result<WallTime> end_at_rates_in_force(Session& session, const JobView& view,
                                       std::optional<double> rate) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const plan::Campaign campaign,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  VOUCH_TRY(const auto downstreams, downstreams_of(*control, campaign));
  const std::int64_t remaining = view.progress ? remaining_of(*view.progress) : 0;
  std::vector<LaneLoad> loads;
  for (const store::DownstreamRow& row : downstreams) {
    const auto items = std::count_if(
        campaign.items.begin(), campaign.items.end(),
        [&](const plan::Item& item) { return item.downstream == row.definition.name; });
    loads.push_back(
        load_of(row, remaining * items / static_cast<std::int64_t>(campaign.items.size())));
  }
  const WallTime begin = std::max(session.now(), view.row.options.start_at.value_or(session.now()));
  return begin + time_needed(loads, rate);
}

Result<Outlook> outlook_of(Session& session, JobBoard& board, const JobView& view) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const plan::Campaign campaign,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  Outlook out;
  VOUCH_TRY(out.downstreams, downstreams_of(*control, campaign));
  if (!view.progress || view.is_at_rest()) return out;
  // Nobody knows when what keeps it will be over.
  if (!view.blocks.empty() || export_obstacle(*view.progress)) return out;
  VOUCH_TRY(store::LedgerView * ledger, board.ledger(view.row.instance));
  VOUCH_TRY(out.pace, pace_of(*ledger, *view.progress, session.now()));
  if (view.progress->state == JobState::paused) return out;
  if (out.pace.settled_per_second > kPaceMin) {
    const double seconds =
        static_cast<double>(remaining_of(*view.progress)) / out.pace.settled_per_second;
    out.end = session.now() + Millis{static_cast<std::int64_t>(seconds * 1000)};
    return out;
  }
  VOUCH_TRY(out.end, end_at_rates_in_force(session, view, view.row.options.rate));
  return out;
}

}  // namespace vouch::cli
