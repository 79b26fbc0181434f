#include "common/store/recipient_checks.hpp"

#include <algorithm>
#include <array>

#include "common/identity.hpp"
#include "common/store/amount_text.hpp"
#include "common/store/packed_row.hpp"
#include "common/store/phone_number.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kShownBytesMax = 40;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

constexpr std::array<std::string_view, kRejectCodes> kRejectNames = {
    "quote_stray",         "quote_unterminated", "carriage_return",     "nul_byte",
    "field_too_long",      "row_too_long",       "too_many_columns",    "undecodable",
    "byte_order_mark",     "column_count",       "blank_row",           "id_empty",
    "id_too_long",         "id_control",         "id_invisible",        "id_exponent",
    "phone_invalid",       "amount_empty",       "amount_not_a_number", "amount_exponent",
    "amount_comma",        "amount_full_width",  "amount_negative",     "amount_zero",
    "amount_point",        "amount_digits",      "amount_too_large",    "occurrence_empty",
    "occurrence_too_long", "occurrence_control",
};
static_assert(kRejectNames.size() == static_cast<std::size_t>(RejectCode::occurrence_control) + 1);

struct FaultWords {
  CsvFault fault;
  RejectCode code;
  bool has_column;  // the fault lies in one column, not in the row as a whole
  std::string_view message;
};
constexpr FaultWords kFaultWords[] = {
    {CsvFault::stray_quote, RejectCode::quote_stray, true,
     "a quote inside the field: put the whole field in quotes and double the quotes inside it"},
    {CsvFault::unterminated_quote, RejectCode::quote_unterminated, true,
     "a quote is opened and not closed within 64 KiB, or before the file ends"},
    {CsvFault::carriage_return, RejectCode::carriage_return, true,
     "a carriage return that no line feed follows"},
    {CsvFault::nul_byte, RejectCode::nul_byte, true,
     "a NUL byte; UTF-16 without a byte order mark needs --encoding"},
    {CsvFault::field_too_long, RejectCode::field_too_long, true, "longer than 64 KiB"},
    {CsvFault::record_too_long, RejectCode::row_too_long, false,
     "the row is longer than 1 MiB; only its beginning is kept"},
    {CsvFault::too_many_columns, RejectCode::too_many_columns, false, "more than 1,000 fields"},
};

struct AmountWords {
  AmountFault fault;
  RejectCode code;
  std::string_view message;
};
constexpr AmountWords kAmountWords[] = {
    {AmountFault::empty, RejectCode::amount_empty, "the amount is missing"},
    {AmountFault::not_a_number, RejectCode::amount_not_a_number,
     " is not an amount: digits only, with a point before the minor unit"},
    {AmountFault::exponent, RejectCode::amount_exponent, " has an exponent: write all digits out"},
    {AmountFault::comma, RejectCode::amount_comma,
     " has a comma, which may mean two things: write 1234.50"},
    {AmountFault::full_width, RejectCode::amount_full_width,
     " has full-width characters: write ASCII digits"},
    {AmountFault::negative, RejectCode::amount_negative, " is negative"},
    {AmountFault::zero, RejectCode::amount_zero, " is zero: nothing would be issued"},
    {AmountFault::point_in_minor, RejectCode::amount_point,
     " has a point, but amounts in minor units are expected (--amount-unit)"},
    {AmountFault::too_many_digits, RejectCode::amount_digits,
     " has more digits behind the point than its currency"},
    {AmountFault::too_large, RejectCode::amount_too_large,
     " is above the maximum of 1,000,000,000,000 minor units"},
};

template <typename Words, std::size_t N, typename Fault>
const Words& words_of(const Words (&table)[N], Fault fault) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Words& words) { return words.fault == fault; });
  VOUCH_ASSERT(found != std::end(table));
  return *found;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_control(char c) {
  return static_cast<std::uint8_t>(c) < 0x20 || c == 0x7f;
}

std::string shown(std::string_view text) {
  std::string out = "\"" + std::string{text.substr(0, kShownBytesMax)};
  if (text.size() > kShownBytesMax) {
    // Not in the middle of a letter.
    while ((static_cast<std::uint8_t>(text[out.size() - 1]) & 0xc0) == 0x80) out.pop_back();
    out += "...";
  }
  return out + "\"";
}

// Like trim_blanks, but for the usual field, which has none, at the cost of two comparisons.
std::string_view trimmed(std::string_view field) {
  if (!field.empty() && field.front() > ' ' && field.back() > ' ') return field;
  return trim_blanks(field);
}

// What a spreadsheet makes of a long number: 1.38E+10.
bool is_exponent_form(std::string_view id) {
  if (!is_digit(id.front())) return false;
  std::size_t at = id.find_first_not_of("0123456789");
  if (at != std::string_view::npos && (id[at] == '.' || id[at] == ',')) {
    at = id.find_first_not_of("0123456789", at + 1);
  }
  if (at == std::string_view::npos || (id[at] != 'E' && id[at] != 'e')) return false;
  const std::string_view exponent = id.substr(at + 1);
  return exponent.size() >= 2 && (exponent[0] == '+' || exponent[0] == '-') &&
         std::all_of(exponent.begin() + 1, exponent.end(), is_digit);
}

struct CodeRange {
  char32_t first;
  char32_t last;
};
// Blanks beyond ASCII, characters without a shape and further controls: what makes two ids that
// look alike differ.
constexpr CodeRange kInvisible[] = {
    {0x80, 0xa0},     {0xad, 0xad},     {0x61c, 0x61c},   {0x1680, 0x1680},
    {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
    {0x3000, 0x3000}, {0xfeff, 0xfeff}, {0xfff0, 0xffff},
};

// The first such character of a valid UTF-8 text; 0 when there is none.
char32_t find_invisible(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[at]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    char32_t code = size == 1 ? lead : lead & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) {
      code = code << 6 | (static_cast<std::uint8_t>(text[at + i]) & 0x3fU);
    }
    for (const CodeRange& range : kInvisible) {
      if (code >= range.first && code <= range.last) return code;
    }
    at += size;
  }
  return 0;
}

std::string code_point_name(char32_t code) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out = "U+";
  for (int shift = code > 0xffff ? 20 : 12; shift >= 0; shift -= 4) {
    out += digits[(code >> shift) & 15];
  }
  return out;
}

}  // namespace

std::string_view reject_name(RejectCode code) {
  return kRejectNames[static_cast<std::size_t>(code)];
}

RowChecker::RowChecker(const ColumnPlan& plan, const ImportRequest& request)
    : plan_{plan}, request_{request}, amounts_(plan.amounts.size()) {}

bool RowChecker::refuse(RejectCode code, std::size_t column, std::string message) {
  refusal_.code = code;
  refusal_.column = column < plan_.columns.size() ? plan_.columns[column].name : "";
  refusal_.message = std::move(message);
  return false;
}

bool RowChecker::refuse_row(RejectCode code, std::string message) {
  return refuse(code, plan_.columns.size(), std::move(message));
}

bool RowChecker::check(const CsvRecord& record) {
  if (!check_shape(record)) return false;
  if (!record.is_ascii && !check_text(record)) return false;
  if (!check_recipient_id(record.fields[plan_.recipient_id], record.is_ascii)) return false;
  for (std::size_t i = 0; i < plan_.amounts.size(); ++i) {
    if (!check_amount(record.fields[plan_.amounts[i]], i)) return false;
  }
  if (plan_.occurrence && !check_occurrence(record.fields[*plan_.occurrence], record.is_ascii)) {
    return false;
  }
  pack(record);
  return true;
}

bool RowChecker::check_fault(const CsvRecord& record) {
  if (record.fields[0].starts_with(kByteOrderMark)) {
    return refuse_row(RejectCode::byte_order_mark,
                      "a byte order mark in the middle of the file: were two files joined?");
  }
  if (record.fault == CsvFault::none) return true;
  const FaultWords& words = words_of(kFaultWords, record.fault);
  const std::size_t column = words.has_column ? record.fault_column : plan_.columns.size();
  return refuse(words.code, column, std::string{words.message});
}

bool RowChecker::check_shape(const CsvRecord& record) {
  const std::size_t count = record.fields.size();
  if (record.fault != CsvFault::none || !record.is_ascii) {
    if (!check_fault(record)) return false;
  }
  if (count != plan_.columns.size()) {
    return refuse_row(RejectCode::column_count,
                      std::to_string(count) + (count == 1 ? " field" : " fields") +
                          ", but the header has " + std::to_string(plan_.columns.size()));
  }
  // Only where the id is empty may the whole row be.
  if (record.fields[plan_.recipient_id].empty() &&
      std::all_of(record.fields.begin(), record.fields.end(),
                  [](std::string_view field) { return trim_blanks(field).empty(); })) {
    return refuse_row(RejectCode::blank_row,
                      "every field is empty: a spreadsheet's leftover row, to be removed");
  }
  return true;
}

bool RowChecker::check_text(const CsvRecord& record) {
  for (std::size_t i = 0; i < record.fields.size(); ++i) {
    const auto bad = find_undecodable(record.fields[i]);
    if (!bad) continue;
    return refuse(RejectCode::undecodable, i,
                  "byte 0x" + hex(std::span{&bad->byte, 1}) + ", behind " +
                      std::to_string(bad->offset) +
                      " good ones, cannot be decoded; is --encoding right?");
  }
  return true;
}

bool RowChecker::check_recipient_id(std::string_view field, bool is_ascii) {
  const std::size_t column = plan_.recipient_id;
  std::string_view id = trimmed(field);
  if (id.empty()) return refuse(RejectCode::id_empty, column, "the recipient id is missing");
  bool has_control = false;
  bool is_numeric = true;
  for (const char c : id) {
    has_control |= is_control(c);
    is_numeric &= is_digit(c);
  }
  if (has_control) {
    return refuse(RejectCode::id_control, column, "a control character in the recipient id");
  }
  if (!is_numeric && is_exponent_form(id)) {
    return refuse(RejectCode::id_exponent, column,
                  shown(id) +
                      " was a number that a spreadsheet has shortened; its digits are "
                      "lost: format the column as text and export it again");
  }
  if (request_.id_type == IdType::phone) {
    auto phone = normalise_phone(id, request_.country);
    if (!phone) {
      return refuse(RejectCode::phone_invalid, column,
                    shown(id) + " " + phone.error().message + "; " + phone.error().hint);
    }
    normalised_id_ = std::move(*phone);
    id = normalised_id_;
    is_numeric = false;  // says nothing about lost zeros
  } else if (!is_ascii) {
    if (const char32_t code = find_invisible(id)) {
      return refuse(
          RejectCode::id_invisible, column,
          shown(id) + " holds a character that cannot be seen (" + code_point_name(code) + ")");
    }
    auto normalised = normalise_recipient(id);
    if (!normalised) return refuse(RejectCode::undecodable, column, normalised.error().message);
    normalised_id_ = std::move(*normalised);
    id = normalised_id_;
  }
  if (id.size() > kRecipientIdBytesMax) {
    return refuse(RejectCode::id_too_long, column,
                  std::to_string(id.size()) + " bytes long; the maximum is " +
                      std::to_string(kRecipientIdBytesMax));
  }
  recipient_id_ = id;
  is_numeric_ = is_numeric;
  return true;
}

bool RowChecker::check_occurrence(std::string_view field, bool is_ascii) {
  const std::size_t column = *plan_.occurrence;
  const std::string_view value = trimmed(field);
  if (value.empty()) {
    return refuse(RejectCode::occurrence_empty, column,
                  "missing, although the campaign tells a recipient's rows apart by it");
  }
  if (value.size() > kRecipientIdBytesMax) {
    return refuse(RejectCode::occurrence_too_long, column,
                  std::to_string(value.size()) + " bytes long; the maximum is " +
                      std::to_string(kRecipientIdBytesMax));
  }
  if (std::any_of(value.begin(), value.end(), is_control) ||
      (!is_ascii && find_invisible(value) != 0)) {
    return refuse(RejectCode::occurrence_control, column,
                  "a character that cannot be seen, in a value that tells rows apart");
  }
  occurrence_ = value;
  return true;
}

bool RowChecker::check_amount(std::string_view field, std::size_t which) {
  const auto amount = parse_amount(field, request_.amount_unit == AmountUnit::minor,
                                   request_.amount_columns[which].digits);
  if (amount) {
    amounts_[which] = *amount;
    return true;
  }
  const AmountWords& words = words_of(kAmountWords, amount.error());
  const std::string value = amount.error() == AmountFault::empty ? "" : shown(trimmed(field));
  return refuse(words.code, plan_.amounts[which], value + std::string{words.message});
}

// An accepted row, as it is sorted, hashed and sealed.
void RowChecker::pack(const CsvRecord& record) {
  payload_.clear();
  append_text(payload_, recipient_id_);
  for (const std::int64_t amount : amounts_) {
    append_varint(payload_, static_cast<std::uint64_t>(amount));
  }
  for (std::size_t i = 0; i < record.fields.size(); ++i) {
    if (plan_.is_ignored[i]) continue;
    if (i == plan_.recipient_id && record.fields[i] == recipient_id_) {
      append_recipient_field(payload_);
    } else {
      append_field(payload_, record.fields[i]);
    }
  }
  ++ids_;
  if (!is_numeric_) return;
  ++numeric_ids_;
  numeric_bytes_min_ = std::min(numeric_bytes_min_, recipient_id_.size());
  numeric_bytes_max_ = std::max(numeric_bytes_max_, recipient_id_.size());
  zero_leads_ |= recipient_id_.front() == '0';
}

std::vector<std::string> RowChecker::warnings() const {
  std::vector<std::string> warnings;
  const bool lengths_differ = numeric_ids_ > 0 && numeric_bytes_min_ < numeric_bytes_max_;
  if (numeric_ids_ == ids_ && lengths_differ && !zero_leads_) {
    warnings.push_back("all recipient ids are numbers, of " + std::to_string(numeric_bytes_min_) +
                       " to " + std::to_string(numeric_bytes_max_) +
                       " digits, and none begins with 0: has a spreadsheet removed leading zeros?");
  }
  return warnings;
}

}  // namespace vouch::store
