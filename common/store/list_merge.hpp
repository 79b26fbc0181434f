// list_merge.hpp: sorted rows become a list: the first line of each recipient is accepted, the
// later ones are its duplicates.
//
// Threads: one at a time.
// Errors:  io; invalid when the amounts add up to more than can be counted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/store/amount_tally.hpp"
#include "common/store/column_plan.hpp"
#include "common/store/external_sort.hpp"
#include "common/store/sealed_list_writer.hpp"

namespace vouch::store {

class ListMerge {
 public:
  // `folder` is for temporary files; `plan` and `request` must outlive this.
  ListMerge(const std::string& folder, const ColumnPlan& plan, const ImportRequest& request);

  // Takes all of `rows`, whose adding has ended: payloads as RowChecker packs them, subkeys the
  // occurrences, numbers the lines.  Without a writer the rows are only counted.
  using Observer = std::function<Result<void>(std::int64_t rows)>;
  [[nodiscard]] Result<void> run(ExternalSort& rows, SealedListWriter* writer,
                                 const Observer& observer);

  // After run(): accepted, duplicates, conflicting and amounts, put into `meta`.
  void describe(ListMeta& meta) const;
  [[nodiscard]] const std::vector<DuplicateRow>& first_duplicates() const { return first_; }

 private:
  // The row that holds a recipient (and occurrence).
  struct Holder {
    SortKey key{};
    std::string occurrence;
    std::int64_t line = 0;  // 0 before the first row
    std::string payload;
  };

  [[nodiscard]] bool is_held(const SortItem& item) const {
    return holder_.line != 0 && holder_.key == item.key && holder_.occurrence == item.subkey;
  }
  [[nodiscard]] Result<void> take_holder(const SortItem& item, SealedListWriter* writer);
  [[nodiscard]] Result<void> take_duplicate(const SortItem& item);
  [[nodiscard]] bool is_conflicting(std::string_view payload) const;
  [[nodiscard]] Result<void> take_amounts(std::string_view payload);
  [[nodiscard]] Result<void> finish_totals();
  [[nodiscard]] Result<void> copy_duplicates(SealedListWriter* writer);

  const ImportRequest& request_;
  std::vector<ListColumn> columns_;
  std::vector<AmountTally> tallies_;
  ExternalSort duplicates_;  // by line
  Holder holder_;
  std::int64_t accepted_ = 0;
  std::int64_t conflicting_ = 0;
  std::vector<AmountTotals> totals_;
  std::vector<DuplicateRow> first_;
};

}  // namespace vouch::store
