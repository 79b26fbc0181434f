// vouchctl job pause, resume, cancel, update, limit: what is asked of a job that is there.
#include "cli/job_commands.hpp"
#include "cli/job_outlook.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct ChangeOptions {
  std::string job, reason;
  bool settle_by_repeat = false;
  OrderOptions order;
};

// How a change is spoken of.
struct Words {
  const char* kind;   // of the command: "pause"
  const char* done;   // "paused"
  const char* asked;  // "asked to pause"
};

Result<void> refuse_when_over(const JobView& view) {
  if (view.refusal) return within(view.id(), *view.refusal);
  if (!view.progress || !is_over(view.progress->state)) return {};
  return fail(Errc::conflict, view.id() + " is " + view.state(), "nothing of it can change");
}

Result<int> change(Session& session, const ChangeOptions& options, const Words& words,
                   const Json& arguments) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(JobView view, board.find(options.job));
  VOUCH_CHECK(refuse_when_over(view));
  auto ordered = order(session, view, words.kind, arguments.dump(), options.order);
  if (!ordered) return within(view.id(), ordered.error());
  VOUCH_CHECK(board.refresh(view));
  std::string done = *ordered ? words.done : words.asked;
  // Told to be cancelled is not cancelled: calls that are out, and rows in doubt, keep it from it.
  if (view.progress && !session.dry_run()) {
    if (view.progress->state == JobState::cancelling) done = "is being cancelled";
    if (view.progress->state == JobState::unsettled) {
      done += ", but unsettled: rows are in doubt or held";
    }
  }
  VOUCH_CHECK(session.out().changed("job", done, summary_of(view), session.dry_run()));
  return 0;
}

Json with_reason(const std::string& reason) {
  Json arguments = Json::object();
  if (!reason.empty()) arguments["reason"] = reason;
  return arguments;
}

Result<int> cancel(Session& session, const ChangeOptions& options) {
  if (!session.dry_run()) {
    VOUCH_CHECK(session.require_yes("cancel " + options.job +
                                    " for good?  What has not started will not be given"));
  }
  Json arguments = with_reason(options.reason);
  arguments["settle_by_repeat"] = options.settle_by_repeat;
  return change(session, options, {"cancel", "cancelled", "asked to cancel"}, arguments);
}

struct UpdateOptions {
  std::string job;
  std::optional<double> rate;
  std::string finish_by;
  std::optional<std::int64_t> failures_percent_max;
  bool no_rate = false, no_finish_by = false, accept_late = false;
};

Result<void> check_finish(Session& session, const JobView& view, const store::JobOptions& options) {
  if (!options.finish_by) return {};
  VOUCH_TRY(const WallTime end, end_at_rates_in_force(session, view, options.rate));
  if (end <= *options.finish_by) return {};
  return fail(Errc::invalid,
              "at the rates in force " + view.id() + " would end at " + format_time_local(end) +
                  ", after its finish-by of " + format_time_local(*options.finish_by),
              "give it more time or a higher rate; or add --accept-late: what has not started by "
              "then expires without a voucher");
}

Result<int> update(Session& session, const UpdateOptions& asked) {
  if (asked.rate && asked.no_rate) {
    return fail(Errc::usage, "--rate and --no-rate contradict each other");
  }
  if (!asked.finish_by.empty() && asked.no_finish_by) {
    return fail(Errc::usage, "--finish-by and --no-finish-by contradict each other");
  }
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(JobView view, board.find(asked.job));
  VOUCH_CHECK(refuse_when_over(view));
  store::JobOptions options = view.row.options;
  if (asked.rate) options.rate = asked.rate;
  if (asked.no_rate) options.rate.reset();
  if (asked.failures_percent_max) options.failures_percent_max = asked.failures_percent_max;
  if (!asked.finish_by.empty()) {
    VOUCH_TRY(options.finish_by, session.time("--finish-by", asked.finish_by));
  }
  if (asked.no_finish_by) options.finish_by.reset();
  if (!asked.accept_late) VOUCH_CHECK(check_finish(session, view, options));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_CHECK(control->update_job_options(actor, view.row.id, options));
  view.row.options = options;
  Record record = summary_of(view);
  record.push_back({"rate_per_second", "Own rate", Value::rate(options.rate)});
  record.push_back({"finish_by", "Finish by", Value{options.finish_by}});
  VOUCH_CHECK(session.out().changed("job", "updated", record, session.dry_run()));
  return 0;
}

void add_switches(Group& job) {
  auto paused = std::make_shared<ChangeOptions>();
  Arguments pause = job.leaf(
      {.name = "pause",
       .summary = "Start no new call for a job; calls already out may finish",
       .examples = {"vouchctl job pause birthday-november --reason \"partner asks to wait\"",
                    "vouchctl job pause birthday-november --dry-run"}},
      [paused](Session& session) {
        return change(session, *paused, {"pause", "paused", "asked to pause"},
                      with_reason(paused->reason));
      });
  pause.required("JOB", paused->job, kJobHelp)
      .option("--reason", "TEXT", paused->reason, "why, for those who find it paused");
  add_order_arguments(pause, paused->order);
  pause.changes();

  auto resumed = std::make_shared<ChangeOptions>();
  Arguments resume =
      job.leaf({.name = "resume",
                .summary = "Let a paused job go on, also after its pilot",
                .examples = {"vouchctl job resume birthday-november",
                             "vouchctl job resume birthday-november --no-wait -o json"}},
               [resumed](Session& session) {
                 return change(session, *resumed, {"resume", "resumed", "asked to resume"},
                               with_reason(resumed->reason));
               });
  resume.required("JOB", resumed->job, kJobHelp)
      .option("--reason", "TEXT", resumed->reason, "kept in the history");
  add_order_arguments(resume, resumed->order);
  resume.changes();

  auto cancelled = std::make_shared<ChangeOptions>();
  Arguments cancel_leaf = job.leaf(
      {.name = "cancel",
       .summary = "End a job for good; what has not started is not given",
       .description = "Rows whose outcome is not known stay in doubt, since a repeated call may "
                      "issue; --settle-by-repeat repeats them under their own keys.",
       .examples = {"vouchctl job cancel birthday-november --reason \"wrong list\" --yes",
                    "vouchctl job cancel birthday-november --settle-by-repeat --dry-run"}},
      [cancelled](Session& session) { return cancel(session, *cancelled); });
  cancel_leaf.required("JOB", cancelled->job, kJobHelp)
      .option("--reason", "TEXT", cancelled->reason, "kept in the history")
      .flag("--settle-by-repeat", cancelled->settle_by_repeat,
            "repeat what is in doubt until it is settled: it may issue");
  add_order_arguments(cancel_leaf, cancelled->order);
  cancel_leaf.changes();
}

}  // namespace

void add_job_changes(Group& job) {
  auto updated = std::make_shared<UpdateOptions>();
  job.leaf({.name = "update",
            .summary = "Change a job's own rate, the time it must finish by, or when it pauses",
            .description = "A vouchd that runs takes it up within a second.",
            .examples = {"vouchctl job update birthday-november --rate 100/s",
                         "vouchctl job update birthday-november --finish-by 2036-12-24T18:00+01:00 "
                         "--dry-run"}},
           [updated](Session& session) { return update(session, *updated); })
      .required("JOB", updated->job, kJobHelp)
      .rate("--rate", updated->rate, "calls per second to each downstream, of this job alone")
      .flag("--no-rate", updated->no_rate, "only the downstreams' limits")
      .option("--finish-by", "TIME", updated->finish_by, "what has not started by then expires")
      .flag("--no-finish-by", updated->no_finish_by, "let it take its time")
      .number("--pause-at-failures", "PERCENT", updated->failures_percent_max, 1, 100,
              "pause when more of the last rows end without a voucher (100 never)")
      .flag("--accept-late", updated->accept_late, "although it will not end in time")
      .one_at_least()
      .changes();

  auto limited = std::make_shared<UpdateOptions>();
  auto rate = std::make_shared<std::string>();
  job.leaf({.name = "limit",
            .summary = "Set the calls per second of one job alone",
            .examples = {"vouchctl job limit birthday-november 100/s",
                         "vouchctl job limit birthday-november none"}},
           [limited, rate](Session& session) -> Result<int> {
             limited->no_rate = *rate == "none";
             if (!limited->no_rate) {
               auto parsed = parse_rate(*rate);
               if (!parsed) return usage("RATE", parsed.error());
               limited->rate = *parsed;
             }
             return update(session, *limited);
           })
      .required("JOB", limited->job, kJobHelp)
      .required("RATE", *rate, "such as 300/s or 20/m, or none")
      .flag("--accept-late", limited->accept_late, "although it will then not end in time")
      .changes();

  add_switches(job);
}

}  // namespace vouch::cli
