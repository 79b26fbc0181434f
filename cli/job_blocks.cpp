#include "cli/job_blocks.hpp"

#include <algorithm>

#include "cli/stop_file.hpp"

namespace vouch::cli {
namespace {

std::string with_reason(std::string words, const std::string& reason) {
  return reason.empty() ? words : words + ": " + reason;
}

bool hits(const StopEntry& stop, const JobView& view, const std::vector<std::string>& downstreams) {
  if (stop.scope == "all") return true;
  if (stop.scope == "campaign") return stop.name == view.campaign;
  if (stop.scope == "client") return stop.name == view.client;
  return std::find(downstreams.begin(), downstreams.end(), stop.name) != downstreams.end();
}

}  // namespace

Result<std::vector<store::DownstreamRow>> downstreams_of(store::ControlStore& control,
                                                         const plan::Campaign& campaign) {
  std::vector<store::DownstreamRow> rows;
  for (const plan::Item& item : campaign.items) {
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.definition.name == item.downstream;
    });
    if (known) continue;
    VOUCH_TRY(rows.emplace_back(), control.downstream(item.downstream));
  }
  return rows;
}

Result<std::vector<std::string>> blocks_of(Session& session, const JobView& view) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  std::vector<std::string> blocks;
  VOUCH_TRY(const store::CampaignRow campaign,
            control->campaign(format_id(ObjectKind::campaign, view.row.campaign)));
  if (campaign.state != "active") {
    blocks.push_back(with_reason("the campaign " + view.campaign + " is " + campaign.state,
                                 campaign.pause_reason));
  }
  const auto& opens = campaign.definition.not_before;
  if (opens && session.now() < *opens) blocks.push_back("the campaign's window is not open yet");
  VOUCH_TRY(const store::ClientRow client,
            control->client(format_id(ObjectKind::client, view.row.client)));
  if (client.paused) {
    blocks.push_back(with_reason("the client " + client.name + " is paused", client.pause_reason));
  }
  VOUCH_TRY(const plan::Campaign version,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  VOUCH_TRY(const auto downstreams, downstreams_of(*control, version));
  std::vector<std::string> names;
  for (const store::DownstreamRow& row : downstreams) {
    names.push_back(row.definition.name);
    if (!row.paused) continue;
    blocks.push_back(
        with_reason("the downstream " + row.definition.name + " is paused", row.pause_reason));
  }
  const auto stops = read_stops(session.paths());
  if (!stops) {
    // As vouchd takes it.
    blocks.push_back("everything is stopped: " + stops.error().message);
    return blocks;
  }
  for (const StopEntry& stop : *stops) {
    if (hits(stop, view, names)) {
      blocks.push_back(with_reason(describe(stop) + " is stopped", stop.reason));
    }
  }
  return blocks;
}

}  // namespace vouch::cli
