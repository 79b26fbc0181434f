// breaker.hpp: spares a downstream that ails, so that an outage costs time and not rows.
//
// Opens when at least half of the outcomes of the last ten seconds (and at least twenty of them)
// were unknown or unreachable.  Open, no call starts for a while, doubling from 5 s to 60 s; then
// single calls try, each success doubling their rate from one a second; after three in a row it
// closes.
//
// Threads: none inside; the engine thread's own.   Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/clock.hpp"

namespace vouch::service {

struct BreakerSettings {
  Millis open_first{5'000};
  Millis open_max{60'000};
  Millis probe_first{1'000};  // distance of the first calls that try
  int outcomes_min = 20;
};

class Breaker {
 public:
  enum class State : std::uint8_t { closed, open, trying };

  Breaker(BreakerSettings settings, Instant now) : settings_{settings}, since_{now} {}

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool closed() const { return state_ == State::closed; }
  // When it left `closed`; meaningful only then.
  [[nodiscard]] Instant since() const { return since_; }

  // How often it has opened.  The end of a call that was started in an earlier round says how the
  // downstream was before: it is not told to the breaker.
  [[nodiscard]] int round() const { return round_; }

  // Whether a call may start.  An open breaker turns to trying when its time is over.
  [[nodiscard]] bool may_start(Instant now);
  // When a call may start, if none may now.
  [[nodiscard]] Instant ready_at(Instant now) const;
  void started(Instant now);
  void ended(bool good, Instant now);
  // A call that was started ended without saying anything of the downstream's health.
  void ended_neutral();

 private:
  struct Bucket {
    std::int64_t second = -1;
    int good = 0;
    int bad = 0;
  };

  void open(Instant now);
  [[nodiscard]] bool ailing(Instant now) const;

  BreakerSettings settings_;
  State state_ = State::closed;
  Instant since_;
  Instant until_{};  // open: until then
  Millis open_for_{0};
  Instant next_try_{};  // trying
  int round_ = 0;
  int tries_out_ = 0;
  int successes_ = 0;
  std::array<Bucket, 10> buckets_{};
};

[[nodiscard]] constexpr std::string_view name_of(Breaker::State state) {
  switch (state) {
    case Breaker::State::closed:
      return "closed";
    case Breaker::State::open:
      return "open";
    case Breaker::State::trying:
      return "trying";
  }
  return "";
}

}  // namespace vouch::service
