#include "common/store/reject_log.hpp"

#include <cstdio>

#include "common/store/csv_writer.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
// A varint in a field of fixed width, so that it can be read without knowing where it ends.
constexpr std::size_t kEntrySizeBytes = 8;
constexpr std::size_t kFileBufferBytes = std::size_t{64} * 1024;
// Longer rows are not shown at once; they are in the list and the file.
constexpr std::size_t kShownRowBytesMax = 4096;

std::string partial_name(const ImportRequest& request) {
  return request.rejects_file + ".partial";
}

}  // namespace

RejectLog::RejectLog(SpoolFile spool, const ColumnPlan& plan, const ImportRequest& request)
    : plan_{&plan}, request_{&request}, spool_{std::move(spool)} {}

Result<RejectLog> RejectLog::create(const std::string& folder, const ColumnPlan& plan,
                                    const ImportRequest& request) {
  VOUCH_TRY(SpoolFile spool, SpoolFile::create(folder));
  RejectLog log{std::move(spool), plan, request};
  if (!request.rejects_file.empty()) VOUCH_CHECK(log.begin_file());
  return log;
}

RejectLog::~RejectLog() {
  if (file_.is_open()) std::remove(partial_name(*request_).c_str());
}

Result<void> RejectLog::begin_file() {
  VOUCH_TRY(file_, open_to_write(partial_name(*request_)));
  std::vector<std::string> names{std::string{kRejectLineColumn}, std::string{kRejectErrorColumn}};
  for (const ListColumn& column : plan_->kept()) names.push_back(column.name);
  file_text_ = kByteOrderMark;
  append_csv_row(file_text_, names, request_->delimiter);
  return {};
}

// A row of another length than the header's keeps all it has: which field is missing or too many
// is for a person to see.
void RejectLog::keep_fields(const CsvRecord& record) {
  fields_.clear();
  packed_.clear();
  for (std::size_t i = 0; i < record.fields.size(); ++i) {
    if (i < plan_->columns.size() && plan_->is_ignored[i]) continue;
    fields_.push_back(record.is_ascii ? std::string{record.fields[i]}
                                      : replace_undecodable(record.fields[i]));
    append_field(packed_, fields_.back());
  }
}

Result<std::string_view> RejectLog::add(const CsvRecord& record, const Refusal& refusal) {
  ++size_;
  ++counts_[static_cast<std::size_t>(refusal.code)];
  keep_fields(record);
  std::string entry;
  append_varint(entry, static_cast<std::uint64_t>(record.line));
  append_text(entry, refusal.column);
  append_text(entry, reject_name(refusal.code));
  append_text(entry, refusal.message);
  append_text(entry, packed_);
  std::string size;
  append_varint(size, entry.size());
  size.resize(kEntrySizeBytes, '\0');
  VOUCH_CHECK(spool_.append(size));
  VOUCH_CHECK(spool_.append(entry));
  if (first_.size() < kFirstRejectsMax) {
    first_.push_back(
        {record.line, refusal.column, std::string{reject_name(refusal.code)}, refusal.message, {}});
    if (packed_.size() <= kShownRowBytesMax) first_.back().fields = fields_;
  }
  if (file_.is_open()) VOUCH_CHECK(write_row(record.line, refusal));
  return std::string_view{packed_};
}

Result<void> RejectLog::write_row(std::int64_t line, const Refusal& refusal) {
  std::string error = refusal.column.empty() ? "" : refusal.column + ": ";
  error += refusal.message;
  fields_.insert(fields_.begin(), {std::to_string(line), std::move(error)});
  append_csv_row(file_text_, fields_, request_->delimiter);
  if (file_text_.size() < kFileBufferBytes) return {};
  VOUCH_CHECK(write_all(file_, file_text_, partial_name(*request_)));
  file_text_.clear();
  return {};
}

Result<void> RejectLog::finish() {
  VOUCH_CHECK(spool_.flush());
  if (!file_.is_open()) return {};
  const std::string partial = partial_name(*request_);
  VOUCH_CHECK(write_all(file_, file_text_, partial));
  file_ = FileDescriptor{};
  if (std::rename(partial.c_str(), request_->rejects_file.c_str()) != 0) {
    return system_error(request_->rejects_file, errno, "create");
  }
  return {};
}

Result<void> RejectLog::copy_to(SealedListWriter& writer) const {
  SpoolReader reader{spool_};
  while (true) {
    VOUCH_TRY(std::string_view head, reader.view(kEntrySizeBytes));
    if (head.empty()) return {};
    head = head.substr(0, kEntrySizeBytes);
    const std::uint64_t size = take_varint(head);
    reader.skip(kEntrySizeBytes);
    VOUCH_TRY(std::string_view entry, reader.view(size));
    entry = entry.substr(0, size);
    SealedListWriter::Reject reject;
    reject.line = static_cast<std::int64_t>(take_varint(entry));
    reject.column = take_text(entry);
    reject.code = take_text(entry);
    reject.message = take_text(entry);
    reject.fields = take_text(entry);
    VOUCH_CHECK(writer.add_reject(reject));
    reader.skip(size);
  }
}

std::vector<std::pair<std::string, std::int64_t>> RejectLog::counts() const {
  std::vector<std::pair<std::string, std::int64_t>> counts;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    counts.emplace_back(reject_name(static_cast<RejectCode>(i)), counts_[i]);
  }
  return counts;
}

}  // namespace vouch::store
