// vouchctl job submit: a campaign run over a list for a client, in one line that may be run again.
#include <algorithm>
#include <map>
#include <set>

#include "cli/import_list.hpp"
#include "cli/job_commands.hpp"
#include "cli/job_forecast.hpp"
#include "cli/job_outlook.hpp"
#include "cli/job_verdict.hpp"
#include "cli/pool_view.hpp"
#include "cli/run_lock.hpp"
#include "cli/uncertain_contract.hpp"
#include "common/json.hpp"
#include "common/plan/planner.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct SubmitOptions {
  ImportOptions import;  // file, campaign and name too
  std::string list, client, submit_key, start_at, finish_by, for_date;
  std::optional<double> rate;
  std::optional<std::int64_t> pilot;
  std::optional<std::int64_t> failures_percent_max;
  std::vector<std::string> tolerate;
  bool accept_late = false;
  bool accept_uncertain = false;
  std::optional<Millis> lock_wait;
  AfterSubmission after;
};

// All that is needed to submit, looked up.
struct Submission {
  store::CampaignRow campaign;
  store::ClientRow client;
  ImportedList imported;  // of --list only its list and sealed_file
  store::JobRow job;
};

Result<store::ClientRow> find_client(store::ControlStore& control, const std::string& name) {
  if (!name.empty()) return control.client(name);
  VOUCH_TRY(auto all, control.clients());
  if (all.size() == 1) return std::move(all.front());
  if (all.empty()) {
    return fail(Errc::invalid, "there is no client to submit for",
                "make one: vouchctl client create NAME");
  }
  return fail(Errc::usage, "there are several clients: for which is the job?",
              "add --client " + all.front().name);
}

Result<store::JobOptions> job_options(Session& session, const SubmitOptions& options,
                                      const plan::Campaign& campaign, ObjectId job) {
  store::JobOptions out;
  out.rate = options.rate;
  if (!options.start_at.empty()) {
    VOUCH_TRY(out.start_at, session.time("--start-at", options.start_at));
  }
  if (!options.finish_by.empty()) {
    VOUCH_TRY(out.finish_by, session.time("--finish-by", options.finish_by));
  }
  out.pilot = options.pilot;
  out.failures_percent_max = options.failures_percent_max;
  VOUCH_CHECK(Tolerance::parse(options.tolerate).map([](const Tolerance&) {}));
  out.tolerate = options.tolerate;
  out.accept_uncertain = options.accept_uncertain;
  plan::CivilDate date;
  if (!options.for_date.empty()) {
    auto parsed = plan::parse_date(options.for_date);
    if (!parsed) return usage("--for-date", parsed.error());
    date = *parsed;
  } else {
    const WallTime start = std::max(session.now(), out.start_at.value_or(session.now()));
    VOUCH_TRY(date, plan::date_in_zone(start, campaign.time_zone));
  }
  char text[24];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", date.year, date.month, date.day);
  out.for_date = text;
  if (campaign.once_per != plan::OncePer::column) {
    out.occurrence = plan::occurrence_of(campaign.once_per, date, job);
  }
  return out;
}

// What the line asked for, so that the same line is the same job however often and whenever it is
// run: texts as they were given, not what they mean today.
std::string content_digest(const SubmitOptions& options, const Submission& submission) {
  const Json content{{"campaign", submission.campaign.id},
                     {"client", submission.client.id},
                     {"list", submission.imported.list.digest},
                     {"rate", options.rate ? Json(*options.rate) : Json(nullptr)},
                     {"start_at", options.start_at},
                     {"finish_by", options.finish_by},
                     {"for_date", options.for_date},
                     {"pilot", options.pilot ? Json(*options.pilot) : Json(nullptr)},
                     {"failures_percent_max", options.failures_percent_max.value_or(0)},
                     {"tolerate", options.tolerate}};
  return hex(sha256(content.dump()));
}

Result<std::optional<store::JobRow>> job_of_key(store::ControlStore& control,
                                                const std::string& submit_key) {
  if (submit_key.empty()) return std::optional<store::JobRow>{};
  auto there = control.job(submit_key);
  if (there && there->submit_key == submit_key) return std::optional{std::move(*there)};
  if (!there && there.error().code != Errc::not_found) {
    return tl::unexpected<Error>(there.error());
  }
  return std::optional<store::JobRow>{};
}

Result<ImportedList> seal_file(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(ImportedList imported, seal_list(session, options.import, DryRunSeals::in_scratch));
  tell_findings(session, imported);
  if (imported.summary.refusal) return tl::unexpected<Error>(*imported.summary.refusal);
  return imported;
}

Result<ImportedList> find_list(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  ImportedList found;
  VOUCH_TRY(found.list, control->list(options.list));
  if (found.list.deleted) {
    return fail(Errc::invalid, "the list " + found.list.name + " was deleted",
                "import the file again");
  }
  if (found.list.accepted < options.import.rows_min.value_or(0)) {
    return fail(Errc::invalid, "the list " + found.list.name + " has " +
                                   format_count(found.list.accepted) + " rows, but at least " +
                                   format_count(*options.import.rows_min) +
                                   " are wanted (--min-rows)");
  }
  found.sealed_file = session.paths().list_file(found.list.digest);
  return found;
}

Result<Submission> prepare(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  Submission out;
  VOUCH_TRY(out.campaign, control->campaign(options.import.campaign));
  VOUCH_TRY(out.client, find_client(*control, options.client));
  VOUCH_CHECK(check_uncertain(*control, out.campaign.definition, options.accept_uncertain));
  out.job.id = new_object_id(session.random());
  // Before the file is read: a mistyped time should not cost minutes.
  VOUCH_TRY(out.job.options, job_options(session, options, out.campaign.definition, out.job.id));
  VOUCH_TRY(out.imported,
            options.list.empty() ? seal_file(session, options) : find_list(session, options));
  out.job.campaign = out.campaign.id;
  out.job.campaign_version = out.campaign.version;
  out.job.client = out.client.id;
  out.job.submit_key = options.submit_key;
  out.job.content_digest = content_digest(options, out);
  out.job.instance = session.instance();
  return out;
}

// What is known of the job before it starts.
struct Prospect {
  JobPlan plan;
  std::vector<LaneLoad> loads;
  std::vector<store::DownstreamRow> downstreams;
  std::int64_t exports = 0;  // codes that people will export
  WallTime start{};
  WallTime end{};
};

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

// `counted` says how many issuances of each item there would be.
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

// What can be said against a job that is not there yet.
Result<Prospect> check(Session& session, const SubmitOptions& options, Submission& submission) {
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

// The job that is there under the submit key, if it asked for the same.
Result<bool> is_there_already(Session& session, const Submission& submission) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  const std::string& key = submission.job.submit_key;
  VOUCH_TRY(const auto there, job_of_key(*control, key));
  if (!there) return false;
  if (there->content_digest == submission.job.content_digest) return true;
  return fail(Errc::conflict,
              "the submit key \"" + key + "\" belongs to " + format_id(ObjectKind::job, there->id) +
                  ", which asked for something else",
              "another file, list, client, rate or time needs another --submit-key");
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
    auto checked = check(session, options, submission);
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
  VOUCH_TRY(Submission submission, prepare(session, options));
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
