// spool_file.hpp: bytes set aside on the disk while one run of a program needs them.
//
// Threads: none inside.
// Errors:  as common/files.hpp; messages name the folder, since the file has no name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/files.hpp"
#include "common/result.hpp"

namespace vouch::store {

// A file without a name that goes away with its descriptor, however the process ends: written
// from front to back, read at any place.  Appends are gathered into large writes.
class SpoolFile {
 public:
  // In `folder`, whose file system must have the room.
  [[nodiscard]] static Result<SpoolFile> create(const std::string& folder);

  [[nodiscard]] Result<void> append(std::string_view bytes) {
    size_ += bytes.size();
    if (buffer_.size() + bytes.size() <= kBufferBytes) {
      buffer_.append(bytes);
      return {};
    }
    return write(bytes);
  }
  // Bytes appended so far.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Reads as much as there is, up to into.size(), from `offset`; after flush() only.
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const;
  [[nodiscard]] Result<void> flush() { return write({}); }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;
  SpoolFile(FileDescriptor file, std::string folder)
      : file_{std::move(file)}, folder_{std::move(folder)} {}
  [[nodiscard]] Result<void> write(std::string_view bytes);

  FileDescriptor file_;
  std::string folder_;
  std::string buffer_;
  std::uint64_t size_ = 0;
};

// Reads a SpoolFile from front to back.
class SpoolReader {
 public:
  explicit SpoolReader(const SpoolFile& file, std::uint64_t from = 0,
                       std::uint64_t upto = UINT64_MAX,
                       std::size_t buffer_bytes = std::size_t{64} * 1024)
      : file_{&file}, offset_{from}, upto_{upto}, buffer_bytes_{buffer_bytes} {}

  // At least `bytes` bytes if there are as many left, else all that is left; valid until the next
  // call.  What is not taken with skip() stands at the front of the next view.
  [[nodiscard]] Result<std::string_view> view(std::size_t bytes) {
    if (end_ - begin_ >= bytes) return std::string_view{buffer_.data() + begin_, end_ - begin_};
    return refill(bytes);
  }
  void skip(std::size_t bytes) { begin_ += bytes; }

 private:
  [[nodiscard]] Result<std::string_view> refill(std::size_t bytes);

  const SpoolFile* file_;
  std::uint64_t offset_;  // in the file, of what is not in the buffer yet
  std::uint64_t upto_;
  std::size_t buffer_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace vouch::store
