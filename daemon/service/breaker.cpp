#include "daemon/service/breaker.hpp"

#include <algorithm>

namespace vouch::service {
namespace {

constexpr int kSuccessesToClose = 3;

std::int64_t second_of(Instant now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

bool Breaker::ailing(Instant now) const {
  const std::int64_t second = second_of(now);
  int good = 0;
  int bad = 0;
  for (const Bucket& bucket : buckets_) {
    if (bucket.second <= second - static_cast<std::int64_t>(buckets_.size())) continue;
    good += bucket.good;
    bad += bucket.bad;
  }
  return good + bad >= settings_.outcomes_min && bad >= good;
}

void Breaker::open(Instant now) {
  if (state_ == State::closed) since_ = now;
  open_for_ = open_for_ == Millis::zero() ? settings_.open_first
                                          : std::min(open_for_ * 2, settings_.open_max);
  until_ = now + open_for_;
  state_ = State::open;
  ++round_;
  successes_ = 0;
  tries_out_ = 0;
}

bool Breaker::may_start(Instant now) {
  if (state_ == State::open && now >= until_) {
    state_ = State::trying;
    next_try_ = now;
  }
  if (state_ == State::closed) return true;
  return state_ == State::trying && tries_out_ == 0 && now >= next_try_;
}

Instant Breaker::ready_at(Instant now) const {
  if (state_ == State::closed) return now;
  if (state_ == State::open) return until_;
  // While a try is out only its end matters.
  return tries_out_ > 0 ? Instant::max() : std::max(now, next_try_);
}

void Breaker::started(Instant now) {
  if (state_ != State::trying) return;
  ++tries_out_;
  next_try_ = now + settings_.probe_first / (1 << successes_);
}

void Breaker::ended_neutral() {
  tries_out_ = std::max(0, tries_out_ - 1);
}

void Breaker::ended(bool good, Instant now) {
  if (state_ == State::open) return;
  if (state_ == State::trying) {
    tries_out_ = std::max(0, tries_out_ - 1);
    if (!good) return open(now);
    if (++successes_ < kSuccessesToClose) return;
    state_ = State::closed;
    open_for_ = Millis::zero();
    buckets_ = {};
    return;
  }
  Bucket& bucket = buckets_[static_cast<std::size_t>(second_of(now)) % buckets_.size()];
  if (bucket.second != second_of(now)) bucket = {.second = second_of(now)};
  ++(good ? bucket.good : bucket.bad);
  if (!good && ailing(now)) open(now);
}

}  // namespace vouch::service
