#include "cli/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kTryEvery{100};

// A holder that ended has removed the file: a lock on what nobody else can open is no lock.
bool is_still_there(const FileDescriptor& file) {
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 && status.st_nlink > 0;
}

}  // namespace

Result<RunLock> RunLock::for_submit(const store::StorePaths& paths, std::string_view submit_key,
                                    Millis patience, const Clock& clock) {
  VOUCH_TRY(auto lock, take(paths.control() + "/submit-" + hex(sha256_128(submit_key)) + ".lock",
                            patience, clock));
  if (lock) return std::move(*lock);
  return fail(Errc::locked,
              "another run is submitting under the key \"" + std::string{submit_key} + "\"",
              "let it end, or wait for it: --lock-wait 5m");
}

Result<RunLock> RunLock::for_pool(const store::StorePaths& paths, std::string_view pool,
                                  Millis patience, const Clock& clock) {
  VOUCH_TRY(auto lock,
            take(paths.control() + "/pool-" + std::string{pool} + ".lock", patience, clock));
  if (lock) return std::move(*lock);
  return fail(Errc::locked, "another run is adding codes to the pool \"" + std::string{pool} + "\"",
              "let it end, then run this again");
}

Result<std::optional<RunLock>> RunLock::take(std::string path, Millis patience,
                                             const Clock& clock) {
  const Instant deadline = clock.now() + patience;
  while (true) {
    FileDescriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0660)};
    if (!file.is_open()) return system_error(path, errno);
    const bool held = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
    if (held && is_still_there(file)) {
      return std::optional{RunLock{std::move(path), std::move(file)}};
    }
    if (!held && errno != EWOULDBLOCK && errno != EINTR) return system_error(path, errno);
    if (held) continue;
    if (clock.now() >= deadline) return std::optional<RunLock>{};
    sleep_until(clock, std::min(deadline, clock.now() + kTryEvery));
  }
}

RunLock::~RunLock() {
  if (file_.is_open()) (void)::unlink(path_.c_str());
}

}  // namespace vouch::cli
