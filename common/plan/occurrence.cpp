// Dates, time zones and the occurrence under which an issuance is owed: declared in campaign.hpp.
#include <date/tz.h>

#include <charconv>
#include <stdexcept>

#include "common/crypto.hpp"
#include "common/plan/campaign.hpp"

namespace vouch::plan {
namespace {

// The system's time zones (/usr/share/zoneinfo).  The library throws for an unknown name and
// where the package tzdata is missing.
Result<const date::time_zone*> find_zone(std::string_view name) {
  try {
    return date::locate_zone(name);
  } catch (const std::exception&) {
    return fail(Errc::invalid, "\"" + std::string{name} + "\" is not a time zone",
                "write a name of the tz database, such as Europe/Berlin or Asia/Shanghai");
  }
}

CivilDate civil(date::year_month_day day) {
  return {static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
          static_cast<unsigned>(day.day())};
}

bool read_digits(std::string_view text, int& out) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc{} && stop == end && text.front() != '-';
}

}  // namespace

Result<CivilDate> parse_date(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  const bool shaped = text.size() == 10 && text[4] == '-' && text[7] == '-' &&
                      read_digits(text.substr(0, 4), year) &&
                      read_digits(text.substr(5, 2), month) && read_digits(text.substr(8, 2), day);
  const date::year_month_day ymd{date::year{year}, date::month{static_cast<unsigned>(month)},
                                 date::day{static_cast<unsigned>(day)}};
  if (!shaped || year == 0 || !ymd.ok()) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not a date",
                "write it as 2026-11-22");
  }
  return civil(ymd);
}

Result<CivilDate> date_in_zone(WallTime time, std::string_view time_zone) {
  const date::sys_time<Millis> point{time.time_since_epoch()};
  if (time_zone == "UTC") return civil(date::year_month_day{date::floor<date::days>(point)});
  VOUCH_TRY(const date::time_zone* zone, find_zone(time_zone));
  return civil(date::year_month_day{date::floor<date::days>(zone->to_local(point))});
}

std::uint64_t occurrence_of(OncePer once_per, CivilDate for_date, ObjectId job) {
  const auto year = static_cast<std::uint64_t>(for_date.year);
  switch (once_per) {
    case OncePer::campaign:
      return 0;
    case OncePer::year:
      return year;
    case OncePer::month:
      return year * 100 + for_date.month;
    case OncePer::day:
      return (year * 100 + for_date.month) * 100 + for_date.day;
    case OncePer::job:
      return job;
    case OncePer::column:
      break;
  }
  VOUCH_ASSERT(once_per != OncePer::column);  // each row has its own: occurrence_of_value
  return 0;
}

std::uint64_t occurrence_of_value(std::string_view value) {
  const Digest256 digest = sha256(value);
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < 6; ++i) out = (out << 8) | digest[i];
  return out == 0 ? 1 : out;
}

}  // namespace vouch::plan
