// call_statistics.hpp: what a service of the sandbox saw, for judging pacing from its own side.
//
// Arrivals are counted to the nanosecond at which the sandbox read them, in exact sliding windows:
// the most in any second is the most in any second, not in any second of the clock.
//
// Threads: one owner.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "examples/sandbox/behaviour.hpp"

namespace vouch::sandbox {

// The most arrivals within any span of one length.
class SlidingWindow {
 public:
  explicit SlidingWindow(Nanos length) : length_{length} {}
  void note(Instant at);
  [[nodiscard]] std::size_t count(Instant now) const;
  [[nodiscard]] std::size_t most() const { return most_; }
  void reset() { most_ = 0; }

 private:
  Nanos length_;
  std::deque<Instant> arrivals_;
  std::size_t most_ = 0;
};

struct SecondCount {
  std::int64_t second = 0;  // UTC, since 1970
  std::uint64_t calls = 0;
  std::uint64_t executions = 0;
};

class CallStatistics {
 public:
  void arrived(Instant now, WallTime wall);
  void executed(WallTime wall);
  void answered(int status) { ++statuses_[status]; }
  void struck(std::size_t fault_kind) { ++faults_.at(fault_kind); }
  void turned_away() { ++turned_away_; }
  void queried() { ++queries_; }
  // Starts the windows and the history anew; totals stay.
  void reset_windows();

  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  [[nodiscard]] std::uint64_t queries() const { return queries_; }
  [[nodiscard]] std::uint64_t beyond_capacity() const { return turned_away_; }
  [[nodiscard]] const std::map<int, std::uint64_t>& statuses() const { return statuses_; }
  [[nodiscard]] const std::array<std::uint64_t, kFaultKindCount>& faults() const { return faults_; }
  [[nodiscard]] const SlidingWindow& window_1s() const { return window_1s_; }
  [[nodiscard]] const SlidingWindow& window_100ms() const { return window_100ms_; }
  [[nodiscard]] const std::deque<SecondCount>& seconds() const { return seconds_; }

  static constexpr std::size_t kSecondsMax = 3600;  // then the oldest go

 private:
  SecondCount& second_of(WallTime wall);

  std::uint64_t calls_ = 0;
  std::uint64_t queries_ = 0;
  std::uint64_t turned_away_ = 0;
  std::map<int, std::uint64_t> statuses_;
  std::array<std::uint64_t, kFaultKindCount> faults_{};
  SlidingWindow window_1s_{std::chrono::seconds{1}};
  SlidingWindow window_100ms_{std::chrono::milliseconds{100}};
  std::deque<SecondCount> seconds_;
};

}  // namespace vouch::sandbox
