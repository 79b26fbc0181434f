#include "daemon/data/ledger_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "common/failpoint.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/policy.hpp"
#include "common/text.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kGetMeta = "SELECT value FROM ledger_meta WHERE key = :key";
constexpr std::string_view kSetMeta =
    "INSERT OR IGNORE INTO ledger_meta (key, value) VALUES (:key, :value)";
constexpr std::string_view kReplaceMeta =
    "INSERT OR REPLACE INTO ledger_meta (key, value) VALUES (:key, :value)";

constexpr std::string_view kOlderHint =
    "find the newest ledger; to go on with this one all the same, after reconciling what happened "
    "since with the downstreams' statements: vouchd --accept-older-ledger";

constexpr std::string_view kCountStart = R"sql(
  INSERT INTO ledger_meta (key, value) VALUES ('starts', '1')
  ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
)sql";

// The WAL is checkpointed by the writer when it suits it, never inside a commit.
constexpr const char* kWriterPragmas = R"sql(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 0;
  PRAGMA journal_size_limit = 67108864;
)sql";

constexpr std::int64_t kEpochsOfRun = std::int64_t{1} << 32;
constexpr std::int64_t kStartsMax = std::int64_t{1} << 30;
constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";

constexpr int kWriterCacheKib = 6144;
constexpr int kReaderCacheKib = 1024;

constexpr std::size_t kAnchorBytesMax = 1024;
constexpr std::size_t kLockBytesMax = 64;
constexpr Millis kLockPatience{1'000};
constexpr Millis kLockTryEvery{20};

// After a failed fsync the system shows bytes that it will never write (Linux takes them for
// clean).  A daemon that was stopped by one and goes on behind such bytes would lose, at the next
// power cut, everything it commits.  So each start copies the WAL into the database and begins a
// new one with a commit: what is read from now on has been written and synced since.
Result<void> begin_new_wal(store::Database& ledger, WallTime now) {
  VOUCH_TRY(const int frames_left, ledger.checkpoint());
  static_cast<void>(frames_left);  // a reader in the way: then the WAL is the old one, as before
  VOUCH_CHECK(ledger.prepared(kCountStart).run());
  return ledger.prepared(kReplaceMeta)
      .bind(":key", "started_ms")
      .bind(":value", std::to_string(to_ms(now)))
      .run();
}

std::string holder_of(const std::string& path) {
  const auto text = read_file(path, kLockBytesMax);
  const std::string pid{text ? trim_blanks(*text) : std::string_view{}};
  return pid.empty() ? "?" : pid;
}

// Waits for as long as a reader may look at the lock.
Result<void> lock_alone(const FileDescriptor& file, const std::string& path,
                        const std::string& holder_file, const Clock& clock) {
  const Instant deadline = clock.now() + kLockPatience;
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return system_error(path, errno, "lock");
    const Instant now = clock.now();
    if (now >= deadline) {
      return fail(Errc::locked,
                  path + " is held by a running vouchd, pid " + holder_of(holder_file),
                  "stop that one first, or give this one another --instance");
    }
    sleep_until(clock, std::min(deadline, now + kLockTryEvery));
  }
  return {};
}

// Whether the path still leads to the file that is open.
bool is_at(const FileDescriptor& file, const std::string& path) {
  struct stat open_one {};
  struct stat named {};
  return fstat(file.get(), &open_one) == 0 && stat(path.c_str(), &named) == 0 &&
         open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

}  // namespace

Result<InstanceLock> InstanceLock::take(const std::string& folder, const Clock& clock) {
  const std::string path = folder + "/vouchd.lock";
  FileDescriptor place{open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!place.is_open()) return system_error(folder, errno, "open");
  VOUCH_CHECK(lock_alone(place, folder, path, clock));
  FileDescriptor file{open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
  if (!file.is_open()) return system_error(path, errno, "open");
  VOUCH_CHECK(lock_alone(file, path, path, clock));
  if (!is_at(file, path)) {
    return fail(Errc::locked, path + " was replaced while it was being locked",
                "leave that file to vouchd; then start it again");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), pid.data(), pid.size(), 0) < 0) {
    return system_error(path, errno, "write");
  }
  return InstanceLock{std::move(place), std::move(file)};
}

void InstanceLock::show_life() const {
  // Where the file system refuses, vouchd only looks older than it is.
  static_cast<void>(futimens(file_.get(), nullptr));
}

std::string InstanceLock::place() const {
  struct stat status {};
  const auto boot = read_file(kBootId, 64);
  // Without either nobody is taken for an earlier run of ours, and locks run out by themselves.
  if (fstat(folder_.get(), &status) != 0 || !boot) return {};
  return std::string{trim_blanks(*boot)} + "/" + std::to_string(status.st_dev) + "-" +
         std::to_string(status.st_ino);
}

Result<store::Database> open_ledger(const std::string& path, WallTime now, Random& random,
                                    const std::string& vfs) {
  VOUCH_TRY(store::Database ledger,
            store::Database::open(
                path, {.mode = store::OpenMode::create, .vfs = vfs, .cache_kib = kWriterCacheKib}));
  VOUCH_CHECK(ledger.exec(kWriterPragmas));
  ledger.keep_wal_at_close();
  VOUCH_CHECK(store::migrate(ledger, embedded::ledger_migrations, now));
  std::array<std::uint8_t, 16> id{};
  random.fill(std::as_writable_bytes(std::span{id}));
  VOUCH_CHECK(ledger.prepared(kSetMeta).bind(":key", "ledger_id").bind(":value", hex(id)).run());
  VOUCH_CHECK(begin_new_wal(ledger, now));
  return ledger;
}

Result<store::Database> open_ledger_reader(const std::string& path, const std::string& vfs) {
  return store::Database::open(
      path, {.mode = store::OpenMode::read_only, .vfs = vfs, .cache_kib = kReaderCacheKib});
}

Result<std::string> ledger_id(store::Database& ledger) {
  store::Statement& get = ledger.prepared(kGetMeta);
  get.bind(":key", "ledger_id");
  VOUCH_TRY(const bool found, get.step());
  if (!found) return fail(Errc::corrupt, ledger.path() + ": has no ledger_id");
  std::string id = get.string(0);
  get.reset();
  return id;
}

Result<std::int64_t> first_epoch(store::Database& ledger) {
  store::Statement& get = ledger.prepared(kGetMeta);
  get.bind(":key", "starts");
  VOUCH_TRY(const bool found, get.step());
  VOUCH_ASSERT(found);  // open_ledger has counted this one
  const auto starts = parse_integer(get.text(0));
  get.reset();
  if (!starts || *starts < 1 || *starts >= kStartsMax) {
    return fail(Errc::corrupt, ledger.path() + ": its count of starts is none");
  }
  return *starts * kEpochsOfRun;
}

Result<std::string> keep_policy(store::Database& ledger, std::string_view policy) {
  constexpr const char* kKey = "policy";
  store::Statement& get = ledger.prepared(kGetMeta).bind(":key", kKey);
  VOUCH_TRY(const bool found, get.step());
  std::string kept = found ? get.string(0) : std::string{};
  get.reset();
  if (kept == kFourEyes || kept == policy) return kept;
  VOUCH_CHECK(ledger.prepared(kReplaceMeta).bind(":key", kKey).bind(":value", policy).run());
  return std::string{policy};
}

Result<void> keep_control_socket(store::Database& ledger, std::string_view path) {
  return ledger.prepared(kReplaceMeta).bind(":key", "control_socket").bind(":value", path).run();
}

Result<std::optional<Anchor>> read_anchor(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::optional<Anchor>{};
  VOUCH_TRY(const std::string text, read_file(path, kAnchorBytesMax));
  const auto json = parse_json(text);
  if (!json) return within(path, json.error());
  auto reader = JsonReader::object(*json, "");
  if (!reader) return within(path, reader.error());
  Anchor anchor;
  VOUCH_TRY(anchor.ledger_id, reader->text("ledger_id"));
  VOUCH_TRY(anchor.last_event, reader->integer("last_event", 0, INT64_MAX));
  VOUCH_TRY(const std::int64_t at_ms, reader->integer("at_ms", 0, INT64_MAX));
  anchor.at = from_ms(at_ms);
  return std::optional<Anchor>{anchor};
}

Result<void> write_anchor(const std::string& path, const Anchor& anchor) {
  const Json json = {{"ledger_id", anchor.ledger_id},
                     {"last_event", anchor.last_event},
                     {"at_ms", to_ms(anchor.at)}};
  // Replaced by rename: a reader sees the old one or the new one.  It is not synced: an anchor
  // that is a second behind after a power cut says less, never something wrong.
  const std::string aside = path + ".new";
  {
    VOUCH_TRY(const FileDescriptor file, open_to_write(aside));
    VOUCH_CHECK(write_all(file, json.dump() + "\n", aside));
  }
  reach_failpoint("anchor-not-replaced");
  if (rename(aside.c_str(), path.c_str()) != 0) return system_error(path, errno, "replace");
  return {};
}

Result<void> check_anchor(const std::optional<Anchor>& anchor, std::string_view ledger_id,
                          std::int64_t last_event) {
  if (!anchor) return {};
  const std::string hint{kOlderHint};
  if (anchor->ledger_id != ledger_id) {
    return fail(Errc::attention,
                "the ledger is not the one that ran here before (its id differs from the anchor's)",
                hint);
  }
  if (last_event >= anchor->last_event) return {};
  return fail(Errc::attention,
              "the ledger ends at event " + std::to_string(last_event) + " but had come to event " +
                  std::to_string(anchor->last_event) + " at " + format_time_utc(anchor->at) +
                  ": it is an older copy",
              hint);
}

Result<void> check_copy(const std::optional<WallTime>& copied) {
  if (!copied) return {};
  return fail(Errc::attention,
              "the ledger is a backup of " + format_time_utc(*copied) +
                  ": it is an older copy, and does not know what was sent since",
              std::string{kOlderHint});
}

Result<void> check_clock(const std::optional<WallTime>& newest_event, WallTime now) {
  if (!newest_event || now >= *newest_event - kClockBehindMax) return {};
  return fail(
      Errc::attention,
      "the clock says " + format_time_utc(now) + ", but the ledger's newest event is of " +
          format_time_utc(*newest_event) + ": the clock was set back",
      "set the clock right; if it is right now and was ahead before: vouchd --accept-clock");
}

}  // namespace vouch::data
