// vouchctl init: makes a store.  vouchctl store: checks it and copies it.
#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"

namespace vouch::cli {
namespace {

struct InitOptions {
  std::string policy = "solo";
};

Result<int> init(Session& session, const InitOptions& options) {
  if (options.policy != "solo") {
    return fail(Errc::invalid, "the policy four-eyes is not available yet",
                "take --policy solo: four-eyes comes together with approvals");
  }
  const bool existed = path_exists(session.paths().control_db());
  Record record = {{"store", "Store", session.paths().root}, {"policy", "Policy", options.policy}};
  if (!session.dry_run()) {
    VOUCH_TRY(store::ControlStore control,
              store::ControlStore::init(session.paths(), options.policy, session.account(),
                                        session.random(), session.now()));
    VOUCH_TRY(const auto operators, control.operators());
    VOUCH_TRY(const std::string id, control.store_id());
    record.push_back({"store_id", "Store id", id});
    record.push_back({"administrator", "Administrator", operators.front().name});
  }
  record.push_back({"existed", "Existed", existed});
  VOUCH_CHECK(session.out().changed("store", existed ? "checked; it was there already" : "made",
                                    record, session.dry_run()));
  if (!existed && !session.dry_run()) {
    session.out().note("keep a safe copy of " + session.paths().recipient_secret() +
                       ": without it no recipient is known again");
  }
  return 0;
}

}  // namespace

void add_store_commands(CommandLine& line) {
  Group top = line.top();
  auto options = std::make_shared<InitOptions>();
  top.leaf({.name = "init",
            .summary = "Make a store, or bring one up to date",
            .description = "The account that runs it becomes the first operator.  What is there "
                           "already is left as it is.",
            .examples = {"vouchctl --store ./vouch-store init",
                         "vouchctl --store ./vouch-store init --policy solo -o json"}},
           [options](Session& session) { return init(session, *options); })
      .one_of("--policy", options->policy, {"solo", "four-eyes"},
              "solo: one operator decides alone (the default)")
      .changes();
}

}  // namespace vouch::cli
