#include "cli/backup.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/store/ledger_copy.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kManifest = "manifest.json";
constexpr unsigned kFolderMode = 0700;

std::int64_t size_of(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

// "ledger/main/ledger.db" for every instance that has one.
std::vector<std::string> ledger_files(const store::StorePaths& paths) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator{paths.root + "/ledger", error}) {
    const std::string instance = folder.path().filename().string();
    if (path_exists(paths.ledger_db(instance))) {
      files.push_back("ledger/" + instance + "/ledger.db");
    }
  }
  std::ranges::sort(files);
  return files;
}

Result<std::vector<std::string>> list_files(store::ControlStore& control) {
  VOUCH_TRY(const auto lists, control.lists());
  std::vector<std::string> files;
  for (const store::ListRow& list : lists) {
    const std::string file = "recipients/" + list.digest + ".db";
    // One content may be registered under two names.
    if (!list.deleted && std::ranges::find(files, file) == files.end()) files.push_back(file);
  }
  return files;
}

Result<std::vector<std::string>> pool_files(store::ControlStore& control) {
  VOUCH_TRY(const auto pools, control.pools());
  std::vector<std::string> files;
  for (const store::PoolRow& pool : pools) {
    for (const store::PoolSegmentRow& segment : pool.segments) {
      files.push_back("pools/" + segment.digest + ".db");
    }
  }
  return files;
}

// Lists and segments of pools: what never changes.
Result<std::vector<std::string>> sealed_files(store::ControlStore& control) {
  VOUCH_TRY(std::vector<std::string> files, list_files(control));
  VOUCH_TRY(const auto pools, pool_files(control));
  files.insert(files.end(), pools.begin(), pools.end());
  return files;
}

// The digest of a finished copy.  Reading it by hand is safe: nobody has it open as a database.
Result<std::string> digest_of(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return system_error(path, errno);
  Sha256 sha;
  char buffer[64 * 1024];
  std::size_t n = 0;
  while ((n = std::fread(buffer, 1, sizeof buffer, file)) > 0) sha.update({buffer, n});
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) return fail(Errc::io, path + ": cannot be read back");
  return hex(sha.finish());
}

Result<BackupFile> copy_database(const std::string& root, const std::string& target,
                                 const std::string& file) {
  const std::string to = target + "/" + file;
  VOUCH_CHECK(make_folder(fs::path{to}.parent_path().string(), kFolderMode));
  {
    VOUCH_TRY(
        store::Database source,
        store::Database::open(root + "/" + file, {.mode = store::OpenMode::read_only, .vfs = {}}));
    VOUCH_CHECK(source.backup_to(to));
  }
  VOUCH_TRY(std::string digest, digest_of(to));
  return BackupFile{file, size_of(to), std::move(digest)};
}

// The copy of a ledger does not know what is sent after it was made, and says so.
Result<BackupFile> copy_ledger(const std::string& root, const std::string& target,
                               const std::string& file, WallTime now) {
  VOUCH_TRY(BackupFile copy, copy_database(root, target, file));
  const std::string path = target + "/" + file;
  {
    VOUCH_TRY(store::Database ledger, store::Database::open(path, {.vfs = {}}));
    VOUCH_CHECK(store::mark_copy(ledger, now));
  }
  copy.bytes = size_of(path);
  VOUCH_TRY(copy.sha256, digest_of(path));
  return copy;
}

Result<void> write_manifest(Session& session, store::ControlStore& control,
                            const std::string& target, const std::vector<BackupFile>& files) {
  VOUCH_TRY(const std::string store_id, control.store_id());
  Json manifest = Json::object();
  manifest["vouch_backup"] = 1;
  manifest["made_at"] = format_time_utc(session.now());
  manifest["vouchctl"] = VOUCH_VERSION;
  manifest["store_id"] = store_id;
  manifest["not_included"] = {"control/recipient.key", "control/stop.json",
                              "the file that the setting pool-key names"};
  manifest["files"] = Json::array();
  for (const BackupFile& file : files) {
    manifest["files"].push_back(
        {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return replace_file(target + "/" + std::string{kManifest}, manifest.dump(2) + "\n", 0600);
}

Result<std::vector<BackupFile>> copy_all(Session& session, store::ControlStore& control,
                                         const std::string& target) {
  const std::string& root = session.paths().root;
  std::vector<BackupFile> files;
  std::vector<std::string> sealed;
  {
    // Held by this connection; the copies are read through others.  While it is held nobody adds a
    // command, so that whatever a ledger applies meanwhile is in the control store's copy, and the
    // order of the copies does not matter: vouchd refuses a control store older than its ledger.
    VOUCH_TRY(const store::Transaction held, store::Transaction::begin(control.database()));
    VOUCH_TRY(files.emplace_back(), copy_database(root, target, "control/control.db"));
    for (const std::string& ledger : ledger_files(session.paths())) {
      VOUCH_TRY(files.emplace_back(), copy_ledger(root, target, ledger, session.now()));
    }
    VOUCH_TRY(sealed, sealed_files(control));
  }
  for (const std::string& file : sealed) {
    VOUCH_TRY(files.emplace_back(), copy_database(root, target, file));
  }
  VOUCH_CHECK(write_manifest(session, control, target, files));
  return files;
}

}  // namespace

Result<std::vector<BackupFile>> plan_backup(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto sealed, sealed_files(*control));
  std::vector<std::string> paths = ledger_files(session.paths());
  paths.insert(paths.begin(), "control/control.db");
  paths.insert(paths.end(), sealed.begin(), sealed.end());
  std::vector<BackupFile> files;
  for (const std::string& path : paths) {
    files.push_back({path, size_of(session.paths().root + "/" + path), ""});
  }
  return files;
}

Result<std::vector<BackupFile>> make_backup(Session& session, const std::string& target) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  const std::string aside = target + ".partial";
  for (const std::string& path : {target, aside}) {
    if (!path_exists(path)) continue;
    return fail(Errc::conflict, path + " is there already",
                path == aside ? "a backup was stopped there; remove it and begin again"
                              : "name a new folder: a backup never replaces another");
  }
  VOUCH_CHECK(make_folder(aside, kFolderMode));
  auto files = copy_all(session, *control, aside);
  if (files && ::rename(aside.c_str(), target.c_str()) != 0) {
    files = system_error(target, errno);
  }
  if (!files) {
    // What is half a backup must not stand in the way of the next one.
    std::error_code ignored;
    fs::remove_all(aside, ignored);
    return files;
  }
  VOUCH_CHECK(sync_folder(fs::absolute(target).parent_path().string()));
  return files;
}

}  // namespace vouch::cli
