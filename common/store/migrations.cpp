// Migrations of a store: declared in database.hpp.
#include <algorithm>
#include <vector>

#include "common/store/database.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr const char* kCreateTable = R"sql(
  CREATE TABLE IF NOT EXISTS migration (
    name       TEXT    PRIMARY KEY,
    checksum   TEXT    NOT NULL,
    applied_ms INTEGER NOT NULL
  ) STRICT
)sql";
constexpr std::string_view kTableExists =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'migration'";
constexpr std::string_view kApplied = "SELECT name, checksum FROM migration ORDER BY name";
constexpr std::string_view kRecord =
    "INSERT INTO migration (name, checksum, applied_ms) VALUES (:name, :checksum, :applied_ms)";

std::string checksum_of(const embedded::File& file) {
  return hex(sha256_128(file.text));
}

// How many of `migrations` the store has; an error when it has others.
Result<std::size_t> applied_count(Database& database, std::span<const embedded::File> migrations) {
  Statement& exists = database.prepared(kTableExists);
  VOUCH_TRY(const bool row, exists.step());
  const bool has_table = row && exists.integer(0) > 0;
  exists.reset();
  if (!has_table) return 0;

  std::size_t count = 0;
  Statement& applied = database.prepared(kApplied);
  while (true) {
    VOUCH_TRY(const bool more, applied.step());
    if (!more) return count;
    if (count >= migrations.size() || applied.text(0) != migrations[count].name ||
        applied.text(1) != checksum_of(migrations[count])) {
      auto error = fail(Errc::store, database.path() + ": unknown migration " + applied.string(0),
                        "this store belongs to another version of vouch; use that version");
      applied.reset();
      return error;
    }
    ++count;
  }
}

}  // namespace

Result<void> migrate(Database& database, std::span<const embedded::File> migrations, WallTime now) {
  VOUCH_TRY(const std::size_t done, applied_count(database, migrations));
  for (const embedded::File& file : migrations.subspan(done)) {
    VOUCH_TRY(Transaction transaction, Transaction::begin(database));
    VOUCH_CHECK(database.exec(kCreateTable));
    VOUCH_CHECK(database.exec(std::string{file.text}.c_str()));
    VOUCH_CHECK(database.prepared(kRecord)
                    .bind(":name", file.name)
                    .bind(":checksum", checksum_of(file))
                    .bind(":applied_ms", now)
                    .run());
    VOUCH_CHECK(transaction.commit());
  }
  return {};
}

Result<void> check_migrated(Database& database, std::span<const embedded::File> migrations) {
  VOUCH_TRY(const std::size_t done, applied_count(database, migrations));
  if (done == migrations.size()) return {};
  return fail(Errc::store, database.path() + ": older than this program",
              "start vouchd once, or run `vouchctl init`, to bring it up to date");
}

}  // namespace vouch::store
