// input_file.hpp: the bytes of a partner's file, from disk or standard input, inflated where
// they are gzip (known by its first bytes, whatever the name says).
//
// Threads: one at a time.
// Errors:  not_found and not_permitted at open; invalid when the gzip data are damaged or end too
//          early, or when the file is a workbook or an archive; busy when the file changed while
//          it was read; io.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/files.hpp"
#include "common/result.hpp"

namespace vouch::store {

class InputFile {
 public:
  // "-" is standard input.
  [[nodiscard]] static Result<InputFile> open(const std::string& path);
  InputFile(InputFile&&) noexcept;
  InputFile& operator=(InputFile&&) noexcept;
  ~InputFile();

  // Some bytes, at least one; 0 at the end, and from then on.
  [[nodiscard]] Result<std::size_t> read(std::span<char> into);

  // Of the file itself, compressed if it is.
  [[nodiscard]] std::int64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] std::int64_t bytes_total() const { return bytes_total_; }  // 0 for a pipe

 private:
  struct Inflater;
  explicit InputFile(FileDescriptor file, std::string name);
  [[nodiscard]] Result<void> look_at_head();
  [[nodiscard]] Result<std::size_t> read_raw(std::span<char> into);
  [[nodiscard]] Result<std::size_t> read_inflated(std::span<char> into);
  [[nodiscard]] Result<void> check_unchanged() const;

  FileDescriptor file_;
  std::string name_;                    // for messages
  std::string head_;                    // read at open to know the format, not handed out yet
  std::unique_ptr<Inflater> inflater_;  // null when the file is not gzip
  std::int64_t bytes_read_ = 0;
  std::int64_t bytes_total_ = 0;
  std::int64_t changed_ns_ = 0;  // the file's time of change when it was opened
};

}  // namespace vouch::store
