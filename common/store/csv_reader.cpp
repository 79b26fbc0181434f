#include "common/store/csv_reader.hpp"

#include <algorithm>
#include <cstring>

namespace vouch::store {
namespace {

// Small enough to stay in the processor's cache between reading and scanning.
constexpr std::size_t kReadBytes = std::size_t{128} * 1024;
// Less room than this in the buffer is not worth a read.
constexpr std::size_t kReadBytesMin = 4096;

bool is_all_ascii(std::string_view text) {
  std::uint64_t seen = 0;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= sizeof seen; at += sizeof seen, left -= sizeof seen) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    seen |= word;
  }
  for (; left > 0; ++at, --left) seen |= static_cast<std::uint8_t>(*at);
  return (seen & 0x8080808080808080) == 0;
}

const char* find_byte(const char* begin, const char* end, char byte) {
  return static_cast<const char*>(std::memchr(begin, byte, static_cast<std::size_t>(end - begin)));
}

}  // namespace

CsvReader::CsvReader(TextDecoder source, char delimiter)
    : source_{std::move(source)}, delimiter_{delimiter}, buffer_(kReadBytes + 1, '\0') {
  for (const char stop : {delimiter, '"', '\r', '\n', '\0'}) {
    stops_unquoted_[static_cast<std::uint8_t>(stop)] = true;
  }
}

Result<bool> CsvReader::next() {
  begin_ = next_;
  line_ += lines_;
  while (true) {
    const Scan scan = scan_record();
    if (scan == Scan::needs_more) {
      VOUCH_CHECK(read_more());
      continue;
    }
    if (scan == Scan::faulty) {
      VOUCH_CHECK(finish_faulty());
      return true;
    }
    const bool is_blank = fields_.size() == 1 && next_ - begin_ <= 2 && fields_[0].empty();
    if (!is_blank || buffer_[begin_] == '"') {
      finish_complete();
      return true;
    }
    if (begin_ == data_size_) return false;  // and not cut off, or it would need more
    begin_ = next_;
    line_ += lines_;
  }
}

CsvReader::Scan CsvReader::found(CsvFault fault) {
  fault_ = fault;
  return Scan::faulty;
}

// Reads one record from begin_, so that fields_, doubled_, lines_ and next_ are its own.
CsvReader::Scan CsvReader::scan_record() {
  fields_.clear();
  doubled_.clear();
  lines_ = 1;
  const char* at = buffer_.data() + begin_;
  while (true) {
    const Scan field = *at == '"' ? scan_quoted(at) : scan_unquoted(at);
    const bool is_too_long =
        static_cast<std::size_t>(at - buffer_.data()) - begin_ > kCsvRecordBytesMax;
    if (field != Scan::faulty && is_too_long) return found(CsvFault::record_too_long);
    if (field != Scan::complete) return field;
    if (*at != delimiter_) break;
    ++at;
  }
  if (at != data_end()) at += *at == '\r' ? 2 : 1;
  next_ = static_cast<std::size_t>(at - buffer_.data());
  return Scan::complete;
}

// Both leave `at` behind the field: on a delimiter, on LF or CR LF, or at the text's end; or, when
// they need more, where they stopped.
CsvReader::Scan CsvReader::scan_unquoted(const char*& at) {
  const char* const start = at;
  while (!stops_unquoted_[static_cast<std::uint8_t>(*at)]) ++at;
  if (*at == '"') return found(CsvFault::stray_quote);
  if (*at == '\0' && at != data_end()) return found(CsvFault::nul_byte);
  if (is_cut_off(at)) return Scan::needs_more;
  if (*at == '\r' && at[1] != '\n') {
    return is_cut_off(at + 1) ? Scan::needs_more : found(CsvFault::carriage_return);
  }
  return push_field(start, at);
}

CsvReader::Scan CsvReader::scan_quoted(const char*& at) {
  const char* const start = at + 1;
  const char* const limit = std::min(
      data_end(), start + std::min<std::ptrdiff_t>(data_end() - start, kCsvFieldBytesMax + 1));
  const char* quote = start;
  bool has_doubled = false;
  while (true) {
    quote = find_byte(quote, limit, '"');
    if (quote == nullptr) {
      at = limit;
      return is_cut_off(limit) ? Scan::needs_more : found(CsvFault::unterminated_quote);
    }
    if (is_cut_off(quote + 1)) return at = quote, Scan::needs_more;
    if (quote[1] != '"') break;
    has_doubled = true;
    quote += 2;
    if (quote > limit) return found(CsvFault::unterminated_quote);
  }
  at = quote + 1;
  if (find_byte(start, quote, '\0') != nullptr) return found(CsvFault::nul_byte);
  if (*at == '\r' && at[1] != '\n') {
    return is_cut_off(at + 1) ? Scan::needs_more : found(CsvFault::carriage_return);
  }
  const bool is_end = at == data_end() || *at == delimiter_ || *at == '\n' || *at == '\r';
  if (!is_end) return found(CsvFault::stray_quote);
  lines_ += std::count(start, quote, '\n');
  if (has_doubled) doubled_.push_back(fields_.size());
  return push_field(start, quote);
}

CsvReader::Scan CsvReader::push_field(const char* begin, const char* end) {
  const auto size = static_cast<std::size_t>(end - begin);
  if (size > kCsvFieldBytesMax) return found(CsvFault::field_too_long);
  if (fields_.size() == kCsvColumnsMax) return found(CsvFault::too_many_columns);
  fields_.emplace_back(begin, size);
  return Scan::complete;
}

void CsvReader::finish_complete() {
  record_.is_ascii = is_all_ascii(std::string_view{buffer_}.substr(begin_, next_ - begin_));
  // Only now: a record found faulty or cut off is read again from the untouched text.
  for (const std::size_t number : doubled_) {
    char* const begin = buffer_.data() + (fields_[number].data() - buffer_.data());
    char* out = begin;
    for (const char* in = begin; in < begin + fields_[number].size(); ++in) {
      *out++ = *in;
      if (*in == '"') ++in;
    }
    fields_[number] = {begin, static_cast<std::size_t>(out - begin)};
  }
  record_.line = line_;
  record_.fields = fields_;
  record_.fault = CsvFault::none;
}

// The record's first physical line becomes its fields, and the next record begins behind it.
Result<void> CsvReader::finish_faulty() {
  record_.line = line_;
  record_.fault = fault_;
  record_.fault_column = fields_.size();
  lines_ = 1;
  VOUCH_CHECK(pass_over_line());
  if (faulty_line_.ends_with('\r')) faulty_line_.pop_back();

  record_.is_ascii = is_all_ascii(faulty_line_);
  fields_.clear();
  std::string_view rest = faulty_line_;
  while (fields_.size() < kCsvColumnsMax) {
    const std::size_t size = std::min(rest.find(delimiter_), rest.size());
    fields_.push_back(rest.substr(0, size));
    if (size == rest.size()) break;
    rest.remove_prefix(size + 1);
  }
  record_.fields = fields_;
  return {};
}

// Sets next_ behind the physical line that starts at begin_, however long it is, and keeps the
// line's beginning in faulty_line_.
Result<void> CsvReader::pass_over_line() {
  faulty_line_.clear();
  while (true) {
    const char* const start = buffer_.data() + begin_;
    const char* const lf = find_byte(start, data_end(), '\n');
    const char* const stop = lf != nullptr ? lf : data_end();
    faulty_line_.append(start, std::min(static_cast<std::size_t>(stop - start),
                                        kCsvFieldBytesMax - faulty_line_.size()));
    next_ = static_cast<std::size_t>(stop - buffer_.data()) + (lf != nullptr ? 1 : 0);
    if (lf != nullptr || source_ended_) return {};
    begin_ = data_size_;
    VOUCH_CHECK(read_more());
  }
}

// Keeps the text from begin_ on and fills the buffer behind it.  Fills it whole, however little
// the source gives at a time: each call costs a new scan of the record that was cut off.
Result<void> CsvReader::read_more() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, data_size_ - begin_);
  data_size_ -= begin_;
  begin_ = 0;
  // Grows only while one record is longer than the buffer: at most to the record's limit.
  if (buffer_.size() - data_size_ <= kReadBytes / 2) buffer_.resize(buffer_.size() + kReadBytes);
  while (!source_ended_ && buffer_.size() - 1 - data_size_ >= kReadBytesMin) {
    VOUCH_TRY(const std::size_t n,
              source_.read({buffer_.data() + data_size_, buffer_.size() - 1 - data_size_}));
    source_ended_ = n == 0;
    data_size_ += n;
  }
  buffer_[data_size_] = '\0';
  return {};
}

}  // namespace vouch::store
