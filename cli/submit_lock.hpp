// submit_lock.hpp: one `job submit` at a time for a submit key.
//
// Two runs of one crontab line would both read the file and both import; the second rather waits.
// What keeps a job from being submitted twice is the control store, not this lock.
//
// Threads: main's.
// Errors:  locked when another run holds it for longer than one is ready to wait.
#pragma once

#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/files.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

class SubmitLock {
 public:
  [[nodiscard]] static Result<SubmitLock> take(const store::StorePaths& paths,
                                               std::string_view submit_key, Millis patience,
                                               const Clock& clock);
  SubmitLock(SubmitLock&& other) noexcept = default;
  SubmitLock& operator=(SubmitLock&&) = delete;
  // Removes the file while the lock is held, so that none are left behind.
  ~SubmitLock();

 private:
  SubmitLock(std::string path, FileDescriptor file)
      : path_{std::move(path)}, file_{std::move(file)} {}
  std::string path_;
  FileDescriptor file_;
};

}  // namespace vouch::cli
