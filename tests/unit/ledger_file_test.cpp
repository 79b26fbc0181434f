// Goal: two daemons never run on one ledger, and a look at the lock keeps none from starting; a
// ledger that may not know what was sent is not gone on with unasked.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "common/files.hpp"
#include "common/random.hpp"
#include "common/store/ledger_copy.hpp"
#include "common/text.hpp"
#include "daemon/data/ledger_file.hpp"
#include "daemon/data/older_ledger.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;

namespace {

// Each look at the clock costs half a second; at the one given, whoever holds the lock lets go.
class HurriedClock final : public Clock {
 public:
  explicit HurriedClock(int fd, int release_at) : fd_{fd}, release_at_{release_at} {}
  [[nodiscard]] Instant now() const override {
    if (++looks_ == release_at_) flock(fd_, LOCK_UN);
    return Instant{std::chrono::milliseconds{500} * looks_};
  }
  [[nodiscard]] WallTime wall_now() const override { return {}; }

 private:
  int fd_;
  int release_at_;
  mutable int looks_ = 0;
};

struct Holder {
  explicit Holder(const std::string& folder, int kind)
      : fd{open((folder + "/vouchd.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)} {
    REQUIRE(flock(fd, kind | LOCK_NB) == 0);
  }
  ~Holder() { close(fd); }
  int fd;
};

}  // namespace

TEST_CASE("instance lock: one that is looked at for a moment is taken all the same") {
  const test::TemporaryFolder folder;
  const Holder vouchctl{folder.path().string(), LOCK_SH};
  const HurriedClock clock{vouchctl.fd, 2};
  CHECK(data::InstanceLock::take(folder.path().string(), clock));
}

TEST_CASE("instance lock: a second daemon is refused, and told who holds it") {
  const test::TemporaryFolder folder;
  const SystemClock clock;
  const auto first = data::InstanceLock::take(folder.path().string(), clock);
  REQUIRE(first);
  const auto second = data::InstanceLock::take(folder.path().string(), HurriedClock{-1, 0});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::locked);
  CHECK(second.error().message.find("pid " + std::to_string(getpid())) != std::string::npos);
  CHECK(second.error().hint.find("--instance") != std::string::npos);
}

// Whoever tidies up deletes a file that says "lock".
TEST_CASE(
    "instance lock: a second daemon is refused where the lock file was deleted, or replaced") {
  const test::TemporaryFolder folder;
  const SystemClock clock;
  const std::string path = folder.path().string();
  const auto first = data::InstanceLock::take(path, clock);
  REQUIRE(first);
  REQUIRE(std::filesystem::remove(path + "/vouchd.lock"));
  auto second = data::InstanceLock::take(path, HurriedClock{-1, 0});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::locked);
  REQUIRE(replace_file(path + "/vouchd.lock", "1\n", 0640));
  second = data::InstanceLock::take(path, HurriedClock{-1, 0});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::locked);
}

TEST_CASE("ledger file: a clock behind the newest event by more than five minutes is refused") {
  const WallTime newest = from_ms(1'893'456'000'000);
  CHECK(data::check_clock({}, newest));
  CHECK(data::check_clock(newest, newest + std::chrono::hours{24}));
  CHECK(data::check_clock(newest, newest - data::kClockBehindMax));
  const auto refused = data::check_clock(newest, newest - data::kClockBehindMax - Millis{1});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::attention);
  CHECK(refused.error().hint.find("--accept-clock") != std::string::npos);
}

TEST_CASE("ledger file: each start begins with an epoch above all before") {
  const test::TemporaryFolder folder;
  SeededRandom random{1};
  std::int64_t before = 0;
  for (int start = 0; start < 3; ++start) {
    auto ledger = data::open_ledger(folder / "ledger.db", WallTime{}, random);
    REQUIRE(ledger);
    const auto first = data::first_epoch(*ledger);
    REQUIRE(first);
    CHECK(*first > before + 1'000'000'000);  // whatever the run before has claimed
    before = *first;
  }
}

TEST_CASE("instance lock: its place is the file's own, and stays the same") {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder copy;
  const SystemClock clock;
  std::string place;
  {
    const auto lock = data::InstanceLock::take(folder.path().string(), clock);
    place = lock->place();
  }
  CHECK(place.find(' ') == std::string::npos);
  CHECK(place.size() > 36);
  CHECK(data::InstanceLock::take(folder.path().string(), clock)->place() == place);
  CHECK(data::InstanceLock::take(copy.path().string(), clock)->place() != place);
}

TEST_CASE(
    "anchor: an older ledger and another one are refused, and the command that goes on named") {
  const test::TemporaryFolder folder;
  const std::string path = folder / "anchor.json";
  CHECK(data::check_anchor(data::read_anchor(path).value(), "a", 0));  // there is none yet
  REQUIRE(data::write_anchor(path, {.ledger_id = "a", .last_event = 100, .at = from_ms(1'000)}));
  const auto anchor = data::read_anchor(path).value();
  CHECK(data::check_anchor(anchor, "a", 100));
  CHECK(data::check_anchor(anchor, "a", 101));  // the anchor is a second behind
  for (const auto& refused :
       {data::check_anchor(anchor, "a", 99), data::check_anchor(anchor, "a", 0),
        data::check_anchor(anchor, "b", 100), data::check_anchor(anchor, "b", 200)}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::attention);
    CHECK(refused.error().hint.find("vouchd --accept-older-ledger") != std::string::npos);
  }
}

TEST_CASE("ledger copy: one out of a backup is refused until it is accepted, and then no more") {
  const test::TemporaryFolder folder;
  SystemRandom random;
  const WallTime now = from_ms(1'700'000'000'000);
  auto ledger = data::open_ledger(folder / "ledger.db", now, random);
  REQUIRE(ledger);
  CHECK(data::check_copy(store::copied_at(*ledger).value()));
  REQUIRE(store::mark_copy(*ledger, now));
  REQUIRE(store::copied_at(*ledger).value() == now);
  const auto refused = data::check_copy(store::copied_at(*ledger).value());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::attention);
  CHECK(refused.error().message.find(format_time_utc(now)) != std::string::npos);
  CHECK(refused.error().hint.find("vouchd --accept-older-ledger") != std::string::npos);
  REQUIRE(data::accept_older_ledger(*ledger, {}, {}, now, now));
  CHECK(data::check_copy(store::copied_at(*ledger).value()));
}
