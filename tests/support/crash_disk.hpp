// crash_disk.hpp: a disk in memory that knows what would survive a power cut.
//
// Each file has the bytes that programs see and the bytes that are durable; between them lies
// the list of changes made since the last sync.  The same goes for names: creating or deleting a
// file is durable only once its folder was synced.  At a crash each change that was not synced
// is kept, dropped or torn, by seed and independently of its neighbours, so that later writes
// may survive earlier ones.
//
// The model is as strict as POSIX allows and stricter than ext4:
// - syncing a file makes its bytes and its size durable, not its name;
// - a write is atomic at no size at all; bytes outside its range are never harmed (what SQLite
//   calls powersafe overwrite and assumes by default);
// - a file may grow at a crash without the bytes that made it grow: these read as zeros;
// - when a sync fails, what had not reached the disk never will, though programs go on seeing it
//   and the next sync succeeds (Linux drops the dirty marks).
//
// Threads: one at a time; CrashVfs locks.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/random.hpp"

namespace vouch::test {

enum class Fault : std::uint8_t {
  open_error,
  read_error,
  write_error,
  disk_full,  // a write that finds no room; a part of it may have been written
  truncate_error,
  sync_error,
  delete_error,
};

// When which operations fail.  Of several rules the first that strikes counts.
struct FaultRule {
  Fault fault = Fault::write_error;
  std::int64_t after = 0;  // so many operations of this kind pass first
  double chance = 1.0;     // of failing, for each one after these
  std::int64_t times = std::numeric_limits<std::int64_t>::max();  // failures until it is healed
  std::string suffix;  // only files whose path ends so, as "ledger.db-wal"; empty: all files
};

// What becomes, at a power cut, of the changes that were not synced.
enum class Survival : std::uint8_t {
  by_chance,  // none, all or a torn part of them, drawn anew for each crash
  none,       // the strictest disk
  all,        // the kindest one
  some,       // always a torn part of them
};

// Operations since the start; the failed ones count.
struct DiskCounts {
  std::int64_t opens = 0;
  std::int64_t reads = 0;
  std::int64_t writes = 0;
  std::int64_t bytes_written = 0;
  std::int64_t truncates = 0;
  std::int64_t syncs = 0;
  std::int64_t folder_syncs = 0;
  std::int64_t deletes = 0;

  DiskCounts& operator+=(const DiskCounts& other);
};

class CrashDisk {
 public:
  using Bytes = std::vector<std::uint8_t>;

  // A write, or (with no bytes) a truncation to `offset`, that is not durable.
  struct Change {
    std::size_t offset = 0;
    Bytes bytes;
    bool is_truncation = false;
  };

  struct File {
    std::string path;  // empty: a temporary file, which no crash survives
    Bytes seen;
    Bytes durable;
    std::vector<Change> pending;
  };
  using FilePtr = std::shared_ptr<File>;

  enum class Outcome : std::uint8_t { done, failed, full, absent };

  explicit CrashDisk(std::uint64_t seed) : random_{seed} {}

  // --- what programs do.  Everything fails while the power is off.

  // Null when it failed, or when there is no such file and `create` is false.
  [[nodiscard]] FilePtr open(const std::string& path, bool create);
  [[nodiscard]] FilePtr open_temporary();
  [[nodiscard]] Outcome remove(const std::string& path, bool sync_folder);
  // Fills `into` as far as the file goes and sets `got`.
  [[nodiscard]] Outcome read(const File& file, std::size_t offset, std::span<std::uint8_t> into,
                             std::size_t& got);
  [[nodiscard]] Outcome write(File& file, std::size_t offset, std::span<const std::uint8_t> bytes);
  [[nodiscard]] Outcome truncate(File& file, std::size_t size);
  [[nodiscard]] Outcome sync(File& file, bool folder_too);
  [[nodiscard]] FilePtr find(const std::string& path) const;

  // --- what happens to the machine.

  // After so many more changing operations (create, write, truncate, sync, delete) the power
  // goes off, in the middle of the next one.
  void power_cut_after(std::int64_t operations);
  [[nodiscard]] bool is_off() const { return off_; }
  // A power cut, now or (when it is off already) then; afterwards the power is on again.
  void crash(Survival survival);
  void fail(FaultRule rule) { rules_.push_back(std::move(rule)); }
  void heal() { rules_.clear(); }
  // A whole file that has always been there: of a restored backup, a cloned machine.
  void restore(const std::string& path, const Bytes& bytes) {
    names_[path] = std::make_shared<File>(File{path, bytes, bytes, {}});
    durable_names_[path] = names_[path];
  }

  // --- what a test may ask.

  [[nodiscard]] std::int64_t operations() const { return operations_; }
  // Writes and names that are not durable yet, of the files whose path ends with `suffix`.
  [[nodiscard]] std::size_t unsynced(std::string_view suffix) const;
  // Of the files whose path ends with `suffix`.
  [[nodiscard]] DiskCounts counts(std::string_view suffix) const;
  [[nodiscard]] const std::map<std::string, FilePtr>& files() const { return names_; }

 private:
  // A name that came to mean another file, or none, and is not durable yet.
  struct NameChange {
    std::string path;
    FilePtr file;  // null: deleted
  };
  // How one crash treats what was not synced.
  struct Damage {
    double keep;  // the probability that a piece reached the disk
    double tear;  // that, of one which did, only a part did
    std::size_t sector_bytes;
  };

  bool begin_change();
  bool strikes(Fault fault, const std::string& path);
  void sync_folder_of(const std::string& path);
  Damage draw_damage(Survival survival);
  void settle(File& file, const Damage& damage);
  void settle_write(Bytes& bytes, const Change& change, const Damage& damage);

  SeededRandom random_;
  std::map<std::string, FilePtr> names_;
  std::map<std::string, FilePtr> durable_names_;
  std::vector<NameChange> pending_names_;
  std::vector<FaultRule> rules_;
  std::map<std::string, DiskCounts> counts_;
  std::int64_t operations_ = 0;
  std::int64_t off_at_ = std::numeric_limits<std::int64_t>::max();
  bool off_ = false;
};

}  // namespace vouch::test
