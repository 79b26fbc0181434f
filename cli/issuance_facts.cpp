#include "cli/issuance_facts.hpp"

#include "cli/job_blocks.hpp"
#include "cli/job_verdict.hpp"

namespace vouch::cli {
namespace {

// As the row's calls were made: its contract is that of its version.
Result<void> add_contract(store::ControlStore& control, int version, IssuanceFacts& facts) {
  VOUCH_TRY(const store::DownstreamRow row, control.downstream(facts.downstream));
  plan::Downstream definition = row.definition;
  if (version != 0 && version != row.version) {
    VOUCH_TRY(definition, control.downstream_version(row.id, version));
  }
  facts.contract = definition.contract;
  facts.can_be_asked = definition.query.has_value();
  facts.key_lifetime = definition.key_lifetime;
  facts.settled_after = definition.timeout + definition.settle_time;
  return {};
}

}  // namespace

Result<IssuanceFacts> facts_of(Session& session, JobBoard& board, const store::IssuanceRow& row,
                               const plan::Campaign& campaign, const std::optional<JobView>& job) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  IssuanceFacts facts;
  facts.campaign = campaign.name;
  if (row.key.item < campaign.items.size()) {
    facts.item = campaign.items[row.key.item].name;
    facts.downstream = campaign.items[row.key.item].downstream;
    facts.pool = campaign.items[row.key.item].pool;
    if (!row.by_export) VOUCH_CHECK(add_contract(*control, row.downstream_version, facts));
  }
  auto blocks = daemon_blocks(session.daemon(session.instance()), session.instance());
  if (job) {
    VOUCH_TRY(blocks, blocks_of(session, board, *job));
    std::erase_if(blocks, [&](const Block& block) {
      return block.of_lane && block.subject != facts.downstream;
    });
  }
  facts.blocks = words_of(blocks);
  if (!blocks.empty()) facts.block_advice = blocks.front().advice;
  if (!job) return facts;
  facts.job = job->id();
  facts.job_state = job->state();
  facts.finish_by = job->row.options.finish_by;
  if (!job->progress) return facts;
  if (const auto obstacle = obstacle_of(*job->progress)) {
    facts.job_obstacle = obstacle->why;
    facts.job_advice = obstacle->advice;
  }
  return facts;
}

}  // namespace vouch::cli
