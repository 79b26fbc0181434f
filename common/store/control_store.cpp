// Making and opening a control store; the aggregates stand in control_<name>.cpp.
#include "common/store/control_store.hpp"
#include "common/policy.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "common/files.hpp"
#include "common/store/control_change.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kReadMeta = "SELECT value FROM control_meta WHERE key = :key";
constexpr std::string_view kWriteMeta =
    "INSERT INTO control_meta (key, value) VALUES (:key, :value)";
constexpr std::string_view kFirstOperator = R"sql(
  INSERT INTO operator (id, name, account, role, created_ms, created_by)
  VALUES (:id, :name, :account, 'administrator', :created_ms, :name)
)sql";

constexpr std::size_t kSecretBytes = 32;

// TRUNCATE, not DELETE: under FULL it syncs the emptied journal, so that a commit is durable once
// it returns; DELETE leaves the removal to the file system.  No WAL where two programs write.
constexpr const char* kJournal = "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;";

struct Folder {
  std::string path;
  unsigned mode;
};

Result<void> make_folders(const StorePaths& paths) {
  const Folder folders[] = {{paths.root, 02750},
                            {paths.control(), 02770},
                            {paths.recipients(), 03770},
                            {paths.pools(), 03770},
                            {paths.root + "/ledger", 02750}};
  for (const Folder& folder : folders) VOUCH_CHECK(make_folder(folder.path, folder.mode));
  return {};
}

// The secret comes before the database: a store without one never looks complete.
Result<void> make_secret(const StorePaths& paths, Random& random) {
  if (path_exists(paths.recipient_secret())) return {};
  if (path_exists(paths.control_db())) {
    return fail(Errc::store, paths.recipient_secret() + ": missing",
                "restore it from its safe copy: with another secret no recipient would be known "
                "again");
  }
  std::array<std::uint8_t, kSecretBytes> secret{};
  random.fill(std::as_writable_bytes(std::span{secret}));
  auto made = create_file(paths.recipient_secret(), hex(secret) + "\n", 0640);
  if (!made && made.error().code == Errc::conflict) return {};  // another init was first
  return made;
}

// An account such as "DOMAIN\Jo" is kept as it is; the operator's name follows our rules.
std::string operator_name_for(std::string_view account) {
  const std::string lower = lower_ascii(account);
  return plan::check_name("account", lower) ? lower : "admin";
}

Result<std::optional<std::string>> read_meta(Database& database, std::string_view key) {
  return first_row(database.prepared(kReadMeta).bind(":key", key),
                   [](const Statement& row) { return row.string(0); });
}

Result<void> fill(Database& database, std::string_view policy, std::string_view account,
                  Random& random, WallTime now) {
  const Actor actor{.operator_name = operator_name_for(account), .now = now};
  VOUCH_TRY(ControlChange change, ControlChange::begin_unchecked(database, actor));
  // Asked again under the write lock: of two inits at once the second finds everything there.
  VOUCH_TRY(const auto there, read_meta(database, "policy"));
  if (there) return {};
  std::array<std::uint8_t, 16> store_id{};
  random.fill(std::as_writable_bytes(std::span{store_id}));
  VOUCH_CHECK(database.prepared(kWriteMeta).bind(":key", "policy").bind(":value", policy).run());
  VOUCH_CHECK(
      database.prepared(kWriteMeta).bind(":key", "store_id").bind(":value", hex(store_id)).run());
  VOUCH_CHECK(database.prepared(kFirstOperator)
                  .bind(":id", stored(new_object_id(random)))
                  .bind(":name", actor.operator_name)
                  .bind(":account", account)
                  .bind(":created_ms", now)
                  .run());
  const std::string detail =
      Detail{}.set("policy", policy).set("administrator", actor.operator_name).text();
  return change.commit("init", hex(store_id), detail);
}

}  // namespace

Result<void> ControlStore::check_policy(std::string_view of_store, std::string_view wanted) {
  if (wanted.empty() || wanted == of_store) return {};
  return fail(Errc::conflict,
              "the store has the policy " + std::string{of_store} + ", which does not change",
              "another policy needs another store: name a new folder with --store");
}

Result<ControlStore> ControlStore::init(const StorePaths& paths, std::string_view policy,
                                        std::string_view account, Random& random, WallTime now) {
  if (!policy.empty() && policy != kSolo && policy != kFourEyes) {
    return fail(Errc::invalid, "there is no policy \"" + std::string{policy} + "\"",
                "take solo or four-eyes");
  }
  VOUCH_CHECK(make_folders(paths));
  VOUCH_CHECK(make_secret(paths, random));
  VOUCH_TRY(Database database,
            Database::open(paths.control_db(), {.mode = OpenMode::create, .vfs = {}}));
  VOUCH_CHECK(database.exec(kJournal));
  VOUCH_CHECK(migrate(database, embedded::control_migrations, now));
  VOUCH_TRY(const auto known_policy, read_meta(database, "policy"));
  if (known_policy) {
    VOUCH_CHECK(check_policy(*known_policy, policy));
  } else {
    // The group writes too; SQLite gives the journal the same mode.
    if (::chmod(paths.control_db().c_str(), 0660) != 0) {
      return system_error(paths.control_db(), errno);
    }
    VOUCH_CHECK(fill(database, policy.empty() ? kSolo : policy, account, random, now));
  }
  return ControlStore{std::move(database), paths};
}

Result<ControlStore> ControlStore::open(const StorePaths& paths, Millis busy_timeout) {
  struct stat status {};
  if (::stat(paths.control_db().c_str(), &status) != 0) {
    const int error_number = errno;
    if (error_number != ENOENT && error_number != ENOTDIR)
      return system_error(paths.control_db(), error_number);
    return fail(Errc::store, paths.root + ": no store is there",
                "make one with `vouchctl init`, or name another with --store");
  }
  VOUCH_TRY(Database database,
            Database::open(paths.control_db(), {.busy_timeout = busy_timeout, .vfs = {}}));
  VOUCH_CHECK(database.exec(kJournal));
  VOUCH_CHECK(check_migrated(database, embedded::control_migrations));
  return ControlStore{std::move(database), paths};
}

Result<std::string> ControlStore::policy() {
  VOUCH_TRY(const auto policy, read_meta(database_, "policy"));
  if (policy) return *policy;
  return fail(Errc::store, paths_.control_db() + ": not complete",
              "run `vouchctl init` once more; it goes on where it was stopped");
}

Result<std::string> ControlStore::store_id() {
  VOUCH_TRY(const auto id, read_meta(database_, "store_id"));
  return id.value_or("");
}

Result<std::string> ControlStore::recipient_secret() const {
  VOUCH_TRY(const std::string text, read_file(paths_.recipient_secret(), 1024));
  auto secret = from_hex(trim_blanks(text));
  if (!secret || secret->size() != kSecretBytes) {
    return fail(Errc::corrupt, paths_.recipient_secret() + ": must hold 64 hexadecimal digits",
                "restore it from its safe copy");
  }
  return secret;
}

Result<std::int64_t> ControlStore::data_version() {
  return database_.data_version();
}

}  // namespace vouch::store
