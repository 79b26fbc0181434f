#include "cli/job_prospect.hpp"

#include <algorithm>
#include <map>

#include "cli/job_outlook.hpp"
#include "common/json.hpp"
#include "common/plan/planner.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// Issuances that other open jobs still want of each downstream, by its name.
Result<std::map<std::string, std::vector<std::int64_t>>> other_issuances(Session& session) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto views, board.all());
  std::map<std::string, std::vector<std::int64_t>> issuances;
  for (const JobView& view : views) {
    if (!view.progress || view.progress->state != JobState::running) continue;
    const std::int64_t open = remaining_of(*view.progress);
    VOUCH_TRY(const plan::Campaign campaign,
              control->campaign_version(view.row.campaign, view.row.campaign_version));
    std::map<std::string, std::int64_t> items_on;
    for (const plan::Item& item : campaign.items) {
      if (!item.by_export()) ++items_on[item.downstream];
    }
    const auto items = static_cast<std::int64_t>(campaign.items.size());
    for (const auto& [name, count] : items_on) issuances[name].push_back(open * count / items);
  }
  return issuances;
}

// From out.plan: what each downstream has to do, and when it would end.
Result<void> foresee(Session& session, const Submission& submission, Prospect& out) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(auto others, other_issuances(session));
  const plan::Campaign& campaign = submission.campaign.definition;
  std::map<std::string, std::int64_t> issuances;
  out.exports = 0;
  for (const plan::Item& item : campaign.items) {
    const auto found = out.plan.by_item.find(item.number);
    const std::int64_t count = found == out.plan.by_item.end() ? 0 : found->second;
    if (item.by_export()) {
      out.exports += count;
    } else {
      issuances[item.downstream] += count;
    }
  }
  out.loads.clear();
  out.downstreams.clear();
  for (const auto& [name, count] : issuances) {
    VOUCH_TRY(store::DownstreamRow row, control->downstream(name));
    out.loads.push_back(load_of(row, count, others[name]));
    out.downstreams.push_back(std::move(row));
  }
  const store::JobOptions& options = submission.job.options;
  out.start = std::max({session.now(), options.start_at.value_or(session.now()),
                        campaign.not_before.value_or(session.now())});
  out.end = out.start + time_needed(out.loads, options.rate);
  return {};
}

// Every row as if it were new: an upper bound that costs nothing.
JobPlan plan_without_looking(const plan::Campaign& campaign, const store::ListRow& list) {
  JobPlan plan;
  plan.rows = list.accepted;
  plan.issuances = list.accepted * static_cast<std::int64_t>(campaign.items.size());
  for (const plan::Item& item : campaign.items) plan.by_item[item.number] = list.accepted;
  return plan;
}

Result<JobPlan> plan_by_looking(Session& session, const Submission& submission) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(store::SealedList list, store::SealedList::open(submission.imported.sealed_file));
  auto ledger = board.ledger(session.instance());
  if (!ledger) session.out().warn("repeats are not counted: " + ledger.error().message);
  Progress progress{session.out(), session.terminal(), "looking"};
  const std::int64_t rows = list.meta().accepted;
  return plan_job(
      submission.campaign.definition, submission.campaign.id, submission.job.options.occurrence,
      list, ledger ? *ledger : nullptr,
      [&](std::int64_t done) { progress.update(done, rows, "", session.clock().now()); });
}

// The end that the job must keep: its own, or that of the campaign's window.
std::optional<WallTime> last_moment(const Submission& submission) {
  const auto& own = submission.job.options.finish_by;
  const auto& window = submission.campaign.definition.not_after;
  if (own && window) return std::min(*own, *window);
  return own ? own : window;
}

Result<void> check_end(const Submission& submission, const Prospect& prospect, bool accept_late) {
  const auto last = last_moment(submission);
  if (!last || accept_late || prospect.end <= *last) return {};
  const bool own = submission.job.options.finish_by == last;
  return fail(Errc::invalid,
              "at the rates in force the job would end at " + format_time_local(prospect.end) +
                  ", after " + (own ? "its finish-by" : "the end of the campaign's window") +
                  " of " + format_time_local(*last),
              "give it more time or a higher rate; or add --accept-late: what has not started by "
              "then expires without a voucher");
}

Result<void> check_campaign(const Submission& submission, WallTime now) {
  const store::CampaignRow& campaign = submission.campaign;
  VOUCH_CHECK(store::ControlStore::check_instance(campaign, submission.job.instance));
  const std::string name = "the campaign " + campaign.definition.name;
  if (campaign.state == "ended") return fail(Errc::conflict, name + " has ended");
  if (campaign.definition.not_after && *campaign.definition.not_after <= now) {
    return fail(Errc::invalid,
                name + " was open until " + format_time_local(*campaign.definition.not_after));
  }
  return {};
}

// The calls hold no column that the list lacks.
Result<void> check_columns(store::ControlStore& control, const plan::Campaign& campaign,
                           const store::ListMeta& list) {
  const std::vector<std::string> columns = list.attribute_columns();
  for (const plan::Item& item : campaign.items) {
    if (item.by_export()) continue;
    VOUCH_TRY(const store::DownstreamRow row, control.downstream(item.downstream));
    VOUCH_CHECK(plan::check_attributes(item, row.definition, columns, plan::AttributesOf::list));
  }
  return {};
}

Json lanes_json(const Prospect& prospect) {
  Json lanes = Json::array();
  for (std::size_t i = 0; i < prospect.loads.size(); ++i) {
    const store::DownstreamRow& row = prospect.downstreams[i];
    lanes.push_back({{"downstream", prospect.loads[i].downstream},
                     {"calls", prospect.loads[i].calls},
                     {"issuances_per_call", row.definition.issuances_per_call()},
                     {"limit_per_second", row.rate_limit},
                     {"warning_per_second", row.warning_rate},
                     {"target_per_second", prospect.loads[i].target},
                     {"other_jobs", prospect.loads[i].others.size()}});
  }
  return lanes;
}

std::string lanes_text(const Prospect& prospect) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < prospect.loads.size(); ++i) {
    const LaneLoad& load = prospect.loads[i];
    const int per_call = prospect.downstreams[i].definition.issuances_per_call();
    std::string text = format_count(load.calls) + " to " + load.downstream + " (" +
                       rates_text(prospect.downstreams[i]);
    if (per_call > 1) text += ", up to " + std::to_string(per_call) + " issuances each";
    if (!load.others.empty()) {
      text += ", shared with " + std::to_string(load.others.size()) + " other jobs";
    }
    parts.push_back(text + ")");
  }
  return join(parts, "; ");
}

}  // namespace

Result<Prospect> check_submission(Session& session, const SubmitOptions& options,
                                  Submission& submission) {
  VOUCH_CHECK(check_campaign(submission, session.now()));
  const plan::Campaign& campaign = submission.campaign.definition;
  {
    VOUCH_TRY(const store::SealedList list,
              store::SealedList::open(submission.imported.sealed_file));
    VOUCH_CHECK(check_list_fits(campaign, list.meta()));
    VOUCH_TRY(store::ControlStore * control, session.control());
    VOUCH_CHECK(check_columns(*control, campaign, list.meta()));
    // "phone/DE": the country says how numbers are written, not whose they are.
    const std::string& id_type = list.meta().id_type;
    submission.job.id_type = id_type.substr(0, id_type.find('/'));
    VOUCH_CHECK(store::ControlStore::check_id_type(submission.campaign, submission.job.id_type));
  }
  Prospect prospect;
  prospect.plan = plan_without_looking(campaign, submission.imported.list);
  VOUCH_CHECK(foresee(session, submission, prospect));
  const bool is_late = !check_end(submission, prospect, options.accept_late);
  if (session.dry_run() || is_late) {
    VOUCH_TRY(prospect.plan, plan_by_looking(session, submission));
    VOUCH_CHECK(foresee(session, submission, prospect));
  }
  VOUCH_CHECK(check_end(submission, prospect, options.accept_late));
  return prospect;
}

Record forecast_of(const Submission& submission, const Prospect& prospect, bool for_people) {
  const JobPlan& plan = prospect.plan;
  Json money = Json::object();
  std::vector<std::string> money_texts;
  for (const auto& [currency, sum] : plan.money) {
    money[currency] = sum;
    money_texts.push_back(format_amount(sum, currency));
  }
  const std::optional<WallTime> last = last_moment(submission);
  const store::JobOptions& options = submission.job.options;
  return {{"campaign", "Campaign", submission.campaign.definition.name},
          {"client", "Client", submission.client.name},
          {"list", "List", submission.imported.list.name},
          {"for_date", "For date", options.for_date},
          {"rows", "Rows", plan.rows},
          {"rejected", "Rejected", submission.imported.list.rejected},
          {"duplicates", "Duplicates", submission.imported.list.duplicates},
          {"issuances", "Issuances", plan.issuances},
          {"repeats", "Repeats", plan.repeats},
          {"to_issue", "To issue", plan.fresh()},
          {"money_minor", "Money",
           for_people ? Value{join(money_texts, ", ")} : Value::json(money.dump())},
          {"calls", "Calls",
           for_people ? Value{lanes_text(prospect)} : Value::json(lanes_json(prospect).dump())},
          {"to_export", "To export", prospect.exports},
          {"rate_per_second", "Own rate", Value::rate(options.rate)},
          {"pilot", "Pilot", Value{options.pilot}},
          {"starts_at", "Starts", prospect.start},
          {"ends_at", "Ends", prospect.loads.empty() ? Value{} : Value{prospect.end}},
          {"takes_ms", "Takes", Value::duration(prospect.end - prospect.start)},
          {"finish_by", "Finish by", Value{last}}};
}

}  // namespace vouch::cli
