// Operators: people at vouchctl, known by their operating system account.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kByAccount = R"sql(
  SELECT id, name, account, role, created_ms, created_by FROM operator WHERE account = :account
)sql";
constexpr std::string_view kAll = R"sql(
  SELECT id, name, account, role, created_ms, created_by FROM operator ORDER BY name
)sql";
constexpr std::string_view kTaken =
    "SELECT name FROM operator WHERE name = :name OR account = :account";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO operator (id, name, account, role, created_ms, created_by)
  VALUES (:id, :name, :account, :role, :created_ms, :created_by)
)sql";

OperatorRow read_operator(const Statement& row) {
  return {object_id(row, 0), row.string(1), row.string(2),
          row.string(3),     row.wall(4),   row.string(5)};
}

Result<void> check_operator(const OperatorRow& row) {
  VOUCH_CHECK(plan::check_name("operator", row.name));
  if (row.account.empty() || row.account.size() > 256 || has_control_bytes(row.account)) {
    return fail(Errc::invalid, "account: must be the name of an operating system account");
  }
  if (row.role != "creator" && row.role != "administrator") {
    return fail(Errc::invalid, "role: must be creator or administrator, not \"" + row.role + "\"");
  }
  return {};
}

}  // namespace

Result<OperatorRow> ControlStore::operator_of_account(std::string_view account) {
  VOUCH_TRY(auto row,
            first_row(database_.prepared(kByAccount).bind(":account", account), read_operator));
  if (row) return std::move(*row);
  return fail(Errc::not_permitted, "the account \"" + std::string{account} + "\" is no operator",
              "an administrator can add it: vouchctl operator create NAME --account " +
                  std::string{account});
}

Result<OperatorRow> ControlStore::create_operator(const Actor& actor, OperatorRow row,
                                                  Random& random) {
  VOUCH_CHECK(check_operator(row));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(
      const auto taken,
      first_row(database_.prepared(kTaken).bind(":name", row.name).bind(":account", row.account),
                [](const Statement& found) { return found.string(0); }));
  if (taken) {
    return fail(Errc::conflict, "the operator \"" + *taken + "\" has this name or account already");
  }
  row.id = new_object_id(random);
  row.created = actor.now;
  row.created_by = actor.operator_name;
  VOUCH_CHECK(database_.prepared(kInsert)
                  .bind(":id", stored(row.id))
                  .bind(":name", row.name)
                  .bind(":account", row.account)
                  .bind(":role", row.role)
                  .bind(":created_ms", row.created)
                  .bind(":created_by", row.created_by)
                  .run());
  const std::string detail = Detail{}.set("account", row.account).set("role", row.role).text();
  VOUCH_CHECK(change.commit("operator create", row.name, detail));
  return row;
}

Result<std::vector<OperatorRow>> ControlStore::operators() {
  return all_rows(database_.prepared(kAll), read_operator);
}

}  // namespace vouch::store
