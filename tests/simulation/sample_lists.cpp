#include "tests/simulation/sample_lists.hpp"

#include <fstream>

#include "common/store/list_importer.hpp"

namespace vouch::test {
namespace {

constexpr std::string_view kDropRanges = "DELETE FROM boundary";
constexpr std::string_view kAddRange =
    "INSERT INTO boundary (range, first_key, rows) VALUES (:range, :first_key, :rows)";

template <typename T>
T must(Result<T> result) {
  if (!result) std::fprintf(stderr, "sample list: %s\n", result.error().message.c_str());
  VOUCH_ASSERT(result.has_value());
  return std::move(*result);
}
void must(const Result<void>& result) {
  VOUCH_ASSERT(result.has_value());
}

// A range never parts the rows of one recipient.
std::int32_t cut_ranges(const std::string& path, const std::vector<SampleRow>& rows, int size) {
  store::Database list = must(store::Database::open(path, {.vfs = {}}));
  must(list.prepared(kDropRanges).run());
  std::int32_t range = 0;
  for (std::size_t from = 0; from < rows.size(); ++range) {
    std::size_t to = std::min(rows.size(), from + static_cast<std::size_t>(size));
    while (to < rows.size() && rows[to].recipient == rows[to - 1].recipient) ++to;
    must(list.prepared(kAddRange)
             .bind(":range", std::int64_t{range})
             .bind(":first_key", store::as_blob(rows[from].recipient))
             .bind(":rows", static_cast<std::int64_t>(to - from))
             .run());
    from = to;
  }
  return range;
}

}  // namespace

const SampleLists& SampleLists::shared() {
  static const SampleLists lists;
  return lists;
}

SampleLists::SampleLists() {
  lists_.push_back(make("spring", 0, 70, 16, false));
  lists_.push_back(make("summer", 35, 50, 16, false));
  lists_.push_back(make("many", 100, 200, 60, false));
  lists_.push_back(make("tiny", 400, 3, 16, false));
  lists_.push_back(make("orders", 500, 30, 16, true));
  lists_.push_back(make("empty", 0, 0, 16, false));
}

SampleList SampleLists::make(const std::string& name, int first, int rows, int range_rows,
                             bool with_orders) {
  const std::string csv = folder_ / (name + ".csv");
  {
    std::ofstream out{csv};
    out << "recipient_id,amount" << (with_orders ? ",order_no" : "") << "\n";
    for (int i = first; i < first + rows; ++i) {
      // Every third recipient of a list of orders has two or three.
      const int rows_of_his = with_orders ? 1 + i % 3 : 1;
      for (int order = 0; order < rows_of_his; ++order) {
        out << "r" << i << "," << 100 + i;
        if (with_orders) out << ",o" << order;
        out << "\n";
      }
    }
  }
  store::ImportRequest request;
  request.input = csv;
  request.recipients_folder = folder_.path().string();
  request.secret = kRecipientSecret;
  request.source_name = name;
  request.importer = "simulation";
  request.amount_columns = {{"amount", 2}};
  request.amount_unit = store::AmountUnit::minor;
  if (with_orders) request.occurrence_column = "order_no";
  const SystemClock clock;
  const auto summary = must(store::import_recipients(request, clock));
  SampleList made{.digest = summary.meta.digest, .path = summary.path, .ranges = 0, .rows = {}};
  VOUCH_ASSERT(!made.path.empty());
  {
    store::SealedList list = must(store::SealedList::open(made.path));
    for (const store::SealedRow& row : must(list.page({}, 10'000))) {
      made.rows.push_back({.recipient = row.recipient_key,
                           .occurrence = std::string{row.occurrence},
                           .recipient_id = std::string{row.recipient_id},
                           .amount_minor = row.amounts[0]});
    }
  }
  std::filesystem::permissions(made.path, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  made.ranges = cut_ranges(made.path, made.rows, range_rows);
  return made;
}

const SampleList& SampleLists::by_digest(const std::string& digest) const {
  for (const SampleList& list : lists_) {
    if (list.digest == digest) return list;
  }
  VOUCH_ASSERT(false);
}

}  // namespace vouch::test
