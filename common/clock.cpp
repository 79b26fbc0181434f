#include "common/clock.hpp"

#include <ctime>

namespace vouch {
namespace {

Nanos read(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return std::chrono::seconds{ts.tv_sec} + Nanos{ts.tv_nsec};
}

}  // namespace

Instant SystemClock::now() const {
  return Instant{read(CLOCK_BOOTTIME)};
}

WallTime SystemClock::wall_now() const {
  return WallTime{std::chrono::duration_cast<Millis>(read(CLOCK_REALTIME))};
}

Nanos cpu_time_used() {
  return read(CLOCK_PROCESS_CPUTIME_ID);
}

void sleep_until(const Clock& clock, Instant until) {
  const Nanos left = until - clock.now();
  if (left <= Nanos::zero()) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  const timespec ts{seconds.count(), (left - seconds).count()};
  nanosleep(&ts, nullptr);
}

}  // namespace vouch
