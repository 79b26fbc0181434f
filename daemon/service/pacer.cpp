#include "daemon/service/pacer.hpp"

#include <algorithm>

#include "common/result.hpp"

namespace vouch::service {
namespace {

// More permits than this at once are never asked for.
constexpr std::int64_t kRoomMax = 1'000'000;

Nanos interval_of(double calls_per_second) {
  VOUCH_ASSERT(calls_per_second > 0);
  return Nanos{std::max<std::int64_t>(1, static_cast<std::int64_t>(1e9 / calls_per_second))};
}

}  // namespace

Pacer::Pacer(double calls_per_second, Instant now, Nanos tolerance)
    : rate_{calls_per_second},
      interval_{interval_of(calls_per_second)},
      tolerance_{tolerance},
      due_{now},
      held_{now} {}

void Pacer::set_rate(double calls_per_second) {
  if (calls_per_second == rate_) return;
  const Nanos before = interval_;
  rate_ = calls_per_second;
  interval_ = interval_of(calls_per_second);
  // The call before was due one old interval earlier: the next comes one new interval after it.
  due_ += interval_ - before;
}

int Pacer::room(Instant now) const {
  if (now < held_) return 0;
  const Nanos ahead = now + tolerance_ - std::max(due_, now);
  if (ahead < Nanos::zero()) return 0;
  return static_cast<int>(std::min<std::int64_t>(kRoomMax, ahead / interval_ + 1));
}

Instant Pacer::ready_at(Instant now) const {
  return std::max({now, held_, due_ - tolerance_});
}

void Pacer::take(Instant now) {
  VOUCH_ASSERT(room(now) > 0);
  due_ = std::max(due_, now) + interval_;
}

void Pacer::hold_until(Instant until) {
  held_ = std::max(held_, until);
}

}  // namespace vouch::service
