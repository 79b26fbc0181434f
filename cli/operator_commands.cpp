// vouchctl operator: people at vouchctl, known by their operating system account.
#include "cli/commands.hpp"
#include "cli/session.hpp"

namespace vouch::cli {
namespace {

struct OperatorOptions {
  std::string name;
  std::string account;
  std::string role = "creator";
};

Record record_of(const store::OperatorRow& row) {
  return {{"name", "Name", row.name},
          {"id", "Id", format_id(ObjectKind::operator_account, row.id), Shown::wide},
          {"account", "Account", row.account},
          {"role", "Role", row.role},
          {"created_at", "Created", row.created},
          {"created_by", "By", row.created_by, Shown::wide}};
}

Result<int> create(Session& session, const OperatorOptions& options) {
  store::OperatorRow row;
  row.name = options.name;
  row.account = options.account.empty() ? options.name : options.account;
  row.role = options.role;
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::OperatorRow self, control->operator_of_account(session.account()));
  if (self.role != "administrator") {
    return fail(Errc::not_permitted, "\"" + self.name + "\" is no administrator",
                "ask one: vouchctl operator list");
  }
  VOUCH_TRY(row, control->create_operator(actor, row, session.random()));
  VOUCH_CHECK(session.out().changed("operator", "created", record_of(row), session.dry_run()));
  return 0;
}

Result<int> list(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->operators());
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record_of({}))));
  for (const store::OperatorRow& row : rows) listing.row(values_of(record_of(row)));
  listing.end();
  return 0;
}

}  // namespace

void add_operator_commands(CommandLine& line) {
  Group group = line.top().group("operator", "People who may use vouchctl");
  auto created = std::make_shared<OperatorOptions>();
  group
      .leaf({.name = "create",
             .summary = "Let an account of the operating system act",
             .description = "The account must also be in the store's group, so that it can open "
                            "the files.",
             .examples = {"vouchctl operator create jo",
                          "vouchctl operator create al --account a.lovelace "
                          "--role administrator"}},
            [created](Session& session) { return create(session, *created); })
      .required("NAME", created->name, "what the operator is called in the audit trail")
      .option("--account", "ACCOUNT", created->account, "the account, where it differs from NAME")
      .one_of("--role", created->role, {"creator", "administrator"},
              "creator unless said; administrators make operators")
      .changes();
  group.leaf({.name = "list",
              .summary = "List the operators",
              .examples = {"vouchctl operator list", "vouchctl operator list -o name"}},
             list);
}

}  // namespace vouch::cli
