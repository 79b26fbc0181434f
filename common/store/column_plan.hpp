// column_plan.hpp: what the columns of a partner's header mean.
//
// Threads: pure functions.
// Errors:  a wrong header is Errc::invalid, contradicting options are Errc::usage; both name the
//          nearest column there is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/list_importer.hpp"

namespace vouch::store {

inline constexpr std::string_view kRecipientIdColumn = "recipient_id";

// All places are those in the partner's header.
struct ColumnPlan {
  std::vector<ListColumn> columns;
  std::vector<bool> is_ignored;  // a column that our own rejects file added
  std::size_t recipient_id = 0;
  std::vector<std::size_t> amounts;  // in the order of ImportRequest::amount_columns
  std::optional<std::size_t> occurrence;

  // The columns that are not ignored, in header order.
  [[nodiscard]] std::vector<ListColumn> kept() const;
};

// What can be said of a request before its file is opened.
[[nodiscard]] Result<void> check_request(const ImportRequest& request);

// `header` is the file's first record.
[[nodiscard]] Result<ColumnPlan> plan_columns(const CsvRecord& header,
                                              const ImportRequest& request);

}  // namespace vouch::store
