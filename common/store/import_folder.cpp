#include "common/store/import_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "common/files.hpp"

namespace vouch::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".tmp-";
constexpr const char* kLockName = "/lock";
constexpr int kTriesMax = 10;

// The folder's lock, taken; not open when somebody else has it, or removed the folder.
FileDescriptor take_lock(const std::string& folder) {
  const std::string path = folder + kLockName;
  FileDescriptor lock{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  struct stat status {};
  const bool is_taken = lock.is_open() && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0 &&
                        ::fstat(lock.get(), &status) == 0 && status.st_nlink > 0;
  return is_taken ? std::move(lock) : FileDescriptor{};
}

// Best effort: what belongs to another account, or to a living import, stays.
void remove_dead(const std::string& recipients_folder) {
  std::error_code error;
  fs::directory_iterator entry{recipients_folder, error};
  for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
    const fs::path& path = entry->path();
    std::error_code ignored;
    const bool is_folder = fs::is_directory(entry->symlink_status(ignored));
    if (!is_folder || !path.filename().string().starts_with(kPrefix)) continue;
    const FileDescriptor lock = take_lock(path.string());
    if (lock.is_open()) fs::remove_all(path, ignored);
  }
}

}  // namespace

ImportFolder::ImportFolder(std::string recipients_folder, std::string path, FileDescriptor lock)
    : recipients_folder_{std::move(recipients_folder)},
      path_{std::move(path)},
      lock_{std::move(lock)} {}

ImportFolder::~ImportFolder() {
  if (!lock_.is_open()) return;
  std::error_code ignored;  // what cannot be removed now, the next import removes
  fs::remove_all(path_, ignored);
}

Result<ImportFolder> ImportFolder::create(const std::string& recipients_folder) {
  std::error_code ignored;  // whatever the reason, it cannot be used
  if (!fs::is_directory(recipients_folder, ignored)) {
    return fail(Errc::store, recipients_folder + ": no such folder",
                "`vouchctl init` makes the store");
  }
  remove_dead(recipients_folder);
  // Another import that looks for dead ones may take a new folder before its lock is held.
  for (int i = 0; i < kTriesMax; ++i) {
    std::string path = recipients_folder + "/" + std::string{kPrefix} + "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
      return system_error(recipients_folder, errno, "create a folder in it");
    }
    FileDescriptor lock = take_lock(path);
    if (lock.is_open()) return ImportFolder{recipients_folder, path, std::move(lock)};
  }
  return fail(Errc::busy, recipients_folder + ": cannot lock a folder of its own in it",
              "try again");
}

Result<void> ImportFolder::publish(const std::string& file, const std::string& name) const {
  const std::string from = path_ + "/" + file;
  const std::string to = recipients_folder_ + "/" + name;
  if (::chmod(from.c_str(), 0440) != 0) return system_error(from, errno, "change the mode");
  if (::rename(from.c_str(), to.c_str()) != 0) return system_error(to, errno, "create");
  return sync_folder(recipients_folder_);
}

}  // namespace vouch::store
