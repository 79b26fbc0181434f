// The JSON form of a campaign: vouch-campaign(5), schemas/campaign.schema.json.
#include <algorithm>
#include <array>
#include <set>

#include "common/plan/campaign.hpp"
#include "common/plan/decode.hpp"

namespace vouch::plan {
namespace {

constexpr std::array<std::string_view, 4> kKindNames = {"coupon", "balance", "other", "code"};
constexpr std::array<std::string_view, 2> kDeliveryNames = {"downstream", "export"};
constexpr std::array<std::string_view, 6> kOncePerNames = {"campaign", "year", "month",
                                                           "day",      "job",  "column"};
// Those that a file may write as plain text; a column needs its name: {"column": "order_no"}.
constexpr std::array<std::string_view, 5> kOncePerWords = {"campaign", "year", "month", "day",
                                                           "job"};
constexpr std::size_t kDescriptionBytesMax = 1000;
constexpr std::size_t kColumnBytesMax = 128;
constexpr std::size_t kFieldsBytesMax = 16 * 1024;

// Members of a request body that the sender writes itself.
constexpr std::array<std::string_view, 7> kOwnMembers = {
    "request_id", "recipient_id", "amount_minor", "currency", "campaign", "item", "code"};

// Whether `text` begins with `shape`, where "d" stands for a digit; takes it away then.
bool take_shape(std::string_view& text, std::string_view shape) {
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool fits = shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
    if (!fits) return false;
  }
  text.remove_prefix(shape.size());
  return true;
}

// "2026-11-22T10:00+02:00": a definition is read for years, so no "yesterday" and no bare date.
bool is_full_time(std::string_view text) {
  if (!take_shape(text, "dddd-dd-ddTdd:dd")) return false;
  if (take_shape(text, ":dd")) {
    (void)(take_shape(text, ".ddd") || take_shape(text, ".dd") || take_shape(text, ".d"));
  }
  return text == "Z" ||
         ((take_shape(text, "+dd:dd") || take_shape(text, "-dd:dd")) && text.empty());
}

Result<std::optional<WallTime>> read_time(JsonReader& reader, const char* key) {
  VOUCH_TRY(const auto text, reader.optional_text(key));
  if (!text) return std::optional<WallTime>{};
  auto time = is_full_time(*text)
                  ? parse_time(*text, WallTime{})
                  : fail(Errc::invalid, "\"" + *text + "\" is not a time with its offset",
                         "write 2026-11-22T10:00+02:00 or 2026-11-22T08:00:00Z");
  if (!time) return within(reader.at(key), std::move(time).error());
  return std::optional<WallTime>{*time};
}

Result<void> check_column(const std::string& where, std::string_view column) {
  if (column.empty() || column.size() > kColumnBytesMax || has_control_bytes(column)) {
    return fail(Errc::invalid, where + ": must be the name of a column, at most " +
                                   std::to_string(kColumnBytesMax) + " bytes");
  }
  if (column == "recipient_id") {
    return fail(Errc::invalid, where + ": recipient_id is the recipient, choose another column");
  }
  return {};
}

Result<void> read_window(JsonReader& campaign, Campaign& out) {
  const Json* value = campaign.optional("window");
  if (value == nullptr) return {};
  VOUCH_TRY(JsonReader window, JsonReader::object(*value, campaign.at("window")));
  VOUCH_TRY(out.not_before, read_time(window, "not_before"));
  VOUCH_TRY(out.not_after, read_time(window, "not_after"));
  VOUCH_CHECK(window.finish());
  if (out.not_before && out.not_after && *out.not_before >= *out.not_after) {
    return window.refuse("not_after", "must be later than not_before");
  }
  return {};
}

Result<void> read_once_per(JsonReader& campaign, Campaign& out) {
  const Json* value = campaign.optional("once_per");
  if (value == nullptr) return {};
  if (value->is_string()) {
    const auto word = value->get<std::string>();
    if (const auto known = enum_of<OncePer>(word, kOncePerWords)) {
      out.once_per = *known;
      return {};
    }
  }
  if (!value->is_object()) {
    return campaign.refuse("once_per",
                           "must be " + choice_of(kOncePerWords) + " or {\"column\": \"...\"}");
  }
  VOUCH_TRY(JsonReader column, JsonReader::object(*value, campaign.at("once_per")));
  VOUCH_TRY(out.once_per_column, column.text("column"));
  VOUCH_CHECK(column.finish());
  VOUCH_CHECK(check_column(column.at("column"), out.once_per_column));
  out.once_per = OncePer::column;
  return {};
}

Result<Amount> read_amount(const Json& value, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, pointer));
  Amount amount;
  VOUCH_TRY(amount.fixed_minor, reader.optional_integer("minor", 1, kAmountMinorMax));
  VOUCH_TRY(const auto column, reader.optional_text("column"));
  VOUCH_TRY(amount.currency, reader.text("currency", 3));
  VOUCH_CHECK(reader.finish());
  if (amount.fixed_minor.has_value() == column.has_value()) {
    return fail(Errc::invalid, pointer + ": must have either \"minor\" or \"column\"");
  }
  if (const auto digits = currency_digits(amount.currency); !digits) {
    return within(reader.at("currency"), digits.error());
  }
  if (column) {
    VOUCH_CHECK(check_column(reader.at("column"), *column));
    amount.column = *column;
  }
  return amount;
}

Result<std::string> read_fields(JsonReader& item) {
  const Json* value = item.optional("fields");
  if (value == nullptr) return std::string{"{}"};
  if (!value->is_object()) return item.refuse("fields", "must be an object");
  for (const auto own : kOwnMembers) {
    if (!value->contains(own)) continue;
    return fail(Errc::invalid,
                item.at("fields") + "/" + std::string{own} + ": vouchd writes this member itself");
  }
  std::string text = value->dump();
  if (text.size() > kFieldsBytesMax) {
    return item.refuse("fields", "is longer than " + std::to_string(kFieldsBytesMax) + " bytes");
  }
  return text;
}

// Where the codes come from: of kind code, and of no other.
Result<std::string> read_pool(JsonReader& item, VoucherKind kind) {
  VOUCH_TRY(const auto pool, item.optional_text("pool"));
  if (kind == VoucherKind::code && !pool) {
    return item.refuse("pool", "is missing: an item of kind code takes its codes from a pool");
  }
  if (kind != VoucherKind::code && pool) {
    return item.refuse("pool", "only an item of kind code takes codes from a pool");
  }
  if (pool) VOUCH_CHECK(check_name(item.at("pool"), *pool));
  return pool.value_or("");
}

// An item that is exported is of kind code, and nobody is called for it.
Result<void> read_delivery(JsonReader& reader, Item& item) {
  if (reader.optional("delivery") != nullptr) {
    VOUCH_TRY(item.delivery, read_enum<Delivery>(reader, "delivery", kDeliveryNames));
  }
  if (!item.by_export()) {
    VOUCH_TRY(item.downstream, reader.text("downstream"));
    return check_name(reader.at("downstream"), item.downstream);
  }
  if (item.kind != VoucherKind::code) {
    return reader.refuse("delivery", "only an item of kind code can be delivered by export");
  }
  for (const char* of_a_call : {"downstream", "fields"}) {
    if (reader.optional(of_a_call) == nullptr) continue;
    return reader.refuse(of_a_call, "nobody is called for an item that is delivered by export");
  }
  return {};
}

Result<Item> read_item(const Json& value, std::size_t place) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, "/items/" + std::to_string(place)));
  Item item;
  item.number = static_cast<std::uint8_t>(place);
  VOUCH_TRY(item.name, reader.text("name"));
  VOUCH_CHECK(check_name(reader.at("name"), item.name));
  VOUCH_TRY(item.kind, read_enum<VoucherKind>(reader, "kind", kKindNames));
  VOUCH_CHECK(read_delivery(reader, item));
  VOUCH_TRY(item.pool, read_pool(reader, item.kind));
  if (const Json* amount = reader.optional("amount")) {
    VOUCH_TRY(item.amount, read_amount(*amount, reader.at("amount")));
  } else if (item.kind == VoucherKind::balance) {
    return reader.refuse("amount", "is missing: a balance needs one");
  }
  VOUCH_TRY(item.fields_json, read_fields(reader));
  VOUCH_CHECK(reader.finish());
  return item;
}

Result<std::vector<Item>> read_items(JsonReader& campaign) {
  VOUCH_TRY(const Json* value, campaign.required("items"));
  if (!value->is_array() || value->empty() || value->size() > kItemsMax) {
    return campaign.refuse("items", "must be an array of 1 to " + std::to_string(kItemsMax));
  }
  std::vector<Item> items;
  for (const Json& entry : *value) {
    VOUCH_TRY(Item item, read_item(entry, items.size()));
    for (const Item& earlier : items) {
      const std::string where = "/items/" + std::to_string(items.size());
      if (earlier.name == item.name) {
        return fail(Errc::invalid, where + "/name: \"" + item.name + "\" stands there twice");
      }
      if (!item.amount.column.empty() && earlier.amount.column == item.amount.column &&
          earlier.amount.currency != item.amount.currency) {
        return fail(Errc::invalid, where + "/amount/currency: the column \"" + item.amount.column +
                                       "\" is in " + earlier.amount.currency + " above");
      }
    }
    items.push_back(std::move(item));
  }
  return items;
}

Json amount_json(const Amount& amount) {
  Json out = Json::object();
  if (amount.fixed_minor) out["minor"] = *amount.fixed_minor;
  if (!amount.column.empty()) out["column"] = amount.column;
  out["currency"] = amount.currency;
  return out;
}

Json item_json(const Item& item) {
  Json out = Json::object();
  out["name"] = item.name;
  out["kind"] = name_of(item.kind);
  if (item.by_export()) {
    out["delivery"] = name_of(item.delivery);
  } else {
    out["downstream"] = item.downstream;
  }
  if (!item.pool.empty()) out["pool"] = item.pool;
  if (!item.amount.currency.empty()) out["amount"] = amount_json(item.amount);
  if (!item.fields_json.empty() && item.fields_json != "{}") {
    out["fields"] = Json::parse(item.fields_json);
  }
  return out;
}

}  // namespace

std::string_view name_of(VoucherKind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}

std::string_view name_of(Delivery delivery) {
  return kDeliveryNames[static_cast<std::size_t>(delivery)];
}

std::string_view name_of(OncePer once_per) {
  return kOncePerNames[static_cast<std::size_t>(once_per)];
}

Result<Campaign> parse_campaign(std::string_view json_text) {
  VOUCH_TRY(const Json json, parse_json(json_text, JsonComments::allowed));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  Campaign out;
  (void)reader.optional("$schema");  // for editors
  VOUCH_TRY(out.name, reader.text("name"));
  VOUCH_CHECK(check_name("/name", out.name));
  VOUCH_TRY(out.description, read_line(reader, "description", "", kDescriptionBytesMax));
  VOUCH_TRY(out.items, read_items(reader));
  VOUCH_CHECK(read_window(reader, out));
  VOUCH_CHECK(read_once_per(reader, out));
  VOUCH_TRY(out.time_zone, read_line(reader, "time_zone", "UTC", 64));
  VOUCH_TRY(out.amount_max_minor, reader.optional_integer("amount_max_minor", 1, kAmountMinorMax));
  VOUCH_CHECK(reader.finish());
  if (const auto date = date_in_zone(WallTime{}, out.time_zone); !date) {
    return within("/time_zone", date.error());
  }
  return out;
}

std::string to_json(const Campaign& campaign) {
  Json out = Json::object();
  out["name"] = campaign.name;
  if (!campaign.description.empty()) out["description"] = campaign.description;
  out["items"] = Json::array();
  for (const Item& item : campaign.items) out["items"].push_back(item_json(item));
  if (campaign.not_before || campaign.not_after) {
    Json& window = out["window"] = Json::object();
    if (campaign.not_before) window["not_before"] = format_time_utc(*campaign.not_before);
    if (campaign.not_after) window["not_after"] = format_time_utc(*campaign.not_after);
  }
  if (campaign.once_per == OncePer::column) {
    out["once_per"] = Json{{"column", campaign.once_per_column}};
  } else {
    out["once_per"] = name_of(campaign.once_per);
  }
  out["time_zone"] = campaign.time_zone;
  if (campaign.amount_max_minor) out["amount_max_minor"] = *campaign.amount_max_minor;
  return out.dump();
}

std::vector<AmountColumn> amount_columns(const Campaign& campaign) {
  std::vector<AmountColumn> columns;
  for (const Item& item : campaign.items) {
    const std::string& name = item.amount.column;
    const auto same = [&](const AmountColumn& known) { return known.column == name; };
    if (name.empty() || std::ranges::any_of(columns, same)) continue;
    columns.push_back(
        {name, item.amount.currency, currency_digits(item.amount.currency).value_or(2)});
  }
  return columns;
}

Result<void> check_name(std::string_view what, std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  const bool good = !name.empty() && name.size() <= 63 && std::ranges::all_of(name, fits) &&
                    std::string_view{"._-"}.find(name.front()) == std::string_view::npos;
  if (good) return {};
  const std::string shown = has_control_bytes(name) || name.size() > 80 || !is_valid_utf8(name)
                                ? "what is written here"
                                : "\"" + std::string{name} + "\"";
  return fail(Errc::invalid, std::string{what} + ": " + shown + " is not a name",
              "use 1 to 63 of a-z, 0-9, \".\", \"_\" and \"-\", a letter or digit first");
}

}  // namespace vouch::plan
