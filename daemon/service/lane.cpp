#include "daemon/service/lane.hpp"

#include <algorithm>
#include <utility>

namespace vouch::service {
namespace {

// A row that has failed before may itself be the reason.
bool is_untried(const data::Intent& intent) {
  return !intent.last_attempt_at && !intent.doubt_since;
}

bool goes_alone(const data::Intent& intent) {
  constexpr int kStrikesAlone = 2;
  return intent.probe || intent.strikes >= kStrikesAlone;
}

// Issuances in a call that holds this one, at most.  It may be why its call went unanswered: each
// time a quarter as many go with it, so that good rows are soon rid of it, and the calls stay few
// where nobody is to blame.
int company_of(const data::Intent& intent) {
  constexpr int kFewer = 4;
  if (goes_alone(intent)) return 1;
  const int most = intent.definition->issuances_per_call();
  if (intent.unanswered_with == 0) return most;
  return std::clamp(intent.unanswered_with / kFewer, 1, most);
}

bool go_together(const data::Intent& one, const data::Intent& other) {
  return one.definition == other.definition && is_untried(one) == is_untried(other);
}

}  // namespace

void Lane::add(data::Intent intent) {
  ++ready_;
  if (intent.asks) {
    queries_.push_back(std::move(intent));
    return;
  }
  if (intent.single || intent.probe) {
    singles_.push_back(std::move(intent));
    return;
  }
  JobRows& job = jobs_[intent.job_number];
  if (job.rows.empty()) job.had = std::max(job.had, clock_);
  job.rows.push_back(std::move(intent));
}

data::Intent Lane::take_query() {
  VOUCH_ASSERT(!queries_.empty());
  data::Intent query = std::move(queries_.front());
  queries_.pop_front();
  --ready_;
  return query;
}

void Lane::hold(Instant now, Millis length) {
  if (view.held_until <= now) view.held_since = now;
  view.held_until = std::max(view.held_until, now + length);
  pacer.hold_until(view.held_until);
}

void Lane::set_job_rate(std::int64_t job, std::optional<double> rate, Instant now) {
  const auto found = jobs_.find(job);
  if (!rate) {
    if (found != jobs_.end()) found->second.pacer.reset();
    return;
  }
  JobRows& rows = found != jobs_.end() ? found->second : jobs_[job];
  if (rows.pacer) {
    rows.pacer->set_rate(*rate);
  } else {
    rows.pacer.emplace(*rate, now);
  }
}

std::optional<data::Intent> Lane::take_best(Instant now, bool bulk_allowed, bool untried_first) {
  if (untried_first) {
    if (auto intent = take_from(now, bulk_allowed, is_untried)) return intent;
  }
  return take_from(now, bulk_allowed, [](const data::Intent&) { return true; });
}

std::optional<data::Intent> Lane::take_from(Instant now, bool bulk_allowed,
                                            bool (*fits)(const data::Intent&)) {
  const auto take = [&](std::deque<data::Intent>& rows, std::deque<data::Intent>::iterator at) {
    data::Intent intent = std::move(*at);
    rows.erase(at);
    --ready_;
    return intent;
  };
  const auto single = std::find_if(singles_.begin(), singles_.end(), fits);
  if (single != singles_.end()) return take(singles_, single);
  if (!bulk_allowed) return std::nullopt;
  JobRows* best = nullptr;
  for (auto& [number, job] : jobs_) {
    if (best != nullptr && job.had >= best->had) continue;
    if (job.pacer && job.pacer->room(now) == 0) continue;
    if (std::any_of(job.rows.begin(), job.rows.end(), fits)) best = &job;
  }
  if (best == nullptr) return std::nullopt;
  if (best->pacer) best->pacer->take(now);
  clock_ = ++best->had;
  return take(best->rows, std::find_if(best->rows.begin(), best->rows.end(), fits));
}

void Lane::take_more(std::vector<data::Intent>& call) {
  int most = company_of(call.front());
  std::deque<data::Intent>& rows =
      call.front().single || call.front().probe ? singles_ : jobs_.at(call.front().job_number).rows;
  while (std::ssize(call) < most && !rows.empty() && go_together(call.front(), rows.front())) {
    most = std::min(most, company_of(rows.front()));
    if (std::ssize(call) >= most) return;
    call.push_back(std::move(rows.front()));
    rows.pop_front();
    --ready_;
  }
}

Instant Lane::rows_ready_at(Instant now) const {
  if (!singles_.empty()) return now;
  Instant soonest = Instant::max();
  for (const auto& [number, job] : jobs_) {
    if (job.rows.empty()) continue;
    soonest = std::min(soonest, job.pacer ? job.pacer->ready_at(now) : now);
  }
  return soonest;
}

void Lane::take_out(const Test& test, const std::function<void(data::Intent, std::string)>& taken) {
  const auto sweep = [&](std::deque<data::Intent>& rows) {
    for (auto at = rows.begin(); at != rows.end();) {
      std::string why = test(*at);
      if (why.empty()) {
        ++at;
        continue;
      }
      --ready_;
      taken(std::move(*at), std::move(why));
      at = rows.erase(at);  // cheap near the ends, and mostly it is none or all
    }
  };
  sweep(queries_);
  sweep(singles_);
  for (auto at = jobs_.begin(); at != jobs_.end();) {
    sweep(at->second.rows);
    // A job that comes back later begins at the present virtual time anyway.
    at = at->second.rows.empty() && !at->second.pacer ? jobs_.erase(at) : std::next(at);
  }
}

int Lane::window() const {
  const int most = view.in_flight_max;
  if (mean_us_ == 0) return most;  // nothing measured yet
  const double wanted = 2.0 * pacer.rate() * mean_us_ / 1e6;
  return std::clamp(static_cast<int>(std::min(wanted, 1e6)), std::min(kWindowMin, most), most);
}

int Lane::bulk_window() const {
  const int all = window();
  return std::max(1, all - std::max(2, all / 10));
}

void Lane::note_duration(std::int64_t duration_us, bool answered) {
  const auto duration = static_cast<double>(std::max<std::int64_t>(1, duration_us));
  mean_us_ = mean_us_ == 0 ? duration : mean_us_ + (duration - mean_us_) / 256;
  if (!answered) return;
  const auto bucket =
      std::lower_bound(kLatencyBoundsUs.begin(), kLatencyBoundsUs.end(), duration_us);
  ++view.latency[static_cast<std::size_t>(bucket - kLatencyBoundsUs.begin())];
  view.latency_sum_us += static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration_us));
  // A running median: a step of 1/32 towards each answer, which lost answers cannot pull away.
  std::int64_t& median = view.median_us;
  if (median == 0) {
    median = std::max<std::int64_t>(1, duration_us);
  } else {
    const std::int64_t step = std::max<std::int64_t>(1, median / 32);
    median = std::max<std::int64_t>(1, median + (duration_us > median ? step : -step));
  }
}

}  // namespace vouch::service
