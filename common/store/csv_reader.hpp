// csv_reader.hpp: records of a CSV text (RFC 4180), one at a time, in flat memory.
//
// Strict where leniency would guess: a stray or unterminated quote, a bare carriage return or a
// NUL byte makes a record faulty, and so does one beyond the limits below.  A faulty record is
// told with its line and reading goes on at the next physical line, so that one forgotten quote
// cannot swallow the rows behind it.  Lines of no bytes at all are passed over.
//
// Threads: one at a time.
// Units:   line numbers are physical lines (ended by LF), the first is 1; a record has the number
//          of the line where it starts.
// Errors:  those of the source, TextDecoder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/store/text_decoder.hpp"

namespace vouch::store {

inline constexpr std::size_t kCsvFieldBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kCsvRecordBytesMax = std::size_t{1024} * 1024;
inline constexpr std::size_t kCsvColumnsMax = 1000;

enum class CsvFault : std::uint8_t {
  none,
  stray_quote,         // a quote inside an unquoted field, or text behind a closing one
  unterminated_quote,  // no closing quote up to the end of the file or within a field's limit
  carriage_return,     // CR that no LF follows
  nul_byte,
  field_too_long,
  record_too_long,
  too_many_columns,
};

// Valid until the next record is read.
struct CsvRecord {
  std::int64_t line = 0;
  // Quotes undone.  Of a faulty record: its first physical line, cut at delimiters only, quotes
  // left as they are, and shortened to kCsvFieldBytesMax in all.
  std::span<const std::string_view> fields;
  CsvFault fault = CsvFault::none;
  std::size_t fault_column = 0;  // from 0
  bool is_ascii = false;         // else the fields may be no valid UTF-8
};

class CsvReader {
 public:
  CsvReader(TextDecoder source, char delimiter);

  // Reads the next record; false at the end.
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] const CsvRecord& record() const { return record_; }
  [[nodiscard]] const TextDecoder& source() const { return source_; }

 private:
  enum class Scan : std::uint8_t { complete, faulty, needs_more };

  [[nodiscard]] Scan scan_record();
  [[nodiscard]] Scan scan_unquoted(const char*& at);
  [[nodiscard]] Scan scan_quoted(const char*& at);
  [[nodiscard]] Scan push_field(const char* begin, const char* end);
  [[nodiscard]] Scan found(CsvFault fault);
  [[nodiscard]] const char* data_end() const { return buffer_.data() + data_size_; }
  // True where `at` is the end of what was read, but not of the text.
  [[nodiscard]] bool is_cut_off(const char* at) const { return at == data_end() && !source_ended_; }
  void finish_complete();
  [[nodiscard]] Result<void> finish_faulty();
  [[nodiscard]] Result<void> pass_over_line();
  [[nodiscard]] Result<void> read_more();

  TextDecoder source_;
  char delimiter_;
  bool stops_unquoted_[256] = {};  // bytes that end the scan of an unquoted field

  std::string buffer_;  // data_size_ bytes of text, then a NUL that ends every scan
  std::size_t data_size_ = 0;
  std::size_t begin_ = 0;  // of the record being read
  std::size_t next_ = 0;   // of the record after it
  bool source_ended_ = false;

  std::int64_t line_ = 1;   // of the record at begin_
  std::int64_t lines_ = 0;  // which it spans
  std::vector<std::string_view> fields_;
  std::vector<std::size_t> doubled_;  // numbers of the fields that hold doubled quotes
  CsvFault fault_ = CsvFault::none;
  std::string faulty_line_;  // what record_.fields of a faulty record point into
  CsvRecord record_;
};

}  // namespace vouch::store
