#include "daemon/fault_mark.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace vouch::daemon {
namespace {

constexpr char kNone = '0';
constexpr char kFault = '1';

std::atomic<int> watched_file{-1};

// Only what a signal handler may do.  The signal's own action, a core dump, follows.
void mark_and_die(int signal_number) {
  const int saved = errno;
  static_cast<void>(pwrite(watched_file.load(), &kFault, 1, 0) == 1);
  errno = saved;
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

Result<FaultMark> FaultMark::open(const std::string& path) {
  FileDescriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
  if (!file.is_open()) return system_error(path, errno, "open");
  FaultMark mark{path, std::move(file)};
  char byte = 0;
  if (pread(mark.file_.get(), &byte, 1, 0) == 0) VOUCH_CHECK(mark.clear());
  return mark;
}

Result<bool> FaultMark::is_set() const {
  char byte = kNone;
  if (pread(file_.get(), &byte, 1, 0) < 0) return system_error(path_, errno, "read");
  return byte == kFault;
}

Result<void> FaultMark::clear() {
  if (pwrite(file_.get(), &kNone, 1, 0) != 1) return system_error(path_, errno, "write");
  return {};
}

void FaultMark::set() const {
  static_cast<void>(pwrite(file_.get(), &kFault, 1, 0) == 1);
}

void FaultMark::watch() const {
  watched_file = file_.get();
  struct sigaction action {};
  action.sa_handler = mark_and_die;
  sigemptyset(&action.sa_mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    struct sigaction before {};
    sigaction(fault, nullptr, &before);
    // A sanitizer that wants to report the fault itself ends with SIGABRT or an exit of its own.
    if (before.sa_handler == SIG_DFL) sigaction(fault, &action, nullptr);
  }
}

}  // namespace vouch::daemon
