// run_lock.hpp: one run at a time for what two at once would do twice or spoil.
//
// Two runs of one crontab line would both read a file and both import; two runs that fill one pool
// would not see each other's codes.  The second rather waits.
//
// Threads: main's.
// Errors:  locked when another run holds it for longer than one is ready to wait.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/files.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

class RunLock {
 public:
  // One `job submit` for a submit key.  It is the control store, not this lock, that keeps a job
  // from being submitted twice.
  [[nodiscard]] static Result<RunLock> for_submit(const store::StorePaths& paths,
                                                  std::string_view submit_key, Millis patience,
                                                  const Clock& clock);
  // One run that adds codes to a pool.
  [[nodiscard]] static Result<RunLock> for_pool(const store::StorePaths& paths,
                                                std::string_view pool, Millis patience,
                                                const Clock& clock);
  RunLock(RunLock&& other) noexcept = default;
  RunLock& operator=(RunLock&&) = delete;
  // Removes the file while the lock is held, so that none are left behind.
  ~RunLock();

 private:
  // Nothing when somebody else holds it for longer than `patience`.
  [[nodiscard]] static Result<std::optional<RunLock>> take(std::string path, Millis patience,
                                                           const Clock& clock);
  RunLock(std::string path, FileDescriptor file) : path_{std::move(path)}, file_{std::move(file)} {}
  std::string path_;
  FileDescriptor file_;
};

}  // namespace vouch::cli
