#include "common/store/list_importer.hpp"

#include <filesystem>
#include <memory>

#include "common/failpoint.hpp"
#include "common/identity.hpp"
#include "common/store/column_plan.hpp"
#include "common/store/content_digest.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/external_sort.hpp"
#include "common/store/import_folder.hpp"
#include "common/store/list_merge.hpp"
#include "common/store/recipient_checks.hpp"
#include "common/store/reject_log.hpp"
#include "common/store/sealed_list_writer.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kObserveRows = 20'000;
constexpr const char* kUnfinishedName = "list.db";

std::string count_of_rows(std::int64_t count) {
  return format_count(count) + (count == 1 ? " row" : " rows");
}

// Somebody who mends a rejects file and imports it with the same command would lose it.
// The file of rejects takes its name by a rename: a device of that name would be gone.
Result<void> check_rejects_file(const ImportRequest& request) {
  const std::string& path = request.rejects_file;
  std::error_code ignored;  // such as that one of them does not exist
  if (path.empty() || !fs::exists(path, ignored)) return {};
  if (!fs::is_regular_file(path, ignored)) {
    return fail(Errc::usage, path + ": is no plain file, and would be replaced",
                "name a new file for the rejects; `vouchctl recipients rejects` prints them");
  }
  if (!fs::equivalent(request.input, path, ignored)) return {};
  return fail(Errc::usage, path + ": is the input, and would be overwritten",
              "name another file for the rejects");
}

// One import; run() names its steps in their order.
class Import {
 public:
  Import(const ImportRequest& request, const Clock& clock, const ImportObserver& observer)
      : request_{request}, clock_{clock}, observer_{observer}, keys_{request.secret} {}

  [[nodiscard]] Result<ImportSummary> run();

 private:
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> read_rows();
  [[nodiscard]] Result<void> accept(const RowChecker& row, std::int64_t line);
  [[nodiscard]] Result<void> reject(const CsvRecord& record, const Refusal& refusal);
  void describe();
  void refuse_for_rejects();
  void refuse_for_few();
  [[nodiscard]] Result<bool> find_sealed();
  [[nodiscard]] Result<void> merge_and_seal();
  [[nodiscard]] Result<void> merge(SealedListWriter* writer);
  [[nodiscard]] Result<void> observe(ImportProgress::Phase phase, std::int64_t rows) const;
  [[nodiscard]] std::string sealed_name() const { return summary_.meta.digest + ".db"; }

  const ImportRequest& request_;
  const Clock& clock_;
  const ImportObserver& observer_;
  RecipientKeys keys_;
  ColumnPlan plan_;
  std::optional<ImportFolder> folder_;  // goes last: the others' files are in it
  std::unique_ptr<CsvReader> reader_;
  std::optional<RejectLog> rejects_;
  std::optional<ContentDigest> digest_;
  std::unique_ptr<ExternalSort> sort_;  // accepted rows, by recipient key
  ImportSummary summary_;
};

Result<ImportSummary> Import::run() {
  const Instant start = clock_.now();
  VOUCH_CHECK(open());
  VOUCH_CHECK(read_rows());
  describe();
  refuse_for_rejects();
  VOUCH_TRY(const bool is_sealed, find_sealed());
  if (!is_sealed) VOUCH_CHECK(merge_and_seal());
  refuse_for_few();
  if (summary_.refusal || request_.dry_run) summary_.path.clear();
  summary_.took = std::chrono::duration_cast<Millis>(clock_.now() - start);
  return std::move(summary_);
}

Result<void> Import::open() {
  VOUCH_CHECK(check_request(request_));
  VOUCH_CHECK(check_rejects_file(request_));
  VOUCH_TRY(InputFile input, InputFile::open(request_.input));
  VOUCH_TRY(TextDecoder decoder, TextDecoder::open(std::move(input), request_.encoding));
  reader_ = std::make_unique<CsvReader>(std::move(decoder), request_.delimiter);
  VOUCH_TRY(const bool has_header, reader_->next());
  if (!has_header) {
    return fail(Errc::invalid, name_of_input(request_.input) + ": is empty",
                "the first line must name the columns; a header alone is a list of no rows");
  }
  auto plan = plan_columns(reader_->record(), request_);
  if (!plan) return within(name_of_input(request_.input), std::move(plan).error());
  plan_ = std::move(*plan);

  VOUCH_TRY(folder_, ImportFolder::create(request_.recipients_folder));
  VOUCH_TRY(RejectLog rejects, RejectLog::create(folder_->path(), plan_, request_));
  rejects_.emplace(std::move(rejects));
  digest_.emplace(plan_, request_);
  ExternalSort::Options options{.folder = folder_->path()};
  if (request_.run_bytes > 0) options.run_bytes = request_.run_bytes;
  sort_ = std::make_unique<ExternalSort>(std::move(options));
  return {};
}

Result<void> Import::read_rows() {
  RowChecker checker{plan_, request_};
  while (true) {
    VOUCH_TRY(const bool more, reader_->next());
    if (!more) break;
    const CsvRecord& record = reader_->record();
    reach_failpoint("import-row");
    VOUCH_CHECK(checker.check(record) ? accept(checker, record.line)
                                      : reject(record, checker.refusal()));
    if (++summary_.meta.rows % kObserveRows == 0) {
      VOUCH_CHECK(observe(ImportProgress::Phase::reading, summary_.meta.rows));
    }
  }
  summary_.warnings = checker.warnings();
  return rejects_->finish();
}

Result<void> Import::accept(const RowChecker& row, std::int64_t line) {
  digest_->add(ContentDigest::Row::accepted, row.payload());
  return sort_->add({.key = keys_.of(row.recipient_id()),
                     .subkey = row.occurrence(),
                     .number = static_cast<std::uint64_t>(line),
                     .payload = row.payload()});
}

Result<void> Import::reject(const CsvRecord& record, const Refusal& refusal) {
  VOUCH_TRY(const std::string_view fields, rejects_->add(record, refusal));
  digest_->add(ContentDigest::Row::refused, fields);
  return {};
}

Result<void> Import::observe(ImportProgress::Phase phase, std::int64_t rows) const {
  if (!observer_) return {};
  const InputFile& input = reader_->source().input();
  const bool is_sealing = phase == ImportProgress::Phase::sealing;
  const std::int64_t total = is_sealing ? static_cast<std::int64_t>(sort_->size()) : 0;
  const bool go_on = observer_({.phase = phase,
                                .rows = rows,
                                .rows_total = total,
                                .bytes = input.bytes_read(),
                                .bytes_total = input.bytes_total()});
  if (!go_on) return fail(Errc::failure, "the import was stopped", "nothing was sealed");
  return {};
}

// What is known when the last row has been read.
void Import::describe() {
  ListMeta& meta = summary_.meta;
  meta.digest = digest_->finish();
  meta.rejected = rejects_->size();
  meta.columns = plan_.kept();
  meta.id_type = id_type_name(request_);
  meta.amount_unit = amount_unit_name(request_);
  meta.encoding = reader_->source().encoding();
  meta.delimiter = request_.delimiter;
  meta.source_name = request_.source_name;
  if (meta.source_name.empty()) {
    meta.source_name =
        request_.input == "-" ? "standard input" : fs::path{request_.input}.filename().string();
  }
  meta.importer = request_.importer;
  meta.imported_at = clock_.wall_now();
  summary_.rejects_by_code = rejects_->counts();
  summary_.first_rejects = rejects_->first();
  if (const auto undecodable = rejects_->count_of(RejectCode::undecodable); undecodable > 0) {
    summary_.warnings.push_back("bytes that are no " + meta.encoding + " in " +
                                count_of_rows(undecodable) + ": is the file in another encoding " +
                                "(--encoding gb18030, windows-1252)?");
  }
}

void Import::refuse_for_rejects() {
  const std::int64_t rejected = summary_.meta.rejected;
  const std::int64_t rows = summary_.meta.rows;
  if (rejected == 0) return;
  const std::string how_many = format_count(rejected) + " of " + count_of_rows(rows) + " refused";
  if (request_.on_error == OnError::all_or_nothing) {
    const RejectedRow& first = summary_.first_rejects.front();
    const std::string column = first.column.empty() ? "" : first.column + ": ";
    summary_.refusal = Error{Errc::invalid,
                             how_many + ", the first at line " + std::to_string(first.line) + ": " +
                                 column + first.message,
                             "mend them (--rejects FILE writes them out), or import the good rows "
                             "with --on-error skip"};
    return;
  }
  const double percent = 100.0 * static_cast<double>(rejected) / static_cast<double>(rows);
  if (request_.rejects_percent_max && percent > *request_.rejects_percent_max) {
    summary_.refusal = Error{Errc::invalid, how_many + ", more than --max-rejects allows",
                             "mend them: --rejects FILE writes them out"};
  }
}

void Import::refuse_for_few() {
  if (summary_.refusal || summary_.meta.accepted >= request_.accepted_min) return;
  summary_.refusal = Error{Errc::invalid,
                           count_of_rows(summary_.meta.accepted) + " accepted, but at least " +
                               format_count(request_.accepted_min) + " are wanted (--min-rows)",
                           "is the partner's file complete?"};
}

// True when the same content is sealed already: nothing is left to do but to tell of that list.
Result<bool> Import::find_sealed() {
  const std::string path = request_.recipients_folder + "/" + sealed_name();
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  VOUCH_TRY(SealedList sealed, SealedList::open(path));
  VOUCH_TRY(summary_.first_duplicates, sealed.duplicates(0, static_cast<int>(kFirstDuplicatesMax)));
  summary_.meta = sealed.meta();
  summary_.was_sealed_before = true;
  summary_.path = path;
  return true;
}

Result<void> Import::merge_and_seal() {
  if (summary_.refusal || request_.dry_run) return merge(nullptr);
  const std::string unfinished = folder_->path() + "/" + kUnfinishedName;
  {
    VOUCH_TRY(SealedListWriter writer,
              SealedListWriter::create(unfinished, plan_.amounts.size(), clock_.wall_now()));
    VOUCH_CHECK(merge(&writer));
    refuse_for_few();
    if (summary_.refusal) return {};
    VOUCH_CHECK(rejects_->copy_to(writer));
    VOUCH_CHECK(writer.finish(summary_.meta));
  }
  reach_failpoint("import-sealed");
  VOUCH_CHECK(folder_->publish(kUnfinishedName, sealed_name()));
  reach_failpoint("import-published");
  summary_.path = request_.recipients_folder + "/" + sealed_name();
  return {};
}

// Without a writer the rows are counted and duplicates found all the same: they are told too.
Result<void> Import::merge(SealedListWriter* writer) {
  ListMerge merge{folder_->path(), plan_, request_};
  VOUCH_CHECK(merge.run(*sort_, writer, [this](std::int64_t rows) {
    return observe(ImportProgress::Phase::sealing, rows);
  }));
  merge.describe(summary_.meta);
  summary_.first_duplicates = merge.first_duplicates();
  return {};
}

}  // namespace

Result<ImportSummary> import_recipients(const ImportRequest& request, const Clock& clock,
                                        const ImportObserver& observer) {
  return Import{request, clock, observer}.run();
}

}  // namespace vouch::store
