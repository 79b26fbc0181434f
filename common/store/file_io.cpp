#include "common/store/file_io.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace vouch::store {
namespace {

Errc errc_of_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::not_permitted;
    default:
      return Errc::io;
  }
}

std::string hint_of_errno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space on that file system and run it again; nothing was kept";
    case EACCES:
    case EPERM:
      return "check the mode and the group of the file and its folders";
    default:
      return {};
  }
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

tl::unexpected<Error> errno_error(std::string_view path, std::string_view action) {
  const int error = errno;
  return fail(errc_of_errno(error),
              std::string{path} + ": cannot " + std::string{action} + ": " +
                  std::generic_category().message(error),
              hint_of_errno(error));
}

Result<FileDescriptor> open_to_read(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file.is_open()) return errno_error(path, "open");
  return file;
}

Result<FileDescriptor> open_to_write(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)};
  if (!file.is_open()) return errno_error(path, "create");
  return file;
}

Result<std::size_t> read_some(const FileDescriptor& file, std::span<char> into,
                              std::string_view path) {
  while (true) {
    const ssize_t n = ::read(file.get(), into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return errno_error(path, "read");
  }
}

Result<void> write_all(const FileDescriptor& file, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(path, "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<SpoolFile> SpoolFile::create(const std::string& folder) {
  // Not O_TMPFILE: some file systems do not have it.
  std::string name = folder + "/spool-XXXXXX";
  FileDescriptor file{::mkostemp(name.data(), O_CLOEXEC)};
  if (!file.is_open()) return errno_error(folder, "create a temporary file");
  if (::unlink(name.c_str()) != 0) return errno_error(name, "unlink");
  return SpoolFile{std::move(file), folder};
}

Result<void> SpoolFile::write(std::string_view bytes) {
  VOUCH_CHECK(write_all(file_, buffer_, folder_));
  buffer_.clear();
  if (bytes.size() >= kBufferBytes) return write_all(file_, bytes, folder_);
  if (buffer_.capacity() < kBufferBytes) buffer_.reserve(kBufferBytes);
  buffer_.append(bytes);
  return {};
}

Result<std::size_t> SpoolFile::read_at(std::uint64_t offset, std::span<char> into) const {
  VOUCH_ASSERT(buffer_.empty());  // flush() comes before reading
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t n = ::pread(file_.get(), into.data() + done, into.size() - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(folder_, "read a temporary file");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::string_view> SpoolReader::refill(std::size_t bytes) {
  buffer_.erase(0, begin_);  // what is left: less than one record
  end_ -= begin_;
  begin_ = 0;
  buffer_.resize(std::max(buffer_bytes_, bytes));
  const std::uint64_t left = upto_ - std::min(upto_, offset_);
  const std::size_t want =
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size() - end_, left));
  VOUCH_TRY(const std::size_t got, file_->read_at(offset_, {buffer_.data() + end_, want}));
  offset_ += got;
  end_ += got;
  return std::string_view{buffer_.data(), end_};
}

}  // namespace vouch::store
