// database.hpp: a thin layer over SQLite; with database.cpp the only code that knows sqlite3_.
//
// A Database is one connection.  Statements are prepared once per SQL text and kept.  Errors of
// the disk (Errc::io) are told apart from waiting (Errc::busy) and from damage (Errc::corrupt),
// since SQLite itself carries on after a failed fsync and we must not.
//
// Threads: a Database and its statements belong to one thread at a time; nothing locks.
// Units:   times are bound as UTC milliseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/embedded.hpp"
#include "common/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace vouch::store {

using Blob = std::span<const std::uint8_t>;

// One prepared statement.  Bind, then step() through rows or run() it; both leave it reset.
class Statement {
 public:
  Statement(sqlite3* connection, sqlite3_stmt* handle) : db_{connection}, handle_{handle} {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // By name, ":id"; the name must stand in the SQL.  Text and blobs are copied.
  Statement& bind(const char* name, std::int64_t value) { return bind(index_of(name), value); }
  Statement& bind(const char* name, std::string_view v) { return bind(index_of(name), v); }
  Statement& bind(const char* name, const char* v) {
    return bind(index_of(name), std::string_view{v});
  }
  Statement& bind(const char* name, const std::string& v) {
    return bind(index_of(name), std::string_view{v});
  }
  Statement& bind(const char* name, Blob value) { return bind(index_of(name), value); }
  Statement& bind(const char* name, WallTime value) { return bind(index_of(name), to_ms(value)); }
  Statement& bind(const char* name, std::nullptr_t) { return bind(index_of(name), nullptr); }
  template <typename T>
  Statement& bind(const char* name, const std::optional<T>& value) {
    return value ? bind(name, *value) : bind(name, nullptr);
  }

  // A real number.  Under a name of its own, since a whole number would fit both.
  Statement& bind_real(const char* name, std::optional<double> value);

  // By position from 1, for statements that run by the hundred thousand.  Text and blobs are NOT
  // copied: they must live until the statement has run.
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view value);
  Statement& bind(int index, Blob value);
  Statement& bind(int index, std::nullptr_t);

  // Runs to the end, dropping rows.
  [[nodiscard]] Result<void> run();
  // True while there is a row.  At the end, or on an error, the statement is reset.
  [[nodiscard]] Result<bool> step();
  // Ends a SELECT early, so that its read lock goes.
  void reset();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::optional<std::int64_t> integer_or_null(int column) const;
  [[nodiscard]] double real(int column) const;
  // Valid until the next step.
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::string string(int column) const { return std::string{text(column)}; }
  [[nodiscard]] Blob blob(int column) const;
  [[nodiscard]] WallTime wall(int column) const { return from_ms(integer(column)); }
  // A 16-byte blob; zeros when it has another length.
  [[nodiscard]] Digest128 digest(int column) const;

 private:
  int index_of(const char* name) const;

  sqlite3* db_;
  sqlite3_stmt* handle_;
};

enum class OpenMode : std::uint8_t {
  read_only,   // mode=ro; never creates, never `immutable`
  read_write,  // must exist
  create,      // made when it is not there
};

struct OpenOptions {
  OpenMode mode = OpenMode::read_write;
  Millis busy_timeout{5000};
  std::string vfs;       // empty: SQLite's own; tests hand in crash_vfs
  int cache_kib = 2048;  // page cache of this connection
};

class Database {
 public:
  [[nodiscard]] static Result<Database> open(const std::string& path, const OpenOptions& options);

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // Runs any number of statements without parameters.
  [[nodiscard]] Result<void> exec(const char* sql);

  // The statement for this SQL, made at its first use and kept; its last use must be over.  The
  // text must be a constant: it is known by its address.  Asserts that the SQL is well formed.
  [[nodiscard]] Statement& prepared(std::string_view sql);

  // Rows changed by the last INSERT, UPDATE or DELETE.
  [[nodiscard]] std::int64_t changes() const;
  // Changes when another connection has committed (PRAGMA data_version).
  [[nodiscard]] Result<std::int64_t> data_version();
  [[nodiscard]] Result<std::int64_t> pragma(const char* sql);

  // Copies WAL frames into the database without waiting for anyone.  Returns the frames that
  // the WAL still holds.
  [[nodiscard]] Result<int> checkpoint();
  // Keeps -wal and -shm at close, so that readers without write permission can open a stopped
  // ledger.
  void keep_wal_at_close();
  // Copies the whole database to `path` while others use it (sqlite3_backup).
  [[nodiscard]] Result<void> backup_to(const std::string& path);

  // Prevents writers and readers of the statement cache from outliving it; see Transaction.
  void rollback() noexcept;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const noexcept;
  };
  Database(sqlite3* connection, std::string path);

  std::string path_;
  std::unique_ptr<sqlite3, Close> connection_;
  std::map<const void*, std::unique_ptr<Statement>> statements_;
};

// A write transaction.  Undone when it leaves scope, unless committed.
class Transaction {
 public:
  // Takes the write lock at once, so that a busy database is met here and not half-way.
  [[nodiscard]] static Result<Transaction> begin(Database& database);

  Transaction(Transaction&& other) noexcept : database_{std::exchange(other.database_, nullptr)} {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() {
    if (database_ != nullptr) database_->rollback();
  }

  // Ends the transaction either way: a failed commit has been rolled back.
  [[nodiscard]] Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_{&database} {}
  Database* database_;  // null once committed or moved from
};

// Applies the migrations that `database` has not seen, each in one transaction, in the order of
// their names; keeps their checksums in the table `migration` and refuses (Errc::store) a store
// that knows a migration we do not, or another text under the same name.
[[nodiscard]] Result<void> migrate(Database& database, std::span<const embedded::File> migrations,
                                   WallTime now);
// Checks without applying: Errc::store unless every migration and no other has been applied.
[[nodiscard]] Result<void> check_migrated(Database& database,
                                          std::span<const embedded::File> migrations);

// The version of the SQLite library in use, e.g. "3.40.1".
[[nodiscard]] std::string sqlite_version();

[[nodiscard]] inline Blob as_blob(const Digest128& digest) {
  return {digest.data(), digest.size()};
}
[[nodiscard]] inline Blob as_blob(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace vouch::store
