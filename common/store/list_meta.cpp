#include "common/store/list_meta.hpp"

#include <array>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

// Raised when an older program could misread what a newer one writes.
constexpr std::string_view kFormat = "1";

constexpr std::array<std::string_view, 4> kRoleNames = {"attribute", "recipient_id", "amount",
                                                        "occurrence"};

struct NumberField {
  std::string_view key;
  std::int64_t ListMeta::*member;
};
constexpr NumberField kNumbers[] = {{"rows", &ListMeta::rows},
                                    {"accepted", &ListMeta::accepted},
                                    {"rejected", &ListMeta::rejected},
                                    {"duplicates", &ListMeta::duplicates},
                                    {"conflicting", &ListMeta::conflicting}};

struct TextField {
  std::string_view key;
  std::string ListMeta::*member;
};
constexpr TextField kTexts[] = {
    {"digest", &ListMeta::digest},           {"id_type", &ListMeta::id_type},
    {"amount_unit", &ListMeta::amount_unit}, {"encoding", &ListMeta::encoding},
    {"source_name", &ListMeta::source_name}, {"importer", &ListMeta::importer}};

struct TotalField {
  const char* key;
  std::int64_t AmountTotals::*member;
};
constexpr TotalField kTotals[] = {{"sum", &AmountTotals::sum},
                                  {"least", &AmountTotals::least},
                                  {"median", &AmountTotals::median},
                                  {"most", &AmountTotals::most}};

// Names may come from a file in any encoding the system has; JSON wants UTF-8.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json columns_to_json(const std::vector<ListColumn>& columns) {
  Json out = Json::array();
  for (const ListColumn& column : columns) {
    out.push_back({{"name", column.name},
                   {"called", column.called},
                   {"role", kRoleNames[static_cast<std::size_t>(column.role)]}});
  }
  return out;
}

Json amounts_to_json(const std::vector<AmountTotals>& amounts) {
  Json out = Json::array();
  for (const AmountTotals& totals : amounts) {
    Json entry = {{"column", totals.column}, {"digits", totals.digits}};
    for (const TotalField& field : kTotals) entry[field.key] = totals.*field.member;
    out.push_back(std::move(entry));
  }
  return out;
}

Result<ListColumn> column_from_json(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  ListColumn column;
  VOUCH_TRY(column.name, reader.text("name"));
  VOUCH_TRY(column.called, reader.text("called"));
  VOUCH_TRY(const std::string role, reader.text("role"));
  VOUCH_CHECK(reader.finish());
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (role != kRoleNames[i]) continue;
    column.role = static_cast<ColumnRole>(i);
    return column;
  }
  return reader.refuse("role", "is no role of a column");
}

Result<AmountTotals> totals_from_json(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  AmountTotals totals;
  VOUCH_TRY(totals.column, reader.text("column"));
  VOUCH_TRY(const std::int64_t digits, reader.integer("digits", 0, 4));
  totals.digits = static_cast<int>(digits);
  for (const TotalField& field : kTotals) {
    VOUCH_TRY(totals.*field.member, reader.integer(field.key, 0, INT64_MAX));
  }
  VOUCH_CHECK(reader.finish());
  return totals;
}

template <typename T>
Result<std::vector<T>> array_from_json(const std::string& text, std::string_view key,
                                       Result<T> (*read)(const Json&, const std::string&)) {
  VOUCH_TRY(const Json json, parse_json(text));
  if (!json.is_array()) return fail(Errc::corrupt, std::string{key} + ": is no array");
  std::vector<T> out;
  for (const Json& entry : json) {
    const std::string pointer = "/" + std::string{key} + "/" + std::to_string(out.size());
    VOUCH_TRY(T value, read(entry, pointer));
    out.push_back(std::move(value));
  }
  return out;
}

Result<ListMeta> read_rows(const MetaRows& rows) {
  // Absent is empty: the readers of numbers and JSON then refuse it.
  const auto value = [&](std::string_view key) {
    const auto found = rows.find(key);
    return found == rows.end() ? std::string{} : found->second;
  };
  ListMeta meta;
  for (const NumberField& field : kNumbers) {
    VOUCH_TRY(meta.*field.member, parse_integer(value(field.key)));
  }
  for (const TextField& field : kTexts) meta.*field.member = value(field.key);
  VOUCH_TRY(meta.columns,
            array_from_json<ListColumn>(value("columns"), "columns", column_from_json));
  VOUCH_TRY(meta.amounts,
            array_from_json<AmountTotals>(value("amounts"), "amounts", totals_from_json));
  VOUCH_TRY(const std::int64_t imported_at, parse_integer(value("imported_at_ms")));
  meta.imported_at = from_ms(imported_at);
  meta.delimiter = value("delimiter").empty() ? ',' : value("delimiter").front();
  return meta;
}

}  // namespace

MetaRows meta_to_rows(const ListMeta& meta) {
  MetaRows rows{{"format", std::string{kFormat}},
                {"columns", dump(columns_to_json(meta.columns))},
                {"amounts", dump(amounts_to_json(meta.amounts))},
                {"delimiter", std::string{meta.delimiter}},
                {"imported_at_ms", std::to_string(to_ms(meta.imported_at))}};
  for (const NumberField& field : kNumbers) {
    rows.emplace(field.key, std::to_string(meta.*field.member));
  }
  for (const TextField& field : kTexts) rows.emplace(field.key, meta.*field.member);
  return rows;
}

Result<ListMeta> meta_from_rows(const MetaRows& rows) {
  const auto format = rows.find("format");
  if (format == rows.end()) return fail(Errc::corrupt, "has no format version");
  if (format->second != kFormat) {
    return fail(Errc::store, "is a list of format " + format->second,
                "it was sealed by another version of vouch; use that version");
  }
  auto meta = read_rows(rows);
  if (!meta) return fail(Errc::corrupt, "meta table: " + meta.error().message);
  return meta;
}

}  // namespace vouch::store
