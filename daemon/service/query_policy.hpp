// query_policy.hpp: asking a downstream what became of a call, and what its answer leads to.
//
// "Not found" is believed only when it was said twice, the second query begun at least
// `query_apart` after the first was answered, both later than the call's timeout and the
// downstream's settle time, and than that time from the start or the last jump of the wall clock
// on; the row may then be called again, under the same request id; unless its calls were answered
// strikes_max times, each time to no use: then it has failed.  With contract `key` a repeat is safe
// anyway, and follows the first answer that tells nothing.  An answer that contradicts what is
// known (another amount; known before, unknown now) is for people, and so is a row that kAskedMax
// answers or a day of asking have not settled.  As with attempts, only answers count, and only
// while the downstream is well.
//
// Threads: pure but for the Random that is passed.
#pragma once

#include "common/random.hpp"
#include "daemon/service/retry_policy.hpp"

namespace vouch::service {

inline constexpr int kAskedMax = 8;
inline constexpr Millis kAskedForMax{24 * 3'600'000};

// The call that asks: GET, no key, no body.
[[nodiscard]] wire::HttpCall make_query(const data::Intent& intent, std::string_view bearer);

// Fills step (from in_doubt), next_at, counters and evidence of `end`, whose intent and times are
// set.
void decide_query(const RetrySettings& settings, const Judgement& judged, const LaneHealth& health,
                  Random& random, data::AttemptEnd& end);

// A query that is taken back before any byte has left.
[[nodiscard]] data::AttemptEnd take_query_back(data::Intent intent, WallTime now);

// From when on "not found" may be believed of a call that began at `called_at`.
[[nodiscard]] WallTime settled_at(const plan::Downstream& downstream, WallTime called_at);

}  // namespace vouch::service
