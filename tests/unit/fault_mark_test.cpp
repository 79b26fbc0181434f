#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/fault_mark.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {
namespace {

using daemon::FaultMark;

bool is_set(const std::string& path) {
  auto mark = FaultMark::open(path);
  REQUIRE(mark);
  const auto set = mark->is_set();
  REQUIRE(set);
  return *set;
}

// A process that watches and then dies of the signal.
int die_of(const std::string& path, int signal_number) {
  const pid_t child = fork();
  if (child == 0) {
    // As vouchd has them: the test runner has handlers of its own.
    for (const int one : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM}) signal(one, SIG_DFL);
    const auto mark = FaultMark::open(path);
    if (mark) mark->watch();
    raise(signal_number);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_CASE("fault_mark: faults of the program set it, kills from outside and ends do not") {
  TemporaryFolder folder;
  const std::string path = folder / "vouchd.fault";
  CHECK_FALSE(is_set(path));
  for (const int outside : {SIGKILL, SIGTERM}) {
    CHECK(die_of(path, outside) == outside);
    CHECK_FALSE(is_set(path));
  }
  for (const int fault : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    CAPTURE(fault);
    CHECK(die_of(path, fault) == fault);  // as without it: a core dump, and the manager is told
    CHECK(is_set(path));
    REQUIRE(FaultMark::open(path)->clear());
    CHECK_FALSE(is_set(path));
  }
}

TEST_CASE("fault_mark: an exception that a thread lets go sets it too") {
  TemporaryFolder folder;
  const auto mark = FaultMark::open(folder / "vouchd.fault");
  REQUIRE(mark);
  mark->set();
  CHECK(is_set(folder / "vouchd.fault"));
}

}  // namespace
}  // namespace vouch::test
