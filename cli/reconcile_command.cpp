// vouchctl reconcile: the ledger against what a downstream says it did.
#include <algorithm>

#include "cli/commands.hpp"
#include "cli/job_view.hpp"
#include "cli/reconcile_report.hpp"
#include "cli/reconcile_settle.hpp"
#include "cli/statement_csv.hpp"
#include "cli/statement_fetch.hpp"
#include "cli/store_ledger_rows.hpp"
#include "common/environment.hpp"
#include "common/plan/zoned_time.hpp"
#include "common/policy.hpp"
#include "common/store/reconciliation_log.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kMargin{5 * 60 * 1000};
constexpr const char* kTemporaryFolder = "/var/tmp";

struct ReconcileLine {
  std::string downstream, campaign, job, cut_off, since, until, report, csv;
  std::string authorities;
  StatementOptions statement;
  std::optional<Millis> margin;
  bool fetch = false;
  bool resolve = false, resolve_negative = false;
  bool is_shared = false;
};

// Everything that is known before the statement is read.
struct Setting {
  store::ControlStore* control = nullptr;
  store::LedgerView* ledger = nullptr;
  store::DownstreamRow downstream;
  LedgerScope scope;
  std::string scope_words;
  Window window;
};

// In the statement's time zone, where the text does not say which.
Result<WallTime> time_in_zone(Session& session, const ReconcileLine& line, std::string_view flag,
                              const std::string& text) {
  VOUCH_TRY(plan::ZonedTimes times, plan::ZonedTimes::in(line.statement.time_zone));
  if (const auto time = times.parse(text)) return *time;
  return session.time(flag, text);
}

Result<Window> window_of(Session& session, const ReconcileLine& line,
                         const plan::Downstream& downstream) {
  if (!line.cut_off.empty() && !line.until.empty()) {
    return fail(
        Errc::usage, "--cut-off and --until are two words for one thing",
        "--since and --until for a statement of some days, --cut-off for one of everything");
  }
  Window window;
  window.margin = line.margin.value_or(kMargin);
  window.settle = downstream.timeout + downstream.settle_time;
  if (!line.since.empty()) {
    VOUCH_TRY(window.since, time_in_zone(session, line, "--since", line.since));
  }
  const std::string& end = line.cut_off.empty() ? line.until : line.cut_off;
  window.until = session.now();
  // An endpoint has what was done up to this moment; a file ends where its sender says it does.
  window.is_complete = !end.empty() || line.fetch;
  if (!end.empty()) {
    const char* flag = line.cut_off.empty() ? "--until" : "--cut-off";
    VOUCH_TRY(window.until, time_in_zone(session, line, flag, end));
    // What such a statement lacks may still be on its way to it.
    if (window.until > session.now()) {
      return fail(Errc::invalid,
                  std::string{flag} + " " + format_time_utc(window.until) +
                      " lies ahead: no statement has what is still to be executed",
                  "say up to when it is complete, such as: " + std::string{flag} + " now");
    }
  }
  if (window.since && *window.since >= window.until) {
    return fail(Errc::usage, "--since is not before the end of the statement");
  }
  return window;
}

Result<Setting> setting_of(Session& session, const ReconcileLine& line) {
  Setting out;
  VOUCH_TRY(out.control, session.control());
  VOUCH_TRY(out.downstream, out.control->downstream(line.downstream));
  VOUCH_TRY(out.window, window_of(session, line, out.downstream.definition));
  out.scope.downstream = out.downstream.definition.name;
  out.scope.instance = session.instance();
  if (!line.job.empty()) {
    VOUCH_TRY(const store::JobRow job, out.control->job(line.job));
    out.scope.job = job.id;
    out.scope.campaign = job.campaign;
    out.scope_words = "job " + format_id(ObjectKind::job, job.id);
  }
  if (!line.campaign.empty()) {
    VOUCH_TRY(const store::CampaignRow campaign, out.control->campaign(line.campaign));
    if (out.scope.campaign != 0 && out.scope.campaign != campaign.id) {
      return fail(Errc::usage, "the job is not one of the campaign " + line.campaign);
    }
    out.scope.campaign = campaign.id;
    if (out.scope.job == 0) out.scope_words = "campaign " + campaign.definition.name;
  }
  VOUCH_TRY(out.ledger, session.ledger());
  return out;
}

Result<std::unique_ptr<Statement>> open_statement(Session& session, const ReconcileLine& line,
                                                  const Setting& setting) {
  if (line.fetch != line.statement.path.empty()) {
    return fail(Errc::usage, "one of --statement and --fetch is needed, and not both",
                "--statement FILE for a file, --fetch to ask the downstream itself");
  }
  if (!line.fetch) return open_statement_csv(line.statement);
  return fetch_statement(setting.downstream.definition,
                         {.time_zone = line.statement.time_zone,
                          .currency = line.statement.currency,
                          .authorities = line.authorities},
                         session.clock());
}

// Every job of the campaigns that were walked: its totals, and whether they are what its rows say.
Result<std::vector<JobProof>> prove_jobs(const Setting& setting, const StoreLedgerRows& rows,
                                         const Balance& balance, WallTime begun) {
  VOUCH_TRY(const auto submitted, setting.control->jobs());
  std::map<ObjectId, ObjectId> campaign_of;
  for (const store::JobRow& job : submitted) campaign_of[job.id] = job.campaign;
  VOUCH_TRY(const auto jobs, setting.ledger->jobs());
  std::vector<JobProof> proofs;
  for (const store::JobProgress& job : jobs) {
    const auto known = campaign_of.find(job.id);
    // Single issuances of a campaign have a job with its id.
    const ObjectId campaign = known == campaign_of.end() ? job.id : known->second;
    const bool walked = std::ranges::binary_search(rows.campaigns(), campaign);
    if (!walked || (setting.scope.job != 0 && job.id != setting.scope.job)) continue;
    JobProof proof;
    proof.job = job.id;
    proof.rows_in = job.rows_accepted * job.items;
    for (const std::int64_t count : job.by_state) proof.by_state += count;
    proof.repeats = job.repeats;
    proof.moved = job.moved;
    proof.not_planned = job.not_planned();
    proof.balances = job.balanced();
    const bool at_rest = job.ended && *job.ended < begun;
    const auto counted = balance.walked.find(job.id);
    if (at_rest && counted != balance.walked.end()) {
      proof.counters_agree = counted->second == job.by_state;
    }
    proofs.push_back(proof);
  }
  return proofs;
}

void tell_proposal(Output& out, const Reconciled& done, const StatementProposal& proposal) {
  const std::string whom = done.waits_for.empty()
                               ? "a second operator (vouchctl operator create)"
                               : "another operator (" + join(done.waits_for, ", ") + ")";
  out.note(format_count(proposal.rows) + " rows of " + format_id(ObjectKind::job, proposal.job) +
           " as " + std::string{name_of(proposal.to)} + " wait for " + whom + " to confirm " +
           proposal.id + ": " + proposal.confirm_command());
}

void tell_hints(Session& session, const Reconciled& done) {
  Output& out = session.out();
  const Balance& balance = done.balance;
  if (!balance.compared.amount) {
    out.note("the statement has no amounts: they were not compared");
  }
  if (balance.lost_behind_last > 0) {
    out.warn(format_count(balance.lost_behind_last) +
             " of the lost were sent after the statement's last entry, of " +
             format_time_local(*balance.last_time) + ": if it ends there, say so with --cut-off");
  }
  for (const StatementProposal& proposal : done.proposals) tell_proposal(out, done, proposal);
  if (balance.count(Class::resolves) > 0 && done.resolved == 0 && done.proposals.empty()) {
    out.note("the statement proves that " + format_count(balance.count(Class::resolves)) +
             " rows in doubt or held were issued; --resolve takes that over");
  }
}

Result<int> status_of(const Reconciled& done) {
  if (!done.is_proved()) {
    return fail(Errc::corrupt, "the ledger's rows and its totals do not agree",
                "stop, keep a copy, and look: vouchctl store check --deep");
  }
  if (done.balance.differences() > 0) return 3;
  return done.undecided() > 0 ? 9 : 0;
}

// Kept, so that `job close` can go by it.
Result<void> record(Session& session, const Setting& setting, const Reconciled& done) {
  const auto actor = session.actor();
  if (!actor) {
    session.out().note("this reconciliation is not recorded: " + actor.error().message);
    return {};
  }
  store::ReconciliationRow row;
  row.instance = setting.scope.instance;
  row.downstream = done.downstream;
  row.source = done.source;
  row.scope = done.scope;
  row.since = done.window.since;
  row.until = done.window.until;
  row.verdict = done.verdict();
  row.lines = done.balance.statement_lines;
  row.unowned = done.balance.ghosts_of_no_job;
  row.digest = done.balance.ledger_digest.text();
  std::vector<store::ReconciledJob> jobs;
  for (const JobProof& proof : done.jobs) {
    store::ReconciledJob& job = jobs.emplace_back();
    job.job = proof.job;
    const auto found = done.balance.jobs.find(proof.job);
    if (found == done.balance.jobs.end()) continue;
    const auto count = [&](Class c) { return found->second.by_class[static_cast<std::size_t>(c)]; };
    job.matched = count(Class::match);
    job.differences =
        count(Class::lost) + count(Class::ghost) + count(Class::doubled) + count(Class::differs);
    job.undecided =
        count(Class::resolves) + count(Class::absent) + count(Class::open) + count(Class::early);
  }
  return store::record_reconciliation(*setting.control, *actor, row, jobs);
}

// The policy that vouchd keeps to is the one in its ledger.
Result<bool> needs_two(Session& session) {
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(const std::string kept, ledger->meta("policy"));
  if (!kept.empty()) return kept == kFourEyes;
  VOUCH_TRY(store::ControlStore * control, session.control());
  return control->policy().map([](const std::string& policy) { return policy == kFourEyes; });
}

// Who can say yes to what this operator proposes.
Result<std::vector<std::string>> other_operators(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(const auto operators, control->operators());
  std::vector<std::string> names;
  for (const store::OperatorRow& row : operators) {
    if (row.name != actor.operator_name) names.push_back(row.name);
  }
  return names;
}

// What the statement settles takes effect, or is proposed.
Result<void> settle(Session& session, SettledRows& rows, Reconciled& done) {
  if (rows.size() == 0) return {};
  if (!done.is_proved()) return fail(Errc::corrupt, "nothing was resolved");
  const std::string name = done.source.substr(done.source.rfind('/') + 1);
  VOUCH_TRY(const bool two, needs_two(session));
  if (two && session.dry_run()) {
    session.out().note(format_count(rows.size()) +
                       " rows would be proposed, for a second operator to confirm");
  } else if (two) {
    VOUCH_TRY(done.waits_for, other_operators(session));
    VOUCH_TRY(done.proposals, rows.propose(session, name, done.downstream));
  } else {
    VOUCH_TRY(done.resolved, rows.send(session, name, done.balance));
  }
  return {};
}

ReconcileOptions options_of(const ReconcileLine& line, const Setting& setting,
                            const StoreLedgerRows& rows) {
  ReconcileOptions options;
  options.window = setting.window;
  options.scope_of = [&](ObjectId campaign) { return rows.scope_of(campaign); };
  options.is_shared = line.is_shared;
  options.sort_folder = environment("TMPDIR").value_or(kTemporaryFolder);
  return options;
}

// Both sides, merged: each row goes into the report, and among those that are settled.
Result<Balance> merge(Session& session, Statement& statement, StoreLedgerRows& rows,
                      ReconcileOptions options, std::optional<SettledRows>& settled,
                      ReportFiles& report) {
  Progress reading{session.out(), session.terminal(), "statement"};
  Progress merging{session.out(), session.terminal(), "ledger"};
  options.progress = [&](std::int64_t lines, std::int64_t merged) {
    if (merged > 0) reading.clear();
    (merged > 0 ? merging : reading)
        .update(merged > 0 ? merged : lines, 0, "", session.clock().now());
  };
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const std::string secret, control->recipient_secret());
  const auto sink = [&](const ReportRow& row) -> Result<void> {
    if (settled) {
      VOUCH_CHECK(settled->add(row, statement.columns()));
    }
    return report.add(row);
  };
  return reconcile(statement, rows, RecipientKeys{secret}, options, sink);
}

Result<int> run(Session& session, const ReconcileLine& line) {
  VOUCH_TRY(const Setting setting, setting_of(session, line));
  VOUCH_TRY(const auto statement, open_statement(session, line, setting));
  VOUCH_TRY(StoreLedgerRows rows,
            StoreLedgerRows::open(*setting.control, *setting.ledger, setting.scope));
  VOUCH_TRY(ReportFiles report, ReportFiles::create(line.report, line.csv));
  const ReconcileOptions options = options_of(line, setting, rows);
  std::optional<SettledRows> settled;
  if (line.resolve || line.resolve_negative) {
    VOUCH_CHECK(session.actor().map([](const store::Actor&) {}));
    VOUCH_TRY(settled, SettledRows::create(options.sort_folder, line.resolve_negative));
  }
  const WallTime begun = session.now();
  Reconciled done;
  done.downstream = setting.downstream.definition.name;
  done.source = line.fetch ? setting.downstream.definition.statement->url
                           : name_of_input(line.statement.path);
  done.scope = setting.scope_words;
  done.window = setting.window;
  VOUCH_TRY(done.balance, merge(session, *statement, rows, options, settled, report));
  VOUCH_TRY(done.jobs, prove_jobs(setting, rows, done.balance, begun));
  Result<void> settling;
  // Where the two sides contradict each other the statement may be of another service altogether.
  if (settled) settling = settle(session, *settled, done);
  VOUCH_CHECK(report.finish(done));
  if (done.is_proved()) VOUCH_CHECK(record(session, setting, done));
  VOUCH_CHECK(print(session, done));
  tell_hints(session, done);
  if (!settling) return tl::unexpected<Error>(settling.error());
  return status_of(done);
}

void add_statement_arguments(Arguments& arguments, ReconcileLine& line) {
  StatementOptions& statement = line.statement;
  arguments.option("--statement", "FILE", statement.path, "CSV; - is standard input")
      .flag("--fetch", line.fetch, "ask the downstream, at the statement URL of its definition")
      .option("--authorities", "FILE", line.authorities,
              "with --fetch: trust these too, a PEM file, besides the system's")
      .list("--map", "THEIRS=OURS", statement.mappings,
            "their column voucher_no is our reference: voucher_no=reference")
      .option("--encoding", "NAME", statement.encoding,
              "gb18030, windows-1252, ...; UTF-8 unless said or a byte order mark says so")
      .option("--delimiter", "WORD", statement.delimiter, "comma (unless said), semicolon or tab")
      .option("--time-zone", "ZONE", statement.time_zone,
              "of times without an offset, here and in the file: Asia/Shanghai; UTC unless said")
      .one_of("--amount-unit", statement.amount_unit, {"major", "minor"},
              "major: 12.50; minor: 1250; required for a column amount")
      .option("--currency", "CODE", statement.currency, "of all amounts, where no column says it")
      .list("--executed", "WORD", statement.executed,
            "words of the status column that mean a voucher was issued; \"issued\" unless said");
}

}  // namespace

void add_reconcile_commands(CommandLine& line) {
  auto options = std::make_shared<ReconcileLine>();
  Arguments arguments = line.top().leaf(
      {.name = "reconcile",
       .summary = "Compare the ledger with a downstream's own statement, row by row",
       .description =
           "Tells what is lost (issued here, not there), a ghost (there, not here), double or "
           "different, what the statement settles of rows in doubt, and proves that every row was "
           "looked at.  Exit status: 0 balanced, 3 differences, 7 a statement that is not "
           "understood, 9 rows that are still in doubt or held, or wait to be confirmed.",
       .examples = {"vouchctl reconcile coupons --statement coupons.csv --cut-off now",
                    "vouchctl reconcile coupons --statement coupons.csv --job birthday-november "
                    "--report report.json -o json"}},
      [options](Session& session) { return run(session, *options); });
  arguments.required("DOWNSTREAM", options->downstream, "name or id of the downstream");
  add_statement_arguments(arguments, *options);
  arguments.option("--campaign", "C", options->campaign, "only rows of this campaign")
      .option("--job", "J", options->job, "only rows of this job")
      .option("--cut-off", "TIME", options->cut_off,
              "the statement has all that was executed before TIME")
      .option("--since", "TIME", options->since, "it begins here")
      .option("--until", "TIME", options->until, "and has all that was executed before TIME")
      .duration("--margin", options->margin,
                "around both ends, where rows may be on the next statement; 5m unless said")
      .flag("--shared", options->is_shared,
            "others use the downstream too: ids that are not Vouch's are no ghosts")
      .option("--report", "FILE", options->report, "write all that is no match to FILE, as JSON")
      .option("--csv", "FILE", options->csv, "the same as CSV")
      .flag("--resolve", options->resolve,
            "rows in doubt or held that are there once, with the right amount, become issued; "
            "under four eyes when a second operator has confirmed it")
      .flag("--resolve-negative", options->resolve_negative,
            "and those proven not to have been executed may be sent again")
      .changes();
}

}  // namespace vouch::cli
