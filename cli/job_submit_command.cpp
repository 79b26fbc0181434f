// vouchctl job submit: a campaign run over a list for a client, in one line that may be run again.
#include <map>
#include <set>

#include "cli/job_prospect.hpp"
#include "cli/job_submission.hpp"
#include "cli/pool_view.hpp"
#include "cli/run_lock.hpp"
#include "cli/uncertain_contract.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

Result<int> dry_run(Session& session, const Submission& submission, const Prospect& prospect,
                    bool existed) {
  Output& out = session.out();
  if (existed) {
    VOUCH_TRY(JobBoard board, JobBoard::open(session));
    VOUCH_TRY(const JobView view, board.find(submission.job.submit_key));
    VOUCH_CHECK(out.changed("job", "found: it was submitted already", summary_of(view), true));
    return 0;
  }
  Record record = forecast_of(submission, prospect, out.is_for_people());
  if (!out.is_for_people()) record.push_back({"dry_run", "Dry run", true});
  VOUCH_CHECK(out.show(record));
  out.note("dry run: nothing was submitted, nothing is sent");
  return 0;
}

// Things that will keep the job, told when it is submitted; none is a reason to refuse it.
void tell_obstacles(Session& session, const Submission& submission) {
  Output& out = session.out();
  if (submission.campaign.state == "paused") {
    out.warn("the campaign " + submission.campaign.definition.name +
             " is paused: the job begins when it is resumed");
  }
  if (submission.client.paused) {
    out.warn("the client " + submission.client.name +
             " is paused: the job begins when it is resumed");
  }
}

// Told too where a pool has fewer codes left than the job may need: some may be repeats.
Result<void> tell_short_pools(Session& session, const Submission& submission) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  std::map<std::string, std::int64_t> wanted;
  std::set<std::string> called;  // whose codes go out in calls
  for (const plan::Item& item : submission.campaign.definition.items) {
    if (item.pool.empty()) continue;
    wanted[item.pool] += submission.imported.list.accepted;
    if (!item.by_export()) called.insert(item.pool);
  }
  for (const auto& [name, codes] : wanted) {
    VOUCH_TRY(store::PoolRow pool, control->pool(name));
    const auto view = PoolView::of(session, std::move(pool));
    if (!view || view->left() >= codes) continue;
    session.out().warn("the pool " + name + " has " + format_count(view->left()) +
                       " codes left, and the job may need " + format_count(codes) +
                       (called.contains(name) ? ": where none is left it pauses"
                                              : ": with too few the export is refused"));
  }
  return {};
}

Result<void> register_file(Session& session, const SubmitOptions& options, Submission& submission) {
  if (!options.list.empty()) return {};
  auto registered = register_list(session, options.import, submission.imported);
  if (!registered && registered.error().hint.starts_with("use that list")) {
    registered.error().hint = "submit that list with --list, or add --again";
  }
  return registered;
}

// Everything that can be said against it comes before anything is kept.
Result<bool> admit(Session& session, const SubmitOptions& options, Submission& submission,
                   Prospect& prospect) {
  auto existed = is_there_already(session, submission);
  if (existed && !*existed) {
    auto checked = check_submission(session, options, submission);
    if (checked) {
      prospect = std::move(*checked);
    } else {
      existed = tl::unexpected<Error>(checked.error());
    }
  }
  if (!existed) {
    if (options.list.empty()) discard_list(session, submission.imported);
    return existed;
  }
  VOUCH_CHECK(register_file(session, options, submission));
  submission.job.list = submission.imported.list.id;
  return existed;
}

Result<int> submit(Session& session, SubmitOptions options) {
  if (options.list.empty() == options.import.file.empty()) {
    return fail(Errc::usage, "a job needs a list: one of --list LIST and --file FILE",
                "--file imports a partner's file first");
  }
  if (options.import.name.empty() && !options.submit_key.empty()) {
    options.import.name = list_name_for(options.submit_key);
  }
  VOUCH_TRY(store::ControlStore * control, session.control());
  std::optional<RunLock> lock;
  if (!options.submit_key.empty() && !session.dry_run()) {
    auto taken = RunLock::for_submit(session.paths(), options.submit_key,
                                     options.lock_wait.value_or(Millis{0}), session.clock());
    if (!taken) return tl::unexpected<Error>(taken.error());
    lock.emplace(std::move(*taken));
  }
  VOUCH_TRY(Submission submission, prepare_submission(session, options));
  Prospect prospect;
  VOUCH_TRY(const bool existed, admit(session, options, submission, prospect));
  if (!existed) {
    tell_obstacles(session, submission);
    VOUCH_CHECK(tell_short_pools(session, submission));
  }
  if (session.dry_run()) return dry_run(session, submission, prospect, existed);
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(const auto submitted, control->submit_job(actor, submission.job, session.random()));
  lock.reset();
  return after_submission(session, submitted, options.after);
}

void add_arguments(Arguments& arguments, SubmitOptions& options) {
  arguments.required_option("--campaign", "C", options.import.campaign, "what is issued")
      .option("--list", "LIST", options.list, "to whom: a list that is imported")
      .option("--file", "FILE", options.import.file, "to whom: a partner's file, imported first")
      .option("--client", "K", options.client, "for whom; the only client unless said")
      .option("--submit-key", "KEY", options.submit_key,
              "names this submission: the same line again is the same job")
      .option("--name", "NAME", options.import.name,
              "with --file: what to call the list (from the submit key unless said)")
      .rate("--rate", options.rate, "calls per second to each downstream, of this job alone")
      .option("--start-at", "TIME", options.start_at, "no call before this time")
      .option("--finish-by", "TIME", options.finish_by,
              "what has not started by then expires; refused (7) when it cannot be kept")
      .flag("--accept-late", options.accept_late, "submit although it will not end in time")
      .number("--pilot", "N", options.pilot, 1, INT64_MAX,
              "give N recipients theirs, then pause until `job resume`")
      .number("--pause-at-failures", "PERCENT", options.failures_percent_max, 1, 100,
              "pause when more of the last rows end without a voucher (50; 100 never)")
      .option("--for-date", "DATE", options.for_date,
              "the day (month, year) that counts for `once_per`: 2026-11-22")
      .number("--min-rows", "N", options.import.rows_min, 0, INT64_MAX,
              "refuse a list with fewer good rows (exit 7)")
      .list("--tolerate", "STATE=PART", options.tolerate,
            "what `job wait` calls a success all the same: declined=2%,skipped=100%")
      .duration("--lock-wait", options.lock_wait,
                "wait this long for another run under the same submit key");
  add_uncertain_flag(arguments, options.accept_uncertain);
  add_wait_arguments(arguments, options.after);
  add_import_arguments(arguments, options.import);
  arguments.changes();
}

}  // namespace

void add_job_submit(Group& job) {
  auto options = std::make_shared<SubmitOptions>();
  Arguments arguments = job.leaf(
      {.name = "submit",
       .summary = "Run a campaign over a recipient list",
       .description =
           "With --submit-key the same line may be run again after a stop at any point: it is the "
           "same job, exit 0; other content under the key is refused with exit 6.  --dry-run "
           "shows counts, money, calls, repeats and the end at the rates in force.",
       .examples = {"vouchctl job submit --campaign birthday --list november --client shop "
                    "--dry-run",
                    "vouchctl -q job submit --campaign birthday --file november.csv "
                    "--amount-unit major --client shop --submit-key birthday-2026-11-22 --again "
                    "--for-date 2026-11-22 --lock-wait 5m"}},
      [options](Session& session) { return submit(session, *options); });
  add_arguments(arguments, *options);
}

}  // namespace vouch::cli
