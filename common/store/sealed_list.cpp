#include "common/store/sealed_list.hpp"

#include <algorithm>
#include <array>

#include "common/store/list_meta.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::store {
namespace {

// All three walk the primary key; a test holds them to it.
constexpr std::string_view kPageFrom = R"sql(
  SELECT recipient_key, occurrence, line, recipient_id, amount, more_amounts, fields
    FROM recipient
   WHERE recipient_key >= ?1 AND recipient_key < ?3
   ORDER BY recipient_key, occurrence
   LIMIT ?4
)sql";
constexpr std::string_view kPageAfter = R"sql(
  SELECT recipient_key, occurrence, line, recipient_id, amount, more_amounts, fields
    FROM recipient
   WHERE (recipient_key, occurrence) > (?1, ?2) AND recipient_key < ?3
   ORDER BY recipient_key, occurrence
   LIMIT ?4
)sql";
constexpr std::string_view kFind = R"sql(
  SELECT recipient_key, occurrence, line, recipient_id, amount, more_amounts, fields
    FROM recipient
   WHERE recipient_key = ?1
   ORDER BY recipient_key, occurrence
)sql";
constexpr std::string_view kMeta = "SELECT key, value FROM meta";
constexpr std::string_view kBoundaries = R"sql(
  SELECT range, first_key, rows FROM boundary ORDER BY range
)sql";
constexpr std::string_view kRejects = R"sql(
  SELECT line, "column", code, message, fields
    FROM reject
   WHERE line > :after_line
   ORDER BY line
   LIMIT :rows_max
)sql";
constexpr std::string_view kDuplicates = R"sql(
  SELECT line, first_line, recipient_key, conflicting, recipient_id, fields
    FROM duplicate
   WHERE line > :after_line
   ORDER BY line
   LIMIT :rows_max
)sql";
// Without an index: asked by people, about one recipient, of a table that is short.
constexpr std::string_view kDuplicatesOf = R"sql(
  SELECT line, first_line, recipient_key, conflicting, recipient_id, fields
    FROM duplicate
   WHERE recipient_key = :recipient_key
   ORDER BY line
)sql";

// Greater than every key, since it begins like the greatest and is longer.
constexpr std::array<std::uint8_t, sizeof(RecipientKey) + 1> kBehindAllKeys = [] {
  std::array<std::uint8_t, sizeof(RecipientKey) + 1> bytes{};
  bytes.fill(0xff);
  return bytes;
}();
constexpr RecipientKey kFirstOfKeys{};

std::string_view as_text(Blob blob) {
  return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

std::vector<std::string> unpack_fields(std::string_view packed, std::string_view recipient_id) {
  std::vector<std::string> fields;
  while (!packed.empty()) fields.emplace_back(take_field(packed, recipient_id));
  return fields;
}

// All rows of `select`, which must be bound.
Result<std::vector<DuplicateRow>> read_duplicates(Statement& select) {
  std::vector<DuplicateRow> rows;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return rows;
    DuplicateRow row{.line = select.integer(0),
                     .first_line = select.integer(1),
                     .recipient_key = select.digest(2),
                     .is_conflicting = select.integer(3) != 0,
                     .recipient_id = select.string(4),
                     .fields = {}};
    row.fields = unpack_fields(as_text(select.blob(5)), row.recipient_id);
    rows.push_back(std::move(row));
  }
}

}  // namespace

std::optional<std::size_t> ListMeta::find_column(std::string_view called) const {
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const ListColumn& column) {
    return column.called == called;
  });
  if (found == columns.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns.begin());
}

std::vector<std::string> ListMeta::attribute_columns() const {
  std::vector<std::string> names;
  for (const ListColumn& column : columns) {
    const bool own = column.role == ColumnRole::recipient_id || column.role == ColumnRole::amount;
    names.push_back(own ? "" : column.called);
  }
  return names;
}

PartnerFields::Iterator::Iterator(std::string_view rest, std::string_view recipient_id)
    : rest_{rest}, recipient_id_{recipient_id} {
  ++*this;
}

PartnerFields::Iterator& PartnerFields::Iterator::operator++() {
  at_end_ = rest_.empty();
  if (!at_end_) field_ = take_field(rest_, recipient_id_);
  return *this;
}

std::string_view PartnerFields::operator[](std::size_t column) const {
  std::string_view rest = packed_;
  std::string_view field;
  for (std::size_t i = 0; i <= column; ++i) {
    if (rest.empty()) return {};
    field = take_field(rest, recipient_id_);
  }
  return field;
}

std::string RowKey::to_bytes() const {
  return std::string{recipient.begin(), recipient.end()} + occurrence;
}

Result<RowKey> RowKey::from_bytes(Blob bytes) {
  RowKey key;
  if (bytes.size() < key.recipient.size()) return fail(Errc::corrupt, "a row key is too short");
  std::copy_n(bytes.begin(), key.recipient.size(), key.recipient.begin());
  key.occurrence = as_text(bytes.subspan(key.recipient.size()));
  return key;
}

Result<SealedList> SealedList::open(const std::string& path) {
  auto database = Database::open(path, {.mode = OpenMode::read_only, .vfs = {}});
  if (!database && database.error().code == Errc::store) {
    return fail(Errc::not_found, path + ": no such recipient list, or not readable",
                "`vouchctl recipients list` shows those there are");
  }
  if (!database) return tl::unexpected<Error>(std::move(database).error());
  SealedList list{std::move(*database)};
  VOUCH_CHECK(list.read_meta());
  return list;
}

Result<void> SealedList::read_meta() {
  VOUCH_CHECK(check_migrated(database_, embedded::list_migrations));
  MetaRows rows;
  Statement& select = database_.prepared(kMeta);
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    rows.emplace(select.string(0), select.string(1));
  }
  auto meta = meta_from_rows(rows);
  if (!meta) return within(database_.path(), std::move(meta).error());
  meta_ = std::move(*meta);
  return {};
}

Result<std::vector<ListRange>> SealedList::ranges() {
  std::vector<ListRange> ranges;
  Statement& select = database_.prepared(kBoundaries);
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return ranges;
    ranges.push_back({static_cast<int>(select.integer(0)), select.digest(1), select.integer(2)});
  }
}

Result<std::span<const SealedRow>> SealedList::page(const PageBounds& bounds, int rows_max) {
  VOUCH_ASSERT(rows_max > 0);
  const Blob upto = bounds.upto ? as_blob(*bounds.upto) : Blob{kBehindAllKeys};
  const std::int64_t limit = std::min(rows_max, kListPageRowsMax);
  if (bounds.after) {
    Statement& select = database_.prepared(kPageAfter);
    select.bind(1, as_blob(bounds.after->recipient)).bind(2, bounds.after->occurrence);
    return read_rows(select.bind(3, upto).bind(4, limit));
  }
  Statement& select = database_.prepared(kPageFrom);
  select.bind(1, as_blob(bounds.from ? *bounds.from : kFirstOfKeys));
  return read_rows(select.bind(3, upto).bind(4, limit));
}

Result<std::span<const SealedRow>> SealedList::find(const RecipientKey& recipient) {
  return read_rows(database_.prepared(kFind).bind(1, as_blob(recipient)));
}

// Copies what the statement gives, and lets the views point to it once nothing moves any more.
Result<std::span<const SealedRow>> SealedList::read_rows(Statement& select) {
  const std::size_t amounts_per_row = meta_.amounts.size();
  rows_.clear();
  places_.clear();
  text_.clear();
  amounts_.clear();
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    const std::string_view occurrence = select.text(1);
    const std::string_view recipient_id = select.text(3);
    const std::string_view fields = as_text(select.blob(6));
    places_.push_back({text_.size(), occurrence.size(), recipient_id.size(), fields.size()});
    text_.append(occurrence).append(recipient_id).append(fields);
    if (amounts_per_row > 0) amounts_.push_back(select.integer(4));
    std::string_view more_amounts = as_text(select.blob(5));
    for (std::size_t i = 1; i < amounts_per_row; ++i) {
      amounts_.push_back(static_cast<std::int64_t>(take_varint(more_amounts)));
    }
    rows_.push_back({.recipient_key = select.digest(0),
                     .occurrence = {},
                     .line = select.integer(2),
                     .recipient_id = {},
                     .amounts = {},
                     .fields = {}});
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const RowPlace& place = places_[i];
    const char* text = text_.data() + place.text;
    rows_[i].occurrence = {text, place.occurrence_bytes};
    text += place.occurrence_bytes;
    rows_[i].recipient_id = {text, place.recipient_id_bytes};
    text += place.recipient_id_bytes;
    rows_[i].fields = {{text, place.fields_bytes}, rows_[i].recipient_id};
    rows_[i].amounts = std::span{amounts_}.subspan(i * amounts_per_row, amounts_per_row);
  }
  return std::span<const SealedRow>{rows_};
}

Result<std::vector<RejectedRow>> SealedList::rejects(std::int64_t after_line, int rows_max) {
  std::vector<RejectedRow> rows;
  Statement& select = database_.prepared(kRejects);
  select.bind(":after_line", after_line).bind(":rows_max", std::int64_t{rows_max});
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return rows;
    rows.push_back({.line = select.integer(0),
                    .column = select.string(1),
                    .code = select.string(2),
                    .message = select.string(3),
                    .fields = unpack_fields(as_text(select.blob(4)), {})});
  }
}

Result<std::vector<DuplicateRow>> SealedList::duplicates(std::int64_t after_line, int rows_max) {
  Statement& select = database_.prepared(kDuplicates);
  return read_duplicates(
      select.bind(":after_line", after_line).bind(":rows_max", std::int64_t{rows_max}));
}

Result<std::vector<DuplicateRow>> SealedList::duplicates_of(const RecipientKey& recipient) {
  return read_duplicates(
      database_.prepared(kDuplicatesOf).bind(":recipient_key", as_blob(recipient)));
}

}  // namespace vouch::store
