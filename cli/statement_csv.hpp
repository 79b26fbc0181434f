// statement_csv.hpp: a downstream's statement as a CSV file from its operator.
//
// Read as a recipient list is (common/store/csv_reader.hpp): any encoding, any delimiter, quoted
// newlines, gzip.  Columns: request_id (required), reference, recipient_id, amount, currency, time,
// status; amount_minor and time_ms are understood too.  A statement is a proof, so that a line
// which is not understood refuses the whole of it.
//
// Threads: one at a time.
// Errors:  usage for options that contradict each other; not_found; invalid, naming line and
//          column.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/reconciliation.hpp"

namespace vouch::cli {

struct StatementOptions {
  std::string path;  // "-" is standard input
  std::string encoding, delimiter;
  std::vector<std::string> mappings;  // "theirs=ours"
  std::string time_zone;              // of times without an offset; empty: UTC
  std::string amount_unit;            // major or minor; required for a column `amount`
  std::string currency;               // where there is no such column
  std::vector<std::string> executed;  // words of the status column; empty: "issued"
};

[[nodiscard]] Result<std::unique_ptr<Statement>> open_statement_csv(
    const StatementOptions& options);

// What a field of a statement means, whatever it came in.  Errors do not say where.
class FieldReader {
 public:
  [[nodiscard]] static Result<FieldReader> create(const StatementOptions& options);
  ~FieldReader();
  FieldReader(FieldReader&&) noexcept;
  FieldReader& operator=(FieldReader&&) noexcept;

  [[nodiscard]] Result<std::string> currency(std::string_view text) const;
  // Nothing for an empty field, and for nought.
  [[nodiscard]] Result<std::optional<std::int64_t>> amount(std::string_view text, bool is_minor,
                                                           std::string_view currency) const;
  [[nodiscard]] Result<std::optional<WallTime>> time(std::string_view text);
  // True for the words that mean an execution.
  [[nodiscard]] bool is_executed(std::string_view status) const;

 private:
  struct State;
  explicit FieldReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vouch::cli
