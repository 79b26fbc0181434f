// vouchctl job rerun: a new job over what ended without a voucher.
#include <algorithm>

#include "cli/job_commands.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::array kRerunStates = {IssuanceState::failed, IssuanceState::expired,
                                     IssuanceState::cancelled, IssuanceState::skipped,
                                     IssuanceState::declined};

struct RerunOptions {
  std::string job, submit_key;
  std::vector<std::string> states;
  std::optional<double> rate;
  AfterSubmission after;
};

// Each once, in one order: the same states asked for in another order are the same content.
Result<std::vector<std::string>> check_states(const std::vector<std::string>& texts) {
  std::vector<std::string> states;
  for (const IssuanceState state : kRerunStates) {
    const std::string name{name_of(state)};
    if (std::find(texts.begin(), texts.end(), name) != texts.end()) states.push_back(name);
  }
  for (const std::string& text : texts) {
    if (std::find(states.begin(), states.end(), text) != states.end()) continue;
    return fail(Errc::usage, "--state: \"" + text + "\" cannot be rerun",
                "there are failed, expired, cancelled, skipped, declined");
  }
  if (states.empty()) {
    return fail(Errc::usage, "--state: which rows are to be rerun?",
                "such as --state failed,expired");
  }
  return states;
}

std::int64_t count_of(const JobView& source, const std::vector<std::string>& states) {
  std::int64_t count = 0;
  for (const std::string& name : states) count += source.count(*issuance_state_of(name));
  return count;
}

Result<void> check_source(Session& session, const JobView& source) {
  if (source.refusal) return within(source.id(), *source.refusal);
  if (!source.is_at_rest()) {
    return fail(Errc::conflict, source.id() + " is " + source.state() + ": it is not over yet",
                "wait until it is done, or cancel it");
  }
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto campaign,
            control->campaign(format_id(ObjectKind::campaign, source.row.campaign)));
  if (campaign.state == "ended") {
    return fail(Errc::conflict, "the campaign " + source.campaign + " has ended");
  }
  const auto& until = campaign.definition.not_after;
  if (until && *until <= session.now()) {
    return fail(Errc::invalid,
                "the campaign " + source.campaign + " was open until " + format_time_local(*until));
  }
  VOUCH_TRY(const auto list, control->list(format_id(ObjectKind::list, source.list_id)));
  if (!list.deleted) return {};
  return fail(Errc::invalid, "the list " + list.name + " was deleted: nobody knows its recipients",
              "import the file again under the same name");
}

store::JobRow row_of(const JobView& source, const RerunOptions& options,
                     const std::vector<std::string>& states) {
  store::JobRow row;
  row.campaign = source.row.campaign;
  row.campaign_version = source.row.campaign_version;
  row.client = source.row.client;
  row.rerun_of = source.row.id;
  row.submit_key = options.submit_key;
  row.instance = source.row.instance;
  row.options.occurrence = source.row.options.occurrence;
  row.options.for_date = source.row.options.for_date;
  row.options.rate = options.rate;
  row.options.rerun_states = states;
  row.options.accept_uncertain = source.row.options.accept_uncertain;
  const Json content{{"rerun_of", source.id()},
                     {"states", states},
                     {"rate", options.rate ? Json(*options.rate) : Json(nullptr)}};
  row.content_digest = hex(sha256(content.dump()));
  return row;
}

Result<bool> has_job(store::ControlStore& control, const std::string& submit_key) {
  if (submit_key.empty()) return false;
  const auto there = control.job(submit_key);
  if (!there && there.error().code != Errc::not_found) {
    return tl::unexpected<Error>(there.error());
  }
  return there && there->submit_key == submit_key;
}

Result<int> show_counts(Session& session, const JobView& source,
                        const std::vector<std::string>& states) {
  Record record = {{"rerun_of", "Rerun of", source.id()},
                   {"issuances", "Issuances", count_of(source, states)}};
  for (const std::string& name : states) {
    record.push_back({name, name, source.count(*issuance_state_of(name))});
  }
  if (!session.out().is_for_people()) record.push_back({"dry_run", "Dry run", true});
  VOUCH_CHECK(session.out().show(record));
  session.out().note("dry run: nothing was submitted, nothing is sent");
  return 0;
}

Result<int> rerun(Session& session, const RerunOptions& options) {
  VOUCH_TRY(const auto states, check_states(options.states));
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(const JobView source, board.find(options.job));
  VOUCH_CHECK(check_instance(session, source));
  // The same line again finds its rows moved and its job there.
  VOUCH_TRY(const bool existed, has_job(*control, options.submit_key));
  if (!existed) {
    VOUCH_CHECK(check_source(session, source));
    if (session.dry_run()) return show_counts(session, source, states);
    if (count_of(source, states) == 0) {
      session.out().note(source.id() + " has no such rows: there is nothing to rerun");
      return 0;
    }
  }
  VOUCH_TRY(const auto submitted,
            control->submit_job(actor, row_of(source, options, states), session.random()));
  return after_submission(session, submitted, options.after);
}

}  // namespace

void add_job_rerun(Group& job) {
  auto options = std::make_shared<RerunOptions>();
  Arguments arguments = job.leaf(
      {.name = "rerun",
       .summary = "Try again what ended without a voucher",
       .description =
           "A new job takes over the rows that ended in the given states.  Failed, expired, "
           "cancelled and skipped rows keep their request ids, so that a downstream that did "
           "execute one after all repeats its answer; declined rows get new ones.  Rows that a "
           "cancelled job never came to are no part of it: submit the list again.",
       .examples = {"vouchctl job rerun birthday-november --state failed,expired --dry-run",
                    "vouchctl job rerun birthday-november --state declined --submit-key "
                    "birthday-november-2"}},
      [options](Session& session) { return rerun(session, *options); });
  arguments.required("JOB", options->job, kJobHelp)
      .list("--state", "STATES", options->states,
            "failed, expired, cancelled, skipped, declined: one or several, with commas")
      .option("--submit-key", "KEY", options->submit_key,
              "names this submission: the same line again is the same job")
      .rate("--rate", options->rate, "calls per second to each downstream, of this job alone");
  add_wait_arguments(arguments, options->after);
  arguments.changes();
}

}  // namespace vouch::cli
