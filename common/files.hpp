// files.hpp: plain files: descriptors that close themselves, whole reads and writes, and small
// files written so that a crash or a reader meets the old content or the new.
//
// Not for databases: nothing but SQLite opens those, since closing a descriptor by hand would
// drop SQLite's locks.
//
// Threads: pure functions of the file system.
// Errors:  not_found, not_permitted, conflict (it exists), io; the path stands in the message.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/result.hpp"

namespace vouch {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_{fd} {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

[[nodiscard]] Result<FileDescriptor> open_to_read(const std::string& path);
// A descriptor of its own for what comes in.
[[nodiscard]] Result<FileDescriptor> open_standard_input();
// Made anew with mode 0640, or emptied.
[[nodiscard]] Result<FileDescriptor> open_to_write(const std::string& path);

// Some bytes, at least one; 0 at the end.  `path` is for the error message.
[[nodiscard]] Result<std::size_t> read_some(const FileDescriptor& file, std::span<char> into,
                                            std::string_view path);
[[nodiscard]] Result<void> write_all(const FileDescriptor& file, std::string_view bytes,
                                     std::string_view path);

// All there is from here on; invalid when it is longer than `bytes_max`.
[[nodiscard]] Result<std::string> read_all(const FileDescriptor& file, const std::string& name,
                                           std::size_t bytes_max);
// How errors call an input: the path, or "standard input" for "-".
[[nodiscard]] std::string name_of_input(const std::string& path);
// The whole content; invalid when it is longer than `bytes_max`.  "-" is not special here.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Written aside, fsynced and renamed over `path`, whose folder is fsynced too.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view content,
                                        unsigned mode);
// The same for a file that must not exist yet: conflict when it does.
[[nodiscard]] Result<void> create_file(const std::string& path, std::string_view content,
                                       unsigned mode);

// A folder and its missing parents; `mode` (with setgid and sticky bits) for the folder itself.
// What is there already stays as it is.
[[nodiscard]] Result<void> make_folder(const std::string& path, unsigned mode);

// Makes what was renamed, linked or removed in a folder durable.
[[nodiscard]] Result<void> sync_folder(const std::string& path);

// For the head of main: a standard stream that the parent closed stays unusable.  Otherwise the
// next file that is opened would get its number, and what is printed would land in that file.
void hold_standard_streams();

[[nodiscard]] bool path_exists(const std::string& path);

// What the system said about `path`: "<path>: cannot <action>: <why>", or "<path>: <why>".
[[nodiscard]] tl::unexpected<Error> system_error(std::string_view path, int error_number,
                                                 std::string_view action = {});

}  // namespace vouch
