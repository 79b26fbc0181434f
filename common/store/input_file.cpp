#include "common/store/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace vouch::store {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kHeadBytes = 8;
constexpr std::size_t kCompressedBytes = std::size_t{64} * 1024;
constexpr std::string_view kGzipMagic = "\x1f\x8b"sv;

// What people hand in instead of a CSV file.
struct Foreign {
  std::string_view magic;
  const char* what;
};
constexpr Foreign kForeign[] = {
    {"PK\x03\x04"sv, "a ZIP archive or an Excel workbook (.xlsx)"},
    {"\xd0\xcf\x11\xe0"sv, "an old Excel workbook (.xls)"},
    {"%PDF"sv, "a PDF document"},
    {"\x28\xb5\x2f\xfd"sv, "compressed with zstd"},
    {"\xfd\x37zXZ"sv, "compressed with xz"},
    {"BZh"sv, "compressed with bzip2"},
};

std::int64_t changed_ns(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

struct InputFile::Inflater {
  z_stream stream{};
  std::array<char, kCompressedBytes> input;
  bool member_ended = false;  // at the end of a member; another may follow

  Inflater() {
    // 16: a gzip header is wanted, nothing else.
    VOUCH_ASSERT(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

InputFile::InputFile(FileDescriptor file, std::string name)
    : file_{std::move(file)}, name_{std::move(name)} {}
InputFile::InputFile(InputFile&&) noexcept = default;
InputFile& InputFile::operator=(InputFile&&) noexcept = default;
InputFile::~InputFile() = default;

Result<InputFile> InputFile::open(const std::string& path) {
  const bool is_stdin = path == "-";
  VOUCH_TRY(FileDescriptor file, is_stdin ? open_standard_input() : open_to_read(path));
  InputFile input{std::move(file), name_of_input(path)};
  struct stat status {};
  if (::fstat(input.file_.get(), &status) != 0) return system_error(input.name_, errno, "stat");
  if (S_ISDIR(status.st_mode)) return fail(Errc::invalid, path + ": is a folder, not a file");
  if (S_ISREG(status.st_mode)) {
    input.bytes_total_ = status.st_size;
    input.changed_ns_ = changed_ns(status);
    ::posix_fadvise(input.file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);  // advice: may fail
  }
  VOUCH_CHECK(input.look_at_head());
  return input;
}

Result<void> InputFile::look_at_head() {
  std::array<char, kHeadBytes> bytes;
  while (head_.size() < kHeadBytes) {
    VOUCH_TRY(const std::size_t n,
              read_some(file_, std::span{bytes}.first(kHeadBytes - head_.size()), name_));
    if (n == 0) break;
    head_.append(bytes.data(), n);
  }
  bytes_read_ = static_cast<std::int64_t>(head_.size());
  for (const Foreign& foreign : kForeign) {
    if (!head_.starts_with(foreign.magic)) continue;
    return fail(Errc::invalid, name_ + ": is " + foreign.what + ", not a CSV file",
                "save it as CSV (comma separated, UTF-8), or unpack it first; gzip is understood");
  }
  if (head_.starts_with(kGzipMagic)) inflater_ = std::make_unique<Inflater>();
  return {};
}

Result<std::size_t> InputFile::read_raw(std::span<char> into) {
  if (!head_.empty()) {
    const std::size_t n = std::min(head_.size(), into.size());
    std::copy_n(head_.data(), n, into.data());
    head_.erase(0, n);
    return n;
  }
  VOUCH_TRY(const std::size_t n, read_some(file_, into, name_));
  bytes_read_ += static_cast<std::int64_t>(n);
  if (n == 0) VOUCH_CHECK(check_unchanged());
  return n;
}

Result<std::size_t> InputFile::read(std::span<char> into) {
  return inflater_ ? read_inflated(into) : read_raw(into);
}

// Members of a gzip file follow each other without a mark (`cat a.gz b.gz`), and some writers pad
// the end with zeros.
Result<std::size_t> InputFile::read_inflated(std::span<char> into) {
  z_stream& stream = inflater_->stream;
  stream.next_out = reinterpret_cast<Bytef*>(into.data());
  stream.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), 1U << 30));
  const uInt room = stream.avail_out;
  while (stream.avail_out == room) {
    if (stream.avail_in == 0) {
      VOUCH_TRY(const std::size_t n, read_raw(inflater_->input));
      if (n == 0 && inflater_->member_ended) return 0;
      if (n == 0) {
        return fail(Errc::invalid, name_ + ": the gzip data end too early",
                    "is it all there? compare its size with the partner's");
      }
      stream.next_in = reinterpret_cast<Bytef*>(inflater_->input.data());
      stream.avail_in = static_cast<uInt>(n);
    }
    if (inflater_->member_ended) {
      if (*stream.next_in == 0) {  // padding
        ++stream.next_in;
        --stream.avail_in;
        continue;
      }
      inflateReset(&stream);
      inflater_->member_ended = false;
    }
    const int code = inflate(&stream, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      inflater_->member_ended = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return fail(Errc::invalid, name_ + ": the gzip data are damaged",
                  "fetch the file again in binary mode; `gzip -t` checks it");
    }
  }
  return room - stream.avail_out;
}

// A partner's upload that is still growing would otherwise be sealed as a shorter list.
Result<void> InputFile::check_unchanged() const {
  if (bytes_total_ == 0) return {};
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return system_error(name_, errno, "stat");
  if (status.st_size == bytes_total_ && changed_ns(status) == changed_ns_) return {};
  return fail(Errc::busy, name_ + ": changed while it was read",
              "wait until the upload is complete and run it again; nothing was imported");
}

}  // namespace vouch::store
