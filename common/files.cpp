#include "common/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace vouch {
namespace {

Errc errc_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::not_permitted;
    case EEXIST:
      return Errc::conflict;
    case EISDIR:
      return Errc::invalid;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
      return Errc::io;
    default:
      return Errc::failure;
  }
}

std::string hint_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return "check how the path is written, and that its folders are there";
    case EISDIR:
      return "name a file";
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "make room on that file system (df, quota, ulimit -f), then run it again";
    case EIO:
      return "check the health of the disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check the owner, group and mode of the file and its folders";
    default:
      return {};
  }
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A durable file of a name of its own beside `path`.
Result<std::string> write_aside(const std::string& path, std::string_view content, unsigned mode) {
  std::string aside = path + ".XXXXXX";
  const FileDescriptor file{::mkostemp(aside.data(), O_CLOEXEC)};
  if (!file.is_open()) return system_error(path, errno);
  auto written = write_all(file, content, path);
  if (written && (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0)) {
    written = system_error(path, errno);
  }
  if (written) return aside;
  ::unlink(aside.c_str());
  return tl::unexpected<Error>(written.error());
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

tl::unexpected<Error> system_error(std::string_view path, int error_number,
                                   std::string_view action) {
  std::string message{path};
  if (!action.empty()) message.append(": cannot ").append(action);
  return fail(errc_of(error_number), message + ": " + std::strerror(error_number),
              hint_of(error_number));
}

Result<FileDescriptor> open_to_read(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file.is_open()) return system_error(path, errno, "open");
  return file;
}

Result<FileDescriptor> open_standard_input() {
  FileDescriptor file{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)};
  if (!file.is_open()) return system_error("standard input", errno, "open");
  return file;
}

Result<FileDescriptor> open_to_write(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)};
  if (!file.is_open()) return system_error(path, errno, "create");
  return file;
}

Result<std::size_t> read_some(const FileDescriptor& file, std::span<char> into,
                              std::string_view path) {
  while (true) {
    const ssize_t n = ::read(file.get(), into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return system_error(path, errno, "read");
  }
}

Result<void> write_all(const FileDescriptor& file, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, errno, "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::string> read_all(const FileDescriptor& file, const std::string& name,
                             std::size_t bytes_max) {
  std::string content;
  std::array<char, 16 * 1024> buffer;
  while (true) {
    VOUCH_TRY(const std::size_t n, read_some(file, buffer, name));
    if (n == 0) return content;
    content.append(buffer.data(), n);
    if (content.size() > bytes_max) {
      return fail(Errc::invalid, name + ": longer than " + std::to_string(bytes_max) + " bytes");
    }
  }
}

std::string name_of_input(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  VOUCH_TRY(const FileDescriptor file, open_to_read(path));
  return read_all(file, path, bytes_max);
}

Result<void> replace_file(const std::string& path, std::string_view content, unsigned mode) {
  VOUCH_TRY(const std::string aside, write_aside(path, content, mode));
  if (::rename(aside.c_str(), path.c_str()) != 0) {
    auto error = system_error(path, errno);
    ::unlink(aside.c_str());
    return error;
  }
  return sync_folder(folder_of(path));
}

Result<void> create_file(const std::string& path, std::string_view content, unsigned mode) {
  VOUCH_TRY(const std::string aside, write_aside(path, content, mode));
  // A link, unlike a rename, never replaces what somebody else has made meanwhile.
  const int linked = ::link(aside.c_str(), path.c_str());
  const int error_number = errno;
  ::unlink(aside.c_str());
  if (linked != 0) return system_error(path, error_number);
  return sync_folder(folder_of(path));
}

Result<void> make_folder(const std::string& path, unsigned mode) {
  std::error_code error;
  std::filesystem::create_directories(folder_of(path), error);
  if (error) return system_error(path, error.value());
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST && std::filesystem::is_directory(path, error)) return {};
    return system_error(path, errno);
  }
  if (::chmod(path.c_str(), mode) != 0) return system_error(path, errno);
  return sync_folder(folder_of(path));
}

Result<void> sync_folder(const std::string& path) {
  const FileDescriptor folder{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return system_error(path, errno);
  return {};
}

void hold_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The wrong way round, so that using it is still an error.
    (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

bool path_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace vouch
