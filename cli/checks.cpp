#include "cli/checks.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/downstream_condition.hpp"
#include "cli/lock_service.hpp"
#include "cli/session.hpp"
#include "cli/stop_file.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/policy.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::string_view kQuickCheck = "PRAGMA quick_check(5)";
constexpr std::string_view kIntegrityCheck = "PRAGMA integrity_check(5)";
constexpr std::string_view kForeignKeys = "PRAGMA foreign_key_check";

constexpr std::uint64_t kLedgerReadBytesMax = std::uint64_t{256} << 20;
constexpr std::uint64_t kDiskWarnBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kDiskFailBytes = std::uint64_t{100} << 20;
constexpr Millis kTestIsOld{7 * 86'400'000};
constexpr Millis kAnswerIsLate{10'000};
constexpr Millis kClockSlack{60'000};

constexpr std::array<std::string_view, 3> kLevelNames = {"ok", "warn", "fail"};

void add(Findings& out, std::string check, Level level, std::string detail, std::string fix = {}) {
  out.push_back({std::move(check), level, std::move(detail), std::move(fix)});
}

void add(Findings& out, std::string check, const Error& error) {
  add(out, std::move(check), Level::fail, error.message,
      error.hint.empty() ? "see the message" : error.hint);
}

std::string octal(unsigned mode) {
  char buffer[16];
  const int n = std::snprintf(buffer, sizeof buffer, "%04o", mode);
  return {buffer, static_cast<std::size_t>(n)};
}

std::string bytes_text(std::uint64_t bytes) {
  return format_count(static_cast<std::int64_t>(bytes >> 20)) + " MiB";
}

// The mode a path must have; more for the owner's group or others is a failure.
struct ModeRule {
  std::string path;
  unsigned mode;
  bool required;
};

void check_mode(const ModeRule& rule, Findings& out, bool& all_fit) {
  struct stat status {};
  if (::stat(rule.path.c_str(), &status) != 0) {
    if (errno == ENOENT && !rule.required) return;
    all_fit = false;
    add(out, "files", Level::fail, rule.path + ": " + std::strerror(errno),
        "run `vouchctl init` as the account that owns the store");
    return;
  }
  const unsigned mode = status.st_mode & 07777;
  if (mode == rule.mode) return;
  all_fit = false;
  const bool open_to_others = (mode & 0007) != 0;
  add(out, "files", open_to_others ? Level::fail : Level::warn,
      rule.path + " has the mode " + octal(mode) + ", not " + octal(rule.mode),
      "chmod " + octal(rule.mode) + " " + rule.path);
}

// Each line of a PRAGMA check that is not "ok".
Result<std::vector<std::string>> complaints(store::Database& database, std::string_view pragma) {
  std::vector<std::string> lines;
  store::Statement& check = database.prepared(pragma);
  while (true) {
    VOUCH_TRY(const bool more, check.step());
    if (!more) return lines;
    if (check.text(0) != "ok") lines.push_back(check.string(0));
  }
}

// The way out of damage, whoever found it.
constexpr const char* kRestore =
    "stop vouchd and restore the last backup; keep this store for examination";

Error with_way_out(Error error) {
  if (error.code == Errc::corrupt) error.hint = kRestore;
  return error;
}

void check_structure(const std::string& name, store::Database& database, bool deep, Findings& out) {
  auto damage = complaints(database, deep ? kIntegrityCheck : kQuickCheck);
  if (damage && damage->empty()) damage = complaints(database, kForeignKeys);
  if (!damage) return add(out, name, with_way_out(damage.error()));
  if (damage->empty()) {
    return add(out, name, Level::ok, deep ? "every page and index is sound" : "structure is sound");
  }
  add(out, name, Level::fail, "damaged: " + join(*damage, "; "), kRestore);
}

std::uint64_t size_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

void check_balance(store::LedgerView& ledger, Findings& out) {
  const auto jobs = ledger.jobs();
  if (!jobs) return add(out, "jobs", with_way_out(jobs.error()));
  std::vector<std::string> wrong;
  for (const store::JobProgress& job : *jobs) {
    if (!job.balanced()) wrong.push_back(format_id(ObjectKind::job, job.id));
  }
  if (wrong.empty()) {
    return add(out, "jobs", Level::ok,
               format_count(static_cast<std::int64_t>(jobs->size())) + " jobs, all balanced");
  }
  add(out, "jobs", Level::fail, "rows and issuances do not add up in " + join(wrong, ", "),
      "stop vouchd and look: vouchctl job show " + wrong.front());
}

// Of a ledger that is an older copy: nothing of them is issued until somebody has looked.
void check_restored(store::LedgerView& ledger, Findings& out) {
  const auto jobs = ledger.jobs();
  if (!jobs) return add(out, "jobs", jobs.error());
  std::vector<std::string> waiting;
  for (const store::JobProgress& job : *jobs) {
    if (job.pause_reason != PauseReason::store) continue;
    waiting.push_back(format_id(ObjectKind::job, job.id));
  }
  if (waiting.empty()) return;
  add(out, "jobs", Level::warn,
      format_count(static_cast<std::int64_t>(waiting.size())) +
          " wait for people, since the ledger is an older copy: what was cancelled or paused since "
          "is not known to it",
      "look at each, then: vouchctl job resume " + waiting.front());
}

// The last answered test of each downstream, by name, from the commands that asked for it.
struct LastTest {
  std::string downstream;
  WallTime at;
  bool reached = false;
  std::int64_t status = 0;
};

Result<std::vector<LastTest>> last_tests(store::ControlStore& control) {
  VOUCH_TRY(const auto commands, control.commands_of("test_downstream", 1000));
  std::vector<LastTest> tests;
  for (const store::CommandRow& command : commands) {
    const auto arguments = parse_json(command.arguments_json);
    const auto answer = parse_json(command.answer_json);
    if (!command.answered || !arguments || !answer || !answer->value("ok", false)) continue;
    LastTest test{arguments->value("downstream", std::string{}), *command.answered,
                  answer->value("reached", false), answer->value("status", std::int64_t{0})};
    const auto same = [&](const LastTest& known) { return known.downstream == test.downstream; };
    if (std::ranges::none_of(tests, same)) tests.push_back(std::move(test));
  }
  return tests;
}

bool is_loopback(const std::string& url) {
  return url.starts_with("http://127.") || url.starts_with("http://localhost") ||
         url.starts_with("http://[::1]");
}

void check_one_downstream(const store::DownstreamRow& row, const std::vector<LastTest>& tests,
                          WallTime now, Findings& out) {
  const std::string& name = row.definition.name;
  const std::string check = "downstream " + name;
  const std::string test_it = "vouchctl downstream test " + name;
  if (row.paused) {
    return add(out, check, Level::warn, "paused: " + row.pause_reason,
               "vouchctl downstream resume " + name);
  }
  if (row.definition.url.starts_with("http://") && !is_loopback(row.definition.url)) {
    add(out, check, Level::warn, "plain http to another machine: " + row.definition.url,
        "use https, or a network that nobody else can reach");
  }
  const auto test =
      std::ranges::find_if(tests, [&](const LastTest& t) { return t.downstream == name; });
  if (test == tests.end()) return add(out, check, Level::warn, "never tested", test_it);
  const std::string when = format_duration(now - test->at) + " ago";
  if (!test->reached) {
    return add(out, check, Level::fail, "was not reached " + when,
               "check its URL and the network, then " + test_it);
  }
  const std::string answered = "answered HTTP " + std::to_string(test->status) + " " + when;
  const bool refused = test->status == 401 || test->status == 403;
  if (refused) return add(out, check, Level::fail, answered, "check its credentials");
  if (now - test->at > kTestIsOld) return add(out, check, Level::warn, answered, test_it);
  add(out, check, Level::ok, answered);
}

// Whether a stop keeps calls from it; one of a client or a campaign leaves others.
bool is_stopped(const Result<std::vector<StopEntry>>& stops, const std::string& downstream) {
  if (!stops) return true;  // as vouchd takes it
  return std::ranges::any_of(*stops, [&](const StopEntry& stop) {
    return stop.scope == "all" || (stop.scope == "downstream" && stop.name == downstream);
  });
}

// By vouchd's word, which is newer than any test.  Nobody tries one that `is_halted`.
void check_condition(const store::DownstreamRow& row, const Conditions& conditions, WallTime now,
                     bool is_halted, Findings& out) {
  const auto known = conditions.find(row.id);
  if (known == conditions.end()) return;
  const std::string& name = row.definition.name;
  const std::string words = words_of(known->second, name, now, is_halted);
  if (words.empty()) return;
  const bool asked = known->second.condition == DownstreamCondition::holds;
  add(out, "downstream " + name, asked ? Level::warn : Level::fail, words,
      asked       ? "nothing; lower its limit if this goes on: vouchctl downstream limit " + name
      : is_halted ? "look at the service; no call tries it while it is stopped or paused"
                  : "look at the service; vouchd goes on by itself when it answers");
}

// `what` is "token".
void check_secret(const store::DownstreamRow& row, const std::string& path, std::string_view what,
                  Findings& out) {
  const std::string check = "downstream " + row.definition.name;
  struct stat status {};
  if (path.empty()) return;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return;
    return add(out, check, Level::fail, path + ": is missing",
               "put the " + std::string{what} + " there, readable by vouchd alone");
  }
  if ((status.st_mode & 0007) != 0) {
    add(out, check, Level::warn, path + ": every account may use it", "chmod o= " + path);
  }
}

void check_secrets(const store::DownstreamRow& row, Findings& out) {
  check_secret(row, row.definition.bearer_file, "token", out);
  if (row.definition.signing) {
    check_secret(row, row.definition.signing->secret_file, "signing secret", out);
  }
}

}  // namespace

void check_machine(Session& session, Findings& out) {
  std::vector<std::string> set;
  for (const Setting& setting : session.settings().all()) {
    if (setting.origin != "default") set.push_back(setting.key + " from " + setting.origin);
  }
  add(out, "configuration", Level::ok, set.empty() ? "all defaults" : join(set, ", "));
  add(out, "SQLite", Level::ok,
      store::sqlite_version() +
          "; 3.7.0 to 3.51.2 have the WAL-reset bug, which one writer for each file avoids");
  if (const auto berlin = plan::date_in_zone(session.now(), "Europe/Berlin"); !berlin) {
    add(out, "time zones", Level::fail, "the tz database is missing", "install the package tzdata");
  } else {
    add(out, "time zones", Level::ok, "the tz database is there");
  }
  struct statvfs disk {};
  if (::statvfs(session.paths().root.c_str(), &disk) != 0) return;  // said by check_files
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  const Level level = free < kDiskFailBytes   ? Level::fail
                      : free < kDiskWarnBytes ? Level::warn
                                              : Level::ok;
  add(out, "disk", level, bytes_text(free) + " free below " + session.paths().root,
      level == Level::ok ? "" : "make room: a full disk stops vouchd");
}

void check_files(Session& session, Findings& out) {
  const store::StorePaths& paths = session.paths();
  if (::access(paths.control().c_str(), X_OK) != 0 && errno == EACCES) {
    return add(out, "files", Level::fail,
               "the account " + session.account() + " may not look into " + paths.root,
               "add it to the group of that folder, then log in again");
  }
  const std::string ledger = paths.root + "/ledger";
  const ModeRule rules[] = {{paths.root, 02750, true},
                            {paths.control(), 02770, true},
                            {paths.control_db(), 0660, true},
                            {paths.recipient_secret(), 0640, true},
                            {paths.recipients(), 03770, true},
                            {paths.pools(), 03770, false},
                            {ledger, 02750, true},
                            {paths.stop_file(), 0660, false}};
  bool all_fit = true;
  for (const ModeRule& rule : rules) check_mode(rule, out, all_fit);
  if (all_fit) add(out, "files", Level::ok, "folders and files have their modes");
}

void check_control(Session& session, bool deep, Findings& out) {
  const auto control = session.control();
  if (!control) return add(out, "control store", control.error());
  check_structure("control store", (*control)->database(), deep, out);
  if (const auto secret = (*control)->recipient_secret(); !secret) {
    add(out, "recipient secret", secret.error());
  }
  const auto audit = (*control)->verify_audit();
  if (audit) {
    add(out, "audit trail", Level::ok, "every row's hash fits the one before");
  } else {
    add(out, "audit trail", audit.error());
  }
  const auto last = (*control)->last_audit_time();
  if (last && *last && **last > session.now() + kClockSlack) {
    add(out, "clock", Level::fail, "behind the last audit row of " + format_time_utc(**last),
        "set the machine's clock; job windows and records depend on it");
  } else {
    add(out, "clock", Level::ok, format_time_utc(session.now()));
  }
}

// A matter of the office, not of the store: `store check` has nothing to say about it.
void check_policy(Session& session, Findings& out) {
  const auto control = session.control();
  if (!control) return;  // said by check_control
  const auto policy = (*control)->policy();
  const auto operators = (*control)->operators();
  if (!policy || !operators) return add(out, "policy", policy ? operators.error() : policy.error());
  const std::size_t count = operators->size();
  const std::string words =
      *policy + ", " + std::to_string(count) + (count == 1 ? " operator" : " operators");
  if (*policy == kSolo) {
    add(out, "policy", Level::warn, words + ": one alone decides about rows in doubt or held",
        "this store keeps its policy; where two must agree, make a new one before the first job: "
        "vouchctl --store FOLDER init --policy four-eyes");
  } else if (count < 2) {
    add(out, "policy", Level::warn, words + ": nobody can confirm what he proposes",
        "add another: vouchctl operator create NAME --account ACCOUNT");
  } else {
    add(out, "policy", Level::ok, words);
  }
}

void check_ledger(Session& session, bool deep, Findings& out) {
  const auto ledger = session.ledger();
  if (!ledger && ledger.error().code == Errc::store &&
      !path_exists(session.paths().ledger_db(session.instance()))) {
    return add(out, "ledger", Level::warn, ledger.error().message, ledger.error().hint);
  }
  if (!ledger) return add(out, "ledger", with_way_out(ledger.error()));
  const std::uint64_t bytes = size_of(session.paths().ledger_db(session.instance()));
  if (deep || bytes <= kLedgerReadBytesMax) {
    check_structure("ledger", (*ledger)->database(), deep, out);
  } else {
    add(out, "ledger", Level::ok,
        bytes_text(bytes) + ", not read through; `vouchctl store check` does");
  }
  check_balance(**ledger, out);
  check_restored(**ledger, out);
  const auto locks = lock_service_of(*ledger, session.daemon(session.instance()));
  if (!locks) return add(out, "locks", locks.error());
  if (!*locks) return;
  add(out, "locks", (*locks)->is_up ? Level::ok : Level::warn, words_of(*locks),
      (*locks)->is_up ? "" : "bring that Redis back; no job waits for it meanwhile");
}

void check_lists(Session& session, Findings& out) {
  const auto control = session.control();
  if (!control) return;  // said by check_control
  const auto lists = (*control)->lists();
  if (!lists) return add(out, "lists", lists.error());
  std::int64_t there = 0;
  bool all = true;
  for (const store::ListRow& list : *lists) {
    if (list.deleted) continue;
    const std::string path = session.paths().list_file(list.digest);
    if (path_exists(path)) {
      ++there;
      continue;
    }
    all = false;
    add(out, "lists", Level::fail, "the file of \"" + list.name + "\" is missing: " + path,
        "restore it from a backup, or import the partner's file again");
  }
  if (all) add(out, "lists", Level::ok, format_count(there) + " lists, each with its file");
}

void check_downstreams(Session& session, Findings& out) {
  const auto stops = read_stops(session.paths());
  if (!stops) {
    add(out, "stops", stops.error());
  } else {
    for (const StopEntry& stop : *stops) {
      const std::string option = stop.scope == "all" ? "" : " --" + stop.scope + " " + stop.name;
      add(out, "stops", Level::warn,
          describe(stop) + " is stopped by " + stop.by + " since " + stop.at + ": " + stop.reason,
          "vouchctl start" + option);
    }
  }
  const auto control = session.control();
  if (!control) return;  // said by check_control
  const auto rows = (*control)->downstreams();
  const auto tests = last_tests(**control);
  if (!rows || !tests) {
    return add(out, "downstreams", rows ? tests.error() : rows.error());
  }
  const auto conditions = ConditionSource::open(session);
  for (const store::DownstreamRow& row : *rows) {
    const bool is_halted = row.paused || is_stopped(stops, row.definition.name);
    if (conditions) check_condition(row, conditions->known, session.now(), is_halted, out);
    check_one_downstream(row, *tests, session.now(), out);
    check_secrets(row, out);
  }
}

void check_daemon(Session& session, Findings& out) {
  const DaemonState state = session.daemon(session.instance());
  if (state.is_trouble()) {
    // One that never ran is not installed to the end; one that ran is missed.
    return add(out, "vouchd", state.seen ? Level::fail : Level::warn,
               words_of(state) + " (instance \"" + session.instance() + "\")",
               fix_of(state, session.instance()));
  }
  if (state.kind == DaemonState::Kind::unknown) {
    return add(out, "vouchd", Level::warn,
               "this account may not see whether one runs for \"" + session.instance() + "\"",
               "ask as an account of the group that may read the ledger");
  }
  const auto control = session.control();
  if (!control) return add(out, "vouchd", Level::ok, "runs");
  const auto open = (*control)->open_commands(session.instance(), 0, 1000);
  if (!open) return add(out, "vouchd", open.error());
  const auto late = std::ranges::count_if(*open, [&](const store::CommandRow& command) {
    return session.now() - command.created > kAnswerIsLate;
  });
  if (late == 0) return add(out, "vouchd", Level::ok, "runs, and answers");
  add(out, "vouchd", Level::fail, std::to_string(late) + " commands wait for more than 10 s",
      "look at its log: journalctl -u " + unit_of(session.instance()));
}

Level worst_of(const Findings& findings) {
  Level worst = Level::ok;
  for (const Finding& finding : findings) worst = std::max(worst, finding.level);
  return worst;
}

Result<void> print_findings(Session& session, const Findings& findings) {
  constexpr std::array<Tone, 3> tones = {Tone::good, Tone::warn, Tone::bad};
  Output& out = session.out();
  // A fix stands below what it mends: side by side the lines would be too long to read.
  const bool below = out.format() == Format::table && out.options().fields.empty();
  std::vector<Column> columns = {{"level", "LEVEL"}, {"check", "CHECK"}, {"detail", "DETAIL"}};
  columns.push_back({"fix", "FIX", below ? Shown::wide : Shown::always});
  VOUCH_TRY(Listing listing, out.list(std::move(columns)));
  for (const Finding& finding : findings) {
    const auto level = static_cast<std::size_t>(finding.level);
    listing.row(
        {Value{kLevelNames[level]}.tone(tones[level]), finding.check, finding.detail, finding.fix});
    if (below && !finding.fix.empty()) listing.row({" ", " ", "fix: " + finding.fix, " "});
  }
  listing.end();
  return {};
}

}  // namespace vouch::cli
