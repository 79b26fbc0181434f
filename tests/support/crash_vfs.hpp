// crash_vfs.hpp: a file layer for SQLite on which the power can be cut.
//
// kill -9 cannot show a missing fsync, since the page cache survives it.  A CrashVfs keeps its
// files in memory and knows which bytes and names are durable (crash_disk.hpp says how strictly):
//
//     CrashVfs vfs{seed};
//     auto database = Database::open("/ledger.db", {.mode = OpenMode::create, .vfs = vfs.name()});
//     ...
//     vfs.power_cut_after(17);         // off in the middle of the 18th change from here
//     ... until vfs.is_off() ...       // SQLite meets I/O errors, as a dying machine would
//     vfs.crash();                     // what was not synced is kept, dropped or torn
//     ... open again: what is there now is what a restart would find.
//
// Rollback journals and WAL both work, with any number of connections of this process: locks
// and the WAL index are shared among them as between processes.  After crash() or kill() every
// open connection is dead: all it can do is fail and be closed, without touching the files.
//
// Time: waiting for a lock takes none, so that a busy timeout passes at once; SQLite's own clock
// stands still at 2030-01-01.  The same seed and the same calls give the same damage.
//
// Threads: any.  Lifetime: outlives its connections (asserted).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/crash_disk.hpp"

namespace vouch::test {

struct CrashMachine;

class CrashVfs {
 public:
  explicit CrashVfs(std::uint64_t seed);
  ~CrashVfs();
  CrashVfs(const CrashVfs&) = delete;
  CrashVfs& operator=(const CrashVfs&) = delete;

  // For store::OpenOptions::vfs; the same for the whole life, and no other instance's.
  [[nodiscard]] const std::string& name() const;

  // A power cut: what was not synced is decided, all connections are dead, the power is back.
  void crash(Survival survival = Survival::by_chance);
  // kill -9: all connections are dead and their locks gone, the files are as they were seen.
  // What was not synced is as unsafe as before.
  void kill();

  // All files of another machine as they are seen there now, durable here; nothing is open here.
  void clone_from(const CrashVfs& other);

  // After so many more changing operations (create, write, truncate, sync, delete) the power
  // goes off, in the middle of the next one.  crash() ends that.
  void power_cut_after(std::int64_t operations);
  [[nodiscard]] bool is_off() const;

  void fail(const FaultRule& rule);
  // The first `operations` of this kind pass, all later ones fail until heal().
  void fail_after(std::int64_t operations, Fault fault);
  // Each operation of this kind fails with this probability until heal().
  void fail_by_chance(double chance, Fault fault);
  void heal();

  // Changing operations so far: with power_cut_after() a test can cut at each of them in turn.
  [[nodiscard]] std::int64_t operations() const;
  // Writes and names that a power cut may undo, of the files whose path ends with `suffix`: none
  // right after a commit that is promised to be durable.
  [[nodiscard]] std::size_t unsynced(std::string_view suffix) const;
  // Of the files whose path ends with `suffix`, as "-wal"; all files when it is empty.
  [[nodiscard]] DiskCounts counts(std::string_view suffix = {}) const;
  [[nodiscard]] std::vector<std::string> paths() const;
  // The bytes as programs see them; nothing when there is no such file.
  [[nodiscard]] std::optional<CrashDisk::Bytes> contents(const std::string& path) const;
  // Writes all files into an existing folder of the real file system, for a look at a failed
  // seed with the sqlite3 shell.
  void save_to(const std::string& folder) const;

 private:
  std::unique_ptr<CrashMachine> machine_;
};

}  // namespace vouch::test
