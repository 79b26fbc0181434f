#include "common/plan/zoned_time.hpp"

#include <doctest/doctest.h>

#include "common/text.hpp"

using namespace vouch;
using plan::ZonedTimes;

TEST_CASE("zoned time: what a partner's file may hold, and what it means in its zone") {
  struct Case {
    const char* zone;
    const char* text;
    const char* want;  // UTC; empty: refused
  };
  const Case cases[] = {
      {"UTC", "2026-11-22T23:59:59", "2026-11-22T23:59:59.000Z"},
      {"", "2026-11-22 23:59:59.25", "2026-11-22T23:59:59.250Z"},
      {"Asia/Shanghai", "2026-11-23 00:00:00", "2026-11-22T16:00:00.000Z"},
      {"Asia/Shanghai", "2026/11/22 23:59:59,999999", "2026-11-22T15:59:59.999Z"},
      {"Asia/Shanghai", "20261122235959", "2026-11-22T15:59:59.000Z"},
      {"Asia/Shanghai", "2026-11-22 23:59", "2026-11-22T15:59:00.000Z"},
      {"Asia/Shanghai", " 2026-11-22 ", "2026-11-21T16:00:00.000Z"},
      // With an offset, or as a count since 1970, it means the same in every zone.
      {"Asia/Shanghai", "2026-11-22T23:59:59Z", "2026-11-22T23:59:59.000Z"},
      {"Asia/Shanghai", "2026-11-22 23:59:59+01:00", "2026-11-22T22:59:59.000Z"},
      {"Asia/Shanghai", "1795391999", "2026-11-22T23:59:59.000Z"},
      {"Asia/Shanghai", "1795391999123", "2026-11-22T23:59:59.123Z"},
      // Around the changes of the clocks.
      {"Europe/Berlin", "2026-07-01 12:00:00", "2026-07-01T10:00:00.000Z"},
      {"Europe/Berlin", "2026-10-25 01:59:59", "2026-10-24T23:59:59.000Z"},
      {"Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T00:30:00.000Z"},
      {"Europe/Berlin", "2026-10-25 03:00:00", "2026-10-25T02:00:00.000Z"},
      {"Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:00:00.000Z"},
      {"Europe/Berlin", "2026-03-29 03:30:00", "2026-03-29T01:30:00.000Z"},
      {"UTC", "", ""},
      {"UTC", "22.11.2026", ""},
      {"UTC", "2026-13-01", ""},
      {"UTC", "2026-11-31 10:00:00", ""},
      {"UTC", "2026-11-22 24:00:00", ""},
      {"UTC", "2026-11/22 10:00:00", ""},
      {"UTC", "2026-11-22 10:00:00 CET", ""},
      {"UTC", "46348.5", ""},
      {"UTC", "123", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.zone);
    CAPTURE(c.text);
    ZonedTimes times = ZonedTimes::in(c.zone).value();
    const auto time = times.parse(c.text);
    CHECK((time ? format_time_utc(*time) : "") == c.want);
    // Asked again, and with other times in between: the offset kept must not be taken for theirs.
    CHECK(times.parse("2026-01-15 12:00:00"));
    const auto again = times.parse(c.text);
    CHECK((again ? format_time_utc(*again) : "") == c.want);
    CHECK(times.parse("2026-07-15 12:00:00"));
    const auto third = times.parse(c.text);
    CHECK((third ? format_time_utc(*third) : "") == c.want);
  }
  CHECK_FALSE(ZonedTimes::in("Europe/Nowhere"));
}
