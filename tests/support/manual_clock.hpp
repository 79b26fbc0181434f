// manual_clock.hpp: a clock that stands still until told otherwise.
#pragma once

#include "common/clock.hpp"

namespace vouch::test {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] WallTime wall_now() const override { return wall_; }
  void advance(Nanos by) {
    now_ += by;
    wall_nanos_ += by;
    wall_ = WallTime{std::chrono::floor<Millis>(wall_nanos_)};
  }
  void jump_wall(Millis by) {  // what ntp or an operator does
    wall_nanos_ += by;
    wall_ += by;
  }

 private:
  Instant now_{std::chrono::hours{1}};
  Nanos wall_nanos_ = std::chrono::seconds{1'893'456'000};  // 2030-01-01T00:00:00Z
  WallTime wall_{std::chrono::floor<Millis>(wall_nanos_)};
};

}  // namespace vouch::test
