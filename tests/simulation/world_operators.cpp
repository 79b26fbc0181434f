// Operators of the simulated world, who mean well; declared in world.hpp.
#include <algorithm>

#include "tests/simulation/sample_pool.hpp"
#include "tests/simulation/world.hpp"

namespace vouch::test {
namespace {

constexpr std::string_view kPausedForPool = "SELECT count(*) FROM job WHERE pause_reason = 8";

}  // namespace

void World::run_operators() {
  operators_due_ = clock.now() + settings_.operators_look;
  // Without it a row that fails at the tail of a job cannot be told from an outage, and waits
  // until its key is too old.
  if (other_traffic && clock.now() >= next_single_ && !settled()) {
    next_single_ = clock.now() + settings_.single_every;
    for (std::size_t i = 0; i < instances_.size(); ++i) {
      issue(kTraffic + i, std::string{kHealthy} + std::to_string(store_.commands().size()), i);
    }
  }
  for (const auto& instance : instances_) {
    if (!instance->stands_still) nudge_jobs(*instance);
  }
  if (!store_.has_exports()) return;
  for (Exporter& exporter : exporters_) exporter.look_for_work(instance(store_.pool_owner()));
}

void World::nudge_jobs(Instance& instance) {
  if (calm_) instance.resume_older();
  if (!calm_ && instance.audit().number(kPausedForPool) == 0) return;
  for (const AuditedJob& job : instance.audit().jobs()) {
    if (store_.has_open_command(job.id)) continue;
    if (job.pause_reason == PauseReason::pool) look_after_pool(job);
    if (calm_) nudge_job(job);
  }
}

// Where no code was to be had: the pool is filled up, or its key looked for.
void World::look_after_pool(const AuditedJob& job) {
  if (store_.job(job.id) == nullptr) return wrong("singles are paused, and nobody can resume them");
  if (!calm_ && !random.chance(0.1)) return;
  const bool is_empty =
      instance(store_.job(job.id)->instance).audit().codes_out() >= store_.pool().codes();
  happened(is_empty ? "pool filled up" : "resumed after a pool");
  if (is_empty) store_.fill_pool();
  change(job.id, data::JobAction::resume);
}

void World::nudge_job(const AuditedJob& job) {
  const bool by_people =
      job.pause_reason == PauseReason::operator_request || job.pause_reason == PauseReason::pilot;
  if (job.state == JobState::paused && by_people) change(job.id, data::JobAction::resume);
  const bool in_doubt = job.count(IssuanceState::in_doubt) > 0;
  if (job.state == JobState::unsettled && in_doubt) {
    change(job.id, data::JobAction::cancel, true);
  }
  run_again(job);
}

void World::run_again(const AuditedJob& job) {
  const bool single = job.kind == static_cast<int>(data::JobKind::single);
  const bool at_rest = is_over(job.state) || job.state == JobState::unsettled;
  std::int64_t unissued = 0;
  for (const IssuanceState state : {IssuanceState::declined, IssuanceState::failed,
                                    IssuanceState::cancelled, IssuanceState::expired}) {
    unissued += job.count(state);
  }
  if (!at_rest || single || unissued == 0 || settings_.chaos.reruns == 0) return;
  --settings_.chaos.reruns;
  happened("rerun");
  JobSpec again = *store_.job(job.id);
  again.pilot.reset();
  again.start_at.reset();
  again.finish_by.reset();
  again.rerun_of = job.id;
  again.rerun_states = {IssuanceState::failed, IssuanceState::cancelled, IssuanceState::expired};
  if (random.chance(0.5)) again.rerun_states.push_back(IssuanceState::declined);
  submit(std::move(again));
}

}  // namespace vouch::test
