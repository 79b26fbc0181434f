#include "cli/statement_csv.hpp"

#include <algorithm>
#include <array>

#include "common/files.hpp"
#include "common/plan/zoned_time.hpp"
#include "common/store/amount_text.hpp"
#include "common/store/csv_reader.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// Our columns.  The last two are other forms of columns before them.
enum Column : std::size_t {
  kRequestId,
  kReference,
  kRecipientId,
  kAmount,
  kCurrency,
  kTime,
  kStatus,
  kAmountMinor,
  kTimeMs,
  kColumns
};
constexpr std::array<std::string_view, kColumns> kNames = {
    "request_id", "reference", "recipient_id", "amount", "currency",
    "time",       "status",    "amount_minor", "time_ms"};
constexpr std::size_t kShownBytesMax = 40;

Result<char> delimiter_of(const std::string& word) {
  if (word.empty() || word == "comma" || word == ",") return ',';
  if (word == "semicolon" || word == ";") return ';';
  if (word == "tab" || word == "\t" || word == "\\t") return '\t';
  return fail(Errc::usage, "--delimiter: \"" + word + "\" is none of comma, semicolon, tab");
}

std::string_view words_of(store::CsvFault fault) {
  switch (fault) {
    case store::CsvFault::none:
      break;
    case store::CsvFault::stray_quote:
      return "a quote inside an unquoted field, or text behind a closing one";
    case store::CsvFault::unterminated_quote:
      return "a quote that is never closed";
    case store::CsvFault::carriage_return:
      return "a carriage return that no line feed follows";
    case store::CsvFault::nul_byte:
      return "a NUL byte: is the file in another encoding (--encoding)?";
    case store::CsvFault::field_too_long:
      return "a field longer than 64 KiB";
    case store::CsvFault::record_too_long:
      return "a row longer than 1 MiB";
    case store::CsvFault::too_many_columns:
      return "more than 1,000 columns";
  }
  return "";
}

std::string_view words_of(store::AmountFault fault) {
  switch (fault) {
    case store::AmountFault::empty:
    case store::AmountFault::zero:
      break;
    case store::AmountFault::not_a_number:
      return "is not an amount";
    case store::AmountFault::exponent:
      return "has an exponent: all digits must be written out";
    case store::AmountFault::comma:
      return "holds a comma, which may mean thousands or a decimal point: write 1000.00";
    case store::AmountFault::full_width:
      return "has full-width digits";
    case store::AmountFault::negative:
      return "is negative: leave reversals out, or tell them by a status column (--executed)";
    case store::AmountFault::point_in_minor:
      return "has a point, but --amount-unit is minor";
    case store::AmountFault::too_many_digits:
      return "has more digits behind the point than the currency";
    case store::AmountFault::too_large:
      return "is too large";
  }
  return "";
}

std::string shown(std::string_view text) {
  const std::string_view cut = text.substr(0, kShownBytesMax);
  return "\"" + store::replace_undecodable(cut) + (cut.size() < text.size() ? "...\"" : "\"");
}

// Offices' programs put a ` or ' before numbers so that no spreadsheet mends them.
std::string_view clean(std::string_view field) {
  std::string_view text = trim_blanks(field);
  if (text.starts_with('`') || text.starts_with('\'')) text = trim_blanks(text.substr(1));
  return text;
}

class CsvStatement final : public Statement {
 public:
  CsvStatement(std::string name, store::CsvReader reader, FieldReader fields,
               const StatementOptions& options)
      : name_{std::move(name)},
        reader_{std::move(reader)},
        fields_{std::move(fields)},
        currency_{options.currency},
        amounts_are_minor_{options.amount_unit == "minor"} {}

  [[nodiscard]] Result<void> read_header(const StatementOptions& options);
  [[nodiscard]] Result<bool> next() override;
  [[nodiscard]] const StatementLine& line() const override { return line_; }
  [[nodiscard]] Compared columns() const override;

 private:
  [[nodiscard]] Result<void> place_columns(const StatementOptions& options);
  [[nodiscard]] Result<void> check_columns(const StatementOptions& options) const;
  [[nodiscard]] Result<void> read_fields(const store::CsvRecord& record);
  [[nodiscard]] bool has(Column column) const { return places_[column].has_value(); }
  [[nodiscard]] std::string_view field(const store::CsvRecord& record, Column column) const {
    return places_[column] ? clean(record.fields[*places_[column]]) : std::string_view{};
  }
  [[nodiscard]] tl::unexpected<Error> refuse(std::int64_t line, std::string_view column,
                                             std::string_view why, std::string hint = {}) const;
  [[nodiscard]] std::string name_at(Column column) const {
    return places_[column] ? header_[*places_[column]] : std::string{kNames[column]};
  }

  std::string name_;
  store::CsvReader reader_;
  FieldReader fields_;
  std::string currency_;
  bool amounts_are_minor_;
  std::vector<std::string> header_;
  std::array<std::optional<std::size_t>, kColumns> places_;
  StatementLine line_;
};

tl::unexpected<Error> CsvStatement::refuse(std::int64_t line, std::string_view column,
                                           std::string_view why, std::string hint) const {
  const std::string where = column.empty() ? "" : "column " + std::string{column} + ": ";
  if (hint.empty()) hint = "nothing was compared; mend the file, or ask for another one";
  return fail(Errc::invalid,
              name_ + ": line " + std::to_string(line) + ": " + where + std::string{why},
              std::move(hint));
}

Result<void> CsvStatement::read_header(const StatementOptions& options) {
  VOUCH_TRY(const bool some, reader_.next());
  if (!some) {
    return fail(Errc::invalid, name_ + ": is empty",
                "the first line must name the columns; a header alone says that nothing was done");
  }
  const store::CsvRecord& record = reader_.record();
  if (record.fault != store::CsvFault::none) {
    return refuse(record.line, "", words_of(record.fault));
  }
  for (const std::string_view name : record.fields) {
    header_.push_back(store::replace_undecodable(trim_blanks(name)));
  }
  VOUCH_CHECK(place_columns(options));
  return check_columns(options);
}

Result<void> CsvStatement::place_columns(const StatementOptions& options) {
  const auto place = [&](std::string_view theirs, std::size_t ours) -> Result<bool> {
    for (std::size_t i = 0; i < header_.size(); ++i) {
      if (header_[i] != theirs) continue;
      if (places_[ours]) {
        return refuse(1, theirs, "a second column for " + std::string{kNames[ours]});
      }
      places_[ours] = i;
    }
    return places_[ours].has_value();
  };
  for (const std::string& mapping : options.mappings) {
    const auto at = mapping.rfind('=');
    const std::string ours = at == std::string::npos ? "" : mapping.substr(at + 1);
    const auto known = std::find(kNames.begin(), kNames.end(), ours);
    if (at == 0 || known == kNames.end()) {
      return fail(Errc::usage, "--map: \"" + mapping + "\" is not theirs=ours",
                  "ours is one of " + join({kNames.begin(), kNames.end()}, ", "));
    }
    VOUCH_TRY(const bool found,
              place(mapping.substr(0, at), static_cast<std::size_t>(known - kNames.begin())));
    if (found) continue;
    return refuse(1, "", "no column " + shown(mapping.substr(0, at)),
                  "there are: " + join(header_, ", "));
  }
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (!places_[i]) VOUCH_CHECK(place(kNames[i], i).map([](bool) {}));
  }
  return {};
}

Result<void> CsvStatement::check_columns(const StatementOptions& options) const {
  if (!has(kRequestId)) {
    return refuse(
        1, "", "no column request_id; there are: " + join(header_, ", "),
        "say which column holds it: --map their_name=request_id; the delimiter is a comma "
        "unless --delimiter says otherwise");
  }
  if (has(kAmount) && has(kAmountMinor)) {
    return refuse(1, name_at(kAmountMinor), "a second column for the amount",
                  "say which one counts with --map theirs=amount");
  }
  if (has(kTime) && has(kTimeMs))
    return refuse(1, name_at(kTimeMs), "a second column for the time");
  if (has(kAmount) && options.amount_unit.empty()) {
    return fail(Errc::usage, "the statement has amounts: --amount-unit says what 1250 means",
                "major: 1250.00; minor: 12.50");
  }
  const bool major = has(kAmount) && options.amount_unit == "major";
  if (major && !has(kCurrency) && currency_.empty()) {
    return fail(Errc::usage, "amounts in the major unit need a currency",
                "name the column (--map theirs=currency), or the currency of all (--currency EUR)");
  }
  return {};
}

Result<bool> CsvStatement::next() {
  VOUCH_TRY(const bool more, reader_.next());
  if (!more) return false;
  const store::CsvRecord& record = reader_.record();
  if (record.fault != store::CsvFault::none) {
    const std::string column =
        record.fault_column < header_.size() ? header_[record.fault_column] : "";
    return refuse(record.line, column, words_of(record.fault));
  }
  if (record.fields.size() != header_.size()) {
    return refuse(record.line, "",
                  std::to_string(record.fields.size()) + " fields, where the header has " +
                      std::to_string(header_.size()),
                  "is it a line of totals?  remove it");
  }
  if (!record.is_ascii) {
    for (const auto& place : places_) {
      if (!place || !store::find_undecodable(record.fields[*place])) continue;
      return refuse(record.line, header_[*place],
                    "bytes that are no " + reader_.source().encoding(),
                    "is the file in another encoding (--encoding gb18030, windows-1252)?");
    }
  }
  VOUCH_CHECK(read_fields(record));
  return true;
}

Result<void> CsvStatement::read_fields(const store::CsvRecord& record) {
  const auto within_column = [&](Column column, const Error& error) {
    return refuse(record.line, name_at(column), error.message, error.hint);
  };
  line_.line = line_.entry.line = record.line;
  line_.request_id = field(record, kRequestId);
  line_.recipient_id = field(record, kRecipientId);
  line_.counts = !has(kStatus) || fields_.is_executed(field(record, kStatus));
  StatementEntry& entry = line_.entry;
  entry.reference = field(record, kReference);
  entry.amount_minor.reset();
  if (!line_.counts) return {};
  if (line_.request_id.empty()) {
    return refuse(record.line, name_at(kRequestId), "is empty",
                  "every execution must name the request id it was asked for with");
  }
  auto currency = fields_.currency(has(kCurrency) ? field(record, kCurrency) : currency_);
  if (!currency) return within_column(kCurrency, currency.error());
  entry.currency = std::move(*currency);
  const Column amount_column = has(kAmountMinor) ? kAmountMinor : kAmount;
  const bool is_minor = amount_column == kAmountMinor || amounts_are_minor_;
  auto amount = fields_.amount(field(record, amount_column), is_minor, entry.currency);
  if (!amount) return within_column(amount_column, amount.error());
  entry.amount_minor = *amount;
  const Column time_column = has(kTimeMs) ? kTimeMs : kTime;
  auto time = fields_.time(field(record, time_column));
  if (!time) return within_column(time_column, time.error());
  entry.time = *time;
  return {};
}

Compared CsvStatement::columns() const {
  const bool amount = has(kAmount) || has(kAmountMinor);
  return {.reference = has(kReference),
          .recipient = has(kRecipientId),
          .amount = amount,
          .currency = has(kCurrency) || (amount && !currency_.empty()),
          .time = has(kTime) || has(kTimeMs)};
}

}  // namespace

struct FieldReader::State {
  plan::ZonedTimes times;
  std::vector<std::string> executed;
};

FieldReader::FieldReader(std::unique_ptr<State> state) : state_{std::move(state)} {}
FieldReader::~FieldReader() = default;
FieldReader::FieldReader(FieldReader&&) noexcept = default;
FieldReader& FieldReader::operator=(FieldReader&&) noexcept = default;

Result<FieldReader> FieldReader::create(const StatementOptions& options) {
  auto times = plan::ZonedTimes::in(options.time_zone);
  if (!times) {
    return fail(Errc::usage, "--time-zone: " + times.error().message, times.error().hint);
  }
  std::vector<std::string> words;
  for (const std::string& word : options.executed) words.push_back(lower_ascii(word));
  if (words.empty()) words.emplace_back("issued");
  return FieldReader{std::make_unique<State>(State{std::move(*times), std::move(words)})};
}

Result<std::string> FieldReader::currency(std::string_view text) const {
  std::string code{text};
  for (char& c : code) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  if (code.empty()) return code;
  const bool shaped =
      code.size() == 3 && std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!shaped) return fail(Errc::invalid, shown(text) + " is not a currency", "such as EUR or CNY");
  return code;
}

Result<std::optional<std::int64_t>> FieldReader::amount(std::string_view text, bool is_minor,
                                                        std::string_view currency) const {
  if (text.empty()) return std::optional<std::int64_t>{};
  int digits = 0;
  if (!is_minor) {
    if (currency.empty()) return fail(Errc::invalid, shown(text) + " has no currency");
    VOUCH_TRY(digits, currency_digits(currency));
  }
  const auto amount = store::parse_amount(text, is_minor, digits);
  if (amount) return std::optional<std::int64_t>{*amount};
  if (words_of(amount.error()).empty()) return std::optional<std::int64_t>{};
  return fail(Errc::invalid, shown(text) + " " + std::string{words_of(amount.error())});
}

Result<std::optional<WallTime>> FieldReader::time(std::string_view text) {
  if (text.empty()) return std::optional<WallTime>{};
  VOUCH_TRY(const WallTime time, state_->times.parse(text));
  return std::optional<WallTime>{time};
}

bool FieldReader::is_executed(std::string_view status) const {
  return std::ranges::find(state_->executed, lower_ascii(status)) != state_->executed.end();
}

Result<std::unique_ptr<Statement>> open_statement_csv(const StatementOptions& options) {
  VOUCH_TRY(const char delimiter, delimiter_of(options.delimiter));
  VOUCH_TRY(FieldReader fields, FieldReader::create(options));
  VOUCH_TRY(store::InputFile input, store::InputFile::open(options.path));
  VOUCH_TRY(store::TextDecoder text, store::TextDecoder::open(std::move(input), options.encoding));
  auto statement = std::make_unique<CsvStatement>(vouch::name_of_input(options.path),
                                                  store::CsvReader{std::move(text), delimiter},
                                                  std::move(fields), options);
  VOUCH_CHECK(statement->read_header(options));
  return std::unique_ptr<Statement>{std::move(statement)};
}

}  // namespace vouch::cli
