#include "common/store/list_merge.hpp"

#include "common/store/packed_row.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kDuplicateRunBytes = std::size_t{1024} * 1024;
constexpr std::int64_t kObserveRows = 20'000;

// A duplicate on its way through the sort by line.
std::string pack_duplicate(const SealedListWriter::Duplicate& duplicate) {
  std::string out{duplicate.recipient_key.begin(), duplicate.recipient_key.end()};
  append_varint(out, static_cast<std::uint64_t>(duplicate.first_line));
  append_varint(out, duplicate.is_conflicting ? 1 : 0);
  append_text(out, duplicate.recipient_id);
  out.append(duplicate.fields);
  return out;
}

SealedListWriter::Duplicate unpack_duplicate(const SortItem& item) {
  SealedListWriter::Duplicate duplicate;
  std::string_view rest = item.payload;
  std::copy_n(rest.begin(), duplicate.recipient_key.size(), duplicate.recipient_key.begin());
  rest.remove_prefix(duplicate.recipient_key.size());
  duplicate.line = static_cast<std::int64_t>(item.number);
  duplicate.first_line = static_cast<std::int64_t>(take_varint(rest));
  duplicate.is_conflicting = take_varint(rest) != 0;
  duplicate.recipient_id = take_text(rest);
  duplicate.fields = rest;
  return duplicate;
}

DuplicateRow to_row(const SealedListWriter::Duplicate& duplicate) {
  DuplicateRow row{.line = duplicate.line,
                   .first_line = duplicate.first_line,
                   .recipient_key = duplicate.recipient_key,
                   .is_conflicting = duplicate.is_conflicting,
                   .recipient_id = std::string{duplicate.recipient_id},
                   .fields = {}};
  std::string_view rest = duplicate.fields;
  while (!rest.empty()) row.fields.emplace_back(take_field(rest, duplicate.recipient_id));
  return row;
}

}  // namespace

ListMerge::ListMerge(const std::string& folder, const ColumnPlan& plan,
                     const ImportRequest& request)
    : request_{request},
      columns_{plan.kept()},
      duplicates_{{.folder = folder, .run_bytes = kDuplicateRunBytes}} {
  for (std::size_t i = 0; i < plan.amounts.size(); ++i) tallies_.emplace_back(folder);
}

Result<void> ListMerge::run(ExternalSort& rows, SealedListWriter* writer,
                            const Observer& observer) {
  VOUCH_CHECK(rows.finish());
  std::int64_t taken = 0;
  while (true) {
    VOUCH_TRY(const bool more, rows.next());
    if (!more) break;
    const SortItem& item = rows.item();
    VOUCH_CHECK(is_held(item) ? take_duplicate(item) : take_holder(item, writer));
    if (++taken % kObserveRows == 0) VOUCH_CHECK(observer(taken));
  }
  VOUCH_CHECK(finish_totals());
  return copy_duplicates(writer);
}

Result<void> ListMerge::take_holder(const SortItem& item, SealedListWriter* writer) {
  holder_.key = item.key;
  holder_.occurrence = item.subkey;
  holder_.line = static_cast<std::int64_t>(item.number);
  holder_.payload = item.payload;
  ++accepted_;
  VOUCH_CHECK(take_amounts(item.payload));
  if (writer == nullptr) return {};
  return writer->add({.recipient_key = item.key,
                      .occurrence = item.subkey,
                      .line = holder_.line,
                      .payload = item.payload});
}

Result<void> ListMerge::take_amounts(std::string_view payload) {
  if (tallies_.empty()) return {};
  (void)take_text(payload);  // the recipient id
  for (AmountTally& tally : tallies_) {
    VOUCH_CHECK(tally.add(static_cast<std::int64_t>(take_varint(payload))));
  }
  return {};
}

// Duplicates come in the order of keys; people look for them by line.
Result<void> ListMerge::take_duplicate(const SortItem& item) {
  SealedListWriter::Duplicate duplicate;
  duplicate.recipient_key = item.key;
  duplicate.first_line = holder_.line;
  duplicate.is_conflicting = is_conflicting(item.payload);
  std::string_view rest = item.payload;
  duplicate.recipient_id = take_text(rest);
  for (std::size_t i = 0; i < tallies_.size(); ++i) (void)take_varint(rest);
  duplicate.fields = rest;
  if (duplicate.is_conflicting) ++conflicting_;
  const std::string packed = pack_duplicate(duplicate);
  return duplicates_.add(
      {.key = key_of_number(item.number), .subkey = {}, .number = item.number, .payload = packed});
}

// Amounts are compared as numbers and ids are equal already: "12.5" is 12.50, and blanks around an
// id are none of its own.
bool ListMerge::is_conflicting(std::string_view payload) const {
  std::string_view first = holder_.payload;
  if (payload == first) return false;
  const std::string_view id = take_text(payload);
  (void)take_text(first);
  for (std::size_t i = 0; i < tallies_.size(); ++i) {
    if (take_varint(payload) != take_varint(first)) return true;
  }
  for (const ListColumn& column : columns_) {
    const bool is_equal = take_field(payload, id) == take_field(first, id);
    if (!is_equal && column.role == ColumnRole::attribute) return true;
  }
  return false;
}

Result<void> ListMerge::finish_totals() {
  for (std::size_t i = 0; i < tallies_.size(); ++i) {
    VOUCH_TRY(AmountTotals totals, tallies_[i].finish());
    totals.column = request_.amount_columns[i].column;
    totals.digits = request_.amount_columns[i].digits;
    totals_.push_back(std::move(totals));
  }
  return {};
}

Result<void> ListMerge::copy_duplicates(SealedListWriter* writer) {
  VOUCH_CHECK(duplicates_.finish());
  while (true) {
    if (writer == nullptr && first_.size() == kFirstDuplicatesMax) return {};
    VOUCH_TRY(const bool more, duplicates_.next());
    if (!more) return {};
    const SealedListWriter::Duplicate duplicate = unpack_duplicate(duplicates_.item());
    if (first_.size() < kFirstDuplicatesMax) first_.push_back(to_row(duplicate));
    if (writer != nullptr) VOUCH_CHECK(writer->add_duplicate(duplicate));
  }
}

void ListMerge::describe(ListMeta& meta) const {
  meta.accepted = accepted_;
  meta.duplicates = static_cast<std::int64_t>(duplicates_.size());
  meta.conflicting = conflicting_;
  meta.amounts = totals_;
}

}  // namespace vouch::store
