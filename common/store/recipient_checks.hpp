// recipient_checks.hpp: whether a row of a partner's file may be accepted.
//
// A row is either accepted, with its normalised id, its amounts and everything packed for the
// sort, or refused with a column, a stable code and one sentence that lets a person mend the file.
//
// Threads: one at a time.
// Units:   amounts in minor units.
// Errors:  none.  A refused row is an answer, not an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/store/column_plan.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/list_importer.hpp"

namespace vouch::store {

inline constexpr std::size_t kRecipientIdBytesMax = 128;

// Why a row is refused.  The names, in reject_name(), are promises.
enum class RejectCode : std::uint8_t {
  quote_stray,
  quote_unterminated,
  carriage_return,
  nul_byte,
  field_too_long,
  row_too_long,
  too_many_columns,
  undecodable,
  byte_order_mark,
  column_count,
  blank_row,
  id_empty,
  id_too_long,
  id_control,
  id_invisible,
  id_exponent,
  phone_invalid,
  amount_empty,
  amount_not_a_number,
  amount_exponent,
  amount_comma,
  amount_full_width,
  amount_negative,
  amount_zero,
  amount_point,
  amount_digits,
  amount_too_large,
  occurrence_empty,
  occurrence_too_long,
  occurrence_control,
};
inline constexpr std::size_t kRejectCodes = 30;
[[nodiscard]] std::string_view reject_name(RejectCode code);

struct Refusal {
  RejectCode code{};
  std::string column;  // the partner's name of it; empty when the row as a whole is wrong
  std::string message;
};

class RowChecker {
 public:
  // Both must outlive the checker.
  RowChecker(const ColumnPlan& plan, const ImportRequest& request);

  // True when the row is accepted; recipient_id(), occurrence() and payload() are then its own.
  // Otherwise refusal() says why.  Valid until the next check.
  [[nodiscard]] bool check(const CsvRecord& record);

  [[nodiscard]] std::string_view recipient_id() const { return recipient_id_; }
  [[nodiscard]] std::string_view occurrence() const { return occurrence_; }
  // append_text(recipient_id), a varint for each amount, the packed fields.
  [[nodiscard]] const std::string& payload() const { return payload_; }
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

  // What only all ids together show, such as leading zeros that were lost.
  [[nodiscard]] std::vector<std::string> warnings() const;

 private:
  [[nodiscard]] bool refuse(RejectCode code, std::size_t column, std::string message);
  [[nodiscard]] bool refuse_row(RejectCode code, std::string message);
  [[nodiscard]] bool check_shape(const CsvRecord& record);
  [[nodiscard]] bool check_text(const CsvRecord& record);
  [[nodiscard]] bool check_fault(const CsvRecord& record);
  [[nodiscard]] bool check_recipient_id(std::string_view field, bool is_ascii);
  [[nodiscard]] bool check_occurrence(std::string_view field, bool is_ascii);
  [[nodiscard]] bool check_amount(std::string_view field, std::size_t which);
  void pack(const CsvRecord& record);

  const ColumnPlan& plan_;
  const ImportRequest& request_;
  std::string_view recipient_id_;
  std::string_view occurrence_;
  std::string normalised_id_;  // what recipient_id_ points into when it is not the field itself
  bool is_numeric_ = false;    // the present id is digits only
  std::vector<std::int64_t> amounts_;
  std::string payload_;
  Refusal refusal_;

  // Of the accepted ids that are digits only.
  std::int64_t ids_ = 0;
  std::int64_t numeric_ids_ = 0;
  std::size_t numeric_bytes_min_ = SIZE_MAX;
  std::size_t numeric_bytes_max_ = 0;
  bool zero_leads_ = false;
};

}  // namespace vouch::store
