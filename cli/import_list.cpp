#include "cli/import_list.hpp"

#include <cstdio>
#include <filesystem>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/store/column_plan.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kNameBytesMax = 63;
constexpr std::size_t kNameDigestLetters = 8;

}  // namespace

Result<char> delimiter_of(const std::string& word) {
  if (word.empty() || word == "comma" || word == ",") return ',';
  if (word == "semicolon" || word == ";") return ';';
  if (word == "tab" || word == "\t" || word == "\\t") return '\t';
  return fail(Errc::usage, "--delimiter: \"" + word + "\" is none of comma, semicolon, tab");
}

Result<std::vector<store::ColumnMapping>> mappings_of(const std::vector<std::string>& texts) {
  std::vector<store::ColumnMapping> mappings;
  for (const std::string& text : texts) {
    // The partner's name may hold a "=", ours may not.
    const auto at = text.rfind('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
      return fail(Errc::usage, "--map: \"" + text + "\" is not theirs=ours",
                  "such as --map customer_no=recipient_id");
    }
    mappings.push_back({text.substr(0, at), text.substr(at + 1)});
  }
  return mappings;
}

namespace {

Result<std::optional<double>> percent_of(const std::string& text) {
  if (text.empty()) return std::optional<double>{};
  std::string_view number = trim_blanks(text);
  if (number.ends_with('%')) number.remove_suffix(1);
  const auto hundredths = parse_major_amount(number, 2);
  if (!hundredths || *hundredths < 0 || *hundredths > 10'000) {
    return fail(Errc::usage, "--max-rejects: \"" + text + "\" is no percentage",
                "write 3% or 0.5%: of all rows of the file");
  }
  return std::optional{static_cast<double>(*hundredths) / 100.0};
}

Result<store::ImportRequest> request_of(const ImportOptions& options,
                                        const std::optional<store::CampaignRow>& campaign) {
  store::ImportRequest request;
  request.input = options.file;
  request.encoding = options.encoding;
  VOUCH_TRY(request.delimiter, delimiter_of(options.delimiter));
  VOUCH_TRY(request.mappings, mappings_of(options.mappings));
  VOUCH_TRY(request.rejects_percent_max, percent_of(options.max_rejects));
  if (options.id_type == "phone") request.id_type = store::IdType::phone;
  request.country = options.country;
  if (options.amount_unit == "major") request.amount_unit = store::AmountUnit::major;
  if (options.amount_unit == "minor") request.amount_unit = store::AmountUnit::minor;
  if (options.on_error == "skip") request.on_error = store::OnError::skip;
  request.accepted_min = options.rows_min.value_or(0);
  request.rejects_file = options.rejects_file;
  if (!campaign) return request;
  for (const plan::AmountColumn& amount : plan::amount_columns(campaign->definition)) {
    request.amount_columns.push_back({amount.column, amount.digits});
  }
  if (campaign->definition.once_per == plan::OncePer::column) {
    request.occurrence_column = campaign->definition.once_per_column;
  }
  return request;
}

// Shows how far an import is.  While reading nobody knows how many rows there are; what the bytes
// read so far held says it well enough.
class ImportWatch {
 public:
  explicit ImportWatch(Session& session)
      : session_{session},
        reading_{session.out(), session.terminal(), "reading"},
        sealing_{session.out(), session.terminal(), "sealing"} {}

  bool operator()(const store::ImportProgress& progress) {
    const Instant now = session_.clock().now();
    if (progress.phase == store::ImportProgress::Phase::sealing) {
      reading_.clear();
      sealing_.update(progress.rows, progress.rows_total, "", now);
      return true;
    }
    std::int64_t total = 0;
    if (progress.bytes > 0 && progress.bytes_total > 0) {
      const double part =
          static_cast<double>(progress.bytes) / static_cast<double>(progress.bytes_total);
      total = static_cast<std::int64_t>(static_cast<double>(progress.rows) / part);
    }
    reading_.update(progress.rows, total, "", now);
    return true;
  }

 private:
  Session& session_;
  Progress reading_;
  Progress sealing_;
};

// An amount above the campaign's own maximum: the whole file is refused, since somebody has
// mistaken the unit or the column.
void refuse_large_amounts(const plan::Campaign& campaign, store::ImportSummary& summary) {
  if (!campaign.amount_max_minor || summary.refusal) return;
  const auto columns = plan::amount_columns(campaign);
  for (const store::AmountTotals& totals : summary.meta.amounts) {
    if (totals.most <= *campaign.amount_max_minor) continue;
    std::string currency;
    for (const plan::AmountColumn& column : columns) {
      if (column.column == totals.column) currency = column.currency;
    }
    summary.refusal =
        Error{Errc::invalid,
              "column " + totals.column + ": the largest amount, " +
                  format_amount(totals.most, currency) + ", is above the campaign's maximum of " +
                  format_amount(*campaign.amount_max_minor, currency),
              "is --amount-unit right?  major is for 12.50, minor for 1250"};
    return;
  }
}

Result<void> seal(Session& session, const ImportOptions& options, const store::CampaignRow* of,
                  const store::ImportRequest& request, ImportedList& imported) {
  ImportWatch watch{session};
  VOUCH_TRY(imported.summary,
            store::import_recipients(request, session.clock(),
                                     [&watch](const auto& progress) { return watch(progress); }));
  if (of != nullptr) refuse_large_amounts(of->definition, imported.summary);
  store::ListRow& list = imported.list;
  const store::ListMeta& meta = imported.summary.meta;
  list.name =
      options.name.empty()
          ? list_name_for(meta.source_name + "-" + meta.digest.substr(0, kNameDigestLetters))
          : options.name;
  list.digest = meta.digest;
  list.accepted = meta.accepted;
  list.rejected = meta.rejected;
  list.duplicates = meta.duplicates;
  list.campaign = of == nullptr ? 0 : of->id;
  list.imported = meta.imported_at;
  list.imported_by = request.importer;
  list.summary_json =
      summary_json(imported.summary,
                   of == nullptr ? std::nullopt : std::optional<plan::Campaign>{of->definition});
  imported.sealed_file = imported.summary.path;
  return {};
}

Json amounts_json(const store::ListMeta& meta, const std::optional<plan::Campaign>& campaign) {
  Json amounts = Json::array();
  const auto columns =
      campaign ? plan::amount_columns(*campaign) : std::vector<plan::AmountColumn>{};
  for (const store::AmountTotals& totals : meta.amounts) {
    std::string currency;
    for (const plan::AmountColumn& column : columns) {
      if (column.column == totals.column) currency = column.currency;
    }
    amounts.push_back({{"column", totals.column},
                       {"currency", currency},
                       {"sum_minor", totals.sum},
                       {"least_minor", totals.least},
                       {"median_minor", totals.median},
                       {"most_minor", totals.most}});
  }
  return amounts;
}

std::string amounts_text(const Json& amounts) {
  std::vector<std::string> parts;
  for (const Json& one : amounts) {
    const auto money = [&](const char* key) {
      return format_amount(one.value(key, std::int64_t{0}), one.value("currency", std::string{}));
    };
    parts.push_back(one.value("column", std::string{}) + ": sum " + money("sum_minor") +
                    ", least " + money("least_minor") + ", median " + money("median_minor") +
                    ", most " + money("most_minor"));
  }
  return join(parts, "; ");
}

Value member(const Json& summary, const char* key) {
  const auto found = summary.find(key);
  if (found == summary.end() || found->is_null()) return {};
  if (found->is_number_integer()) return found->get<std::int64_t>();
  if (found->is_string()) return found->get<std::string>();
  return Value::json(found->dump());
}

}  // namespace

void add_import_arguments(Arguments& arguments, ImportOptions& options) {
  arguments
      .list("--map", "THEIRS=OURS", options.mappings,
            "their column customer_no is our recipient_id: customer_no=recipient_id")
      .option("--encoding", "NAME", options.encoding,
              "gb18030, windows-1252, ...; UTF-8 unless said or a byte order mark says so")
      .option("--delimiter", "WORD", options.delimiter, "comma (unless said), semicolon or tab")
      .one_of("--id-type", options.id_type, {"opaque", "phone"},
              "opaque: blanks are trimmed, nothing else; phone: needs --country")
      .option("--country", "CC", options.country, "of phone numbers without one: DE, CN")
      .one_of("--amount-unit", options.amount_unit, {"major", "minor"},
              "major: 12.50; minor: 1250; required where an amount comes from a column")
      .one_of("--on-error", options.on_error, {"stop", "skip"},
              "skip: import the good rows; stop: all or nothing (unless said)")
      .option("--max-rejects", "PERCENT", options.max_rejects,
              "with --on-error skip: refuse the file when more rows are wrong: 3%")
      .option("--rejects", "FILE", options.rejects_file,
              "write the refused rows to FILE, to be mended and imported again")
      .flag("--again", options.again, "import content that is there under another name");
}

Result<ImportedList> seal_list(Session& session, const ImportOptions& options,
                               DryRunSeals dry_run_seals) {
  if (!options.name.empty()) VOUCH_CHECK(plan::check_name("list", options.name));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  std::optional<store::CampaignRow> campaign;
  if (!options.campaign.empty()) {
    VOUCH_TRY(campaign, control->campaign(options.campaign));
  }
  VOUCH_TRY(store::ImportRequest request, request_of(options, campaign));
  VOUCH_CHECK(store::check_request(request));
  VOUCH_TRY(request.secret, control->recipient_secret());
  request.recipients_folder = session.paths().recipients();
  request.importer = actor.operator_name;

  ImportedList imported;
  if (actor.dry_run && dry_run_seals == DryRunSeals::in_scratch) {
    VOUCH_TRY(imported.scratch, store::ImportFolder::create(session.paths().recipients()));
    request.recipients_folder = imported.scratch->path();
  } else {
    request.dry_run = actor.dry_run;
  }
  VOUCH_CHECK(seal(session, options, campaign ? &*campaign : nullptr, request, imported));
  if (imported.summary.refusal) discard_list(session, imported);
  return imported;
}

Result<void> register_list(Session& session, const ImportOptions& options, ImportedList& imported) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  // A header alone is the same content every day; nobody is given anything twice by it.
  const bool again = options.again || imported.list.accepted == 0;
  auto listed = control->register_list(actor, imported.list, again, session.random());
  if (!listed) {
    discard_list(session, imported);
    return tl::unexpected<Error>(listed.error());
  }
  imported.existed = listed->imported < actor.now;
  imported.list = std::move(*listed);
  // Another import of the same content may have taken its file away just before.
  if (!actor.dry_run && !path_exists(session.paths().list_file(imported.list.digest))) {
    return fail(Errc::busy, "another import of the same content was undone at this moment",
                "run the same line again");
  }
  return {};
}

void discard_list(Session& session, const ImportedList& imported) {
  if (session.dry_run() || imported.summary.was_sealed_before) return;
  const auto control = session.control();
  if (!control) return;
  const std::string& digest = imported.list.digest;
  const auto known = (*control)->list_by_digest(digest);
  if (known && !*known) (void)std::remove(session.paths().list_file(digest).c_str());
}

void tell_findings(Session& session, const ImportedList& imported) {
  const store::ImportSummary& summary = imported.summary;
  Output& out = session.out();
  for (const std::string& warning : summary.warnings) out.warn(warning);
  if (!out.is_for_people()) return;
  for (const store::RejectedRow& row : summary.first_rejects) {
    out.note("line " + std::to_string(row.line) + ": " +
             (row.column.empty() ? "" : row.column + ": ") + row.message + " (" + row.code + ")");
  }
  const std::int64_t more =
      summary.meta.rejected - static_cast<std::int64_t>(summary.first_rejects.size());
  if (more > 0) out.note("and " + format_count(more) + " more refused rows");
  if (summary.first_duplicates.empty()) return;
  const store::DuplicateRow& first = summary.first_duplicates.front();
  const bool one = summary.meta.duplicates == 1;
  std::string words = format_count(summary.meta.duplicates) +
                      (one ? " duplicate, at line " : " duplicates, the first at line ") +
                      std::to_string(first.line) + ", whose recipient stands on line " +
                      std::to_string(first.first_line) + " already";
  if (summary.meta.conflicting > 0) {
    words += "; other amounts or attributes in " + format_count(summary.meta.conflicting);
  }
  out.note(words);
}

std::string summary_json(const store::ImportSummary& summary,
                         const std::optional<plan::Campaign>& campaign) {
  const store::ListMeta& meta = summary.meta;
  Json codes = Json::object();
  for (const auto& [code, count] : summary.rejects_by_code) codes[code] = count;
  Json columns = Json::array();
  for (const store::ListColumn& column : meta.columns) columns.push_back(column.name);
  const Json out{{"rows", meta.rows},
                 {"accepted", meta.accepted},
                 {"rejected", meta.rejected},
                 {"rejects_by_code", codes},
                 {"duplicates", meta.duplicates},
                 {"conflicting", meta.conflicting},
                 {"amounts", amounts_json(meta, campaign)},
                 {"columns", columns},
                 {"id_type", meta.id_type},
                 {"encoding", meta.encoding},
                 {"source", meta.source_name},
                 {"warnings", summary.warnings},
                 {"took_ms", summary.took.count()}};
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Record record_of(const store::ListRow& list, const std::string& campaign, bool for_people) {
  const Json parsed = Json::parse(list.summary_json, nullptr, false);
  const Json summary = parsed.is_object() ? parsed : Json::object();
  Record record = {{"name", "Name", list.name}, {"id", "Id", Value{}, Shown::wide}};
  if (list.id != 0) record[1].value = format_id(ObjectKind::list, list.id);
  record.push_back({"campaign", "Campaign", campaign});
  record.push_back({"rows", "Rows", member(summary, "rows")});
  record.push_back({"accepted", "Accepted", list.accepted});
  record.push_back({"rejected", "Rejected",
                    Value{list.rejected}.tone(list.rejected > 0 ? Tone::warn : Tone::plain)});
  record.push_back({"rejects_by_code", "Reasons", Value{}, Shown::wide});
  if (!for_people || list.rejected > 0) record.back().value = member(summary, "rejects_by_code");
  record.push_back({"duplicates", "Duplicates", list.duplicates});
  record.push_back({"conflicting", "Conflicting", member(summary, "conflicting")});
  const Json amounts = summary.value("amounts", Json::array());
  record.push_back({"amounts", "Amounts",
                    for_people ? Value{amounts_text(amounts)} : Value::json(amounts.dump())});
  record.push_back({"columns", "Columns", member(summary, "columns"), Shown::wide});
  record.push_back({"id_type", "Id type", member(summary, "id_type"), Shown::wide});
  record.push_back({"encoding", "Encoding", member(summary, "encoding"), Shown::wide});
  record.push_back({"source", "Source", member(summary, "source")});
  record.push_back({"digest", "Digest", list.digest});
  record.push_back({"imported_at", "Imported", list.imported});
  record.push_back({"imported_by", "By", list.imported_by, Shown::wide});
  record.push_back({"took_ms", "Took", Value{}});
  if (const auto took = summary.find("took_ms"); took != summary.end()) {
    record.back().value = Value::duration(Millis{took->get<std::int64_t>()});
  }
  record.push_back({"warnings", "Warnings", Value{}, Shown::wide});
  const Json warnings = summary.value("warnings", Json::array());
  if (!for_people || !warnings.empty()) record.back().value = Value::json(warnings.dump());
  record.push_back({"deleted_at", "Deleted", Value{list.deleted}});
  return record;
}

std::string list_name_for(std::string_view text) {
  std::string name;
  for (const char c : lower_ascii(text)) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      (!name.empty() && (c == '.' || c == '_' || c == '-'));
    if (fits) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  if (name == text && name.size() <= kNameBytesMax) return name;
  const std::string tail = hex(sha256_128(text)).substr(0, kNameDigestLetters);
  if (name.empty()) name = "list";
  name.resize(std::min(name.size(), kNameBytesMax - tail.size() - 1));
  return name + "-" + tail;
}

}  // namespace vouch::cli
