// Goal: the simulated disk is as unkind as a real one may be, and no unkinder: what SQLite
// promises holds on it at every possible moment of a power cut, and what SQLite does not promise
// is really lost now and then.  A shim without teeth would make every crash test worthless.
// Method: a fixed series of transactions, each touching many pages; the power is cut at every
// single operation in turn; what is found afterwards is compared with what had been committed.
#include "tests/support/crash_vfs.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "common/store/database.hpp"

using namespace vouch;
using namespace vouch::test;
using store::Database;
using store::OpenMode;

namespace {

constexpr const char* kPath = "/store/test.db";
constexpr int kRounds = 4;
// Per moment of a cut.  The sanitizers make each run ten times dearer and find nothing more.
#ifdef VOUCH_SANITIZED
constexpr int kSeeds = 1;
#else
constexpr int kSeeds = 8;
#endif

// How a store is kept, in SQLite's words.
struct Mode {
  const char* name;
  const char* pragmas;
};

constexpr Mode kDurableModes[] = {
    {"WAL, FULL", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"},
    {"TRUNCATE, FULL", "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL"},
    {"PERSIST, FULL", "PRAGMA journal_mode = PERSIST; PRAGMA synchronous = FULL"},
    {"DELETE, EXTRA", "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA"},
};

Result<Database> open(const CrashVfs& vfs, int cache_kib = 2048) {
  return Database::open(kPath,
                        {.mode = OpenMode::create, .vfs = vfs.name(), .cache_kib = cache_kib});
}

// Round k sets every row to k and adds one, so that a half applied round shows.
Result<void> play_round(Database& database) {
  VOUCH_TRY(store::Transaction transaction, store::Transaction::begin(database));
  VOUCH_CHECK(database.exec("UPDATE part SET round = round + 1"));
  VOUCH_CHECK(
      database.exec("INSERT INTO part (round, filler) SELECT max(round), "
                    "zeroblob(3000) FROM part"));
  return transaction.commit();
}

Result<void> prepare(Database& database, const char* pragmas) {
  VOUCH_CHECK(database.exec(pragmas));
  return database.exec(
      "BEGIN IMMEDIATE; CREATE TABLE part (round INTEGER NOT NULL, filler BLOB NOT NULL) STRICT;"
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6)"
      "INSERT INTO part SELECT 0, zeroblob(3000) FROM n; COMMIT");
}

// Plays all rounds, or as many as the machine allows.  Returns how many were committed, -1 when
// not even the table was.
int play(const CrashVfs& vfs, const char* pragmas) {
  auto database = open(vfs);
  if (!database || !prepare(*database, pragmas)) return -1;
  for (int round = 0; round < kRounds; ++round) {
    if (!play_round(*database)) return round;
    if (round == 1 && !database->checkpoint()) return round + 1;
  }
  return kRounds;
}

struct Found {
  bool is_sound = false;  // readable, SQLite's own check passes, no half of a transaction
  int rounds = -1;        // -1: no table
};

Found look(Database& database) {
  Found found;
  const auto tables = database.pragma("SELECT count(*) FROM sqlite_schema WHERE name = 'part'");
  const auto checked = database.pragma(
      "SELECT count(*) = 1 AND max(integrity_check) = 'ok' "
      "FROM pragma_integrity_check");
  if (!tables || !checked || *checked != 1) return found;
  if (*tables == 0) return {true, -1};
  const auto least = database.pragma("SELECT min(round) FROM part");
  const auto most = database.pragma("SELECT max(round) FROM part");
  const auto rows = database.pragma("SELECT count(*) FROM part");
  if (!least || !most || !rows) return found;
  found.is_sound = *least == *most && *rows == 6 + *most;
  found.rounds = static_cast<int>(*most);
  return found;
}

Found look(const CrashVfs& vfs) {
  auto database = open(vfs);
  return database ? look(*database) : Found{};
}

// Cuts the power at every operation of the play in turn, kSeeds times each.
struct Tally {
  int cuts = 0;
  int lost = 0;     // a committed round was gone
  int unsound = 0;  // damaged, or half a round
};

Tally cut_everywhere(const char* pragmas) {
  Tally tally;
  CrashVfs whole{0};
  REQUIRE(play(whole, pragmas) == kRounds);
  for (std::int64_t at = 0; at <= whole.operations(); ++at) {
    for (int seed = 0; seed < kSeeds; ++seed) {
      CrashVfs vfs{static_cast<std::uint64_t>(at * 1000 + seed)};
      vfs.power_cut_after(at);
      const int committed = play(vfs, pragmas);
      vfs.crash();
      const Found found = look(vfs);
      ++tally.cuts;
      if (!found.is_sound) ++tally.unsound;
      if (found.is_sound && found.rounds < committed) ++tally.lost;
      // One more than was answered is right: the power may go after the commit, before the answer.
      if (found.is_sound) CHECK(found.rounds <= committed + 1);
    }
  }
  return tally;
}

}  // namespace

TEST_CASE("crash_vfs: what was committed survives a power cut at any moment") {
  for (const Mode& mode : kDurableModes) {
    CAPTURE(mode.name);
    const Tally tally = cut_everywhere(mode.pragmas);
    CAPTURE(tally.cuts);
    CHECK(tally.cuts > 100 * kSeeds);
    CHECK(tally.lost == 0);
    CHECK(tally.unsound == 0);
  }
}

TEST_CASE("crash_vfs: without syncs commits are lost and stores damaged") {
  const Tally journal = cut_everywhere("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF");
  CHECK(journal.lost > 0);
  CHECK(journal.unsound > 0);
  const Tally wal = cut_everywhere("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  CHECK(wal.lost > 0);
  CHECK(wal.unsound > 0);
}

TEST_CASE("crash_vfs: WAL with NORMAL loses commits but is never damaged") {
  const Tally tally = cut_everywhere("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  CHECK(tally.lost > 0);
  CHECK(tally.unsound == 0);
}

// The deleted journal may come back with the power, and then rolls back a committed transaction.
TEST_CASE("crash_vfs: DELETE with FULL may lose the last commit, hence EXTRA or TRUNCATE") {
  const Tally tally = cut_everywhere("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
  CHECK(tally.lost > 0);
  CHECK(tally.unsound == 0);
}

TEST_CASE("crash_vfs: pages that left the cache before the commit are rolled back") {
  for (const Mode& mode : kDurableModes) {
    CAPTURE(mode.name);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      CAPTURE(seed);
      CrashVfs vfs{seed};
      REQUIRE(play(vfs, mode.pragmas) == kRounds);
      const DiskCounts before = vfs.counts();
      auto database = open(vfs, 16);
      REQUIRE(database);
      REQUIRE(database->exec(mode.pragmas));
      REQUIRE(
          database->exec("BEGIN IMMEDIATE; UPDATE part SET round = 99, "
                         "filler = randomblob(9000)"));
      REQUIRE(vfs.counts().writes > before.writes);  // it did spill
      vfs.crash();
      CHECK(look(vfs).is_sound);
      CHECK(look(vfs).rounds == kRounds);
    }
  }
}

TEST_CASE("crash_vfs: crash upon crash, recovery is cut too") {
  for (const Mode& mode : kDurableModes) {
    CAPTURE(mode.name);
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      CAPTURE(seed);
      CrashVfs vfs{seed};
      SeededRandom random{seed};
      vfs.power_cut_after(static_cast<std::int64_t>(random.below(80)));
      const int committed = play(vfs, mode.pragmas);
      for (int again = 0; again < 3; ++again) {
        vfs.crash();
        vfs.power_cut_after(static_cast<std::int64_t>(random.below(6)));
        look(vfs);
      }
      vfs.crash();
      const Found found = look(vfs);
      CHECK(found.is_sound);
      CHECK(found.rounds >= committed);
    }
  }
}

TEST_CASE("crash_vfs: a failing sync or write, or a full disk, is reported as such") {
  struct Case {
    const char* name;
    Fault fault;
  };
  const Case cases[] = {
      {"sync", Fault::sync_error}, {"write", Fault::write_error}, {"full", Fault::disk_full}};
  for (const Mode& mode : kDurableModes) {
    for (const Case& c : cases) {
      CAPTURE(mode.name);
      CAPTURE(c.name);
      CrashVfs vfs{7};
      {
        auto database = open(vfs);
        REQUIRE(database);
        REQUIRE(prepare(*database, mode.pragmas));
        REQUIRE(play_round(*database));
        vfs.fail_after(0, c.fault);
        const auto failed = play_round(*database);
        REQUIRE_FALSE(failed);
        CHECK(failed.error().code == Errc::io);
        vfs.heal();
        CHECK(look(*database).is_sound);
      }
      // As we do it: the process stops at the first error, and starts again.
      vfs.kill();
      const Found found = look(vfs);
      CHECK(found.is_sound);
      CHECK(found.rounds <= 2);
      CHECK(found.rounds >= 1);
    }
  }
}

TEST_CASE("crash_vfs: faults by count, by chance, by file, and a limited number of them") {
  CrashVfs vfs{3};
  auto database = open(vfs);
  REQUIRE(database);
  REQUIRE(prepare(*database, kDurableModes[0].pragmas));
  vfs.fail({.fault = Fault::sync_error, .after = 2, .times = 1, .suffix = "-wal"});
  CHECK(play_round(*database));
  CHECK(play_round(*database));
  CHECK_FALSE(play_round(*database));
  CHECK(play_round(*database));
  vfs.fail({.fault = Fault::write_error, .suffix = "-journal"});
  CHECK(play_round(*database));
  vfs.heal();
  vfs.fail_by_chance(0.5, Fault::sync_error);
  int failures = 0;
  for (int i = 0; i < 100; ++i) failures += play_round(*database) ? 0 : 1;
  CHECK(failures > 25);
  CHECK(failures < 75);
  vfs.heal();
  vfs.fail_after(0, Fault::open_error);
  const auto other = open(vfs);
  CHECK((!other || !Database{open(vfs).value()}.pragma("SELECT count(*) FROM part")));
}

TEST_CASE("crash_vfs: one sync for a commit into the WAL, and it is counted") {
  CrashVfs vfs{1};
  auto database = open(vfs);
  REQUIRE(database);
  REQUIRE(prepare(*database, kDurableModes[0].pragmas));
  const DiskCounts before = vfs.counts("-wal");
  for (int i = 0; i < 10; ++i) REQUIRE(play_round(*database));
  CHECK(vfs.counts("-wal").syncs - before.syncs == 10);
  CHECK(vfs.counts("-wal").writes > before.writes);
  CHECK(vfs.counts().syncs >= vfs.counts("-wal").syncs);
}

TEST_CASE("crash_vfs: connections see one another's locks and commits") {
  for (const Mode& mode : kDurableModes) {
    CAPTURE(mode.name);
    const bool is_wal = mode.pragmas == kDurableModes[0].pragmas;
    CrashVfs vfs{1};
    auto writer = open(vfs);
    auto other = open(vfs);
    REQUIRE(writer);
    REQUIRE(other);
    REQUIRE(prepare(*writer, mode.pragmas));
    {
      auto transaction = store::Transaction::begin(*writer);
      REQUIRE(transaction);
      const auto second = store::Transaction::begin(*other);
      REQUIRE_FALSE(second);
      CHECK(second.error().code == Errc::busy);
      CHECK(other->pragma("SELECT max(round) FROM part") == 0);
    }
    REQUIRE(other->exec("BEGIN"));
    REQUIRE(other->pragma("SELECT max(round) FROM part") == 0);
    const auto played = play_round(*writer);  // a reader holds up a rollback journal, not a WAL
    CHECK(played.has_value() == is_wal);
    CHECK(other->pragma("SELECT max(round) FROM part") == 0);
    REQUIRE(other->exec("COMMIT"));
    if (!is_wal) CHECK(play_round(*writer));
    CHECK(other->pragma("SELECT max(round) FROM part") == 1);
    CHECK(play_round(*other));
    CHECK(writer->pragma("SELECT max(round) FROM part") == 2);
  }
}

TEST_CASE("crash_vfs: threads share a store") {
  CrashVfs vfs{1};
  auto database = open(vfs);
  REQUIRE(database);
  REQUIRE(prepare(*database, kDurableModes[1].pragmas));
  constexpr int kEach = 40;
  // Waiting takes no time here, so that a busy store is met at once and tried again.
  const auto write = [](Database own) {
    for (int done = 0; done < kEach;) done += play_round(own) ? 1 : 0;
  };
  std::thread first{write, open(vfs).value()};
  std::thread second{write, std::move(*database)};
  first.join();
  second.join();
  CHECK(look(vfs).is_sound);
  CHECK(look(vfs).rounds == 2 * kEach);
}

TEST_CASE("crash_vfs: a WAL is found again after a clean close and after a kill") {
  CrashVfs vfs{1};
  {
    auto database = open(vfs);
    REQUIRE(database);
    database->keep_wal_at_close();
    REQUIRE(prepare(*database, kDurableModes[0].pragmas));
    REQUIRE(play_round(*database));
  }
  CHECK(vfs.contents(std::string{kPath} + "-wal").has_value());
  CHECK(look(vfs).rounds == 1);
  auto reader = open(vfs);
  REQUIRE(reader);
  REQUIRE(reader->pragma("SELECT max(round) FROM part") == 1);
  {
    auto database = open(vfs);
    REQUIRE(database);
    REQUIRE(play_round(*database));
    vfs.kill();
    CHECK(look(vfs).rounds == 2);
  }
  CHECK_FALSE(reader->pragma("SELECT max(round) FROM part"));
  CHECK(look(vfs).rounds == 2);
}

TEST_CASE("crash_vfs: a kill keeps what was not synced, a later power cut may not") {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CrashVfs vfs{seed};
    {
      auto database = open(vfs);
      REQUIRE(database);
      REQUIRE(prepare(*database, kDurableModes[0].pragmas));
      REQUIRE(database->exec("PRAGMA synchronous = NORMAL"));
      REQUIRE(play_round(*database));
      vfs.kill();
    }
    {
      auto database = open(vfs);
      REQUIRE(database);
      REQUIRE(database->pragma("SELECT max(round) FROM part") == 1);
      vfs.crash();
    }
    const Found found = look(vfs);
    CHECK(found.is_sound);
    if (found.rounds < 1) ++lost;
  }
  CHECK(lost > 0);
  CHECK(lost < 20);
}

TEST_CASE("crash_vfs: a dead connection can only fail, and leaves the files alone") {
  for (const Mode& mode : kDurableModes) {
    CAPTURE(mode.name);
    CrashVfs vfs{5};
    auto dead = open(vfs);
    REQUIRE(dead);
    REQUIRE(prepare(*dead, mode.pragmas));
    REQUIRE(play_round(*dead));
    REQUIRE(dead->exec("BEGIN IMMEDIATE; UPDATE part SET round = 99"));
    vfs.crash();
    auto alive = open(vfs);
    REQUIRE(alive);
    REQUIRE(play_round(*alive));
    CHECK_FALSE(dead->exec("COMMIT"));
    CHECK_FALSE(dead->exec("UPDATE part SET round = 98"));
    dead = open(vfs);  // closes the old one
    CHECK(look(*alive).is_sound);
    CHECK(look(*dead).rounds == 2);
  }
}

TEST_CASE("crash_vfs: the same seed gives the same damage") {
  std::optional<CrashDisk::Bytes> first;
  for (int run = 0; run < 2; ++run) {
    CrashDisk disk{42};
    auto file = disk.open("/a", true);
    REQUIRE(disk.sync(*file, true) == CrashDisk::Outcome::done);
    const CrashDisk::Bytes bytes(100'000, 7);
    REQUIRE(disk.write(*file, 100, bytes) == CrashDisk::Outcome::done);
    disk.crash(Survival::some);
    if (first) CHECK(*first == disk.find("/a")->seen);
    first = disk.find("/a")->seen;
  }
}

TEST_CASE("crash_disk: names and bytes are durable once synced, and not before") {
  CrashDisk disk{1};
  const CrashDisk::Bytes bytes(10, 1);
  auto named = disk.open("/d/named", true);
  REQUIRE(disk.sync(*named, true) == CrashDisk::Outcome::done);
  auto nameless = disk.open("/d/nameless", true);
  REQUIRE(disk.write(*nameless, 0, bytes) == CrashDisk::Outcome::done);
  REQUIRE(disk.sync(*nameless, false) == CrashDisk::Outcome::done);
  REQUIRE(disk.write(*named, 0, bytes) == CrashDisk::Outcome::done);
  disk.crash(Survival::none);
  CHECK(disk.find("/d/nameless") == nullptr);
  REQUIRE(disk.find("/d/named") != nullptr);
  CHECK(disk.find("/d/named")->seen.empty());

  REQUIRE(disk.remove("/d/named", false) == CrashDisk::Outcome::done);
  CHECK(disk.find("/d/named") == nullptr);
  disk.crash(Survival::none);
  CHECK(disk.find("/d/named") != nullptr);
  REQUIRE(disk.remove("/d/named", true) == CrashDisk::Outcome::done);
  disk.crash(Survival::none);
  CHECK(disk.find("/d/named") == nullptr);
  CHECK(disk.remove("/d/named", true) == CrashDisk::Outcome::absent);
}

// What Linux does: the failed sync forgets that the bytes were dirty.
TEST_CASE("crash_disk: after a failed sync the next one succeeds and proves nothing") {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CrashDisk disk{seed};
    auto file = disk.open("/a", true);
    REQUIRE(disk.sync(*file, true) == CrashDisk::Outcome::done);
    const CrashDisk::Bytes bytes(5000, 1);
    REQUIRE(disk.write(*file, 0, bytes) == CrashDisk::Outcome::done);
    disk.fail({.fault = Fault::sync_error, .times = 1, .suffix = {}});
    REQUIRE(disk.sync(*file, false) == CrashDisk::Outcome::failed);
    CHECK(file->seen == bytes);
    REQUIRE(disk.sync(*file, false) == CrashDisk::Outcome::done);
    disk.crash(Survival::all);
    if (disk.find("/a")->seen != bytes) ++lost;
  }
  CHECK(lost > 10);
}
