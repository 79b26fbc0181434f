#include <doctest/doctest.h>

#include "common/text.hpp"

using namespace vouch;
using namespace std::chrono_literals;

TEST_CASE("text: an amount in the major unit becomes exact minor units or is refused") {
  struct Case {
    const char* text;
    int digits;
    std::int64_t want;  // -1: refused
  };
  const Case cases[] = {
      {"12.50", 2, 1250},
      {"12.5", 2, 1250},
      {"12", 2, 1200},
      {"0.01", 2, 1},
      {"7", 0, 7},
      {"7.0", 0, -1},
      {"1.234", 3, 1234},
      {"1.234", 2, -1},
      {"1e3", 2, -1},
      {"1,00", 2, -1},
      {"-1", 2, -1},
      {"", 2, -1},
      {".5", 2, -1},
      {"5.", 2, -1},
      {"１２", 2, -1},
      {" 12", 2, -1},
      {"9999999999999999", 2, -1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto got = parse_major_amount(c.text, c.digits);
    CHECK(got.has_value() == (c.want >= 0));
    if (got) CHECK(*got == c.want);
  }
}

TEST_CASE("text: durations, rates and times are read with their units") {
  CHECK(parse_duration("10s").value() == 10s);
  CHECK(parse_duration("36h").value() == 36h);
  CHECK_FALSE(parse_duration("10"));
  CHECK_FALSE(parse_duration("s"));
  CHECK(parse_rate("300/s").value() == 300);
  CHECK(parse_rate("60/m").value() == 1);
  CHECK_FALSE(parse_rate("0/s"));
  CHECK_FALSE(parse_rate("nan"));
  const WallTime now = from_ms(1'795'341'600'000);  // 2026-11-22T10:00:00Z
  CHECK(format_time_utc(now) == "2026-11-22T10:00:00.000Z");
  CHECK(parse_time("2026-11-22T12:00+02:00", now).value() == now);
  CHECK(parse_time("2026-11-22T10:00:00Z", now).value() == now);
  CHECK(parse_time("1h", now).value() == now - 1h);
  CHECK_FALSE(parse_time("22.11.2026", now));
  CHECK_FALSE(parse_time("2026-02-30", now));
}

TEST_CASE("text: figures are written as people read them") {
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_count(-1234) == "-1,234");
  CHECK(format_count(12) == "12");
  CHECK(format_amount(1250, "CNY") == "12.50 CNY");
  CHECK(format_amount(5, "EUR") == "0.05 EUR");
  CHECK(format_amount(-1250, "JPY") == "-1250 JPY");
  CHECK(format_rate(427.5) == "427.5/s");
  CHECK(format_duration(Millis{3'900'000}) == "1h 05m");
}

TEST_CASE("text: UTF-8 is accepted only in its shortest form and without surrogates") {
  CHECK(is_valid_utf8("plain, \xc3\xa9, \xe4\xb8\xad, \xf0\x9f\x8e\x81"));
  CHECK_FALSE(is_valid_utf8("\xc0\xaf"));
  CHECK_FALSE(is_valid_utf8("\xed\xa0\x80"));
  CHECK_FALSE(is_valid_utf8("\xf4\x90\x80\x80"));
  CHECK_FALSE(is_valid_utf8("\xe4\xb8"));
}

TEST_CASE("text: a mistyped word finds its neighbour, a strange one finds none") {
  const std::string known[] = {"campaign", "recipients", "job"};
  CHECK(nearest("campain", known) == "campaign");
  CHECK(nearest("jbo", known) == "job");
  CHECK(nearest("zebra", known).empty());
}
