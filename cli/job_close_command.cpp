// vouchctl job close: a job that balances against its downstreams' statements is done with.
#include <algorithm>
#include <set>

#include "cli/job_commands.hpp"
#include "common/json.hpp"
#include "common/store/reconciliation_log.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct CloseOptions {
  std::string job;
  OrderOptions order;
};

// What the latest statements of all its downstreams say together.
struct Proof {
  std::int64_t matched = 0;
  std::vector<std::string> missing;  // why it cannot be closed
  std::string hint;
};

void look_at(const std::string& downstream, const std::optional<store::JobReconciliation>& latest,
             Proof& proof) {
  if (!latest) {
    proof.missing.push_back("it was never reconciled with " + downstream);
    proof.hint = "vouchctl reconcile " + downstream + " --statement FILE";
    return;
  }
  const std::string when = "of " + format_time_local(latest->row.at) + " with " + downstream;
  const std::int64_t differences = latest->found.differences + latest->row.unowned;
  if (differences > 0) {
    proof.missing.push_back("the reconciliation " + when + " found " + format_count(differences) +
                            (differences == 1 ? " difference" : " differences"));
  }
  if (latest->found.undecided > 0) {
    proof.missing.push_back("the reconciliation " + when + " left " +
                            format_count(latest->found.undecided) + " rows in doubt or held");
  }
  proof.matched += latest->found.matched;
}

Result<Proof> proof_of(Session& session, const JobView& view) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const plan::Campaign campaign,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  std::set<std::string> downstreams;
  Proof proof;
  bool exports = false;
  for (const plan::Item& item : campaign.items) {
    exports = exports || item.by_export();
    if (!item.by_export()) downstreams.insert(item.downstream);
  }
  for (const std::string& downstream : downstreams) {
    VOUCH_TRY(const auto latest, store::latest_reconciliation(*control, view.row.id, downstream));
    look_at(downstream, latest, proof);
  }
  // An exported code has its evidence here, and stands in nobody's statement.
  if (exports) {
    VOUCH_TRY(store::LedgerView * ledger, session.ledger());
    VOUCH_TRY(const std::int64_t exported, ledger->exported(view.row.campaign, view.row.id));
    proof.matched += exported;
  }
  const std::int64_t issued = view.count(IssuanceState::issued);
  if (proof.missing.empty() && issued != proof.matched) {
    proof.missing.push_back("the statements have " + format_count(proof.matched) + " of its " +
                            format_count(issued) + " issued rows");
  }
  if (proof.hint.empty() && !downstreams.empty()) {
    proof.hint = "reconcile again with a statement that covers the whole job: vouchctl reconcile " +
                 *downstreams.begin() + " --job " + view.id();
  }
  return proof;
}

Result<void> check_over(const JobView& view) {
  if (view.refusal) return within(view.id(), *view.refusal);
  const JobState state = view.progress ? view.progress->state : JobState::scheduled;
  if (state == JobState::done || state == JobState::cancelled || state == JobState::closed) {
    return {};
  }
  const std::int64_t open = view.count(IssuanceState::in_doubt) + view.count(IssuanceState::held);
  if (state == JobState::unsettled) {
    return fail(Errc::conflict, view.id() + " has " + format_count(open) + " rows in doubt or held",
                "a statement may settle them: vouchctl reconcile DOWNSTREAM --resolve");
  }
  return fail(Errc::conflict, view.id() + " is " + view.state(),
              "a job can be closed when it is done or cancelled");
}

Result<int> close(Session& session, const CloseOptions& options) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(JobView view, board.find(options.job));
  VOUCH_CHECK(check_over(view));
  if (view.progress->state == JobState::closed) {
    VOUCH_CHECK(session.out().changed("job", "is closed already", summary_of(view)));
    return 0;
  }
  VOUCH_TRY(const Proof proof, proof_of(session, view));
  if (!proof.missing.empty()) {
    return fail(Errc::conflict, view.id() + " cannot be closed: " + join(proof.missing, "; "),
                proof.hint);
  }
  const Json arguments{{"issued", proof.matched}};
  auto ordered = order(session, view, "close", arguments.dump(), options.order);
  if (!ordered) return within(view.id(), ordered.error());
  VOUCH_CHECK(board.refresh(view));
  VOUCH_CHECK(session.out().changed("job", *ordered ? "closed" : "asked to close", summary_of(view),
                                    session.dry_run()));
  return 0;
}

}  // namespace

void add_job_close(Group& job) {
  auto options = std::make_shared<CloseOptions>();
  Arguments arguments =
      job.leaf({.name = "close",
                .summary = "Close a job that balances against its downstreams' statements",
                .description =
                    "Every issued row must be in the latest reconciliation with each of its "
                    "downstreams, with no difference and nothing in doubt or held; otherwise exit "
                    "6 says what is missing.  A code that was exported is in no statement, and "
                    "needs none.  The list of a closed job may be deleted.",
                .examples = {"vouchctl job close birthday-november",
                             "vouchctl job close birthday-november --dry-run -o json"}},
               [options](Session& session) { return close(session, *options); });
  arguments.required("JOB", options->job, kJobHelp);
  add_order_arguments(arguments, options->order);
  arguments.changes();
}

}  // namespace vouch::cli
