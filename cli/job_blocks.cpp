#include "cli/job_blocks.hpp"

#include <algorithm>
#include <iterator>

#include "cli/downstream_condition.hpp"
#include "cli/stop_file.hpp"
#include "common/files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kRestartMax{3'000};

std::string with_reason(std::string words, const std::string& reason) {
  return reason.empty() ? words : words + ": " + reason;
}

bool hits(const StopEntry& stop, const JobView& view, const std::vector<std::string>& downstreams) {
  if (stop.scope == "all") return true;
  if (stop.scope == "campaign") return stop.name == view.campaign;
  if (stop.scope == "client") return stop.name == view.client;
  return std::find(downstreams.begin(), downstreams.end(), stop.name) != downstreams.end();
}

// Without its list's file no row can be planned, called again or explained.
Result<std::optional<Block>> list_block(Session& session, store::ControlStore& control,
                                        const JobView& view) {
  if (view.list_id == 0) return std::optional<Block>{};
  VOUCH_TRY(const store::ListRow list, control.list(format_id(ObjectKind::list, view.list_id)));
  const std::string path = session.paths().list_file(list.digest);
  if (list.deleted || path_exists(path)) return std::optional<Block>{};
  return Block{.kind = Block::Kind::trouble,
               .subject = path,
               .words = "the file of its list \"" + list.name + "\" is missing: " + path,
               .advice = "restore it from a backup, or import the partner's file again"};
}

// Stops that hit the job; one of a downstream keeps only what goes there.
std::vector<Block> stop_blocks(const Session& session, const JobView& view,
                               const std::vector<store::DownstreamRow>& downstreams) {
  const auto stops = read_stops(session.paths());
  if (!stops) {
    // As vouchd takes it.
    return {{.kind = Block::Kind::stopped,
             .subject = "stop file",
             .words = "everything is stopped: " + stops.error().message}};
  }
  std::vector<std::string> names;
  for (const store::DownstreamRow& row : downstreams) names.push_back(row.definition.name);
  std::vector<Block> blocks;
  for (const StopEntry& stop : *stops) {
    if (!hits(stop, view, names)) continue;
    blocks.push_back({.kind = Block::Kind::stopped,
                      .subject = stop.name,
                      .words = with_reason(describe(stop) + " is stopped", stop.reason),
                      .of_lane = stop.scope == "downstream"});
  }
  return blocks;
}

Result<std::vector<Block>> pause_blocks(store::ControlStore& control, const JobView& view,
                                        const store::CampaignRow& campaign,
                                        const std::vector<store::DownstreamRow>& downstreams) {
  std::vector<Block> blocks;
  const auto add = [&](const std::string& subject, const std::string& words,
                       const std::string& reason, bool of_lane) {
    blocks.push_back({.kind = Block::Kind::paused,
                      .subject = subject,
                      .words = with_reason(words, reason),
                      .of_lane = of_lane});
  };
  if (campaign.state != "active") {
    add("campaign", "the campaign " + view.campaign + " is " + campaign.state,
        campaign.pause_reason, false);
  }
  VOUCH_TRY(const store::ClientRow client,
            control.client(format_id(ObjectKind::client, view.row.client)));
  if (client.paused) {
    add("client", "the client " + client.name + " is paused", client.pause_reason, false);
  }
  for (const store::DownstreamRow& row : downstreams) {
    if (!row.paused) continue;
    const std::string& name = row.definition.name;
    add(name, "the downstream " + name + " is paused", row.pause_reason, true);
  }
  return blocks;
}

}  // namespace

Result<std::vector<store::DownstreamRow>> downstreams_of(store::ControlStore& control,
                                                         const plan::Campaign& campaign) {
  std::vector<store::DownstreamRow> rows;
  for (const plan::Item& item : campaign.items) {
    if (item.by_export()) continue;
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.definition.name == item.downstream;
    });
    if (known) continue;
    VOUCH_TRY(rows.emplace_back(), control.downstream(item.downstream));
  }
  return rows;
}

std::vector<Block> daemon_blocks(const DaemonState& state, std::string_view instance) {
  if (!state.is_trouble()) return {};
  return {{.kind = Block::Kind::trouble,
           .subject = "vouchd",
           .words = words_of(state),
           .advice = advice_of(state, instance)}};
}

std::optional<Block> lane_block(const DownstreamState& state, const std::string& name, WallTime now,
                                bool is_halted) {
  std::string words = words_of(state, name, now, is_halted);
  if (words.empty()) return std::nullopt;
  // A pause that was asked for is flow control, not trouble.
  const bool asked = state.condition == DownstreamCondition::holds;
  return Block{
      .kind = asked ? Block::Kind::not_yet : Block::Kind::trouble,
      .subject = name,
      .words = std::move(words),
      .advice = asked || is_halted ? "" : "it goes on by itself when " + name + " answers again",
      .of_lane = true};
}

std::vector<std::string> words_of(const std::vector<Block>& blocks) {
  std::vector<std::string> words;
  for (const Block& block : blocks) words.push_back(block.words);
  return words;
}

Result<std::vector<Block>> blocks_of(Session& session, JobBoard& board, const JobView& view) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  std::vector<Block> blocks = daemon_blocks(view.daemon, view.row.instance);
  VOUCH_TRY(const plan::Campaign version,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  VOUCH_TRY(const auto downstreams, downstreams_of(*control, version));
  VOUCH_TRY(auto missing, list_block(session, *control, view));
  if (missing) blocks.push_back(std::move(*missing));
  VOUCH_TRY(const store::CampaignRow campaign,
            control->campaign(format_id(ObjectKind::campaign, view.row.campaign)));
  std::vector<Block> halts = stop_blocks(session, view, downstreams);
  VOUCH_TRY(auto pauses, pause_blocks(*control, view, campaign, downstreams));
  std::ranges::move(pauses, std::back_inserter(halts));
  VOUCH_TRY(store::LedgerView * ledger, board.ledger(view.row.instance));
  VOUCH_TRY(const Conditions conditions, conditions_of(ledger, view.daemon));
  std::vector<Block> lanes;
  for (const store::DownstreamRow& row : downstreams) {
    const std::string& name = row.definition.name;
    const auto known = conditions.find(row.id);
    if (known == conditions.end()) continue;
    const bool is_halted = std::ranges::any_of(
        halts, [&](const Block& halt) { return !halt.of_lane || halt.subject == name; });
    if (auto block = lane_block(known->second, name, session.now(), is_halted)) {
      lanes.push_back(std::move(*block));
    }
  }
  std::ranges::move(halts, std::back_inserter(blocks));
  std::ranges::move(lanes, std::back_inserter(blocks));
  const auto& opens = campaign.definition.not_before;
  if (opens && session.now() < *opens) {
    blocks.push_back({.kind = Block::Kind::not_yet,
                      .subject = "window",
                      .words = "the campaign's window is not open yet"});
  }
  return blocks;
}

std::vector<Block> BlockTeller::fresh(const Session& session, const JobView& view) {
  std::vector<Block> out;
  for (const Block& block : view.blocks) {
    // A vouchd that is being restarted is away for a moment.
    const bool brief = view.daemon.is_absent() && view.daemon.seen && block.subject == "vouchd" &&
                       session.now() - *view.daemon.seen < kRestartMax;
    if (brief) continue;
    // vouchd's trouble is every job's: it is told once.
    const std::string whose = block.kind == Block::Kind::trouble ? "" : view.id();
    const std::string key =
        whose + "/" + std::to_string(static_cast<int>(block.kind)) + "/" + block.subject;
    if (told_.insert(key).second) out.push_back(block);
  }
  return out;
}

void BlockTeller::say(Session& session, const JobView& view, const Block& block) {
  const std::string advice = block.advice.empty() ? "" : "; " + block.advice;
  if (block.kind == Block::Kind::trouble) {
    session.out().warn(block.words + advice);
  } else {
    session.out().note(view.id() + " waits: " + block.words + advice);
  }
}

}  // namespace vouch::cli
