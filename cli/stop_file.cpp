#include "cli/stop_file.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/store/stop_files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// Two operators who stop something at once must not undo each other: the folder is locked from
// reading the file to replacing it.
class FolderLock {
 public:
  [[nodiscard]] static Result<FolderLock> take(const std::string& folder) {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return system_error(folder, errno);
    FolderLock lock{fd};
    if (::flock(fd, LOCK_EX) != 0) return system_error(folder, errno);
    return lock;
  }
  FolderLock(FolderLock&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  explicit FolderLock(int fd) : fd_{fd} {}
  int fd_;
};

Result<StopEntry> read_entry(const Json& value, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, pointer));
  StopEntry entry;
  VOUCH_TRY(entry.scope, reader.text("scope"));
  VOUCH_TRY(const auto name, reader.optional_text("name"));
  VOUCH_TRY(const auto reason, reader.optional_text("reason"));
  VOUCH_TRY(const auto by, reader.optional_text("by"));
  VOUCH_TRY(const auto at, reader.optional_text("at"));
  VOUCH_TRY(const auto start_by, reader.optional_text("start_by"));
  VOUCH_TRY(const auto start_at, reader.optional_text("start_at"));
  entry.name = name.value_or("");
  entry.reason = reason.value_or("");
  entry.by = by.value_or("");
  entry.at = at.value_or("");
  entry.start_by = start_by.value_or("");
  entry.start_at = start_at.value_or("");
  return entry;
}

Result<void> write_stops(const store::StorePaths& paths, const std::vector<StopEntry>& entries) {
  Json array = Json::array();
  for (const StopEntry& entry : entries) {
    Json& out = array.emplace_back(Json::object());
    out["scope"] = entry.scope;
    out["name"] = entry.name;
    out["reason"] = entry.reason;
    out["by"] = entry.by;
    out["at"] = entry.at;
    if (entry.start_by.empty()) continue;
    out["start_by"] = entry.start_by;
    out["start_at"] = entry.start_at;
  }
  const Json file = Json{{"stops", std::move(array)}};
  return replace_file(paths.stop_file(), file.dump(2) + "\n", 0660);
}

auto same_as(std::string_view scope, std::string_view name) {
  return [=](const StopEntry& entry) { return entry.scope == scope && entry.name == name; };
}

// What stop.json holds.
Result<std::vector<StopEntry>> read_named_stops(const store::StorePaths& paths) {
  const std::string path = paths.stop_file();
  const auto text = read_file(path, store::kStopBytesMax);
  if (!text && text.error().code == Errc::not_found) return std::vector<StopEntry>{};
  if (!text) return tl::unexpected<Error>(text.error());
  const auto damaged = [&](Error error) {
    error.hint = store::kStopFileHint;
    return within(path, std::move(error));
  };
  const auto json = parse_json(*text);
  if (!json) return damaged(json.error());
  const auto stops = json->find("stops");
  if (!json->is_object() || stops == json->end() || !stops->is_array()) {
    return damaged({Errc::invalid, "holds no array \"stops\"", ""});
  }
  std::vector<StopEntry> entries;
  for (const Json& value : *stops) {
    auto entry = read_entry(value, "/stops/" + std::to_string(entries.size()));
    if (!entry) return damaged(entry.error());
    entries.push_back(std::move(*entry));
  }
  return entries;
}

// The entry that a full disk left no room for.
std::optional<StopEntry> stop_of_full_disk(const store::StorePaths& paths) {
  struct stat status {};
  if (::stat(store::stop_all_file(paths).c_str(), &status) != 0) return std::nullopt;
  const passwd* owner = ::getpwuid(status.st_uid);
  return StopEntry{.scope = "all",
                   .name = "",
                   .reason = store::kStopAllReason,
                   .by = owner != nullptr ? owner->pw_name : "uid-" + std::to_string(status.st_uid),
                   .at = format_time_utc(from_ms(status.st_mtim.tv_sec * 1000))};
}

// Needs no block of the disk, only a name in a folder.
Result<void> stop_all_without_room(const store::StorePaths& paths) {
  const std::string path = store::stop_all_file(paths);
  VOUCH_TRY(const FileDescriptor file, open_to_write(path));
  return sync_folder(paths.control());
}

}  // namespace

Result<std::vector<StopEntry>> read_stops(const store::StorePaths& paths) {
  VOUCH_TRY(auto entries, read_named_stops(paths));
  if (auto all = stop_of_full_disk(paths)) {
    const auto named = std::ranges::find_if(entries, same_as("all", ""));
    if (named != entries.end()) {
      all->start_by = named->start_by;
      all->start_at = named->start_at;
    }
    std::erase_if(entries, same_as("all", ""));
    entries.push_back(std::move(*all));
  }
  return entries;
}

Result<bool> add_stop(const store::StorePaths& paths, const StopEntry& entry) {
  VOUCH_TRY(const FolderLock lock, FolderLock::take(paths.control()));
  auto entries = read_named_stops(paths);
  // A damaged file stops everything already; a stop must not fail because of it.
  std::vector<StopEntry> kept = entries ? std::move(*entries) : std::vector<StopEntry>{};
  if (!entries) kept.push_back({"all", "", "the stop file was damaged", entry.by, entry.at});
  std::erase_if(kept, same_as(entry.scope, entry.name));
  kept.push_back(entry);
  const auto written = write_stops(paths, kept);
  if (written) return true;
  // Rather too much is stopped than nothing.
  if (written.error().code != Errc::io) return tl::unexpected<Error>(written.error());
  VOUCH_CHECK(stop_all_without_room(paths));
  return false;
}

Result<std::optional<StopEntry>> remove_stop(const store::StorePaths& paths, std::string_view scope,
                                             std::string_view name) {
  VOUCH_TRY(const FolderLock lock, FolderLock::take(paths.control()));
  VOUCH_TRY(auto entries, read_named_stops(paths));
  std::optional<StopEntry> removed;
  if (scope == "all") removed = stop_of_full_disk(paths);
  const auto found = std::find_if(entries.begin(), entries.end(), same_as(scope, name));
  if (found != entries.end()) {
    removed = std::move(*found);
    entries.erase(found);
    VOUCH_CHECK(write_stops(paths, entries));
  }
  if (scope == "all" && ::unlink(store::stop_all_file(paths).c_str()) != 0 && errno != ENOENT) {
    return system_error(store::stop_all_file(paths), errno, "remove");
  }
  return removed;
}

std::string describe(const StopEntry& entry) {
  return entry.scope == "all" ? "everything" : entry.scope + " " + entry.name;
}

}  // namespace vouch::cli
