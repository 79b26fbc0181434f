// ledger_file.hpp: opening the ledger of one instance for writing, alone.
//
// The folder holds the database, the lock file that keeps a second daemon away, and nothing that
// another program writes.  WAL, synchronous FULL; -wal and -shm stay at close, so that readers
// without write permission can open a stopped ledger.
//
// The anchor is a small file in a second place that says how far the ledger had come.  A ledger
// older than its anchor is a restored copy: what happened after it is unknown to it, and it must
// not send as if nothing had.
//
// Threads: the main thread, before the others start; write_anchor from the control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/files.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"

namespace vouch::data {

// Held until the process ends: flock on the folder and on a file in it that is no database (opening
// and closing a database file by hand would drop SQLite's locks).  The file says who holds it; the
// folder's lock stays where somebody deletes the file and makes it anew.
class InstanceLock {
 public:
  // Tries for a second, since vouchctl takes a shared lock for a moment to see whether a daemon
  // runs.  Errc::locked, naming the holder's pid, when another daemon has it.
  [[nodiscard]] static Result<InstanceLock> take(const std::string& folder, const Clock& clock);

  // Stamps the file with the present time: who looks at it from outside sees that vouchd works.
  void show_life() const;

  // Names the folder itself, on this machine, since its start: whoever holds the lock knows that
  // nobody else is there any more.
  [[nodiscard]] std::string place() const;

 private:
  InstanceLock(FileDescriptor folder, FileDescriptor file)
      : folder_{std::move(folder)}, file_{std::move(file)} {}
  FileDescriptor folder_;
  FileDescriptor file_;
};

// Opens, migrates and configures ledger.db; makes it when it is not there.  `vfs` is for tests.
[[nodiscard]] Result<store::Database> open_ledger(const std::string& path, WallTime now,
                                                  Random& random, const std::string& vfs = {});
// A second connection for the daemon's own readers.
[[nodiscard]] Result<store::Database> open_ledger_reader(const std::string& path,
                                                         const std::string& vfs = {});

// The random id that open_ledger gave the ledger at its birth.
[[nodiscard]] Result<std::string> ledger_id(store::Database& ledger);

// The first epoch of this run: above every one of the runs before, since starts are counted.
[[nodiscard]] Result<std::int64_t> first_epoch(store::Database& ledger);

// Takes the control store's policy over, and returns the one in force.  A ledger that has once been
// told four-eyes keeps to it: whoever can write the control store could otherwise undo it.
[[nodiscard]] Result<std::string> keep_policy(store::Database& ledger, std::string_view policy);

// Where people find the daemon's control socket; empty: it has none.  Kept in the ledger, which
// only the daemon writes.
[[nodiscard]] Result<void> keep_control_socket(store::Database& ledger, std::string_view path);

struct Anchor {
  std::string ledger_id;
  std::int64_t last_event = 0;
  WallTime at;
};
[[nodiscard]] Result<std::optional<Anchor>> read_anchor(const std::string& path);
[[nodiscard]] Result<void> write_anchor(const std::string& path, const Anchor& anchor);
// Errc::attention, saying what command goes on, when the ledger is older than its anchor or is
// not the one that was anchored.
[[nodiscard]] Result<void> check_anchor(const std::optional<Anchor>& anchor,
                                        std::string_view ledger_id, std::int64_t last_event);

// The same for a ledger that `vouchctl store backup` copied, at that time.
[[nodiscard]] Result<void> check_copy(const std::optional<WallTime>& copied);

// A wall clock behind the ledger's newest event by more than kClockBehindMax was set back: every
// age and deadline would be wrong.
inline constexpr Millis kClockBehindMax{5 * 60'000};
[[nodiscard]] Result<void> check_clock(const std::optional<WallTime>& newest_event, WallTime now);

}  // namespace vouch::data
