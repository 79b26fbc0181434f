// vouchctl init: makes a store.  vouchctl store: checks it and copies it.
#include "cli/backup.hpp"
#include "cli/checks.hpp"
#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/policy.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct InitOptions {
  std::string policy;  // empty: that of the store that is there, solo for a new one
};

// What the store will have, whether or not it is there.
Result<std::string> policy_for(Session& session, bool existed, const std::string& wanted) {
  if (existed) {
    const auto control = session.control();
    // What cannot be opened yet is brought up to date, and checked then.
    const auto known = control ? (*control)->policy() : tl::unexpected<Error>(control.error());
    if (known) {
      VOUCH_CHECK(store::ControlStore::check_policy(*known, wanted));
      return known;
    }
  }
  return wanted.empty() ? std::string{kSolo} : wanted;
}

Result<int> init(Session& session, const InitOptions& options) {
  const bool existed = path_exists(session.paths().control_db());
  VOUCH_TRY(const std::string policy, policy_for(session, existed, options.policy));
  Record record = {{"store", "Store", session.paths().root}, {"policy", "Policy", policy}};
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

Result<int> check(Session& session) {
  Findings findings;
  check_files(session, findings);
  check_control(session, true, findings);
  check_ledger(session, true, findings);
  check_lists(session, findings);
  check_pools(session, true, findings);
  VOUCH_CHECK(print_findings(session, findings));
  return worst_of(findings) == Level::fail ? exit_code_of(Errc::failure) : 0;
}

Result<int> backup(Session& session, const std::string& target) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(const auto files,
            session.dry_run() ? plan_backup(session) : make_backup(session, target));
  VOUCH_TRY(Listing listing,
            session.out().list({{"path", "FILE"}, {"bytes", "BYTES"}, {"sha256", "SHA-256"}}));
  std::int64_t bytes = 0;
  for (const BackupFile& file : files) {
    listing.row({file.path, file.bytes, file.sha256});
    bytes += file.bytes;
  }
  listing.end();
  if (session.dry_run()) {
    session.out().note("dry run: nothing was copied");
    return 0;
  }
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_CHECK(control->record(actor, "store backup", target, "{}"));
  session.out().note(target + " holds " + format_count(bytes) +
                     " bytes.  recipient.key is not included: keep a copy of " +
                     session.paths().recipient_secret() + " in another safe place");
  VOUCH_TRY(const auto pools, control->pools());
  if (!pools.empty()) {
    session.out().note("nor is the key of the pools, " + session.settings().value("pool-key") +
                       ", without which no code can be read");
  }
  session.out().note(
      "restored, it does not know what was sent since: vouchd starts with it only by "
      "--accept-older-ledger, and its open jobs wait for vouchctl job resume");
  return 0;
}

}  // namespace

void add_store_commands(CommandLine& line) {
  Group top = line.top();
  auto options = std::make_shared<InitOptions>();
  top.leaf({.name = "init",
            .summary = "Make a store, or bring one up to date",
            .description = "The account that runs it becomes the first operator.  What is there "
                           "already is left as it is; another policy than the "
                           "store's is refused (exit 6).",
            .examples = {"vouchctl --store ./vouch-store init",
                         "vouchctl --store ./vouch-store init --policy solo -o json"}},
           [options](Session& session) { return init(session, *options); })
      .one_of("--policy", options->policy, {std::string{kSolo}, std::string{kFourEyes}},
              "solo: one operator decides alone (the default); four-eyes: `issuance resolve` and "
              "`reconcile --resolve` need a second one; for good")
      .changes();

  Group store = top.group("store", "The store as a whole");
  store.leaf({.name = "check",
              .summary = "Read the store through and check it",
              .description = "Every page and index, the audit chain, the balance of the jobs, the "
                             "lists' files, and each segment of a pool against its digest.  vouchd "
                             "may run.",
              .examples = {"vouchctl store check", "vouchctl store check -o json"}},
             check);
  auto target = std::make_shared<std::string>();
  store
      .leaf({.name = "backup",
             .summary = "Copy the store, consistently, while vouchd runs",
             .description = "Control store, ledgers, lists and pools with a manifest of their "
                            "digests.  The key files are not included.  With a store that was "
                            "restored from it vouchd starts only by --accept-older-ledger.",
             .examples = {"vouchctl store backup ./vouch-backup",
                          "vouchctl store backup ./vouch-backup --dry-run"}},
            [target](Session& session) { return backup(session, *target); })
      .required("FOLDER", *target, "the folder to make; it must not exist")
      .changes();
}

}  // namespace vouch::cli
