#include "common/store/spool_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace vouch::store {

Result<SpoolFile> SpoolFile::create(const std::string& folder) {
  // Not O_TMPFILE: some file systems do not have it.
  std::string name = folder + "/spool-XXXXXX";
  FileDescriptor file{::mkostemp(name.data(), O_CLOEXEC)};
  if (!file.is_open()) return system_error(folder, errno, "create a temporary file");
  if (::unlink(name.c_str()) != 0) return system_error(name, errno, "unlink");
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
    if (n < 0) return system_error(folder_, errno, "read a temporary file");
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
