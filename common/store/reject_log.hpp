// reject_log.hpp: the refused rows of one import: counted, kept for the sealed list, and written
// to the operator's rejects file, which can be mended and imported again.
//
// The rejects file has the partner's columns behind two of ours, vouch_line and vouch_error, which
// an import passes over.  It is UTF-8 with a byte order mark, and separated like the partner's
// file, so that the same command line reads it.
//
// Threads: one at a time.
// Errors:  io; not_permitted when the rejects file cannot be written.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/result.hpp"
#include "common/store/column_plan.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/recipient_checks.hpp"
#include "common/store/sealed_list_writer.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::store {

class RejectLog {
 public:
  // `folder` is for temporary files.  Both `plan` and `request` must outlive the log.
  [[nodiscard]] static Result<RejectLog> create(const std::string& folder, const ColumnPlan& plan,
                                                const ImportRequest& request);

  RejectLog(RejectLog&&) noexcept = default;
  RejectLog& operator=(RejectLog&&) noexcept = delete;
  // Removes a rejects file that was not completed.
  ~RejectLog();

  // Returns the row's fields as they are kept, packed; valid until the next call.
  [[nodiscard]] Result<std::string_view> add(const CsvRecord& record, const Refusal& refusal);

  // Completes the rejects file.  Ends adding.
  [[nodiscard]] Result<void> finish();
  // After finish().
  [[nodiscard]] Result<void> copy_to(SealedListWriter& writer) const;

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t count_of(RejectCode code) const {
    return counts_[static_cast<std::size_t>(code)];
  }
  [[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> counts() const;
  [[nodiscard]] const std::vector<RejectedRow>& first() const { return first_; }

 private:
  RejectLog(SpoolFile spool, const ColumnPlan& plan, const ImportRequest& request);
  void keep_fields(const CsvRecord& record);
  [[nodiscard]] Result<void> begin_file();
  [[nodiscard]] Result<void> write_row(std::int64_t line, const Refusal& refusal);

  const ColumnPlan* plan_;
  const ImportRequest* request_;
  SpoolFile spool_;
  FileDescriptor file_;  // the rejects file, under its temporary name; not open without one
  std::string file_text_;
  std::vector<std::string> fields_;  // of the present row
  std::string packed_;               // the same
  std::int64_t size_ = 0;
  std::array<std::int64_t, kRejectCodes> counts_{};
  std::vector<RejectedRow> first_;
};

}  // namespace vouch::store
