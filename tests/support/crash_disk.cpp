#include "tests/support/crash_disk.hpp"

#include <algorithm>
#include <utility>

namespace vouch::test {
namespace {

using Bytes = CrashDisk::Bytes;

constexpr double kKeepSizeChance = 0.5;
constexpr double kTearChance = 0.2;
constexpr double kScrambleChance = 0.1;

void put(Bytes& into, std::size_t offset, std::span<const std::uint8_t> bytes) {
  if (into.size() < offset + bytes.size()) into.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), into.begin() + static_cast<std::ptrdiff_t>(offset));
}

void apply(Bytes& into, const CrashDisk::Change& change) {
  if (change.is_truncation) {
    into.resize(change.offset);
  } else {
    put(into, change.offset, change.bytes);
  }
}

std::string_view folder_of(std::string_view path) {
  return path.substr(0, path.rfind('/') + 1);
}

}  // namespace

DiskCounts& DiskCounts::operator+=(const DiskCounts& other) {
  opens += other.opens;
  reads += other.reads;
  writes += other.writes;
  bytes_written += other.bytes_written;
  truncates += other.truncates;
  syncs += other.syncs;
  folder_syncs += other.folder_syncs;
  deletes += other.deletes;
  return *this;
}

// Counts a changing operation.  False when the power is off, or goes off in the middle of it.
bool CrashDisk::begin_change() {
  if (off_) return false;
  if (operations_++ < off_at_) return true;
  off_ = true;
  return false;
}

bool CrashDisk::strikes(Fault fault, const std::string& path) {
  for (FaultRule& rule : rules_) {
    if (rule.fault != fault || !path.ends_with(rule.suffix)) continue;
    if (rule.after > 0) {
      --rule.after;
      continue;
    }
    if (rule.times == 0 || !random_.chance(rule.chance)) continue;
    --rule.times;
    return true;
  }
  return false;
}

CrashDisk::FilePtr CrashDisk::find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

CrashDisk::FilePtr CrashDisk::open(const std::string& path, bool create) {
  ++counts_[path].opens;
  if (off_ || strikes(Fault::open_error, path)) return nullptr;
  if (FilePtr file = find(path)) return file;
  if (!create) return nullptr;
  const bool powered = begin_change();
  auto file = std::make_shared<File>();
  file->path = path;
  names_[path] = file;
  pending_names_.push_back({path, file});
  return powered ? file : nullptr;
}

CrashDisk::FilePtr CrashDisk::open_temporary() {
  return off_ ? nullptr : std::make_shared<File>();
}

CrashDisk::Outcome CrashDisk::remove(const std::string& path, bool sync_folder) {
  ++counts_[path].deletes;
  if (off_ || strikes(Fault::delete_error, path)) return Outcome::failed;
  if (names_.count(path) == 0) return Outcome::absent;
  const bool powered = begin_change();
  names_.erase(path);
  pending_names_.push_back({path, nullptr});
  if (!powered) return Outcome::failed;
  if (!sync_folder) return Outcome::done;
  ++counts_[path].folder_syncs;
  if (!begin_change() || strikes(Fault::sync_error, path)) return Outcome::failed;
  sync_folder_of(path);
  return Outcome::done;
}

CrashDisk::Outcome CrashDisk::read(const File& file, std::size_t offset,
                                   std::span<std::uint8_t> into, std::size_t& got) {
  ++counts_[file.path].reads;
  if (off_ || strikes(Fault::read_error, file.path)) return Outcome::failed;
  const std::size_t from = std::min(offset, file.seen.size());
  got = std::min(into.size(), file.seen.size() - from);
  std::copy_n(file.seen.begin() + static_cast<std::ptrdiff_t>(from), got, into.begin());
  return Outcome::done;
}

CrashDisk::Outcome CrashDisk::write(File& file, std::size_t offset,
                                    std::span<const std::uint8_t> bytes) {
  DiskCounts& counts = counts_[file.path];
  ++counts.writes;
  if (off_ || strikes(Fault::write_error, file.path)) return Outcome::failed;
  Outcome outcome = Outcome::done;
  if (strikes(Fault::disk_full, file.path)) {
    bytes = bytes.first(random_.below(bytes.size()));
    outcome = Outcome::full;
  }
  counts.bytes_written += static_cast<std::int64_t>(bytes.size());
  const bool powered = begin_change();
  put(file.seen, offset, bytes);
  if (!file.path.empty()) file.pending.push_back({offset, {bytes.begin(), bytes.end()}});
  return powered ? outcome : Outcome::failed;
}

CrashDisk::Outcome CrashDisk::truncate(File& file, std::size_t size) {
  ++counts_[file.path].truncates;
  if (off_ || strikes(Fault::truncate_error, file.path)) return Outcome::failed;
  const bool powered = begin_change();
  file.seen.resize(size);
  if (!file.path.empty()) file.pending.push_back({size, {}, true});
  return powered ? Outcome::done : Outcome::failed;
}

CrashDisk::Outcome CrashDisk::sync(File& file, bool folder_too) {
  DiskCounts& counts = counts_[file.path];
  ++counts.syncs;
  if (!begin_change()) return Outcome::failed;
  if (strikes(Fault::sync_error, file.path)) {
    settle(file, draw_damage(Survival::some));
    return Outcome::failed;
  }
  for (const Change& change : file.pending) apply(file.durable, change);
  file.pending.clear();
  if (folder_too) {
    ++counts.folder_syncs;
    sync_folder_of(file.path);
  }
  return Outcome::done;
}

// A folder is synced as a whole: every name in it becomes durable.
void CrashDisk::sync_folder_of(const std::string& path) {
  const std::string_view folder = folder_of(path);
  std::erase_if(pending_names_, [&](const NameChange& change) {
    if (folder_of(change.path) != folder) return false;
    if (change.file == nullptr) {
      durable_names_.erase(change.path);
    } else {
      durable_names_[change.path] = change.file;
    }
    return true;
  });
}

void CrashDisk::power_cut_after(std::int64_t operations) {
  off_at_ = operations_ + operations;
}

CrashDisk::Damage CrashDisk::draw_damage(Survival survival) {
  const std::size_t sector_bytes = random_.chance(0.5) ? 512 : 4096;
  if (survival == Survival::by_chance) {
    constexpr Survival kDrawn[] = {Survival::none, Survival::all, Survival::some, Survival::some};
    survival = kDrawn[random_.below(std::size(kDrawn))];
  }
  switch (survival) {
    case Survival::none:
      return {0.0, 0.0, sector_bytes};
    case Survival::all:
      return {1.0, 0.0, sector_bytes};
    default:
      return {random_.unit(), kTearChance, sector_bytes};
  }
}

// Decides for good what of the pending changes is durable.
void CrashDisk::settle(File& file, const Damage& damage) {
  for (const Change& change : file.pending) {
    if (!change.is_truncation) {
      settle_write(file.durable, change, damage);
    } else if (random_.chance(damage.keep)) {
      apply(file.durable, change);
    }
  }
  file.pending.clear();
}

// A write reaches the disk sector by sector, and of a torn sector the head, the tail or rubbish.
void CrashDisk::settle_write(Bytes& bytes, const Change& change, const Damage& damage) {
  const std::span<const std::uint8_t> all{change.bytes};
  for (std::size_t done = 0; done < all.size();) {
    const std::size_t at = change.offset + done;
    const std::size_t size =
        std::min(all.size() - done, damage.sector_bytes - at % damage.sector_bytes);
    const std::span<const std::uint8_t> piece = all.subspan(done, size);
    done += size;
    if (!random_.chance(damage.keep)) {
      const bool grows = damage.keep > 0 && bytes.size() < at + size;
      if (grows && random_.chance(kKeepSizeChance)) bytes.resize(at + size);
    } else if (!random_.chance(damage.tear)) {
      put(bytes, at, piece);
    } else if (random_.chance(kScrambleChance)) {
      Bytes rubbish(size);
      random_.fill(std::as_writable_bytes(std::span{rubbish}));
      put(bytes, at, rubbish);
    } else {
      const std::size_t cut = random_.below(size + 1);
      const bool head = random_.chance(0.5);
      put(bytes, head ? at : at + cut, head ? piece.first(cut) : piece.subspan(cut));
    }
  }
}

void CrashDisk::crash(Survival survival) {
  const Damage damage = draw_damage(survival);
  for (const NameChange& change : pending_names_) {
    if (!random_.chance(damage.keep)) continue;
    if (change.file == nullptr) {
      durable_names_.erase(change.path);
    } else {
      durable_names_[change.path] = change.file;
    }
  }
  pending_names_.clear();
  // New file objects: what is still open belongs to the time before the crash.
  std::map<std::string, FilePtr> after;
  for (const auto& [path, file] : durable_names_) {
    settle(*file, damage);
    after[path] = std::make_shared<File>(File{path, file->durable, std::move(file->durable), {}});
  }
  names_ = after;
  durable_names_ = std::move(after);
  off_ = false;
  off_at_ = std::numeric_limits<std::int64_t>::max();
}

std::size_t CrashDisk::unsynced(std::string_view suffix) const {
  std::size_t changes = 0;
  for (const auto& [path, file] : names_) {
    if (!path.ends_with(suffix)) continue;
    changes +=
        static_cast<std::size_t>(std::ranges::count(file->pending, false, &Change::is_truncation));
  }
  for (const NameChange& change : pending_names_) {
    if (change.path.ends_with(suffix)) ++changes;
  }
  return changes;
}

DiskCounts CrashDisk::counts(std::string_view suffix) const {
  DiskCounts sum;
  for (const auto& [path, counts] : counts_) {
    if (path.ends_with(suffix)) sum += counts;
  }
  return sum;
}

}  // namespace vouch::test
