// retry_policy.hpp: from what a call's end means to the issuance's next step.
//
// An outage costs time, not rows: what is counted against a row (attempts, the same refusal again)
// is counted only when an answer was read, the breaker is closed, and a call of another row that
// started after this row's attempt before has succeeded.
//
// Under contract `key` a decline proves that no earlier attempt under the same key was executed:
// a downstream that honours keys would have repeated its success.  A 429, a refused connection or
// a wrong credential proves that of its own attempt only; with doubt from before, doubt stays.
//
// Under contract `query` what is in doubt is asked about (query_policy.hpp), under `none` held.
//
// Threads: pure but for the Random that is passed.
#pragma once

#include "common/clock.hpp"
#include "common/random.hpp"
#include "daemon/data/intent.hpp"
#include "daemon/service/reply_judge.hpp"

namespace vouch::service {

struct RetrySettings {
  int attempts_max = 8;     // answered attempts, each proven not executed
  int strikes_max = 3;      // unusable answers in a row, the same ones if nobody can ask
  Millis delay_first{500};  // full jitter: anywhere from 0 to this, doubling
  Millis delay_max{60'000};
  Millis setup_probe{60'000};  // distance of probes while a job is paused for setup
  Millis query_apart{60'000};  // distance of the two "not found" that are believed
};

// What is known of the downstream at this moment.
struct LaneHealth {
  bool breaker_closed = true;
  std::optional<WallTime> last_success;  // when the latest call that succeeded had started
  WallTime clock_good_since{};           // since then the wall clock tells ages rightly
};

// Fills step, next_at, counters and evidence of `end`, whose intent and times are set.
void decide(const RetrySettings& settings, const Judgement& judged, const LaneHealth& health,
            Random& random, data::AttemptEnd& end);

// An intent that is taken back before any byte has left.
[[nodiscard]] data::AttemptEnd take_back(data::Intent intent, std::string_view why, WallTime now);

// The wall clock may go back by so much, as ntp lets it, and still be believed.
inline constexpr Millis kClockStepMax{1'000};

// Whether the downstream may have forgotten the key of a row in doubt: nothing may be repeated.
// So it is too when the wall clock stands before the doubt: nobody knows then how old it is.
[[nodiscard]] bool key_may_be_forgotten(const plan::Downstream& downstream,
                                        std::optional<WallTime> doubt_since, WallTime now);

}  // namespace vouch::service
