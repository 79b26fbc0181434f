// vouchctl stop and start: no new call, at once, whatever else is going on.
#include <algorithm>

#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "cli/stop_file.hpp"
#include "common/json.hpp"
#include "common/policy.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct StopOptions {
  std::string downstream, client, campaign;
  std::string reason;
};

struct Scope {
  std::string scope = "all";
  std::string name;
};

Result<Scope> scope_of(const StopOptions& options) {
  std::vector<Scope> scopes;
  if (!options.downstream.empty()) scopes.push_back({"downstream", options.downstream});
  if (!options.client.empty()) scopes.push_back({"client", options.client});
  if (!options.campaign.empty()) scopes.push_back({"campaign", options.campaign});
  if (scopes.size() > 1) {
    return fail(Errc::usage, "one of --downstream, --client and --campaign at a time");
  }
  return scopes.empty() ? Scope{} : scopes.front();
}

// The name as the store has it, where the id was given; refuses what is not there.
Result<std::string> known_name(store::ControlStore& control, const Scope& scope) {
  if (scope.scope == "downstream") {
    VOUCH_TRY(const auto row, control.downstream(scope.name));
    return row.definition.name;
  }
  if (scope.scope == "client") {
    VOUCH_TRY(const auto row, control.client(scope.name));
    return row.name;
  }
  if (scope.scope == "campaign") {
    VOUCH_TRY(const auto row, control.campaign(scope.name));
    return row.definition.name;
  }
  return std::string{};
}

Record record_of(const StopEntry& entry) {
  return {{"scope", "Scope", entry.scope},
          {"name", "Name", entry.name},
          {"reason", "Reason", entry.reason},
          {"by", "By", entry.by},
          {"at", "At", entry.at}};
}

std::string detail_of(const StopEntry& entry) {
  Json detail{{"scope", entry.scope}, {"name", entry.name}, {"reason", entry.reason}};
  if (!entry.start_by.empty()) detail["asked_by"] = entry.start_by;
  return detail.dump();
}

Result<int> report(Session& session, const StopEntry& entry, const std::string& done) {
  Output& out = session.out();
  if (!out.is_for_people()) {
    VOUCH_CHECK(out.show(record_of(entry)));
  } else if (!session.quiet()) {
    out.text(describe(entry) + " " + done +
             (session.dry_run() ? " (dry run, nothing was changed)\n" : "\n"));
  }
  return 0;
}

Result<int> stop(Session& session, const StopOptions& options) {
  VOUCH_TRY(Scope scope, scope_of(options));
  // A stop must work with a control store that is held or damaged: then the name is taken as it
  // is written, and the audit row is missing, which is said.
  auto control = session.control();
  auto actor = session.actor();
  if (!actor && actor.error().code == Errc::not_permitted) {
    return tl::unexpected<Error>(actor.error());
  }
  if (actor && !scope.name.empty()) {
    auto name = known_name(**control, scope);
    if (!name && name.error().code == Errc::not_found) return tl::unexpected<Error>(name.error());
    if (name) scope.name = *name;
  }
  StopEntry entry{.scope = scope.scope,
                  .name = scope.name,
                  .reason = options.reason,
                  .by = actor ? actor->operator_name : session.account(),
                  .at = format_time_utc(session.now())};
  if (!session.dry_run()) {
    VOUCH_TRY(const bool had_room, add_stop(session.paths(), entry));
    if (!had_room) {
      session.out().warn(
          "the disk is full: everything is stopped, and neither scope nor reason is kept; make "
          "room, stop again what shall stay stopped, then: vouchctl start");
      entry.scope = "all";
      entry.name.clear();
    }
    auto recorded = actor ? (*control)->record(*actor, "stop", describe(entry), detail_of(entry))
                          : Result<void>{tl::unexpected<Error>(actor.error())};
    if (!recorded) {
      session.out().warn("stopped, but not recorded in the audit trail: " +
                         recorded.error().message);
    }
  }
  return report(session, entry, "is stopped: no new call starts; calls that are out end as usual");
}

void tell_others(Session& session, const std::vector<StopEntry>& stops, const Scope& scope) {
  for (const StopEntry& other : stops) {
    if (other.scope == scope.scope && other.name == scope.name) continue;
    session.out().note("still stopped: " + describe(other) + ", by " + other.by + " since " +
                       other.at + ": " + other.reason);
  }
}

std::string command_of(const Scope& scope) {
  return "vouchctl start" + (scope.name.empty() ? "" : " --" + scope.scope + " " + scope.name);
}

// Under four eyes the first one asks for it and another one does it.  True when it may be done.
Result<bool> is_asked_by_another(Session& session, const store::Actor& actor, const Scope& scope,
                                 StopEntry entry) {
  if (!entry.start_by.empty() && entry.start_by != actor.operator_name) return true;
  entry.start_by = actor.operator_name;
  entry.start_at = format_time_utc(session.now());
  if (!session.dry_run()) {
    VOUCH_TRY(const bool had_room, add_stop(session.paths(), entry));
    if (!had_room) {
      return fail(Errc::io, "the disk is full: it cannot be kept that you want it to go on",
                  "make room, then say so again: " + command_of(scope));
    }
  }
  session.out().note(entry.start_by + " wants " + describe(entry) +
                     " to go on; another operator must say so too: " + command_of(scope));
  return false;
}

Result<int> start(Session& session, const StopOptions& options) {
  VOUCH_TRY(Scope scope, scope_of(options));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const std::string policy, control->policy());
  VOUCH_TRY(const std::vector<StopEntry> before, read_stops(session.paths()));
  // An entry whose name is no longer known must still be removable.
  if (const auto name = known_name(*control, scope); name && !name->empty()) scope.name = *name;
  const auto found = std::ranges::find_if(before, [&](const StopEntry& entry) {
    return entry.scope == scope.scope && entry.name == scope.name;
  });
  StopEntry entry{.scope = scope.scope,
                  .name = scope.name,
                  .reason = "",
                  .by = actor.operator_name,
                  .at = format_time_utc(session.now())};
  if (found == before.end()) {
    tell_others(session, before, scope);
    return report(session, entry, "was not stopped");
  }
  entry.reason = found->reason;
  if (policy != kSolo) {
    VOUCH_TRY(const bool may, is_asked_by_another(session, actor, scope, *found));
    if (!may) {
      VOUCH_CHECK(report(session, *found, "stays stopped until a second operator agrees"));
      return 9;
    }
    entry.start_by = found->start_by;
  }
  // First the audit trail: what could not be recorded stays stopped.
  if (!session.dry_run()) {
    VOUCH_CHECK(control->record(actor, "start", describe(entry), detail_of(entry)));
    VOUCH_TRY(const auto removed, remove_stop(session.paths(), scope.scope, scope.name));
    if (!removed) session.out().note("somebody else has taken it back at the same moment");
  }
  tell_others(session, before, scope);
  return report(session, entry, "goes on");
}

Arguments& add_scope(Arguments& arguments, StopOptions& options) {
  return arguments
      .option("--downstream", "DOWNSTREAM", options.downstream, "only calls to this one")
      .option("--client", "CLIENT", options.client, "only calls for this one")
      .option("--campaign", "CAMPAIGN", options.campaign, "only calls of this one")
      .changes();
}

}  // namespace

void add_stop_commands(CommandLine& line) {
  Group top = line.top();
  auto stopped = std::make_shared<StopOptions>();
  add_scope(top.leaf({.name = "stop",
                      .summary = "Start no new call, within a second",
                      .description = "Everything, or one downstream, client or campaign.  Works "
                                     "while vouchd hangs or is down, and outlasts its restart.",
                      .examples = {"vouchctl stop --reason \"coupons show the wrong price\"",
                                   "vouchctl stop --downstream coupons --reason \"their alarm\""}},
                     [stopped](Session& session) { return stop(session, *stopped); })
                .required_option("--reason", "TEXT", stopped->reason,
                                 "why, for those who find it stopped"),
            *stopped);
  auto started = std::make_shared<StopOptions>();
  Arguments arguments =
      top.leaf({.name = "start",
                .summary = "Take a stop back",
                .description = "Under the policy four-eyes the first operator asks for it, and "
                               "it happens when another one says the same.",
                .examples = {"vouchctl start", "vouchctl start --downstream coupons --dry-run"}},
               [started](Session& session) { return start(session, *started); });
  add_scope(arguments, *started);
}

}  // namespace vouch::cli
