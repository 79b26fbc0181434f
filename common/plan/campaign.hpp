// campaign.hpp: what may be issued to whom: the model that a campaign's JSON file describes.
//
// A definition is an immutable version; a job names the version it runs.  Decoding checks
// everything that can be known from the file alone and names the place as a JSON pointer
// (vouch-campaign(5), schemas/campaign.schema.json).
//
// Threads: values.   Units: money in minor units with its currency, times UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/result.hpp"

namespace vouch::plan {

enum class VoucherKind : std::uint8_t { coupon, balance, other, code };
[[nodiscard]] std::string_view name_of(VoucherKind kind);

// How a voucher reaches its recipient: a downstream is called, or an operator exports the code.
enum class Delivery : std::uint8_t { downstream, by_export };
[[nodiscard]] std::string_view name_of(Delivery delivery);

// How often a recipient may be given what a campaign holds.
enum class OncePer : std::uint8_t { campaign, year, month, day, job, column };
[[nodiscard]] std::string_view name_of(OncePer once_per);

// What a voucher is worth: nothing said, the same for all, or a column of the list.
struct Amount {
  std::optional<std::int64_t> fixed_minor;
  std::string column;    // empty unless the amount stands in the list
  std::string currency;  // ISO 4217; empty exactly when there is no amount
};

// One voucher that every recipient gets.
struct Item {
  std::uint8_t number = 0;  // place in the file; never reused for another item
  std::string name;
  VoucherKind kind = VoucherKind::coupon;
  Delivery delivery = Delivery::downstream;
  std::string downstream;  // by name; empty when it is delivered by export
  std::string pool;        // of kind code: where the codes come from, by name
  Amount amount;
  std::string fields_json;  // further members of the request body, a JSON object: "{}" for none

  [[nodiscard]] bool by_export() const { return delivery == Delivery::by_export; }
};
inline constexpr std::size_t kItemsMax = 32;
// The largest amount of one voucher, fixed or from a column.
inline constexpr std::int64_t kAmountMinorMax = 1'000'000'000'000;

struct Campaign {
  std::string name;  // [a-z0-9][a-z0-9._-]{0,62}
  std::string description;
  std::vector<Item> items;
  std::optional<WallTime> not_before;  // the window outside which no call starts
  std::optional<WallTime> not_after;
  OncePer once_per = OncePer::campaign;
  std::string once_per_column;                   // under OncePer::column
  std::string time_zone = "UTC";                 // of year, month and day
  std::optional<std::int64_t> amount_max_minor;  // refuses larger amounts from a column
};

// From the text of a campaign file; comments are allowed.
[[nodiscard]] Result<Campaign> parse_campaign(std::string_view json_text);
// Canonical JSON, the form that is stored; parse_campaign reads it back.
[[nodiscard]] std::string to_json(const Campaign& campaign);

// The columns of a list that hold amounts, with the digits of their currency.
struct AmountColumn {
  std::string column;
  std::string currency;
  int digits = 2;
};
[[nodiscard]] std::vector<AmountColumn> amount_columns(const Campaign& campaign);

// "[a-z0-9][a-z0-9._-]{0,62}": names of campaigns, clients, downstreams and lists.
[[nodiscard]] Result<void> check_name(std::string_view what, std::string_view name);

// The occurrence under which a job's rows are planned (not for OncePer::column).  `for_date` is
// the civil date that the job is for: 2026-11-22 gives 2026, 202611 or 20261122.
struct CivilDate {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
};
[[nodiscard]] Result<CivilDate> parse_date(std::string_view text);
[[nodiscard]] Result<CivilDate> date_in_zone(WallTime time, std::string_view time_zone);
[[nodiscard]] std::uint64_t occurrence_of(OncePer once_per, CivilDate for_date, ObjectId job);
// Under OncePer::column: 48 bits of the value's hash, never 0.
[[nodiscard]] std::uint64_t occurrence_of_value(std::string_view value);

}  // namespace vouch::plan
