#include "cli/open_exports.hpp"

#include <algorithm>
#include <vector>

#include "common/text.hpp"

namespace vouch::cli {
namespace {

std::int64_t at_stage(const JobStanding& job, ExportStage stage) {
  return job.exports.by_stage[static_cast<std::size_t>(stage)];
}

std::string job_name(const JobStanding& job) {
  return format_id(ObjectKind::job, job.id);
}

}  // namespace

Result<void> add_exports(store::LedgerView& ledger, const plan::Campaign& campaign,
                         JobStanding& job) {
  job.exports = {};
  VOUCH_TRY(const auto counted, ledger.exports(job.id));
  for (const store::ExportRows& part : counted) {
    job.exports.by_stage[static_cast<std::size_t>(part.stage)] += part.rows;
    if (part.stage == ExportStage::in_doubt) {
      VOUCH_TRY(const std::int64_t unknown, ledger.exports_without_code(job.id, part));
      job.exports.unknown += unknown;
    }
    const auto item = static_cast<std::size_t>(part.item);
    if (item >= campaign.items.size()) continue;
    const std::string& pool = campaign.items[item].pool;
    auto& pools = job.exports.pools;
    if (std::ranges::find(pools, pool) == pools.end()) pools.push_back(pool);
  }
  return {};
}

std::string export_command(const std::string& pool, const std::string& job) {
  return "vouchctl pool export " + pool + (job.empty() ? "" : " --job " + job) + " --to FILE";
}

std::string export_advice(const JobStanding& job) {
  std::vector<std::string> parts;
  if (job.exports.rows() > job.exports.unknown) {
    std::vector<std::string> commands;
    for (const std::string& pool : job.exports.pools) {
      commands.push_back(export_command(pool, job_name(job)));
    }
    parts.push_back("as an administrator: " + join(commands, "; "));
  }
  if (job.exports.unknown > 0) {
    parts.push_back("of " + format_count(job.exports.unknown) +
                    ", in doubt since before this copy of the ledger, look into the files that "
                    "were exported, then decide: vouchctl issuance resolve --job " +
                    job_name(job));
  }
  return join(parts, "; ");
}

std::optional<Obstacle> export_obstacle(const JobStanding& job) {
  const bool runs = job.state == JobState::running || job.state == JobState::cancelling;
  const bool is_planned = job.not_planned() == 0 || job.pilot_left.value_or(1) <= 0;
  std::int64_t open = 0;
  for (int i = 0; i < static_cast<int>(IssuanceState::held); ++i) {
    open += job.by_state[static_cast<std::size_t>(i)];
  }
  // A cancelled job ends by itself what has no code yet.
  const bool ends = job.state == JobState::cancelling && at_stage(job, ExportStage::waits) > 0;
  if (!runs || !is_planned || ends || open == 0 || open > job.exports.rows()) return std::nullopt;
  std::vector<std::string> parts;
  if (const std::int64_t rows = at_stage(job, ExportStage::waits); rows > 0) {
    parts.push_back(format_count(rows) + " rows wait for an export of their codes");
  }
  const std::int64_t taken =
      at_stage(job, ExportStage::taken) + at_stage(job, ExportStage::in_doubt);
  if (taken > 0) {
    parts.push_back(format_count(taken) + " rows were taken by an export that is not confirmed");
  }
  return Obstacle{join(parts, ", "), export_advice(job)};
}

}  // namespace vouch::cli
