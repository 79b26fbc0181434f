// sealed_list.hpp: reads one sealed recipient list, recipients/<digest>.db.
//
// A sealed list never changes.  Its rows stand in recipient_key order, which is the order of a
// keyed hash: spread evenly, and the same order in which the ledger keeps issuances.  vouchd reads
// it page by page within the ranges the importer has cut; vouchctl looks up single recipients,
// refused rows and duplicates.
//
// Threads: a SealedList belongs to one thread at a time; any number of them may read one file.
// Units:   amounts in minor units; lines are physical lines of the partner's file, header = 1.
// Errors:  Errc::not_found when there is no such file, Errc::store when it was sealed by another
//          version, Errc::corrupt when it cannot be what an importer wrote.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::store {

// Rows of a range, but for the last, and for a range whose last recipient has several occurrences.
inline constexpr int kRangeRows = 10'000;
inline constexpr int kListPageRowsMax = 10'000;

enum class ColumnRole : std::uint8_t { attribute, recipient_id, amount, occurrence };

// A column of the partner's file.
struct ListColumn {
  std::string name;    // as in the partner's header
  std::string called;  // what the campaign calls it: differs from `name` only where --map said so
  ColumnRole role = ColumnRole::attribute;
};

// What one amount column adds up to, over the accepted rows.
struct AmountTotals {
  std::string column;  // what the campaign calls it
  int digits = 0;      // of the currency's minor unit
  std::int64_t sum = 0;
  std::int64_t least = 0;   // these three are 0 when no row was accepted
  std::int64_t median = 0;  // the lower of the middle two when their number is even
  std::int64_t most = 0;
};

struct ListMeta {
  std::string digest;     // 32 hexadecimal letters, also the file's name
  std::int64_t rows = 0;  // of data: accepted + rejected + duplicates
  std::int64_t accepted = 0;
  std::int64_t rejected = 0;
  std::int64_t duplicates = 0;
  std::int64_t conflicting = 0;       // of the duplicates: amounts or attributes differ
  std::vector<ListColumn> columns;    // in header order
  std::vector<AmountTotals> amounts;  // in the order of SealedRow::amounts
  std::string id_type;                // "opaque", or "phone/DE"
  std::string amount_unit;            // "major", "minor", or "" without amount columns
  std::string encoding;
  char delimiter = ',';
  std::string source_name;
  std::string importer;
  WallTime imported_at{};

  // The place in `columns` of what the campaign calls `called`.
  [[nodiscard]] std::optional<std::size_t> find_column(std::string_view called) const;
  // What the campaign calls each of `columns`, or nothing where calls cannot hold it as it stands:
  // ids and amounts have placeholders of their own.
  [[nodiscard]] std::vector<std::string> attribute_columns() const;
};

// The partner's fields of one row, in header order, exactly as they were (quotes undone).
// A view: valid as long as the row it came from.
class PartnerFields {
 public:
  PartnerFields() = default;
  PartnerFields(std::string_view packed, std::string_view recipient_id)
      : packed_{packed}, recipient_id_{recipient_id} {}

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    Iterator(std::string_view rest, std::string_view recipient_id);
    [[nodiscard]] std::string_view operator*() const { return field_; }
    Iterator& operator++();
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] bool operator==(const Iterator& other) const {
      return at_end_ == other.at_end_ && rest_.size() == other.rest_.size();
    }

   private:
    std::string_view rest_;  // after the present field
    std::string_view field_;
    std::string_view recipient_id_;
    bool at_end_ = false;
  };
  [[nodiscard]] Iterator begin() const { return {packed_, recipient_id_}; }
  [[nodiscard]] Iterator end() const { return {{}, recipient_id_}; }

  // The field of a column by its place in ListMeta::columns; empty beyond the last.
  [[nodiscard]] std::string_view operator[](std::size_t column) const;

 private:
  std::string_view packed_;
  std::string_view recipient_id_;
};

// The primary key of a row, and the cursor of whoever reads on.
struct RowKey {
  RecipientKey recipient{};
  std::string occurrence;  // '' unless the list has an occurrence column

  // 16 bytes and the occurrence's, for a cursor that is kept in one blob.
  [[nodiscard]] std::string to_bytes() const;
  [[nodiscard]] static Result<RowKey> from_bytes(Blob bytes);
  auto operator<=>(const RowKey&) const = default;
};

// One accepted row.  Its views are valid until the next page() or find() of the same list.
struct SealedRow {
  RecipientKey recipient_key{};
  std::string_view occurrence;
  std::int64_t line = 0;
  std::string_view recipient_id;          // normalised
  std::span<const std::int64_t> amounts;  // in the order of ListMeta::amounts
  PartnerFields fields;

  [[nodiscard]] RowKey key() const { return {recipient_key, std::string{occurrence}}; }
};

// Rows with first_key <= recipient_key, up to the first_key of the range after it.
struct ListRange {
  int range = 0;
  RecipientKey first_key{};
  std::int64_t rows = 0;
};

struct RejectedRow {
  std::int64_t line = 0;
  std::string column;  // '' when the row as a whole is wrong
  std::string code;    // stable word: "amount_not_a_number"
  std::string message;
  std::vector<std::string> fields;  // as the partner wrote them, as many as the row had
};

struct DuplicateRow {
  std::int64_t line = 0;
  std::int64_t first_line = 0;  // the line that won
  RecipientKey recipient_key{};
  bool is_conflicting = false;  // its amounts or attributes differ from the first line's
  std::string recipient_id;
  std::vector<std::string> fields;
};

class SealedList {
 public:
  // `path` is <store>/recipients/<digest>.db.  Opened read-only; reads the meta table.
  [[nodiscard]] static Result<SealedList> open(const std::string& path);

  SealedList(SealedList&&) noexcept = default;
  SealedList& operator=(SealedList&&) noexcept = default;

  [[nodiscard]] const ListMeta& meta() const { return meta_; }

  // All ranges in key order; none for a list without accepted rows.
  [[nodiscard]] Result<std::vector<ListRange>> ranges();

  // Up to `rows_max` rows (at most kListPageRowsMax) behind `after` and, if given, before `upto`,
  // the first key of the next range.  Without `after` it starts at `from`, the first key of this
  // range (or of nothing: the list's start).  An empty page is the end.
  struct PageBounds {
    std::optional<RecipientKey> from;  // inclusive; not looked at when `after` is given
    std::optional<RowKey> after;       // exclusive: the key of the last row seen
    std::optional<RecipientKey> upto;  // exclusive
  };
  [[nodiscard]] Result<std::span<const SealedRow>> page(const PageBounds& bounds, int rows_max);

  // The recipient's rows: none, one, or one for each occurrence.
  [[nodiscard]] Result<std::span<const SealedRow>> find(const RecipientKey& recipient);

  // In line order, behind `after_line` (0 to begin).
  [[nodiscard]] Result<std::vector<RejectedRow>> rejects(std::int64_t after_line, int rows_max);
  [[nodiscard]] Result<std::vector<DuplicateRow>> duplicates(std::int64_t after_line, int rows_max);
  // The lines which were duplicates of this recipient's row.
  [[nodiscard]] Result<std::vector<DuplicateRow>> duplicates_of(const RecipientKey& recipient);

 private:
  explicit SealedList(Database database) : database_{std::move(database)} {}
  [[nodiscard]] Result<void> read_meta();
  [[nodiscard]] Result<std::span<const SealedRow>> read_rows(Statement& select);

  Database database_;
  ListMeta meta_;
  // Storage of the present page, kept from page to page so that reading allocates nothing.
  struct RowPlace {
    std::size_t text = 0;  // where the row's texts start in text_
    std::size_t occurrence_bytes = 0;
    std::size_t recipient_id_bytes = 0;
    std::size_t fields_bytes = 0;
  };
  std::vector<SealedRow> rows_;
  std::vector<RowPlace> places_;
  std::string text_;
  std::vector<std::int64_t> amounts_;
};

}  // namespace vouch::store
