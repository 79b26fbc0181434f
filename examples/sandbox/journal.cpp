#include "examples/sandbox/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/text.hpp"

namespace vouch::sandbox {
namespace {

constexpr std::size_t kLineBytesMax = 16 * 1024;
constexpr std::size_t kReadBytes = 256 * 1024;

tl::unexpected<Error> io_failure(const std::string& path, std::string_view what) {
  return fail(Errc::io, path + ": " + std::string{what} + ": " + std::strerror(errno));
}

// The fields of a line, unquoted.
Result<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) return fail(Errc::corrupt, "a quote is not closed");
  return fields;
}

Result<Digest128> parse_digest(std::string_view text) {
  VOUCH_TRY(const std::string bytes, from_hex(text));
  Digest128 digest{};
  if (bytes.size() != digest.size()) return fail(Errc::corrupt, "body_digest: wrong length");
  std::memcpy(digest.data(), bytes.data(), digest.size());
  return digest;
}

Result<WallTime> parse_time_ms(std::string_view text) {
  VOUCH_TRY(const std::int64_t ms, parse_integer(text));
  return from_ms(ms);
}

class LineWriter {
 public:
  LineWriter& text(std::string_view field) {
    if (!line_.empty()) line_ += ',';
    append_csv_field(line_, field);
    return *this;
  }
  LineWriter& number(std::int64_t value) { return text(std::to_string(value)); }
  std::string end() {
    line_ += '\n';
    return std::move(line_);
  }

 private:
  std::string line_;
};

}  // namespace

void append_csv_field(std::string& out, std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += c;
    out += c;
  }
  out += '"';
}

std::string format_execution(const Execution& execution) {
  const Call& call = execution.call;
  LineWriter line;
  line.number(to_ms(execution.time)).text(execution.reference).text(call.request_id);
  line.text(call.key).text(call.recipient_id).text(call.campaign).text(call.item);
  line.text(call.amount_minor ? std::to_string(*call.amount_minor) : "").text(call.currency);
  line.text(std::to_string(call.connection)).text(hex(call.body_digest));
  line.text(call.code);
  return line.end();
}

std::string format_refusal(const RefusalRecord& record) {
  const Call& call = record.call;
  LineWriter line;
  line.number(to_ms(record.time)).text(call.request_id).text(call.key).text(call.recipient_id);
  line.number(record.refusal.status).text(record.refusal.code).text(record.refusal.message);
  line.text(hex(call.body_digest));
  return line.end();
}

Result<Execution> parse_execution(std::string_view line) {
  VOUCH_TRY(std::vector<std::string> fields, split_csv(line));
  if (fields.size() != 12) return fail(Errc::corrupt, "a journal line must have 12 fields");
  Execution execution;
  Call& call = execution.call;
  VOUCH_TRY(execution.time, parse_time_ms(fields[0]));
  execution.reference = std::move(fields[1]);
  call.request_id = std::move(fields[2]);
  call.key = std::move(fields[3]);
  call.recipient_id = std::move(fields[4]);
  call.campaign = std::move(fields[5]);
  call.item = std::move(fields[6]);
  if (!fields[7].empty()) {
    VOUCH_TRY(call.amount_minor, parse_integer(fields[7]));
  }
  call.currency = std::move(fields[8]);
  VOUCH_TRY(const std::int64_t connection, parse_integer(fields[9]));
  call.connection = static_cast<std::uint64_t>(connection);
  VOUCH_TRY(call.body_digest, parse_digest(fields[10]));
  call.code = std::move(fields[11]);
  call.digest_names();
  return execution;
}

Result<RefusalRecord> parse_refusal(std::string_view line) {
  VOUCH_TRY(std::vector<std::string> fields, split_csv(line));
  if (fields.size() != 8) return fail(Errc::corrupt, "a refusal's line must have 8 fields");
  RefusalRecord record;
  VOUCH_TRY(record.time, parse_time_ms(fields[0]));
  record.call.request_id = std::move(fields[1]);
  record.call.key = std::move(fields[2]);
  record.call.recipient_id = std::move(fields[3]);
  VOUCH_TRY(const std::int64_t status, parse_integer(fields[4]));
  record.refusal.status = static_cast<int>(status);
  record.refusal.code = std::move(fields[5]);
  record.refusal.message = std::move(fields[6]);
  VOUCH_TRY(record.call.body_digest, parse_digest(fields[7]));
  record.call.digest_names();
  return record;
}

AppendedFile::AppendedFile(AppendedFile&& other) noexcept
    : path_{std::move(other.path_)},
      fd_{std::exchange(other.fd_, -1)},
      written_bytes_{other.written_bytes_},
      torn_bytes_{other.torn_bytes_},
      unwritten_{std::move(other.unwritten_)} {}

AppendedFile::~AppendedFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<AppendedFile> AppendedFile::open(const std::string& path, std::string_view header) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return io_failure(path, "open");
  AppendedFile file{path, fd};
  VOUCH_CHECK(file.recover(header));
  return file;
}

Result<void> AppendedFile::recover(std::string_view header) {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) return io_failure(path_, "look at");
  auto size = static_cast<std::uint64_t>(status.st_size);
  // Back to the last line end: a line that is longer than the bound is none of ours.
  while (size > 0) {
    char last = 0;
    if (::pread(fd_, &last, 1, static_cast<off_t>(size - 1)) != 1) return io_failure(path_, "read");
    if (last == '\n') break;
    --size;
    if (++torn_bytes_ > kLineBytesMax) return fail(Errc::corrupt, path_ + ": is no journal");
  }
  if (torn_bytes_ > 0 && ::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    return io_failure(path_, "cut off the torn last line");
  }
  written_bytes_ = size;
  if (size > 0) {
    VOUCH_TRY(const std::string first, line_at(0));
    if (first + "\n" == header) return {};
    return fail(Errc::corrupt, path_ + ": is no journal of this sandbox",
                "choose another --journal-dir");
  }
  append(header);
  VOUCH_CHECK(sync());
  // The file's name must survive a crash like its lines.
  const std::string folder = std::filesystem::path{path_}.parent_path().string();
  const int directory = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY);
  const bool synced = directory >= 0 && ::fsync(directory) == 0;
  if (directory >= 0) ::close(directory);
  if (!synced) return io_failure(folder, "sync");
  return {};
}

std::uint64_t AppendedFile::append(std::string_view line) {
  const std::uint64_t offset = written_bytes_ + unwritten_.size();
  unwritten_ += line;
  return offset;
}

Result<void> AppendedFile::sync() {
  if (unwritten_.empty()) return {};
  std::string_view left = unwritten_;
  auto offset = static_cast<off_t>(written_bytes_);
  while (!left.empty()) {
    const ssize_t n = ::pwrite(fd_, left.data(), left.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return io_failure(path_, "write");
    left.remove_prefix(static_cast<std::size_t>(n));
    offset += n;
  }
  if (::fdatasync(fd_) != 0) return io_failure(path_, "sync");
  written_bytes_ += unwritten_.size();
  unwritten_.clear();
  return {};
}

Result<std::string> AppendedFile::line_at(std::uint64_t offset) const {
  if (offset >= written_bytes_) {
    const std::size_t start = offset - written_bytes_;
    const std::size_t end = unwritten_.find('\n', start);
    VOUCH_ASSERT(end != std::string::npos);
    return unwritten_.substr(start, end - start);
  }
  std::string line(512, '\0');
  while (line.size() <= kLineBytesMax) {
    const ssize_t n = ::pread(fd_, line.data(), line.size(), static_cast<off_t>(offset));
    if (n <= 0) return io_failure(path_, "read");
    const std::size_t end = line.find('\n');
    if (end != std::string::npos && end < static_cast<std::size_t>(n)) return line.substr(0, end);
    line.resize(line.size() * 2);
  }
  return fail(Errc::corrupt, path_ + ": a line is too long");
}

Result<void> AppendedFile::read_all(const LineReader& reader) const {
  std::string buffer;
  std::uint64_t buffer_offset = 0;
  bool is_header = true;
  while (buffer_offset + buffer.size() < written_bytes_) {
    const std::size_t kept = buffer.size();
    buffer.resize(kept + kReadBytes);
    const ssize_t n =
        ::pread(fd_, buffer.data() + kept, kReadBytes, static_cast<off_t>(buffer_offset + kept));
    if (n <= 0) return io_failure(path_, "read");
    buffer.resize(kept + static_cast<std::size_t>(n));
    std::size_t start = 0;
    for (std::size_t end = buffer.find('\n'); end != std::string::npos;
         end = buffer.find('\n', start)) {
      const std::string_view line{buffer.data() + start, end - start};
      if (!is_header) VOUCH_CHECK(reader(buffer_offset + start, line));
      is_header = false;
      start = end + 1;
    }
    buffer.erase(0, start);
    buffer_offset += start;
  }
  return {};
}

}  // namespace vouch::sandbox
