// vouchctl config and version: what vouchctl knows of itself.
#include "cli/commands.hpp"
#include "cli/session.hpp"

namespace vouch::cli {
namespace {

Result<int> show_config(Session& session, bool with_origin) {
  std::vector<Column> columns = {{"key", "KEY"}, {"value", "VALUE"}};
  columns.push_back({"origin", "ORIGIN", with_origin ? Shown::always : Shown::wide});
  VOUCH_TRY(Listing listing, session.out().list(std::move(columns)));
  for (const Setting& setting : session.settings().all()) {
    listing.row({setting.key, setting.value, setting.origin});
  }
  listing.end();
  return 0;
}

Result<int> show_version(Session& session) {
  VOUCH_CHECK(session.out().show(
      {{"version", "vouchctl", VOUCH_VERSION}, {"sqlite", "SQLite", store::sqlite_version()}}));
  return 0;
}

}  // namespace

void add_config_commands(CommandLine& line) {
  Group top = line.top();
  Group config = top.group("config", "Settings of vouchctl itself");
  auto origin = std::make_shared<bool>(false);
  config
      .leaf({.name = "show",
             .summary = "Show the settings in force",
             .examples = {"vouchctl config show --origin", "vouchctl config show -o json"}},
            [origin](Session& session) { return show_config(session, *origin); })
      .flag("--origin", *origin, "also say where each comes from");
  top.leaf({.name = "version",
            .summary = "Print the versions of vouchctl and of SQLite",
            .examples = {"vouchctl version", "vouchctl version -o json"}},
           show_version);
}

}  // namespace vouch::cli
