// pacer.hpp: how fast one downstream, or one job, may be called.
//
// GCRA (the generic cell rate algorithm, ITU-T I.371): calls are due at even distances, a call may
// go `tolerance` ahead of its time, and a pause stores nothing.  A token bucket with a second of
// burst would send 1.8 times the warning threshold in the second after a pause.
//
// A Pacer never sleeps and never reads a clock: the caller passes `now`.  A permit is taken when
// a call starts, never promised ahead.
//
// Threads: none inside; the engine thread's own.
// Units:   calls per second; instants are monotonic nanoseconds.
// Errors:  none.  No permit is an answer, not an error.
#pragma once

#include "common/clock.hpp"

namespace vouch::service {

inline constexpr Nanos kPacerTolerance = std::chrono::milliseconds{4};

class Pacer {
 public:
  // calls_per_second > 0.
  Pacer(double calls_per_second, Instant now, Nanos tolerance = kPacerTolerance);

  // Takes effect at once; what was sent before counts at the old rate.
  void set_rate(double calls_per_second);
  [[nodiscard]] double rate() const { return rate_; }

  // How many calls may start now.
  [[nodiscard]] int room(Instant now) const;
  // When the next call may start; `now` if at once.
  [[nodiscard]] Instant ready_at(Instant now) const;
  // Counts a call as started.  Requires room(now) > 0.
  void take(Instant now);
  // No call before `until` (Retry-After).
  void hold_until(Instant until);

 private:
  double rate_;
  Nanos interval_;
  Nanos tolerance_;
  Instant due_;   // when the next call is due if all go at their time
  Instant held_;  // no call before
};

}  // namespace vouch::service
