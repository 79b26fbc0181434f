// What is asked of vouchd about a job: declared in job_commands.hpp.
#include "cli/job_commands.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// How long a command stays in the store for a vouchd that does not run.
constexpr Millis kKeptFor{60 * 60 * 1000};

// Vouchd's answer, or nothing when it did not come in time.
Result<std::optional<std::string>> answer_in_time(Session& session, std::int64_t command) {
  auto answer = session.await_answer(command, kAnswerTimeout);
  if (answer) return std::optional{std::move(*answer)};
  const Errc code = answer.error().code;
  if (code == Errc::timed_out || code == Errc::unavailable) return std::optional<std::string>{};
  return tl::unexpected<Error>(answer.error());
}

std::string nobody_runs(const Session& session) {
  return "no vouchd runs for the instance \"" + session.instance() + "\"";
}

// Until vouchd has taken a submission, for as long as somebody may look at the screen.
Result<void> await_taking(Session& session, const JobView& view, const OrderOptions& options) {
  if (view.daemon.is_absent()) {
    session.out().note(nobody_runs(session) + ": the job is kept and begins when one runs");
    return {};
  }
  if (options.no_wait) return {};
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::CommandRow submission, control->submission_of(view.row.id));
  VOUCH_TRY(const auto answer, answer_in_time(session, submission.id));
  if (!answer) {
    session.out().note("vouchd has not taken the job within " + format_duration(kAnswerTimeout) +
                       "; it is kept, and begins when vouchd takes it");
  }
  return {};
}

}  // namespace

void add_order_arguments(Arguments& arguments, OrderOptions& options) {
  arguments.flag("--no-wait", options.no_wait, "do not wait for vouchd to carry it out");
}

Result<bool> order(Session& session, const JobView& view, const std::string& kind,
                   const std::string& arguments_json, const OrderOptions& options) {
  VOUCH_CHECK(check_instance(session, view));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  const store::CommandRow row{.kind = kind,
                              .job = view.row.id,
                              .arguments_json = arguments_json,
                              .instance = view.row.instance,
                              .expires = actor.now + kKeptFor};
  VOUCH_TRY(const std::int64_t command, control->add_command(actor, row, session.random()));
  if (actor.dry_run) return true;
  const std::string kept = "the command is kept and carried out if one takes it before " +
                           format_time_local(row.expires);
  if (!session.daemon_runs()) {
    session.out().warn(nobody_runs(session) + ": " + kept);
    return false;
  }
  if (options.no_wait) return false;
  VOUCH_TRY(const auto answer, answer_in_time(session, command));
  if (answer) return true;
  session.out().warn("vouchd has not answered within " + format_duration(kAnswerTimeout) + ": " +
                     kept);
  return false;
}

void add_wait_arguments(Arguments& arguments, AfterSubmission& options) {
  arguments.flag("--wait", options.wait, "wait until it is done, as `job wait` does")
      .duration("--timeout", options.timeout, "with --wait: exit 8 after this time");
  add_order_arguments(arguments, options.order);
}

Result<int> after_submission(Session& session, const store::ControlStore::Submission& submitted,
                             const AfterSubmission& options) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  const std::string id = format_id(ObjectKind::job, submitted.job.id);
  VOUCH_TRY(JobView view, board.find(id));
  if (!view.progress && !view.refusal) {
    VOUCH_CHECK(await_taking(session, view, options.order));
    VOUCH_CHECK(board.refresh(view));
  }
  if (view.refusal) return within(id, *view.refusal);
  const char* done = submitted.existed ? "is there already" : "submitted";
  if (!options.wait) {
    VOUCH_CHECK(session.out().changed("job", done, summary_of(view)));
    return 0;
  }
  if (session.out().is_for_people()) session.out().note("job " + id + " " + done);
  WaitOptions wait;
  wait.jobs = {id};
  wait.timeout = options.timeout;
  return wait_for_jobs(session, wait);
}

}  // namespace vouch::cli
