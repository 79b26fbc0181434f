#include "cli/submit_lock.hpp"

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

Result<SubmitLock> SubmitLock::take(const store::StorePaths& paths, std::string_view submit_key,
                                    Millis patience, const Clock& clock) {
  const std::string path = paths.control() + "/submit-" + hex(sha256_128(submit_key)) + ".lock";
  const Instant deadline = clock.now() + patience;
  while (true) {
    FileDescriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0660)};
    if (!file.is_open()) return system_error(path, errno);
    const bool held = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
    if (held && is_still_there(file)) return SubmitLock{path, std::move(file)};
    if (!held && errno != EWOULDBLOCK && errno != EINTR) return system_error(path, errno);
    if (held) continue;
    if (clock.now() >= deadline) {
      return fail(Errc::locked,
                  "another run is submitting under the key \"" + std::string{submit_key} + "\"",
                  "let it end, or wait for it: --lock-wait 5m");
    }
    sleep_until(clock, std::min(deadline, clock.now() + kTryEvery));
  }
}

SubmitLock::~SubmitLock() {
  if (file_.is_open()) (void)::unlink(path_.c_str());
}

}  // namespace vouch::cli
