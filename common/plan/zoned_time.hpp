// zoned_time.hpp: the times of a partner's file, which often stand without an offset.
//
// A time with an offset or Z means itself; one without is in the zone that the operator named.
// Understood: 2026-11-22T23:59:59.123, with a blank instead of the T, with "/" in the date,
// without seconds, a date alone (its midnight), 20261122235959, and seconds or milliseconds since
// 1970 (10 and 13 digits).
//
// Threads: one at a time.
// Errors:  invalid, naming the text.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::plan {

class ZonedTimes {
 public:
  // A name of the tz database; empty is UTC.
  [[nodiscard]] static Result<ZonedTimes> in(std::string_view time_zone);
  ZonedTimes(ZonedTimes&&) noexcept;
  ZonedTimes& operator=(ZonedTimes&&) noexcept;
  ~ZonedTimes();

  // Where the clocks were set back a local time came twice: the first is meant.  Where they were
  // put forward it never came: the moment of the change is.
  [[nodiscard]] Result<WallTime> parse(std::string_view text);

 private:
  struct State;
  explicit ZonedTimes(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vouch::plan
