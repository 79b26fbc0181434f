#include "cli/stop_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/files.hpp"
#include "common/json.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kStopBytesMax = 1024 * 1024;

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
  entry.name = name.value_or("");
  entry.reason = reason.value_or("");
  entry.by = by.value_or("");
  entry.at = at.value_or("");
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
  }
  const Json file = Json{{"stops", std::move(array)}};
  return replace_file(paths.stop_file(), file.dump(2) + "\n", 0660);
}

auto same_as(std::string_view scope, std::string_view name) {
  return [=](const StopEntry& entry) { return entry.scope == scope && entry.name == name; };
}

}  // namespace

Result<std::vector<StopEntry>> read_stops(const store::StorePaths& paths) {
  const auto text = read_file(paths.stop_file(), kStopBytesMax);
  if (!text && text.error().code == Errc::not_found) return std::vector<StopEntry>{};
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = parse_json(*text);
  if (!json) return within(paths.stop_file(), json.error());
  const auto stops = json->find("stops");
  if (!json->is_object() || stops == json->end() || !stops->is_array()) {
    return fail(Errc::invalid, paths.stop_file() + ": holds no array \"stops\"",
                "vouchd stops everything until it is mended or removed");
  }
  std::vector<StopEntry> entries;
  for (const Json& value : *stops) {
    VOUCH_TRY(StopEntry entry, read_entry(value, "/stops/" + std::to_string(entries.size())));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<void> add_stop(const store::StorePaths& paths, const StopEntry& entry) {
  VOUCH_TRY(const FolderLock lock, FolderLock::take(paths.control()));
  auto entries = read_stops(paths);
  // A damaged file stops everything already; a stop must not fail because of it.
  std::vector<StopEntry> kept = entries ? std::move(*entries) : std::vector<StopEntry>{};
  if (!entries) kept.push_back({"all", "", "the stop file was damaged", entry.by, entry.at});
  std::erase_if(kept, same_as(entry.scope, entry.name));
  kept.push_back(entry);
  return write_stops(paths, kept);
}

Result<std::optional<StopEntry>> remove_stop(const store::StorePaths& paths, std::string_view scope,
                                             std::string_view name) {
  VOUCH_TRY(const FolderLock lock, FolderLock::take(paths.control()));
  VOUCH_TRY(auto entries, read_stops(paths));
  const auto found = std::find_if(entries.begin(), entries.end(), same_as(scope, name));
  if (found == entries.end()) return std::optional<StopEntry>{};
  std::optional<StopEntry> removed = std::move(*found);
  entries.erase(found);
  VOUCH_CHECK(write_stops(paths, entries));
  return removed;
}

std::string describe(const StopEntry& entry) {
  return entry.scope == "all" ? "everything" : entry.scope + " " + entry.name;
}

}  // namespace vouch::cli
