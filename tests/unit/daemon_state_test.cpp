// Goal: a vouchd that works, one that hangs and one that is gone are told apart from outside, by
// its locks and the time of its lock file alone.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>

#include "cli/daemon_state.hpp"
#include "common/files.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using cli::DaemonState;

namespace {

constexpr std::int64_t kSeenSeconds = 1'900'000'000;
const WallTime kSeen = from_ms(kSeenSeconds * 1000);

struct Place {
  test::TemporaryFolder folder;
  store::StorePaths paths{folder.path().string()};
  std::string ledger = paths.ledger_folder("main");

  Place() { std::filesystem::create_directories(ledger); }

  // The lock file as vouchd leaves it, stamped at kSeen; held for as long as the result lives.
  [[nodiscard]] FileDescriptor stamp(bool held) const {
    FileDescriptor file{
        open((ledger + "/vouchd.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
    REQUIRE(file.is_open());
    if (held) REQUIRE(flock(file.get(), LOCK_EX | LOCK_NB) == 0);
    const timespec times[2] = {{kSeenSeconds, 0}, {kSeenSeconds, 0}};
    REQUIRE(futimens(file.get(), times) == 0);
    return file;
  }
};

}  // namespace

TEST_CASE("daemon state: never run, gone, working, hanging") {
  const Place place;
  const DaemonState never = cli::look_at_daemon(place.paths, "main", kSeen);
  CHECK(never.kind == DaemonState::Kind::absent);
  CHECK_FALSE(never.seen);
  CHECK(cli::words_of(never) == "vouchd has never run");
  {
    const FileDescriptor held = place.stamp(true);
    const DaemonState working = cli::look_at_daemon(place.paths, "main", kSeen + Millis{2'000});
    CHECK(working.kind == DaemonState::Kind::running);
    CHECK(cli::words_of(working).empty());
    const DaemonState hanging = cli::look_at_daemon(place.paths, "main", kSeen + Millis{10'001});
    CHECK(hanging.kind == DaemonState::Kind::hanging);
    CHECK(cli::words_of(hanging).find("gives no sign of life since 2030-03-17") !=
          std::string::npos);
    CHECK(cli::fix_of(hanging, "main") == "systemctl restart vouchd");
  }
  const DaemonState gone = cli::look_at_daemon(place.paths, "main", kSeen + Millis{2'000});
  CHECK(gone.kind == DaemonState::Kind::absent);
  CHECK(gone.seen == kSeen);
  CHECK(cli::words_of(gone).find("vouchd is not running since 2030-03-17") != std::string::npos);
  CHECK(cli::fix_of(gone, "night") == "systemctl start vouchd@night");
}

TEST_CASE("daemon state: a lock file that was deleted hides no vouchd") {
  const Place place;
  const FileDescriptor folder{open(place.ledger.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  REQUIRE(flock(folder.get(), LOCK_EX | LOCK_NB) == 0);
  CHECK(cli::look_at_daemon(place.paths, "main", kSeen).kind == DaemonState::Kind::running);
  const FileDescriptor anew = place.stamp(false);
  CHECK(cli::look_at_daemon(place.paths, "main", kSeen).kind == DaemonState::Kind::running);
}
