#include "common/store/code_importer.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "common/files.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/csv_writer.hpp"
#include "common/store/import_folder.hpp"
#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnfinishedName = "segment.db";
constexpr std::int64_t kObserveRows = 50'000;
constexpr std::size_t kRefusedRunBytes = std::size_t{1024} * 1024;

std::string_view as_text(const Digest256& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

// One import; run() names its steps in their order.
class CodeImport {
 public:
  CodeImport(const PoolPlace& place, const CodeImportRequest& request)
      : place_{place}, request_{request} {}
  [[nodiscard]] Result<CodeImportSummary> run();

 private:
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> find_column();
  [[nodiscard]] Result<void> read_rows();
  [[nodiscard]] Result<void> take_row(const CsvRecord& record);
  [[nodiscard]] bool was_imported();
  [[nodiscard]] Result<void> seal();
  [[nodiscard]] Result<void> compare(CodeSegmentWriter& writer);
  [[nodiscard]] Result<void> refuse(std::int64_t line, std::string_view word,
                                    std::string_view message, std::string_view code);
  [[nodiscard]] Result<void> tell_refused();
  void judge();

  const PoolPlace& place_;
  const CodeImportRequest& request_;
  std::optional<ImportFolder> folder_;  // goes last: the others' files are in it
  std::unique_ptr<CsvReader> reader_;
  std::unique_ptr<CodeMerge> merge_;
  std::unique_ptr<ExternalSort> refused_;  // by line
  std::size_t column_ = 0;
  std::size_t columns_ = 0;
  Sha256 hash_;
  CodeImportSummary summary_;
};

Result<CodeImportSummary> CodeImport::run() {
  VOUCH_CHECK(open());
  VOUCH_CHECK(read_rows());
  if (was_imported()) return std::move(summary_);
  VOUCH_CHECK(seal());
  return std::move(summary_);
}

Result<void> CodeImport::open() {
  VOUCH_TRY(InputFile input, InputFile::open(request_.input));
  VOUCH_TRY(TextDecoder decoder, TextDecoder::open(std::move(input), request_.encoding));
  reader_ = std::make_unique<CsvReader>(std::move(decoder), request_.delimiter);
  summary_.source =
      request_.input == "-" ? "standard input" : fs::path{request_.input}.filename().string();
  VOUCH_CHECK(find_column());
  VOUCH_TRY(folder_, ImportFolder::create(place_.folder));
  remove_unknown_segments(place_);
  merge_ = std::make_unique<CodeMerge>(folder_->path(), place_.random, place_.run_bytes);
  refused_ = std::make_unique<ExternalSort>(
      ExternalSort::Options{.folder = folder_->path(), .run_bytes = kRefusedRunBytes});
  return {};
}

Result<void> CodeImport::find_column() {
  VOUCH_TRY(const bool has_header, reader_->next());
  const std::string name = name_of_input(request_.input);
  if (!has_header || reader_->record().fault != CsvFault::none) {
    return fail(
        Errc::invalid, name + ": has no header",
        "the first line must name the columns, one of them \"" + std::string{kCodeColumn} + "\"");
  }
  const auto fields = reader_->record().fields;
  columns_ = fields.size();
  const auto is_wanted = [&](std::string_view field) {
    return trim_blanks(field) == request_.code_column;
  };
  if (std::ranges::count_if(fields, is_wanted) == 1) {
    column_ = static_cast<std::size_t>(std::ranges::find_if(fields, is_wanted) - fields.begin());
    return {};
  }
  return fail(Errc::invalid,
              name + ": has no column, or more than one, called \"" + request_.code_column + "\"",
              "name the partner's column: --map THEIRS=code");
}

// Why the field is no code; empty when it is one.
std::pair<std::string_view, std::string_view> fault_of(std::string_view code) {
  if (code.empty()) return {"code_empty", "the code is missing"};
  if (code.size() > kCodeBytesMax) return {"code_too_long", "longer than 128 letters"};
  const bool plain = std::ranges::all_of(code, [](char c) { return c > 0x20 && c < 0x7f; });
  if (plain) return {};
  return {"code_letters", "holds blanks or letters other than those of ASCII"};
}

Result<void> CodeImport::read_rows() {
  hash_.update(as_text(place_.key.content_key()));
  while (true) {
    VOUCH_TRY(const bool more, reader_->next());
    if (!more) break;
    VOUCH_CHECK(take_row(reader_->record()));
    if (++summary_.rows % kObserveRows == 0 && place_.observe) place_.observe(summary_.rows, 0);
  }
  const Digest256 key = place_.key.content_key();
  summary_.content = hex(HmacKey{as_text(key)}.sign_128(as_text(hash_.finish())));
  return {};
}

Result<void> CodeImport::take_row(const CsvRecord& record) {
  if (record.fault != CsvFault::none) {
    return refuse(record.line, "row_shape", "a quote, NUL or length that no CSV has", {});
  }
  if (record.fields.size() != columns_) {
    return refuse(record.line, "column_count",
                  "has " + std::to_string(record.fields.size()) + " fields, the header has " +
                      std::to_string(columns_),
                  {});
  }
  const std::string_view code = trim_blanks(record.fields[column_]);
  std::string row;
  append_text(row, code);
  hash_.update(row);
  wipe(row);
  if (const auto [word, message] = fault_of(code); !word.empty()) {
    return refuse(record.line, word, message, code.substr(0, kCodeBytesMax));
  }
  return merge_->add(code, static_cast<std::uint64_t>(record.line));
}

bool CodeImport::was_imported() {
  for (const PoolSegmentRow& row : place_.pool.segments) {
    if (row.content != summary_.content) continue;
    summary_.was_imported = row.digest;
    summary_.accepted = row.codes;
    return true;
  }
  return false;
}

Result<void> CodeImport::seal() {
  VOUCH_CHECK(add_known_codes(place_, *merge_));
  VOUCH_CHECK(merge_->finish());
  std::optional<SegmentMeta> meta;
  {
    VOUCH_TRY(CodeSegmentWriter writer,
              CodeSegmentWriter::create(folder_->path() + "/" + kUnfinishedName,
                                        format_id(ObjectKind::pool, place_.pool.id), "imported",
                                        place_.key, place_.random, place_.clock.wall_now()));
    VOUCH_CHECK(compare(writer));
    VOUCH_CHECK(tell_refused());
    judge();
    if (summary_.refusal || request_.dry_run) return {};
    VOUCH_TRY(meta, writer.finish());
  }
  VOUCH_CHECK(folder_->publish(kUnfinishedName, meta->digest + ".db"));
  summary_.segment = std::move(meta);
  return {};
}

Result<void> CodeImport::compare(CodeSegmentWriter& writer) {
  while (true) {
    VOUCH_TRY(const bool more, merge_->next());
    if (!more) break;
    const CodeMerge::Item& item = merge_->item();
    if (item.is_new()) {
      VOUCH_CHECK(writer.add(item.code));
      continue;
    }
    const auto line = static_cast<std::int64_t>(item.number);
    if (item.first == 0) {
      VOUCH_CHECK(refuse(line, "in_pool", "the pool has this code already", item.code));
    } else {
      VOUCH_CHECK(refuse(line, "duplicate",
                         "the code stands on line " + std::to_string(item.first) + " already",
                         item.code));
    }
  }
  summary_.accepted = writer.size();
  return {};
}

// The partner's own codes go into the rejects file as they came: it is to be mended.
Result<void> CodeImport::refuse(std::int64_t line, std::string_view word, std::string_view message,
                                std::string_view code) {
  ++summary_.refused;
  std::string packed;
  append_text(packed, word);
  append_text(packed, message);
  append_text(packed, request_.rejects_file.empty() ? std::string_view{} : code);
  return refused_->add({.key = key_of_number(static_cast<std::uint64_t>(line)),
                        .subkey = {},
                        .number = static_cast<std::uint64_t>(line),
                        .payload = packed});
}

Result<void> CodeImport::tell_refused() {
  std::string text = "\xef\xbb\xbf";
  const std::vector<std::string> header{std::string{kRejectLineColumn},
                                        std::string{kRejectErrorColumn}, request_.code_column};
  append_csv_row(text, header, request_.delimiter);
  VOUCH_CHECK(refused_->finish());
  while (true) {
    VOUCH_TRY(const bool more, refused_->next());
    if (!more) break;
    std::string_view rest = refused_->item().payload;
    const std::string word{take_text(rest)};
    const std::string message{take_text(rest)};
    const auto line = static_cast<std::int64_t>(refused_->item().number);
    if (summary_.first_refused.size() < kFirstRejectsMax) {
      summary_.first_refused.push_back({line, word, message});
    }
    if (request_.rejects_file.empty()) continue;
    const std::vector<std::string> fields{std::to_string(line), message,
                                          std::string{take_text(rest)}};
    append_csv_row(text, fields, request_.delimiter);
  }
  if (request_.rejects_file.empty() || summary_.refused == 0) return {};
  return replace_file(request_.rejects_file, text, 0640);
}

void CodeImport::judge() {
  if (summary_.refused > 0 && request_.on_error == OnError::all_or_nothing) {
    const RefusedCode& first = summary_.first_refused.front();
    summary_.refusal = Error{
        Errc::invalid,
        format_count(summary_.refused) + " of " + format_count(summary_.rows) +
            " rows refused, the first at line " + std::to_string(first.line) + ": " + first.message,
        "mend them (--rejects FILE writes them out), or import the good rows with --on-error skip"};
  } else if (summary_.accepted == 0) {
    summary_.refusal =
        Error{Errc::invalid, "no code is left to import", "is it the right file for this pool?"};
  }
}

}  // namespace

Result<CodeImportSummary> import_codes(const PoolPlace& place, const CodeImportRequest& request) {
  return CodeImport{place, request}.run();
}

}  // namespace vouch::store
