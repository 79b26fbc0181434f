#include "tests/support/crash_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>

#include "common/result.hpp"

namespace vouch::test {
namespace {

constexpr int kPathBytesMax = 1024;
constexpr int kSectorBytes = 4096;                            // what the unix layer says
constexpr sqlite3_int64 kJulianMs2030 = 212'760'216'000'000;  // 2030-01-01T00:00:00Z

struct Handle;
struct Boot;

// What the connections to one file share, and processes would: locks and the WAL index.
struct Sharing {
  std::vector<Handle*> handles;
  std::vector<std::unique_ptr<std::vector<std::uint32_t>>> regions;
};

// One boot of the machine.  The connections of an earlier one keep pointing to theirs, and are
// known by it to be dead.
struct Boot {
  sqlite3_vfs vfs{};
  CrashMachine* machine = nullptr;
};

}  // namespace

struct CrashMachine {
  explicit CrashMachine(std::uint64_t seed) : disk{seed} {}

  void boot();
  std::shared_ptr<Sharing> sharing_of(const CrashDisk::FilePtr& file);
  [[nodiscard]] bool is_alive(const Boot* of) const {
    return of == boots.back().get() && !disk.is_off();
  }

  mutable std::mutex mutex;  // guards everything below
  std::string name;
  CrashDisk disk;
  std::vector<std::unique_ptr<Boot>> boots;
  std::map<const CrashDisk::File*, std::weak_ptr<Sharing>> sharings;
  int handles_open = 0;
};

namespace {

// One open file of one connection.
struct Handle {
  CrashMachine* machine = nullptr;
  const Boot* boot = nullptr;
  CrashDisk::FilePtr file;
  std::shared_ptr<Sharing> sharing;
  bool sync_folder = false;  // the first sync makes the name durable, as the unix layer does
  int lock = SQLITE_LOCK_NONE;
  unsigned index_shared = 0;  // slots of the WAL index locked, one bit each
  unsigned index_exclusive = 0;
  bool has_index = false;
  bool keeps_wal = false;

  [[nodiscard]] bool is_alive() const { return machine->is_alive(boot); }
};

struct OpenFile {
  sqlite3_file base;
  Handle* handle;
};

Handle& handle_of(sqlite3_file* file) {
  return *reinterpret_cast<OpenFile*>(file)->handle;
}
Boot& boot_of(sqlite3_vfs* vfs) {
  return *static_cast<Boot*>(vfs->pAppData);
}

// --- files ---------------------------------------------------------------------------------

// Forgets the WAL index with its last user: the next one builds it anew from the WAL, as the
// first process does on unix.
void drop_index(Handle& h) {
  h.has_index = false;
  h.index_shared = 0;
  h.index_exclusive = 0;
  if (std::ranges::none_of(h.sharing->handles, &Handle::has_index)) h.sharing->regions.clear();
}

int close_file(sqlite3_file* file) {
  auto* open = reinterpret_cast<OpenFile*>(file);
  CrashMachine& machine = *open->handle->machine;
  const std::scoped_lock lock{machine.mutex};
  drop_index(*open->handle);
  std::erase(open->handle->sharing->handles, open->handle);
  delete open->handle;
  open->handle = nullptr;
  --machine.handles_open;
  return SQLITE_OK;
}

int read_file(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  const std::span bytes{static_cast<std::uint8_t*>(into), static_cast<std::size_t>(size)};
  std::size_t got = 0;
  if (!h.is_alive() || h.machine->disk.read(*h.file, static_cast<std::size_t>(offset), bytes,
                                            got) != CrashDisk::Outcome::done) {
    return SQLITE_IOERR_READ;
  }
  if (got == bytes.size()) return SQLITE_OK;
  std::ranges::fill(bytes.subspan(got), std::uint8_t{0});  // SQLite asks for that
  return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  if (!h.is_alive()) return SQLITE_IOERR_WRITE;
  const std::span bytes{static_cast<const std::uint8_t*>(from), static_cast<std::size_t>(size)};
  switch (h.machine->disk.write(*h.file, static_cast<std::size_t>(offset), bytes)) {
    case CrashDisk::Outcome::done:
      return SQLITE_OK;
    case CrashDisk::Outcome::full:
      return SQLITE_FULL;
    default:
      return SQLITE_IOERR_WRITE;
  }
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  const bool done =
      h.is_alive() &&
      h.machine->disk.truncate(*h.file, static_cast<std::size_t>(size)) == CrashDisk::Outcome::done;
  return done ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

int sync_file(sqlite3_file* file, int) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  if (!h.is_alive() || h.machine->disk.sync(*h.file, h.sync_folder) != CrashDisk::Outcome::done) {
    return SQLITE_IOERR_FSYNC;
  }
  h.sync_folder = false;
  return SQLITE_OK;
}

int size_of_file(sqlite3_file* file, sqlite3_int64* size) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  if (!h.is_alive()) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(h.file->seen.size());
  return SQLITE_OK;
}

// --- locks: SHARED for many, RESERVED and above for one; PENDING keeps new readers out -------

// The highest lock on the file that anybody else holds.
int highest_other_lock(const Handle& h) {
  int highest = SQLITE_LOCK_NONE;
  for (const Handle* other : h.sharing->handles) {
    if (other != &h) highest = std::max(highest, other->lock);
  }
  return highest;
}

int lock_file(sqlite3_file* file, int level) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  if (!h.is_alive()) return SQLITE_IOERR_LOCK;
  if (h.lock >= level) return SQLITE_OK;
  const int other = highest_other_lock(h);
  if (level == SQLITE_LOCK_SHARED) {
    if (other >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
  } else if (other >= SQLITE_LOCK_RESERVED) {
    return SQLITE_BUSY;
  } else if (level == SQLITE_LOCK_EXCLUSIVE && other >= SQLITE_LOCK_SHARED) {
    h.lock = SQLITE_LOCK_PENDING;
    return SQLITE_BUSY;
  }
  h.lock = level;
  return SQLITE_OK;
}

int unlock_file(sqlite3_file* file, int level) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  h.lock = std::min(h.lock, level);
  return SQLITE_OK;
}

int check_reserved_lock(sqlite3_file* file, int* is_reserved) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  if (!h.is_alive()) return SQLITE_IOERR_CHECKRESERVEDLOCK;
  *is_reserved = std::max(h.lock, highest_other_lock(h)) >= SQLITE_LOCK_RESERVED ? 1 : 0;
  return SQLITE_OK;
}

int control_file(sqlite3_file* file, int operation, void* argument) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  auto* value = static_cast<int*>(argument);  // of another type or null for some operations
  switch (operation) {
    case SQLITE_FCNTL_LOCKSTATE:
      *value = h.lock;
      return SQLITE_OK;
    case SQLITE_FCNTL_HAS_MOVED:
      *value = 0;
      return SQLITE_OK;
    case SQLITE_FCNTL_PERSIST_WAL:
      if (*value >= 0) h.keeps_wal = *value != 0;
      *value = h.keeps_wal ? 1 : 0;
      return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME:
      *static_cast<char**>(argument) = sqlite3_mprintf("%s", h.boot->vfs.zName);
      return SQLITE_OK;
    default:
      return SQLITE_NOTFOUND;
  }
}

int sector_size(sqlite3_file*) {
  return kSectorBytes;
}
int device_characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

// --- the WAL index: memory that connections share, with eight locks --------------------------

int map_index(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  *out = nullptr;
  if (!h.is_alive()) return SQLITE_IOERR_SHMMAP;
  h.has_index = true;
  auto& regions = h.sharing->regions;
  const auto at = static_cast<std::size_t>(region);
  while (regions.size() <= at && extend != 0) {
    const std::size_t words = static_cast<std::size_t>(size) / sizeof(std::uint32_t);
    regions.push_back(std::make_unique<std::vector<std::uint32_t>>(words));
  }
  if (at < regions.size()) *out = regions[at]->data();
  return SQLITE_OK;
}

int lock_index(sqlite3_file* file, int first, int count, int flags) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  const unsigned slots = ((1U << count) - 1U) << first;
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    h.index_shared &= ~slots;
    h.index_exclusive &= ~slots;
    return SQLITE_OK;
  }
  if (!h.is_alive()) return SQLITE_IOERR_SHMLOCK;
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  for (const Handle* other : h.sharing->handles) {
    if (other == &h) continue;
    if ((other->index_exclusive & slots) != 0) return SQLITE_BUSY;
    if (exclusive && (other->index_shared & slots) != 0) return SQLITE_BUSY;
  }
  (exclusive ? h.index_exclusive : h.index_shared) |= slots;
  return SQLITE_OK;
}

void index_barrier(sqlite3_file* file) {
  // The mutex orders what the shared memory of the unix layer orders with a fence.
  const std::scoped_lock lock{handle_of(file).machine->mutex};
}

int unmap_index(sqlite3_file* file, int) {
  Handle& h = handle_of(file);
  const std::scoped_lock lock{h.machine->mutex};
  drop_index(h);
  return SQLITE_OK;
}

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of_file,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = map_index,
    .xShmLock = lock_index,
    .xShmBarrier = index_barrier,
    .xShmUnmap = unmap_index,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

// --- names and files as a whole ---------------------------------------------------------------

int open_file(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
              int* flags_out) {
  Boot& boot = boot_of(vfs);
  CrashMachine& machine = *boot.machine;
  const std::scoped_lock lock{machine.mutex};
  file->pMethods = nullptr;
  if (!machine.is_alive(&boot)) return SQLITE_CANTOPEN;
  const bool create = (flags & SQLITE_OPEN_CREATE) != 0;
  const bool temporary = path == nullptr || (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  CrashDisk::FilePtr opened =
      temporary ? machine.disk.open_temporary() : machine.disk.open(path, create);
  if (opened == nullptr) return SQLITE_CANTOPEN;

  constexpr int kJournals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
  auto* open = reinterpret_cast<OpenFile*>(file);
  open->handle = new Handle{.machine = &machine,
                            .boot = &boot,
                            .file = opened,
                            .sharing = machine.sharing_of(opened),
                            .sync_folder = create && (flags & kJournals) != 0};
  open->handle->sharing->handles.push_back(open->handle);
  open->base.pMethods = &kMethods;
  ++machine.handles_open;
  if (flags_out != nullptr) *flags_out = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* vfs, const char* path, int sync_folder) {
  Boot& boot = boot_of(vfs);
  const std::scoped_lock lock{boot.machine->mutex};
  if (!boot.machine->is_alive(&boot)) return SQLITE_IOERR_DELETE;
  switch (boot.machine->disk.remove(path, sync_folder != 0)) {
    case CrashDisk::Outcome::done:
      return SQLITE_OK;
    case CrashDisk::Outcome::absent:
      return SQLITE_IOERR_DELETE_NOENT;
    default:
      return SQLITE_IOERR_DELETE;
  }
}

int access_file(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
  Boot& boot = boot_of(vfs);
  const std::scoped_lock lock{boot.machine->mutex};
  if (!boot.machine->is_alive(&boot)) return SQLITE_IOERR_ACCESS;
  const CrashDisk::FilePtr file = boot.machine->disk.find(path);
  // To the unix layer an empty file does not exist.
  const bool found = file != nullptr && (flags != SQLITE_ACCESS_EXISTS || !file->seen.empty());
  *out = found ? 1 : 0;
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* path, int size, char* out) {
  const std::string full = *path == '/' ? path : std::string{"/"} + path;
  if (full.size() >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, full.c_str(), full.size() + 1);
  return SQLITE_OK;
}

int fill_random(sqlite3_vfs*, int size, char* out) {
  std::memset(out, 0, static_cast<std::size_t>(size));
  return size;
}

int pass_time(sqlite3_vfs*, int microseconds) {
  return microseconds;
}

int current_time(sqlite3_vfs*, sqlite3_int64* out) {
  *out = kJulianMs2030;
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) {
  return 0;
}

}  // namespace

std::shared_ptr<Sharing> CrashMachine::sharing_of(const CrashDisk::FilePtr& file) {
  std::weak_ptr<Sharing>& known = sharings[file.get()];
  std::shared_ptr<Sharing> sharing = known.lock();
  if (sharing == nullptr) known = sharing = std::make_shared<Sharing>();
  return sharing;
}

void CrashMachine::boot() {
  if (!boots.empty()) sqlite3_vfs_unregister(&boots.back()->vfs);
  sharings.clear();
  boots.push_back(std::make_unique<Boot>());
  Boot& now = *boots.back();
  now.machine = this;
  now.vfs.iVersion = 2;
  now.vfs.szOsFile = sizeof(OpenFile);
  now.vfs.mxPathname = kPathBytesMax;
  now.vfs.zName = name.c_str();
  now.vfs.pAppData = &now;
  now.vfs.xOpen = open_file;
  now.vfs.xDelete = delete_file;
  now.vfs.xAccess = access_file;
  now.vfs.xFullPathname = full_path;
  now.vfs.xRandomness = fill_random;
  now.vfs.xSleep = pass_time;
  now.vfs.xGetLastError = last_error;
  now.vfs.xCurrentTimeInt64 = current_time;
  VOUCH_ASSERT(sqlite3_vfs_register(&now.vfs, 0) == SQLITE_OK);
}

CrashVfs::CrashVfs(std::uint64_t seed) : machine_{std::make_unique<CrashMachine>(seed)} {
  static std::atomic<int> count{0};
  machine_->name = "crash-" + std::to_string(++count);
  machine_->boot();
}

CrashVfs::~CrashVfs() {
  sqlite3_vfs_unregister(&machine_->boots.back()->vfs);
  VOUCH_ASSERT(machine_->handles_open == 0);  // a connection would call into freed memory
}

const std::string& CrashVfs::name() const {
  return machine_->name;
}

void CrashVfs::crash(Survival survival) {
  const std::scoped_lock lock{machine_->mutex};
  machine_->disk.crash(survival);
  machine_->boot();
}

void CrashVfs::kill() {
  const std::scoped_lock lock{machine_->mutex};
  machine_->boot();
}

void CrashVfs::clone_from(const CrashVfs& other) {
  const std::scoped_lock lock{machine_->mutex, other.machine_->mutex};
  VOUCH_ASSERT(machine_->handles_open == 0);
  for (const auto& [path, file] : other.machine_->disk.files()) {
    machine_->disk.restore(path, file->seen);
  }
}

void CrashVfs::power_cut_after(std::int64_t operations) {
  const std::scoped_lock lock{machine_->mutex};
  machine_->disk.power_cut_after(operations);
}

bool CrashVfs::is_off() const {
  const std::scoped_lock lock{machine_->mutex};
  return machine_->disk.is_off();
}

void CrashVfs::fail(const FaultRule& rule) {
  const std::scoped_lock lock{machine_->mutex};
  machine_->disk.fail(rule);
}

void CrashVfs::fail_after(std::int64_t operations, Fault fault) {
  fail({.fault = fault, .after = operations, .suffix = {}});
}

void CrashVfs::fail_by_chance(double chance, Fault fault) {
  fail({.fault = fault, .chance = chance, .suffix = {}});
}

void CrashVfs::heal() {
  const std::scoped_lock lock{machine_->mutex};
  machine_->disk.heal();
}

std::int64_t CrashVfs::operations() const {
  const std::scoped_lock lock{machine_->mutex};
  return machine_->disk.operations();
}

std::size_t CrashVfs::unsynced(std::string_view suffix) const {
  const std::scoped_lock lock{machine_->mutex};
  return machine_->disk.unsynced(suffix);
}

DiskCounts CrashVfs::counts(std::string_view suffix) const {
  const std::scoped_lock lock{machine_->mutex};
  return machine_->disk.counts(suffix);
}

std::vector<std::string> CrashVfs::paths() const {
  const std::scoped_lock lock{machine_->mutex};
  std::vector<std::string> paths;
  for (const auto& [path, file] : machine_->disk.files()) paths.push_back(path);
  return paths;
}

std::optional<CrashDisk::Bytes> CrashVfs::contents(const std::string& path) const {
  const std::scoped_lock lock{machine_->mutex};
  const CrashDisk::FilePtr file = machine_->disk.find(path);
  if (file == nullptr) return std::nullopt;
  return file->seen;
}

void CrashVfs::save_to(const std::string& folder) const {
  const std::scoped_lock lock{machine_->mutex};
  for (const auto& [path, file] : machine_->disk.files()) {
    std::ofstream out{folder + "/" + path.substr(path.rfind('/') + 1), std::ios::binary};
    out.write(reinterpret_cast<const char*>(file->seen.data()),
              static_cast<std::streamsize>(file->seen.size()));
    VOUCH_ASSERT(out.good());  // a half copy would mislead the person who looks at it
  }
}

}  // namespace vouch::test
