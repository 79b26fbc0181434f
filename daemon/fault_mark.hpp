// fault_mark.hpp: tells the next start that this run ended by a fault of the program itself.
//
// A row whose call makes the program die would make it die at each start.  Kills from outside,
// power cuts and stops say nothing about rows; only a fault does: a signal such as SIGSEGV, a
// failed assertion, the watchdog's SIGABRT, an exception that nobody caught.  The mark is one byte
// of a file that is made in advance, so that a signal handler can write it.
//
// Threads: open() and clear() from main, before the others start; set() from any, and from signal
//          handlers.
// Errors:  io.
#pragma once

#include <string>

#include "common/files.hpp"
#include "common/result.hpp"

namespace vouch::daemon {

class FaultMark {
 public:
  // Makes the file where there is none.
  [[nodiscard]] static Result<FaultMark> open(const std::string& path);

  // Whether the run before has ended by a fault.
  [[nodiscard]] Result<bool> is_set() const;
  [[nodiscard]] Result<void> clear();
  void set() const;
  // From now on a fault of this process sets the mark, and then does what it always does.
  void watch() const;

 private:
  FaultMark(std::string path, FileDescriptor file)
      : path_{std::move(path)}, file_{std::move(file)} {}

  std::string path_;
  FileDescriptor file_;
};

}  // namespace vouch::daemon
