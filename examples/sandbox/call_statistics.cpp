#include "examples/sandbox/call_statistics.hpp"

#include <algorithm>

namespace vouch::sandbox {

void SlidingWindow::note(Instant at) {
  arrivals_.push_back(at);
  while (at - arrivals_.front() >= length_) arrivals_.pop_front();
  most_ = std::max(most_, arrivals_.size());
}

std::size_t SlidingWindow::count(Instant now) const {
  const auto first = std::find_if(arrivals_.begin(), arrivals_.end(),
                                  [&](Instant arrival) { return now - arrival < length_; });
  return static_cast<std::size_t>(arrivals_.end() - first);
}

void CallStatistics::arrived(Instant now, WallTime wall) {
  ++calls_;
  ++second_of(wall).calls;
  window_1s_.note(now);
  window_100ms_.note(now);
}

void CallStatistics::executed(WallTime wall) {
  ++second_of(wall).executions;
}

void CallStatistics::reset_windows() {
  window_1s_.reset();
  window_100ms_.reset();
  seconds_.clear();
}

SecondCount& CallStatistics::second_of(WallTime wall) {
  const std::int64_t second = to_ms(wall) / 1000;
  // A clock that was set back counts into the latest second.
  if (seconds_.empty() || seconds_.back().second < second) {
    seconds_.push_back({.second = second});
    if (seconds_.size() > kSecondsMax) seconds_.pop_front();
  }
  return seconds_.back();
}

}  // namespace vouch::sandbox
