// control_change.hpp: how every change of the control store is made.  Private to common/store.
//
// A change is one transaction that holds the rows, their audit row and the next control version.
// Left without commit() it is undone.
//
// Threads: those of its ControlStore.   Errors: not_permitted for an unknown operator; busy.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/store/control_store.hpp"

namespace vouch::store {

class ControlChange {
 public:
  [[nodiscard]] static Result<ControlChange> begin(Database& database, const Actor& actor);
  // For the first operator's sake: begins without asking who acts.
  [[nodiscard]] static Result<ControlChange> begin_unchecked(Database& database,
                                                             const Actor& actor);

  [[nodiscard]] Result<void> commit(std::string_view action, std::string_view object,
                                    std::string_view detail_json);

 private:
  ControlChange(Database& database, Transaction transaction, Actor actor)
      : database_{&database}, transaction_{std::move(transaction)}, actor_{std::move(actor)} {}
  Database* database_;
  Transaction transaction_;
  Actor actor_;
};

// The detail of an audit row, a JSON object: Detail{}.set("lane", row.lane).text().
class Detail {
 public:
  Detail();
  ~Detail();
  Detail& set(std::string_view key, std::string_view value);
  Detail& set(std::string_view key, const char* value) { return set(key, std::string_view{value}); }
  Detail& set(std::string_view key, std::int64_t value);
  Detail& set_real(std::string_view key, std::optional<double> value);
  Detail& set_flag(std::string_view key, bool value);
  // Already JSON; kept as it is.
  Detail& set_json(std::string_view key, std::string_view json);
  [[nodiscard]] std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Tells a command from another one that has its id in another copy of the store: 62 bits.
[[nodiscard]] inline std::int64_t new_nonce(Random& random) {
  return static_cast<std::int64_t>(random.next() >> 2);
}

// The hash of an audit row: SHA-256 over the hash before it and every column of the row.
[[nodiscard]] Digest256 audit_hash(Blob previous, const AuditRow& row);

// All rows of a SELECT, each made by `read(statement)`, which may be a plain value or a Result.
template <typename Read>
[[nodiscard]] auto all_rows(Statement& statement, Read read)
    -> Result<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  while (true) {
    VOUCH_TRY(const bool more, statement.step());
    if (!more) return rows;
    rows.push_back(read(statement));
  }
}

// The first row of a SELECT, or nothing; the statement is reset.
template <typename Read>
[[nodiscard]] auto first_row(Statement& statement, Read read)
    -> Result<std::optional<decltype(read(statement))>> {
  std::optional<decltype(read(statement))> row;
  VOUCH_TRY(const bool found, statement.step());
  if (found) {
    row = read(statement);
    statement.reset();
  }
  return row;
}

// "no client is called X", with the nearest of the names that `names_sql` selects.
[[nodiscard]] tl::unexpected<Error> not_found(Database& database, std::string_view names_sql,
                                              std::string_view what, std::string_view name);

// The id when `text` has the form of one, else nothing; for `WHERE name = :name OR id = :id`.
[[nodiscard]] std::optional<std::int64_t> id_in(ObjectKind kind, std::string_view text);

[[nodiscard]] inline std::int64_t stored(ObjectId id) {
  return static_cast<std::int64_t>(id);
}
[[nodiscard]] inline std::optional<std::int64_t> stored_or_null(ObjectId id) {
  return id == 0 ? std::nullopt : std::optional{stored(id)};
}
[[nodiscard]] inline ObjectId object_id(const Statement& row, int column) {
  return static_cast<ObjectId>(row.integer(column));
}

}  // namespace vouch::store
