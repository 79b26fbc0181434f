#include "daemon/notices.hpp"

#include <numeric>

#include "common/text.hpp"

namespace vouch::daemon {
namespace {

constexpr std::chrono::minutes kBreakerPatience{5};
constexpr std::chrono::minutes kHeldEvery{1};

std::int64_t count_of(const data::StateCounts& totals, IssuanceState state) {
  return totals[static_cast<std::size_t>(state)];
}

std::string subject_of(const data::JobRecord& job) {
  return format_id(ObjectKind::job, job.id);
}

// "9904 issued, 18 declined, 2 held": every state that some row is in, those that are issued first.
std::string words_of(const data::StateCounts& totals) {
  std::string words = std::to_string(count_of(totals, IssuanceState::issued)) + " issued";
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const auto state = static_cast<IssuanceState>(i);
    if (totals[i] == 0 || state == IssuanceState::issued) continue;
    words += ", " + std::to_string(totals[i]) + " " + std::string{name_of(state)};
  }
  return words;
}

}  // namespace

void Notices::job_changed(const data::JobRecord& before, const data::JobRecord& now,
                          const data::StateCounts& totals) {
  if (before.state == now.state) return;
  if (now.state == JobState::paused) {
    tell_("paused", subject_of(now),
          std::string{name_of(now.pause_reason)} + ": " + now.pause_detail);
  } else if (now.state == JobState::running && before.state == JobState::paused) {
    tell_("resumed", subject_of(now), words_of(totals));
  } else if (now.state == JobState::unsettled) {
    tell_("unsettled", subject_of(now), words_of(totals));
  }
}

void Notices::job_ended(const data::JobRecord& job, JobState end, const data::StateCounts& totals) {
  tell_(std::string{name_of(end)}, subject_of(job), words_of(totals));
  held_.erase(job.number);
}

void Notices::late(const data::Snapshot& snapshot, const std::vector<data::JobRecord>& jobs,
                   WallTime now) {
  for (const data::JobRecord& job : jobs) {
    const data::JobNow* known = snapshot.job(job.number);
    if (known == nullptr || !known->finish_by || now < *known->finish_by) continue;
    if (!late_.insert(job.id).second) continue;
    tell_("late", subject_of(job), "finish_by has passed with rows left");
  }
}

void Notices::held(const data::JobRecord& job, const data::StateCounts& totals, Instant now) {
  const std::int64_t count = count_of(totals, IssuanceState::held);
  Held& known = held_[job.number];
  if (count <= known.told) {
    known.told = count;  // people have settled some: new ones count from here
    return;
  }
  if (now < known.next_at) return;
  known = {count, now + kHeldEvery};
  tell_("held", subject_of(job),
        std::to_string(count) + " held; see vouchctl issuance list --state held --job " +
            subject_of(job));
}

void Notices::breakers(const std::vector<service::LaneView>& lanes, Instant now) {
  for (const service::LaneView& lane : lanes) {
    if (lane.breaker == service::Breaker::State::closed) {
      outages_.erase(lane.downstream);
      continue;
    }
    Outage& outage = outages_.try_emplace(lane.downstream, Outage{now}).first->second;
    if (outage.is_told || now < outage.since + kBreakerPatience) continue;
    outage.is_told = true;
    tell_("breaker_open", lane.name, "no call has got through for five minutes; jobs wait for it");
  }
}

}  // namespace vouch::daemon
