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
  VOUCH_TRY(const std::int64_t command, control->add_command(actor, row));
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

Result<void> await_submission(Session& session, const JobView& view, std::int64_t command,
                              const OrderOptions& options) {
  if (view.row.instance != session.instance() || !session.daemon_runs()) {
    session.out().note(nobody_runs(session) + ": the job is kept and begins when one runs");
    return {};
  }
  if (options.no_wait) return {};
  VOUCH_TRY(const auto answer, answer_in_time(session, command));
  if (!answer) {
    session.out().note("vouchd has not taken the job within " + format_duration(kAnswerTimeout) +
                       "; it is kept, and begins when vouchd takes it");
  }
  return {};
}

}  // namespace vouch::cli
