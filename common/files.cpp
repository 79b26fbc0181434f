#include "common/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
    case ENOSPC:
    case EDQUOT:
    case EIO:
      return Errc::io;
    default:
      return Errc::failure;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// A durable file of a name of its own beside `path`.
Result<std::string> write_aside(const std::string& path, std::string_view content, unsigned mode) {
  std::string aside = path + ".XXXXXX";
  const Descriptor file{::mkostemp(aside.data(), O_CLOEXEC)};
  if (file.get() < 0) return system_error(path, errno);
  if (!write_all(file.get(), content) || ::fchmod(file.get(), mode) != 0 ||
      ::fsync(file.get()) != 0) {
    auto error = system_error(path, errno);
    ::unlink(aside.c_str());
    return error;
  }
  return aside;
}

}  // namespace

tl::unexpected<Error> system_error(const std::string& path, int error_number) {
  const Errc code = errc_of(error_number);
  std::string hint;
  if (code == Errc::io) hint = "check the disk's space and health";
  if (code == Errc::not_permitted)
    hint = "check the owner, group and mode of the file and its folder";
  return fail(code, path + ": " + std::strerror(error_number), std::move(hint));
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0) return system_error(path, errno);
  std::string content;
  char buffer[16 * 1024];
  while (true) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, errno);
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > bytes_max) {
      return fail(Errc::invalid, path + ": longer than " + std::to_string(bytes_max) + " bytes");
    }
  }
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
  const Descriptor folder{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return system_error(path, errno);
  return {};
}

bool path_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace vouch
