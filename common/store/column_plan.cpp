#include "common/store/column_plan.hpp"

#include <algorithm>

#include "common/store/phone_number.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kColumnNameBytesMax = 256;
constexpr std::size_t kNamesShownMax = 12;

struct NamedDelimiter {
  char letter;
  std::string_view name;  // as --delimiter takes it
};
constexpr NamedDelimiter kDelimiters[] = {{',', "comma"}, {';', "semicolon"}, {'\t', "tab"}};

std::string quoted(std::string_view text) {
  return "\"" + std::string{text} + "\"";
}

std::vector<std::string> names_of(const ColumnPlan& plan) {
  std::vector<std::string> names;
  for (const ListColumn& column : plan.columns) names.push_back(column.called);
  return names;
}

std::string list_of(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kNamesShownMax);
  const std::vector<std::string> first{names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(shown)};
  return join(first, ", ") + (shown < names.size() ? ", ..." : "");
}

// The header's name that was probably meant: another case of letters, or a slip of the hand.
std::string nearest_name(std::string_view wanted, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (lower_ascii(name) == lower_ascii(wanted)) return name;
  }
  return nearest(wanted, names);
}

// True for the column that is, or is mapped to, the recipient's; quotes around it do not count.
bool names_recipient(std::string_view name, const ImportRequest& request) {
  name = trim_blanks(name);
  if (name.size() > 1 && name.front() == '"' && name.back() == '"') {
    name = name.substr(1, name.size() - 2);
  }
  const auto is_mapped = [&](const ColumnMapping& mapping) {
    return mapping.ours == kRecipientIdColumn && mapping.partner == name;
  };
  return name == kRecipientIdColumn ||
         std::any_of(request.mappings.begin(), request.mappings.end(), is_mapped);
}

// A header that is one column, but would be several, the recipient's among them, with another
// delimiter.  Asked before all else, since such a line looks wrong in other ways too.
Result<void> check_delimiter(const CsvRecord& header, const ImportRequest& request) {
  if (header.fields.size() != 1) return {};
  for (const NamedDelimiter& delimiter : kDelimiters) {
    const auto pieces = split(header.fields[0], delimiter.letter);
    const bool is_better = delimiter.letter != request.delimiter && pieces.size() > 1 &&
                           std::any_of(pieces.begin(), pieces.end(), [&](std::string_view piece) {
                             return names_recipient(piece, request);
                           });
    if (!is_better) continue;
    return fail(Errc::invalid,
                "line 1: the columns are separated by " + std::string{delimiter.name} + "s",
                "add --delimiter " + std::string{delimiter.name});
  }
  return {};
}

tl::unexpected<Error> no_such_column(const ColumnPlan& plan, std::string_view wanted,
                                     bool is_partners_name) {
  const std::vector<std::string> names = names_of(plan);
  const std::string near = nearest_name(wanted, names);
  std::string hint;
  if (is_partners_name) {
    hint = near.empty() ? "" : "did you mean " + quoted(near) + "?";
  } else if (!near.empty()) {
    hint = "if " + quoted(near) + " is meant: --map '" + near + "=" + std::string{wanted} + "'";
  } else {
    hint = "say which column it is: --map their_name=" + std::string{wanted};
  }
  return fail(Errc::invalid,
              "line 1: no column " + quoted(wanted) + "; there are: " + list_of(names), hint);
}

// The columns' names alone, each checked.
Result<ColumnPlan> read_names(const CsvRecord& header) {
  ColumnPlan plan;
  for (std::size_t i = 0; i < header.fields.size(); ++i) {
    const std::string_view name = trim_blanks(header.fields[i]);
    const std::string where = "line 1: column " + std::to_string(i + 1);
    if (name.empty()) {
      return fail(Errc::invalid, where + " has no name",
                  "give every column a name, or remove the empty ones at the end");
    }
    if (name.size() > kColumnNameBytesMax) {
      return fail(
          Errc::invalid,
          where + ": its name is longer than " + std::to_string(kColumnNameBytesMax) + " bytes",
          "is the first line the header, and the delimiter right?");
    }
    if (name.find("\xef\xbb\xbf") != std::string_view::npos) {
      return fail(Errc::invalid, where + ": a byte order mark inside its name",
                  "remove it; one at the very start of the file is understood");
    }
    if (has_control_bytes(name)) {
      return fail(Errc::invalid, where + ": a control character in its name", "");
    }
    plan.columns.push_back({std::string{name}, std::string{name}, ColumnRole::attribute});
    plan.is_ignored.push_back(name == kRejectLineColumn || name == kRejectErrorColumn);
  }
  return plan;
}

Result<void> check_header_text(const CsvRecord& header) {
  if (header.fields[0].starts_with("sep=")) {
    return fail(Errc::invalid, "line 1: \"sep=\", which only Excel understands",
                "remove that line; --delimiter says the same");
  }
  if (header.fault == CsvFault::nul_byte) {
    return fail(Errc::invalid, "line 1: a NUL byte in the header",
                "if the file is UTF-16 without a byte order mark: --encoding UTF-16LE");
  }
  if (header.fault == CsvFault::too_many_columns) {
    return fail(Errc::invalid, "line 1: more than " + std::to_string(kCsvColumnsMax) + " columns",
                "are its columns separated by the delimiter that was said?");
  }
  if (header.fault != CsvFault::none) {
    return fail(Errc::invalid, "line 1: the header cannot be read as CSV",
                "the first line must hold the columns' names; look for a stray quote in it");
  }
  for (std::size_t i = 0; i < header.fields.size() && !header.is_ascii; ++i) {
    const auto bad = find_undecodable(header.fields[i]);
    if (!bad) continue;
    return fail(Errc::invalid,
                "line 1: column " + std::to_string(i + 1) + ": byte 0x" +
                    hex(std::span{&bad->byte, 1}) + " cannot be decoded",
                "name the file's encoding: --encoding gb18030, windows-1252, ...");
  }
  return {};
}

std::optional<std::size_t> find_called(const ColumnPlan& plan, std::string_view called) {
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (plan.columns[i].called == called) return i;
  }
  return std::nullopt;
}

Result<void> apply_mappings(ColumnPlan& plan, const ImportRequest& request) {
  for (const ColumnMapping& mapping : request.mappings) {
    const auto found =
        std::find_if(plan.columns.begin(), plan.columns.end(),
                     [&](const ListColumn& column) { return column.name == mapping.partner; });
    if (found == plan.columns.end()) {
      return no_such_column(plan, mapping.partner, true);
    }
    found->called = mapping.ours;
  }
  return {};
}

Result<void> refuse_repeated_names(const ColumnPlan& plan) {
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const std::size_t first = *find_called(plan, plan.columns[i].called);
    if (first == i) continue;
    return fail(Errc::invalid,
                "line 1: columns " + std::to_string(first + 1) + " and " + std::to_string(i + 1) +
                    " are both " + quoted(plan.columns[i].called),
                "each name may stand once; rename one of them, or map another");
  }
  return {};
}

Result<std::size_t> give_role(ColumnPlan& plan, std::string_view called, ColumnRole role) {
  const auto place = find_called(plan, called);
  if (!place) return no_such_column(plan, called, false);
  ListColumn& column = plan.columns[*place];
  if (column.role != ColumnRole::attribute) {
    return fail(Errc::usage, "column " + quoted(called) + " is wanted for two purposes",
                "a column is the recipient id, an amount or the occurrence");
  }
  column.role = role;
  return *place;
}

}  // namespace

std::vector<ListColumn> ColumnPlan::kept() const {
  std::vector<ListColumn> kept;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!is_ignored[i]) kept.push_back(columns[i]);
  }
  return kept;
}

Result<void> check_request(const ImportRequest& request) {
  const bool is_known =
      std::any_of(std::begin(kDelimiters), std::end(kDelimiters),
                  [&](const NamedDelimiter& known) { return known.letter == request.delimiter; });
  if (!is_known) {
    return fail(Errc::usage, "the delimiter is none of comma, semicolon and tab");
  }
  if (request.id_type == IdType::phone) {
    if (request.country.empty()) {
      return fail(Errc::usage, "phone numbers need a country", "add --country, such as CN or DE");
    }
    VOUCH_CHECK(check_phone_country(request.country));
  } else if (!request.country.empty()) {
    return fail(Errc::usage, "a country is of use for phone numbers only",
                "add --id-type phone, or leave the country out");
  }
  if (!request.amount_columns.empty() && !request.amount_unit) {
    return fail(
        Errc::usage,
        "column " + quoted(request.amount_columns[0].column) + " holds amounts: in which unit?",
        "--amount-unit major for 12.50, --amount-unit minor for 1250");
  }
  if (request.rejects_percent_max && request.on_error != OnError::skip) {
    return fail(Errc::usage, "a maximum of rejects is of use only where rows may be skipped",
                "add --on-error skip");
  }
  return {};
}

Result<ColumnPlan> plan_columns(const CsvRecord& header, const ImportRequest& request) {
  VOUCH_CHECK(check_delimiter(header, request));
  VOUCH_CHECK(check_header_text(header));
  VOUCH_TRY(ColumnPlan plan, read_names(header));
  VOUCH_CHECK(apply_mappings(plan, request));
  VOUCH_CHECK(refuse_repeated_names(plan));
  VOUCH_TRY(plan.recipient_id, give_role(plan, kRecipientIdColumn, ColumnRole::recipient_id));
  for (const AmountColumn& amount : request.amount_columns) {
    VOUCH_TRY(const std::size_t place, give_role(plan, amount.column, ColumnRole::amount));
    plan.amounts.push_back(place);
  }
  if (!request.occurrence_column.empty()) {
    VOUCH_TRY(plan.occurrence, give_role(plan, request.occurrence_column, ColumnRole::occurrence));
  }
  return plan;
}

}  // namespace vouch::store
