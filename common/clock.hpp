// clock.hpp: the two times of the house, and the only door to them.
//
// Instant: CLOCK_BOOTTIME in nanoseconds.  It never jumps and goes on during suspend; it means
// something in this process only.  For waiting, time limits and pacing.
// WallTime: UTC in milliseconds.  It means the same everywhere but may be set back.  For records
// and campaign windows.
//
// Threads: a Clock may be used by all.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace vouch {

using Millis = std::chrono::milliseconds;
using Nanos = std::chrono::nanoseconds;

struct BootClock {
  using duration = Nanos;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};
using Instant = BootClock::time_point;
using WallTime = std::chrono::sys_time<Millis>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

// Processor time this process has used, for the benchmarks' and metrics' sake.
[[nodiscard]] Nanos cpu_time_used();

// Sleeps until `until` or a signal, whichever comes first; for main threads and pollers that
// have nothing else to wait on.
void sleep_until(const Clock& clock, Instant until);

[[nodiscard]] constexpr std::int64_t to_ms(WallTime time) {
  return time.time_since_epoch().count();
}
[[nodiscard]] constexpr WallTime from_ms(std::int64_t ms) {
  return WallTime{Millis{ms}};
}

}  // namespace vouch
