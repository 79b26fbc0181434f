#include "common/store/database.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "common/text.hpp"

namespace vouch::store {
namespace {

// What SQLite says, as what the caller does next.
Errc errc_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Errc::busy;
    case SQLITE_IOERR:
    case SQLITE_FULL:
      return Errc::io;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Errc::corrupt;
    case SQLITE_CONSTRAINT:
      return Errc::conflict;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return Errc::not_permitted;
    case SQLITE_CANTOPEN:
      return Errc::store;
    default:
      return Errc::failure;
  }
}

std::string hint_of(Errc code) {
  switch (code) {
    case Errc::busy:
      return "another process is writing; try again";
    case Errc::io:
      return "check the disk's space and health; nothing of this step was kept";
    case Errc::corrupt:
      return "stop using this store and run `vouchctl store check`";
    case Errc::not_permitted:
      return "check the modes and the group of the store's folders";
    default:
      return {};
  }
}

// SQLite says of such a file only that it cannot be opened.
bool is_forbidden(const std::string& path) {
  return ::access(path.c_str(), R_OK) != 0 && errno == EACCES;
}

tl::unexpected<Error> sqlite_error(sqlite3* connection, int code) {
  const char* name = connection == nullptr ? nullptr : sqlite3_db_filename(connection, "main");
  std::string message = name == nullptr || *name == '\0' ? "database" : name;
  message += ": ";
  message += connection == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection);
  const Errc errc = errc_of(code);
  const std::string plain = sqlite3_errstr(code);
  if (errc == Errc::io && message.find(plain) == std::string::npos) message += " (" + plain + ")";
  return fail(errc, message, hint_of(errc));
}

Result<void> checked(sqlite3* connection, int code) {
  if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return {};
  return sqlite_error(connection, sqlite3_extended_errcode(connection));
}

// SQLite counts every allocation under a mutex unless told otherwise before its first use.
void configure_library() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

}  // namespace

Statement::~Statement() {
  sqlite3_finalize(handle_);
}

int Statement::index_of(const char* name) const {
  const int index = sqlite3_bind_parameter_index(handle_, name);
  VOUCH_ASSERT(index > 0);
  // By name is for the cold paths: SQLite copies what is bound.
  return -index;
}

Statement& Statement::bind(int index, std::int64_t value) {
  VOUCH_ASSERT(sqlite3_bind_int64(handle_, std::abs(index), value) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  VOUCH_ASSERT(sqlite3_bind_text(handle_, std::abs(index), data, static_cast<int>(value.size()),
                                 index < 0 ? SQLITE_TRANSIENT : SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int index, Blob value) {
  const void* data = value.data() == nullptr ? static_cast<const void*>("") : value.data();
  VOUCH_ASSERT(sqlite3_bind_blob(handle_, std::abs(index), data, static_cast<int>(value.size()),
                                 index < 0 ? SQLITE_TRANSIENT : SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int index, std::nullptr_t) {
  VOUCH_ASSERT(sqlite3_bind_null(handle_, std::abs(index)) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_real(const char* name, std::optional<double> value) {
  if (!value) return bind(name, nullptr);
  VOUCH_ASSERT(sqlite3_bind_double(handle_, std::abs(index_of(name)), *value) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(handle_);
    return false;
  }
  auto error = sqlite_error(db_, sqlite3_extended_errcode(db_));
  sqlite3_reset(handle_);
  return error;
}

Result<void> Statement::run() {
  while (true) {
    VOUCH_TRY(const bool more, step());
    if (!more) return {};
  }
}

void Statement::reset() {
  sqlite3_reset(handle_);
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}
std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_, column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(handle_, column);
}

std::optional<std::int64_t> Statement::integer_or_null(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

Blob Statement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

Digest128 Statement::digest(int column) const {
  Digest128 out{};
  const Blob bytes = blob(column);
  if (bytes.size() == out.size()) std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

void Database::Close::operator()(sqlite3* connection) const noexcept {
  sqlite3_close_v2(connection);
}

Database::Database(sqlite3* connection, std::string path)
    : path_{std::move(path)}, connection_{connection} {}
Database::Database(Database&&) noexcept = default;

Database& Database::operator=(Database&& other) noexcept {
  statements_ = std::move(other.statements_);  // statements go before the connection they use
  connection_ = std::move(other.connection_);
  path_ = std::move(other.path_);
  return *this;
}

Database::~Database() {
  statements_.clear();
}

Result<Database> Database::open(const std::string& path, const OpenOptions& options) {
  configure_library();
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (options.mode) {
    case OpenMode::read_only:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case OpenMode::read_write:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case OpenMode::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
  }
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags,
                                   options.vfs.empty() ? nullptr : options.vfs.c_str());
  Database database{raw, path};
  if (code != SQLITE_OK) {
    if (is_forbidden(path)) {
      return fail(Errc::not_permitted, path + ": this account may not open it",
                  hint_of(Errc::not_permitted));
    }
    return fail(errc_of(code), path + ": " + sqlite3_errstr(code), hint_of(errc_of(code)));
  }
  sqlite3_busy_timeout(raw, static_cast<int>(options.busy_timeout.count()));
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  VOUCH_CHECK(database.exec("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"));
  const std::string cache = "PRAGMA cache_size = -" + std::to_string(options.cache_kib);
  VOUCH_CHECK(database.exec(cache.c_str()));
  return database;
}

Result<void> Database::exec(const char* sql) {
  return checked(connection_.get(),
                 sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr));
}

Statement& Database::prepared(std::string_view sql) {
  const auto found = statements_.find(sql.data());
  if (found != statements_.end()) {
    found->second->reset();
    return *found->second;
  }
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) {
    std::fprintf(stderr, "vouch: cannot prepare: %s\n%.*s\n", sqlite3_errmsg(connection_.get()),
                 static_cast<int>(sql.size()), sql.data());
  }
  VOUCH_ASSERT(code == SQLITE_OK);
  auto statement = std::make_unique<Statement>(connection_.get(), handle);
  return *statements_.emplace(sql.data(), std::move(statement)).first->second;
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(connection_.get());
}

Result<std::int64_t> Database::pragma(const char* sql) {
  sqlite3_stmt* handle = nullptr;
  VOUCH_CHECK(
      checked(connection_.get(), sqlite3_prepare_v2(connection_.get(), sql, -1, &handle, nullptr)));
  Statement statement{connection_.get(), handle};
  VOUCH_TRY(const bool row, statement.step());
  return row ? statement.integer(0) : 0;
}

Result<std::int64_t> Database::data_version() {
  return pragma("PRAGMA data_version");
}

Result<int> Database::checkpoint() {
  int frames = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                             &frames, &moved);
  // A reader in the way is no error: the frames stay for the next time.
  if ((code & 0xff) == SQLITE_BUSY) return frames - moved;
  VOUCH_CHECK(checked(connection_.get(), code));
  return frames - moved;
}

void Database::keep_wal_at_close() {
  int on = 1;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_PERSIST_WAL, &on);
}

Result<void> Database::backup_to(const std::string& path) {
  VOUCH_TRY(Database target, open(path, {.mode = OpenMode::create, .vfs = {}}));
  sqlite3_backup* backup =
      sqlite3_backup_init(target.connection_.get(), "main", connection_.get(), "main");
  if (backup == nullptr) return checked(target.connection_.get(), SQLITE_ERROR);
  const int code = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (code != SQLITE_DONE) return sqlite_error(target.connection_.get(), code);
  return {};
}

void Database::rollback() noexcept {
  for (auto& [sql, statement] : statements_) statement->reset();
  sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<Transaction> Transaction::begin(Database& database) {
  VOUCH_CHECK(database.exec("BEGIN IMMEDIATE"));
  return Transaction{database};
}

Result<void> Transaction::commit() {
  VOUCH_ASSERT(database_ != nullptr);
  Database* database = std::exchange(database_, nullptr);
  auto committed = database->exec("COMMIT");
  if (!committed) database->rollback();
  return committed;
}

std::string sqlite_version() {
  return sqlite3_libversion();
}

}  // namespace vouch::store
