#include "common/plan/zoned_time.hpp"

#include <date/tz.h>

#include <optional>
#include <stdexcept>

#include "common/text.hpp"

namespace vouch::plan {
namespace {

using LocalMillis = date::local_time<Millis>;

constexpr std::size_t kSecondsDigits = 10;  // from 2001 to 2286
constexpr std::size_t kMillisDigits = 13;
constexpr std::size_t kCompactDigits = 14;  // 20261122235959

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Takes `digits` digits from the front of `in`; nothing when there are fewer.
std::optional<int> take_number(std::string_view& in, std::size_t digits) {
  if (in.size() < digits || !all_digits(in.substr(0, digits))) return std::nullopt;
  int value = 0;
  for (const char c : in.substr(0, digits)) value = value * 10 + (c - '0');
  in.remove_prefix(digits);
  return value;
}

bool take_one_of(std::string_view& in, std::string_view letters) {
  if (in.empty() || letters.find(in.front()) == std::string_view::npos) return false;
  in.remove_prefix(1);
  return true;
}

// ".123" or ",123456": milliseconds, further digits are dropped.
std::optional<Millis> take_fraction(std::string_view& in) {
  if (!take_one_of(in, ".,")) return Millis{0};
  int value = 0;
  int digits = 0;
  while (!in.empty() && in.front() >= '0' && in.front() <= '9') {
    if (digits++ < 3) value = value * 10 + (in.front() - '0');
    in.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) value *= 10;
  return Millis{value};
}

struct Fields {
  int year, month, day, hour, minute, second;
};

std::optional<LocalMillis> local_of(const Fields& at, Millis fraction) {
  const date::year_month_day day{date::year{at.year}, date::month{static_cast<unsigned>(at.month)},
                                 date::day{static_cast<unsigned>(at.day)}};
  if (!day.ok() || at.hour > 23 || at.minute > 59 || at.second > 59) return std::nullopt;
  return date::local_days{day} + std::chrono::hours{at.hour} + std::chrono::minutes{at.minute} +
         std::chrono::seconds{at.second} + fraction;
}

std::optional<LocalMillis> parse_compact(std::string_view in) {
  Fields at{};
  at.year = take_number(in, 4).value_or(0);
  at.month = take_number(in, 2).value_or(0);
  at.day = take_number(in, 2).value_or(0);
  at.hour = take_number(in, 2).value_or(0);
  at.minute = take_number(in, 2).value_or(0);
  at.second = take_number(in, 2).value_or(0);
  return local_of(at, Millis{0});
}

// A time without an offset.
std::optional<LocalMillis> parse_local(std::string_view in) {
  const auto year = take_number(in, 4);
  const char separator = in.empty() ? '\0' : in.front();
  if (!year || (separator != '-' && separator != '/')) return std::nullopt;
  in.remove_prefix(1);
  const auto month = take_number(in, 2);
  if (!month || !take_one_of(in, std::string_view{&separator, 1})) return std::nullopt;
  const auto day = take_number(in, 2);
  if (!day) return std::nullopt;
  Fields at{*year, *month, *day, 0, 0, 0};
  if (in.empty()) return local_of(at, Millis{0});
  if (!take_one_of(in, "T ")) return std::nullopt;
  const auto hour = take_number(in, 2);
  if (!hour || !take_one_of(in, ":")) return std::nullopt;
  const auto minute = take_number(in, 2);
  if (!minute) return std::nullopt;
  at.hour = *hour;
  at.minute = *minute;
  if (take_one_of(in, ":")) {
    const auto second = take_number(in, 2);
    if (!second) return std::nullopt;
    at.second = *second;
  }
  const auto fraction = take_fraction(in);
  if (!fraction || !in.empty()) return std::nullopt;
  return local_of(at, *fraction);
}

// "...Z", "...+08:00", "...-0500": behind the date, where a "-" is none of its own.
bool has_offset(std::string_view text) {
  if (text.ends_with('Z') || text.ends_with('z')) return true;
  return text.size() > 10 && text.find_first_of("+-", 10) != std::string_view::npos;
}

}  // namespace

struct ZonedTimes::State {
  const date::time_zone* zone = nullptr;  // null: UTC
  // The rules in force around the last time that was read: nearly always those of the next.
  date::sys_info rules{};

  WallTime to_wall(LocalMillis local);
};

WallTime ZonedTimes::State::to_wall(LocalMillis local) {
  const Millis since{local.time_since_epoch()};
  if (zone == nullptr) return WallTime{since};
  const date::sys_time<Millis> guess{since - rules.offset};
  // A day from the next change there is no doubt about which offset is meant.
  const bool known = rules.begin + date::days{1} < guess && guess < rules.end - date::days{1};
  if (!known) {
    const auto at = zone->to_sys(local, date::choose::earliest);
    rules = zone->get_info(at);
    return WallTime{Millis{at.time_since_epoch()}};
  }
  return WallTime{Millis{guess.time_since_epoch()}};
}

ZonedTimes::ZonedTimes(std::unique_ptr<State> state) : state_{std::move(state)} {}
ZonedTimes::ZonedTimes(ZonedTimes&&) noexcept = default;
ZonedTimes& ZonedTimes::operator=(ZonedTimes&&) noexcept = default;
ZonedTimes::~ZonedTimes() = default;

Result<ZonedTimes> ZonedTimes::in(std::string_view time_zone) {
  auto state = std::make_unique<State>();
  if (time_zone.empty() || time_zone == "UTC") return ZonedTimes{std::move(state)};
  // The library throws for an unknown name and where the package tzdata is missing.
  try {
    state->zone = date::locate_zone(time_zone);
  } catch (const std::exception&) {
    return fail(Errc::invalid, "\"" + std::string{time_zone} + "\" is not a time zone",
                "write a name of the tz database, such as Europe/Berlin or Asia/Shanghai");
  }
  return ZonedTimes{std::move(state)};
}

Result<WallTime> ZonedTimes::parse(std::string_view text) {
  const std::string_view trimmed = trim_blanks(text);
  if (all_digits(trimmed)) {
    const auto number = parse_integer(trimmed);
    if (number && trimmed.size() == kMillisDigits) return from_ms(*number);
    if (number && trimmed.size() == kSecondsDigits) return from_ms(*number * 1000);
    if (trimmed.size() == kCompactDigits) {
      if (const auto local = parse_compact(trimmed)) return state_->to_wall(*local);
    }
  } else if (has_offset(trimmed)) {
    std::string iso{trimmed};
    if (iso.size() > 10 && iso[10] == ' ') iso[10] = 'T';
    if (const auto time = parse_time(iso, WallTime{})) return *time;
  } else if (const auto local = parse_local(trimmed)) {
    return state_->to_wall(*local);
  }
  return fail(Errc::invalid, "\"" + std::string{trimmed} + "\" is not a time",
              "write it as 2026-11-22 23:59:59 or 2026-11-22T23:59:59+08:00");
}

}  // namespace vouch::plan
