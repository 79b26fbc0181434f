#include "daemon/notices.hpp"

#include <algorithm>

#include "common/text.hpp"

namespace vouch::daemon {
namespace {

constexpr std::chrono::minutes kBreakerPatience{5};
constexpr std::chrono::minutes kHeldEvery{1};
constexpr std::chrono::minutes kPaceWindow{1};
constexpr double kSecondsMax = 1e9;  // longer is for ever

std::int64_t count_of(const data::StateCounts& totals, IssuanceState state) {
  return totals[static_cast<std::size_t>(state)];
}

Millis seconds_of(double seconds) {
  return Millis{static_cast<std::int64_t>(std::min(seconds, kSecondsMax) * 1000)};
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
  late_.erase(job.number);
  paces_.erase(job.number);
}

void Notices::late(const data::JobRecord& job, WallTime finish_by, std::int64_t open, Instant now,
                   WallTime wall) {
  if (open == 0) return;
  if (wall >= finish_by) {
    if (!late_.insert(job.number).second) return;
    return tell_("late", subject_of(job), "finish_by has passed with rows left");
  }
  if (job.state != JobState::running) {
    paces_.erase(job.number);  // what it did before a pause says nothing
    return;
  }
  const Pace begin{.at = now, .open = open, .next_at = now, .next_open = open};
  Pace& pace = paces_.try_emplace(job.number, begin).first->second;
  if (now - pace.next_at >= kPaceWindow) {
    pace.at = pace.next_at;
    pace.open = pace.next_open;
    pace.next_at = now;
    pace.next_open = open;
  }
  const double seconds = std::chrono::duration<double>(now - pace.at).count();
  if (pace.is_told || now - pace.at < kPaceWindow || pace.open <= open) return;
  const double left = static_cast<double>(open) * seconds / static_cast<double>(pace.open - open);
  const double until = std::chrono::duration<double>(finish_by - wall).count();
  if (left <= until) return;
  pace.is_told = true;
  tell_("late", subject_of(job),
        "at its pace it needs " + format_duration(seconds_of(left)) +
            " more, and finish_by is in " + format_duration(finish_by - wall) + "; " +
            std::to_string(open) + " rows are left");
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

void Notices::exports(const data::JobRecord& job, std::int64_t waiting) {
  if (waiting == 0) {
    exports_.erase(job.number);
    return;
  }
  if (!exports_.insert(job.number).second) return;
  tell_("export", subject_of(job),
        std::to_string(waiting) +
            " rows wait for an export of their codes; see vouchctl job show " + subject_of(job));
}

void Notices::pool(const store::PoolRow& pool, std::int64_t left) {
  if (left >= pool.low_water) {
    low_pools_.erase(pool.id);
    return;
  }
  if (!low_pools_.insert(pool.id).second) return;
  tell_("pool_low", pool.name,
        std::to_string(left) + " codes left, fewer than " + std::to_string(pool.low_water) +
            "; add some with vouchctl pool generate or import");
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
