// vouchctl job list, show, watch: how far jobs are, what keeps them, when they will end.
#include <algorithm>

#include "cli/job_blocks.hpp"
#include "cli/job_commands.hpp"
#include "cli/job_outlook.hpp"
#include "cli/job_verdict.hpp"
#include "cli/lock_service.hpp"
#include "cli/open_exports.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kWatchOnTerminal{1'000};
constexpr Millis kWatchElsewhere{10'000};

struct ListOptions {
  std::string campaign, client, state;
  bool open = false;
};

bool is_wanted(const ListOptions& options, const JobView& view) {
  return (options.campaign.empty() || options.campaign == view.campaign) &&
         (options.client.empty() || options.client == view.client) &&
         (options.state.empty() || options.state == view.state()) &&
         (!options.open || !view.is_at_rest());
}

Result<int> list(Session& session, ListOptions options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  if (!options.campaign.empty()) {
    VOUCH_TRY(const auto campaign, control->campaign(options.campaign));
    options.campaign = campaign.definition.name;
  }
  if (!options.client.empty()) {
    VOUCH_TRY(const auto client, control->client(options.client));
    options.client = client.name;
  }
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(auto views, board.all());
  VOUCH_TRY(Listing listing, session.out().list(columns_of(summary_of({}))));
  for (JobView& view : views) {
    if (!is_wanted(options, view)) continue;
    if (!view.is_at_rest()) {
      VOUCH_TRY(view.blocks, blocks_of(session, board, view));
    }
    listing.row(values_of(summary_of(view)));
  }
  listing.end("no such job; submit one with `vouchctl job submit`");
  return 0;
}

Value rates_value(const Outlook& outlook, bool for_people) {
  Json rates = Json::array();
  std::vector<std::string> texts;
  for (const store::DownstreamRow& row : outlook.downstreams) {
    rates.push_back({{"downstream", row.definition.name},
                     {"limit_per_second", row.rate_limit},
                     {"warning_per_second", row.warning_rate},
                     {"target_per_second", plan::target_rate(row.warning_rate)}});
    texts.push_back(row.definition.name + ": " + rates_text(row));
  }
  return for_people ? Value{join(texts, "; ")} : Value::json(rates.dump());
}

// The sum that was issued, where all items have one currency.
Result<Value> money_of(Session& session, const JobView& view) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const plan::Campaign campaign,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  std::string currency;
  for (const plan::Item& item : campaign.items) {
    if (item.amount.currency.empty()) continue;
    if (!currency.empty() && currency != item.amount.currency) return Value{};
    currency = item.amount.currency;
  }
  if (currency.empty() || !view.progress) return Value{};
  return Value::amount(view.progress->issued_minor, currency);
}

// Fields are always there, without a value before vouchd has taken the job.
void add_counts(const JobView& view, Record& record) {
  const JobStanding none;
  const JobStanding& job = view.progress ? *view.progress : none;
  const auto known = [&](auto value) { return view.progress ? Value{value} : Value{}; };
  record.push_back({"rows", "Rows", known(job.rows_accepted)});
  record.push_back({"items", "Items a row", known(job.items)});
  record.push_back({"total", "Total", known(job.total())});
  for (int i = kIssuanceStates - 1; i >= 0; --i) {
    const auto state = static_cast<IssuanceState>(i);
    std::string title{name_of(state)};
    title[0] = static_cast<char>(title[0] - 'a' + 'A');
    std::replace(title.begin(), title.end(), '_', ' ');
    const std::int64_t count = view.count(state);
    const bool bad = count > 0 && state == IssuanceState::held;
    record.push_back(
        {std::string{name_of(state)}, title, known(count).tone(bad ? Tone::bad : Tone::plain)});
  }
  record.push_back({"to_export", "To export", known(job.exports.rows())});
  record.push_back({"repeats", "Repeats", known(job.repeats)});
  record.push_back({"moved", "Moved to reruns", known(job.moved)});
  record.push_back({"not_planned", "Not yet planned", known(job.not_planned())});
  record.push_back({"balanced", "Balanced", known(job.balanced())});
}

void add_times(const JobView& view, const Outlook& outlook, WallTime now, Record& record) {
  const store::JobOptions& options = view.row.options;
  record.push_back({"rate_per_second", "Own rate", Value::rate(options.rate)});
  record.push_back({"calls_per_second", "Calls now", Value{}});
  if (view.progress && !view.is_at_rest()) {
    record.back().value = Value::rate(outlook.pace.calls_per_second);
  }
  record.push_back({"submitted_at", "Submitted", view.row.submitted});
  record.push_back({"submitted_by", "By", view.row.submitted_by});
  record.push_back({"start_at", "Start at", Value{options.start_at}});
  record.push_back({"started_at", "Started", Value{}});
  if (view.progress) record.back().value = Value{view.progress->started};
  record.push_back({"ended_at", "Ended", Value{}});
  if (view.progress) record.back().value = Value{view.progress->ended};
  record.push_back({"ends_at", "Will end", Value{outlook.end}});
  const bool late =
      options.finish_by && !view.is_at_rest() && outlook.end.value_or(now) > *options.finish_by;
  record.push_back(
      {"finish_by", "Finish by", Value{options.finish_by}.tone(late ? Tone::bad : Tone::plain)});
  record.push_back({"late", "Late", late});
}

Obstacle why_of(const JobView& view) {
  if (view.refusal) return {view.refusal->message, view.refusal->hint};
  if (view.progress) {
    if (auto obstacle = obstacle_of(*view.progress)) return *obstacle;
  }
  if (view.is_at_rest()) return {};
  if (view.is_lost) {
    return {"the ledger is an older copy and does not know it",
            view.row.rerun_of == 0
                ? "vouchd submits it again, paused; where it cannot, its log says why"
                : "vouchd submits it again, paused, when the job that it reruns is over"};
  }
  if (view.blocks.empty()) {
    return {view.progress ? "" : "vouchd has not taken it yet", ""};
  }
  return {view.blocks.front().words, view.blocks.front().advice};
}

// A job is `running` by the ledger's word, also while nobody and nothing moves it.
Value state_for_people(const JobView& view) {
  const bool kept = !view.is_at_rest() && !view.blocks.empty() &&
                    view.blocks.front().kind == Block::Kind::trouble;
  if (!kept) return summary_of(view)[2].value;
  return Value{view.state() + " (" + view.blocks.front().words + ")"}.tone(Tone::bad);
}

Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(JobView view, board.find(name));
  VOUCH_TRY(view.blocks, blocks_of(session, board, view));
  VOUCH_TRY(const Outlook outlook, outlook_of(session, board, view));
  VOUCH_TRY(Value money, money_of(session, view));
  Output& out = session.out();
  const Obstacle why = why_of(view);
  const std::vector<std::string> blocks = words_of(view.blocks);
  VOUCH_TRY(store::LedgerView * ledger, board.ledger(view.row.instance));
  VOUCH_TRY(const auto locks, lock_service_of(ledger, view.daemon));
  Record record;
  for (Field& field : summary_of(view)) {
    const bool kept = field.key == "id" || field.key == "submit_key" || field.key == "state" ||
                      field.key == "campaign" || field.key == "client" || field.key == "list" ||
                      field.key == "rerun_of";
    if (kept) record.push_back(std::move(field));
    if (record.back().key == "state") {
      if (out.is_for_people()) record.back().value = state_for_people(view);
      record.push_back({"reason", "Why", why.why});
      record.push_back({"what_to_do", "What to do", why.advice});
      record.push_back(
          {"blocked_by", "Kept by",
           out.is_for_people() ? Value{join(blocks, "; ")} : Value::json(Json(blocks).dump())});
    }
  }
  record.push_back({"campaign_version", "Campaign version", view.row.campaign_version});
  record.push_back({"instance", "Instance", view.row.instance});
  record.push_back({"daemon", "vouchd", daemon_value(view)});
  record.push_back({"daemon_seen_at", "vouchd seen", Value{view.daemon.seen}});
  record.push_back({"locks", "Locks", words_of(locks)});
  record.push_back({"for_date", "For date", view.row.options.for_date});
  record.push_back({"pilot", "Pilot", Value{view.row.options.pilot}});
  add_counts(view, record);
  record.push_back({"issued_minor", "Issued sum", std::move(money)});
  record.push_back({"rates", "Rates", rates_value(outlook, out.is_for_people())});
  add_times(view, outlook, session.now(), record);
  VOUCH_CHECK(out.show(record));
  return 0;
}

struct WatchOptions {
  std::string job;
  std::optional<Millis> every;
};

// A row at each interval, until nothing more will happen by itself; then as `job wait` ends.
Result<int> watch(Session& session, const WatchOptions& options) {
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(JobView view, board.find(options.job));
  const Millis usual = session.terminal().out ? kWatchOnTerminal : kWatchElsewhere;
  const Millis every = options.every.value_or(usual);
  const auto row_of = [&](const Outlook& outlook) {
    Record record = summary_of(view);
    record.insert(record.begin(), {"at", "At", session.now()});
    record.push_back({"calls_per_second", "Calls now", Value::rate(outlook.pace.calls_per_second)});
    record.push_back({"ends_at", "Will end", Value{outlook.end}});
    return record;
  };
  VOUCH_TRY(Listing listing, session.out().list(columns_of(row_of({}))));
  BlockTeller teller;
  while (true) {
    VOUCH_CHECK(board.refresh(view));
    VOUCH_TRY(view.blocks, blocks_of(session, board, view));
    if (!view.is_at_rest()) teller.tell(session, view, [&] { listing.flush(); });
    VOUCH_TRY(const Outlook outlook, outlook_of(session, board, view));
    listing.row(values_of(row_of(outlook)));
    listing.flush();
    const bool paused = view.progress && view.progress->state == JobState::paused;
    const bool waits = view.progress && export_obstacle(*view.progress);
    if (view.is_at_rest() || paused || waits) break;
    sleep_until(session.clock(), session.clock().now() + every);
  }
  listing.end();
  if (view.refusal) return within(view.id(), *view.refusal);
  VOUCH_TRY(const Tolerance tolerance, Tolerance::parse(view.row.options.tolerate));
  const Verdict verdict = judge(*view.progress, WaitFor::done, tolerance);
  if (verdict.kind == Verdict::Kind::person) {
    return fail(Errc::attention, view.id() + ": " + verdict.words, verdict.hint);
  }
  return verdict.kind == Verdict::Kind::shortage ? 3 : 0;
}

}  // namespace

void add_job_views(Group& job) {
  auto listed = std::make_shared<ListOptions>();
  job.leaf({.name = "list",
            .summary = "List jobs and how far they are",
            .examples = {"vouchctl job list --open",
                         "vouchctl job list --campaign birthday -o csv --fields id,state,issued"}},
           [listed](Session& session) { return list(session, *listed); })
      .option("--campaign", "C", listed->campaign, "only those of this campaign")
      .option("--client", "K", listed->client, "only those of this client")
      .one_of("--state", listed->state,
              {"submitted", "refused", "scheduled", "running", "paused", "cancelling", "cancelled",
               "unsettled", "done", "closed"},
              "only those in this state")
      .flag("--open", listed->open, "only those that are not over");

  auto shown = std::make_shared<std::string>();
  job.leaf({.name = "show",
            .summary = "Show one job: counts, rates, what keeps it, when it will end",
            .examples =
                {"vouchctl job show birthday-november",
                 "vouchctl job show birthday-november -o json --fields state,issued,ends_at"}},
           [shown](Session& session) { return show(session, *shown); })
      .required("JOB", *shown, kJobHelp);

  auto watched = std::make_shared<WatchOptions>();
  job.leaf({.name = "watch",
            .summary = "Follow a job until it is over or needs a person",
            .description = "Prints a row each second (each ten seconds where no terminal is), and "
                           "ends with the exit status of `job wait`.",
            .examples = {"vouchctl job watch birthday-november",
                         "vouchctl job watch birthday-november -o ndjson --every 5s"}},
           [watched](Session& session) { return watch(session, *watched); })
      .required("JOB", watched->job, kJobHelp)
      .duration("--every", watched->every, "how long from row to row");
}

}  // namespace vouch::cli
