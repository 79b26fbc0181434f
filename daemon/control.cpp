#include "daemon/control.hpp"

#include <algorithm>
#include <utility>

#include "common/failpoint.hpp"
#include "common/json.hpp"
#include "common/log.hpp"
#include "common/text.hpp"
#include "daemon/data/downstream_book.hpp"
#include "daemon/data/older_ledger.hpp"

namespace vouch::daemon {
namespace {

using data::JobAction;

constexpr Millis kPoll{200};
constexpr Millis kAnchorEvery{1'000};
constexpr Millis kTroublesEvery{1'000};
constexpr Millis kBearersEvery{1'000};
constexpr Millis kLostJobsEvery{1'000};
constexpr int kCommandsPage = 100;

bool same_for_others(const data::JobRecord& a, const data::JobRecord& b) {
  return a.number == b.number && a.state == b.state && a.pause_reason == b.pause_reason &&
         a.settle_by_repeat == b.settle_by_repeat &&
         a.pilot_left.has_value() == b.pilot_left.has_value() &&
         (a.kind != data::JobKind::rerun || a.ranges_planned == b.ranges_planned);
}

data::CommandName name_of(const store::CommandRow& command) {
  return {command.id, command.nonce};
}

std::string refusal_json(const Error& error) {
  return Json{{"ok", false},
              {"code", name_of(error.code)},
              {"message", error.message},
              {"hint", error.hint}}
      .dump();
}

}  // namespace

Control::Control(store::ControlStore control, data::LedgerReader reader, store::StorePaths paths,
                 std::string instance, std::string anchor_file, std::string ledger_id,
                 std::string policy, Parts parts)
    : control_{std::move(control)},
      reader_{std::move(reader)},
      paths_{std::move(paths)},
      instance_{std::move(instance)},
      anchor_file_{std::move(anchor_file)},
      ledger_id_{std::move(ledger_id)},
      policy_{std::move(policy)},
      parts_{parts},
      notices_{[this](const std::string& kind, const std::string& subject,
                      const std::string& words) { parts_.notifier.tell(kind, subject, words); }},
      lane_watch_{[this](const DownstreamState& state, const std::string& words) {
        parts_.writer.push(data::DownstreamChange{.state = state, .words = words});
      }} {}

Result<void> Control::begin() {
  VOUCH_TRY(last_job_, reader_.last_job());
  VOUCH_CHECK(refresh(true));
  VOUCH_TRY(lost_before_, data::lost_before(reader_.database()));
  tell_older_copy();
  VOUCH_TRY(auto left, data::read_downstreams(reader_.database()));
  lane_watch_.begin(left, definitions_.downstream_names(), parts_.clock.wall_now());
  return anchor(parts_.clock.now());
}

void Control::end() {
  next_anchor_ = {};
  if (auto done = anchor(parts_.clock.now()); !done) {
    log::error("the anchor could not be written", {{"why", done.error().message}});
  }
}

Instant Control::run_once(Instant now) {
  if (auto done = round(now); !done && done.error().code != Errc::busy) {
    log::error("control round failed; it is tried again", {{"why", done.error().message}});
  }
  parts_.notifier.look_after(now);
  return now + kPoll;
}

Result<void> Control::round(Instant now) {
  VOUCH_CHECK(refresh(reload_.exchange(false)));
  VOUCH_CHECK(write_answers());
  VOUCH_CHECK(bring_lost_jobs_back(now));
  VOUCH_CHECK(take_commands());
  VOUCH_CHECK(notice_troubles(now));
  return anchor(now);
}

Result<void> Control::refresh(bool force) {
  VOUCH_TRY(const std::int64_t version, control_.data_version());
  bool changed = force || version != data_version_;
  if (changed) {
    VOUCH_CHECK(definitions_.load(control_));
    data_version_ = version;
  }
  if (const Instant now = parts_.clock.now(); now >= next_bearers_) {
    next_bearers_ = now + kBearersEvery;
    changed = definitions_.reread_secrets() || changed;
  }
  const std::vector<Stop> stops = definitions_.stops();
  definitions_.load_stops(paths_);
  changed = changed || stops != definitions_.stops();
  // Before the jobs: whatever is up to this number is open below, or over.
  VOUCH_TRY(const std::int64_t last_job, reader_.last_job());
  VOUCH_TRY(std::vector<data::JobRecord> jobs, reader_.open_jobs());
  changed =
      changed || !std::equal(jobs.begin(), jobs.end(), jobs_.begin(), jobs_.end(), same_for_others);
  if (changed) {
    const auto snapshot = definitions_.snapshot(jobs, ++serial_);
    parts_.board.publish(snapshot);
    VOUCH_CHECK(notice_changes(jobs));
    parts_.intake.wake();
  }
  if (last_job != last_job_) VOUCH_CHECK(notice_short_jobs(last_job, jobs));
  jobs_ = std::move(jobs);
  return {};
}

Result<void> Control::take_commands() {
  VOUCH_TRY(const auto commands, control_.open_commands(instance_, last_command_, kCommandsPage));
  for (const store::CommandRow& command : commands) {
    last_command_ = command.id;
    // One that an earlier run applied has its answer in the ledger.
    VOUCH_TRY(const auto applied, reader_.applied(name_of(command)));
    if (applied) {
      answers_.push_back({command.id, *applied});
      continue;
    }
    carry_out(command);
  }
  return {};
}

void Control::carry_out(const store::CommandRow& command) {
  log::info("command",
            {{"id", command.id}, {"kind", command.kind}, {"operator", command.operator_name}});
  Result<void> done;
  if (parts_.clock.wall_now() >= command.expires) {
    done = fail(Errc::timed_out, "the command expired before vouchd took it",
                "give it again; vouchd is running now");
  } else if (command.kind == "submit") {
    done = carry_out_submit(command);
  } else if (command.kind == "pause") {
    done = carry_out_change(command, JobAction::pause);
  } else if (command.kind == "resume") {
    done = carry_out_change(command, JobAction::resume);
  } else if (command.kind == "cancel") {
    done = carry_out_change(command, JobAction::cancel);
  } else if (command.kind == "issue") {
    done = carry_out_single(command);
  } else if (command.kind == "test_downstream") {
    done = carry_out_test(command);
  } else if (command.kind == "settle") {
    done = carry_out_settle(command);
  } else if (command.kind == "close") {
    done = carry_out_close(command);
  } else {
    done = fail(Errc::invalid, "unknown command \"" + command.kind + "\"",
                "vouchctl and vouchd are of different versions");
  }
  if (!done) refuse(command, done.error());
}

void Control::refuse(const store::CommandRow& command, const Error& error) {
  parts_.writer.push(
      data::Note{.command = name_of(command),
                 .kind = EventKind::daemon,
                 .words = "command " + std::to_string(command.id) + " refused: " + error.message,
                 .answer = refusal_json(error)});
}

// With contract `none` a lost answer is nobody's to find out: somebody must have accepted that.
Result<void> Control::check_uncertain(const plan::Campaign& campaign, bool accepted) const {
  if (accepted) return {};
  for (const plan::Item& item : campaign.items) {
    const data::DownstreamNow* to = definitions_.downstream(item.downstream);
    if (to == nullptr || to->versions.at(to->version)->contract != plan::Contract::none) continue;
    return fail(Errc::conflict, "downstream " + to->name + " has the contract none",
                "submit again with --accept-uncertain");
  }
  return {};
}

Result<void> Control::carry_out_submit(const store::CommandRow& command) {
  const store::JobRow* row = definitions_.job(command.job);
  if (row == nullptr) {
    VOUCH_CHECK(definitions_.load(control_));
    row = definitions_.job(command.job);
  }
  if (row == nullptr) return fail(Errc::not_found, "the submitted job is not in the store");
  return submit(*row, name_of(command));
}

Result<void> Control::bring_lost_jobs_back(Instant now) {
  if (!lost_before_ || now < next_lost_) return {};
  next_lost_ = now + kLostJobsEvery;
  VOUCH_TRY(const auto jobs, control_.jobs());
  bool all_are_back = true;
  for (const store::JobRow& row : jobs) {
    VOUCH_TRY(const bool lost, is_lost(row));
    if (!lost) continue;
    all_are_back = false;
    bring_back(row);
  }
  if (!all_are_back) return {};
  parts_.writer.push(data::LostJobsBack{});
  lost_before_.reset();
  return {};
}

// What was refused then is not wanted back.
Result<bool> Control::is_lost(const store::JobRow& row) {
  if (row.instance != instance_ || row.submitted >= *lost_before_) return false;
  VOUCH_TRY(const bool known, reader_.has_job(row.id));
  if (known) return false;
  VOUCH_TRY(const store::CommandRow submission, control_.submission_of(row.id));
  const Json answer = Json::parse(submission.answer_json, nullptr, false);
  return !answer.is_object() || answer.value("ok", false);
}

void Control::bring_back(const store::JobRow& row) {
  const bool is_news = lost_told_.insert(row.id).second;
  const std::string id = format_id(ObjectKind::job, row.id);
  const auto source = std::ranges::find(jobs_, row.rerun_of, &data::JobRecord::id);
  if (row.rerun_of != 0 && source != jobs_.end() && source->state != JobState::unsettled) {
    if (!is_news) return;
    return log::warn(
        "a rerun that the older ledger does not know is submitted again when its source is over",
        {{"job", id}, {"source", format_id(ObjectKind::job, row.rerun_of)}});
  }
  if (const auto again = submit(row, 0); !again) {
    if (!is_news) return;
    return log::warn("a job that the older ledger does not know cannot be submitted again",
                     {{"job", id}, {"why", again.error().message}});
  }
  if (!is_news) return;
  log::warn("a job that the older ledger does not know is submitted again, and paused",
            {{"job", id}, {"resume", "vouchctl job resume " + id}});
}

void Control::tell_older_copy() {
  const auto paused = std::ranges::count(jobs_, PauseReason::store, &data::JobRecord::pause_reason);
  if (paused == 0) return;
  const std::string words =
      "the ledger is an older copy and does not know what was cancelled or "
      "paused since: paused jobs " +
      format_count(paused) + "; look at each, then: vouchctl job resume JOB";
  parts_.notifier.tell("older_ledger", instance_, words);
}

Result<void> Control::submit(const store::JobRow& row, const data::CommandName& command) {
  VOUCH_ASSERT(definitions_.campaign(row.campaign) != nullptr);  // a foreign key
  VOUCH_TRY(const plan::Campaign version,
            control_.campaign_version(row.campaign, row.campaign_version));
  VOUCH_CHECK(check_uncertain(version, row.options.accept_uncertain));
  data::SubmitJob submit{
      .command = command,
      .id = row.id,
      .campaign = row.campaign,
      .kind = data::JobKind::rerun,
      .ranges = 1,
      .rows_accepted = 0,
      .items = 1,
      .pilot = row.options.pilot,
      .start_later = row.options.start_at.has_value() || version.not_before.has_value(),
      .rerun_of = row.rerun_of,
      .is_lost = lost_before_ && row.submitted < *lost_before_};
  if (row.rerun_of == 0) {
    const store::ListRow* list = definitions_.list(row.list);
    if (list == nullptr) return fail(Errc::not_found, "the job's list is not in the store");
    VOUCH_TRY(store::SealedList sealed, store::SealedList::open(paths_.list_file(list->digest)));
    VOUCH_TRY(const auto ranges, sealed.ranges());
    submit.kind = data::JobKind::list;
    submit.ranges = static_cast<std::int32_t>(ranges.size());
    submit.rows_accepted = sealed.meta().accepted;
    submit.items = static_cast<int>(version.items.size());
  }
  parts_.writer.push(submit);
  return {};
}

Result<void> Control::carry_out_change(const store::CommandRow& command, JobAction action) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const auto reason, reader.optional_text("reason"));
  VOUCH_TRY(const bool repeat, reader.boolean_or("settle_by_repeat", false));
  parts_.writer.push(data::ChangeJob{.command = name_of(command),
                                     .id = command.job,
                                     .action = action,
                                     .settle_by_repeat = repeat,
                                     .words = reason.value_or("by " + command.operator_name)});
  return {};
}

Result<void> Control::carry_out_single(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string campaign_name, reader.text("campaign"));
  VOUCH_TRY(const std::string recipient_id, reader.text("recipient_id"));
  VOUCH_TRY(const auto key, reader.optional_text("idempotency_key"));
  VOUCH_TRY(const auto client, reader.optional_text("client"));
  const store::CampaignRow* of = definitions_.campaign(campaign_name);
  if (of == nullptr) return fail(Errc::not_found, "no campaign \"" + campaign_name + "\"");

  strategy::SingleRequest request{.command = name_of(command),
                                  .job = definitions_.single_job(*of),
                                  .recipient = {},
                                  .occurrence = 0,
                                  .recipient_id = {},
                                  .amounts = {}};
  VOUCH_TRY(const bool accepted, reader.boolean_or("accept_uncertain", false));
  VOUCH_CHECK(check_uncertain(of->definition, accepted));
  if (!request.job.blocked.empty()) return fail(Errc::conflict, request.job.blocked);
  if (!request.job.ended.empty()) return fail(Errc::conflict, request.job.ended);
  const WallTime now = parts_.clock.wall_now();
  const plan::Campaign& campaign = of->definition;
  if ((campaign.not_before && now < *campaign.not_before) ||
      (campaign.not_after && now >= *campaign.not_after)) {
    return fail(Errc::conflict, "the campaign's window is not open");
  }
  VOUCH_TRY(request.recipient_id, normalise_recipient(recipient_id));
  VOUCH_TRY(const std::string secret, control_.recipient_secret());
  request.recipient = RecipientKeys{secret}.of(request.recipient_id);
  if (const Json* amounts = reader.optional("amounts")) {
    for (const auto& [column, minor] : amounts->items()) {
      if (!minor.is_number_integer() || minor.get<std::int64_t>() <= 0) {
        return fail(Errc::invalid, "amounts/" + column + ": must be a whole number above zero");
      }
      request.amounts[column] = minor.get<std::int64_t>();
    }
  }
  if (const Json* attributes = reader.optional("attributes")) {
    for (const auto& [column, text] : attributes->items()) {
      if (!text.is_string()) return fail(Errc::invalid, "attributes/" + column + ": must be text");
      request.attributes[column] = text.get<std::string>();
    }
  }
  if (campaign.once_per == plan::OncePer::job) {
    if (!key) return fail(Errc::invalid, "this campaign needs an idempotency key");
    request.occurrence = plan::occurrence_of_value(client.value_or("") + "\n" + *key);
  } else if (campaign.once_per == plan::OncePer::column) {
    VOUCH_TRY(const std::string value, reader.text("occurrence"));
    request.occurrence = plan::occurrence_of_value(value);
  } else {
    VOUCH_TRY(const plan::CivilDate today, plan::date_in_zone(now, campaign.time_zone));
    request.occurrence = plan::occurrence_of(campaign.once_per, today, 0);
  }
  parts_.intake.issue(std::move(request));
  return {};
}

Result<void> Control::carry_out_test(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string name, reader.text("downstream"));
  const data::DownstreamNow* to = definitions_.downstream(name);
  if (to == nullptr) return fail(Errc::not_found, "no downstream \"" + name + "\"");
  parts_.engine.test({.command = name_of(command), .downstream = to->id});
  return {};
}

// Rows that a downstream's statement settles: {"statement":name,"rows":[{"id","executed",
// "amount_minor","reference","last_event"}]}.  Nobody knows whether the statement is the
// downstream's: where two must agree it comes over the control socket, as a proposal.
Result<void> Control::carry_out_settle(const store::CommandRow& command) {
  if (policy_ == data::kFourEyes) {
    return fail(Errc::not_permitted,
                "under the policy four-eyes a statement settles nothing until a second operator "
                "confirms it",
                "propose it: vouchctl reconcile --resolve");
  }
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string statement, reader.text("statement"));
  VOUCH_TRY(const Json* rows, reader.required("rows"));
  if (!rows->is_array() || rows->size() > data::kStatementRowsMax) {
    return fail(Errc::invalid, "/rows: must be an array of at most 500 rows");
  }
  data::SettleByStatement message;
  message.command = name_of(command);
  message.words = "statement " + statement + ", given by " + command.operator_name;
  for (const Json& value : *rows) {
    VOUCH_TRY(JsonReader row, JsonReader::object(value, "/rows"));
    VOUCH_TRY(const std::string text, row.text("id"));
    VOUCH_TRY(const RequestId id, parse_request_id(text));
    VOUCH_TRY(const auto reference, row.optional_text("reference"));
    VOUCH_TRY(const auto amount, row.optional_integer("amount_minor", 0, plan::kAmountMinorMax));
    VOUCH_TRY(const bool executed, row.boolean_or("executed", false));
    VOUCH_TRY(const auto last_event, row.optional_integer("last_event", 1, INT64_MAX));
    message.rows.push_back({.key = id.key,
                            .round = id.round,
                            .was_executed = executed,
                            .amount_minor = amount,
                            .reference = reference.value_or(""),
                            .last_event = last_event});
  }
  parts_.writer.push(std::move(message));
  return {};
}

// {"issued":n}: as many rows as the latest statements have of it.
Result<void> Control::carry_out_close(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::int64_t issued, reader.integer("issued", 0, INT64_MAX));
  parts_.writer.push(data::CloseJob{.command = name_of(command),
                                    .id = command.job,
                                    .issued = issued,
                                    .words = "balanced, by " + command.operator_name});
  return {};
}

Result<void> Control::write_answers() {
  for (data::CommandAnswer& answer : parts_.writer.take_answers()) {
    answers_.push_back(std::move(answer));
  }
  while (!answers_.empty()) {
    const data::CommandAnswer& answer = answers_.front();
    reach_failpoint("command-not-answered");
    VOUCH_CHECK(control_.answer_command(answer.command, answer.answer, parts_.clock.wall_now()));
    answers_.erase(answers_.begin());
  }
  return {};
}

Result<void> Control::anchor(Instant now) {
  if (now < next_anchor_) return {};
  next_anchor_ = now + kAnchorEvery;
  VOUCH_TRY(const std::int64_t last, reader_.last_event());
  if (last == anchored_event_) return {};
  VOUCH_CHECK(data::write_anchor(
      anchor_file_, {.ledger_id = ledger_id_, .last_event = last, .at = parts_.clock.wall_now()}));
  anchored_event_ = last;
  return {};
}

// People are told when a job stops, goes on or ends.
Result<void> Control::notice_changes(const std::vector<data::JobRecord>& jobs) {
  for (const data::JobRecord& old : jobs_) {
    const auto job = std::find_if(jobs.begin(), jobs.end(),
                                  [&](const auto& now) { return now.number == old.number; });
    if (job != jobs.end() && job->state == old.state) continue;
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(old.number));
    if (job != jobs.end()) {
      notices_.job_changed(old, *job, totals);
      continue;
    }
    VOUCH_TRY(const JobState end, reader_.job_state(old.number));
    notices_.job_ended(old, end, totals);
  }
  return {};
}

// A small job may begin and end between two looks: those up to `last` that are over and were never
// seen open.
Result<void> Control::notice_short_jobs(std::int64_t last,
                                        const std::vector<data::JobRecord>& jobs) {
  VOUCH_TRY(const auto ended, reader_.ended_jobs(last_job_));
  const auto stands_in = [](const std::vector<data::JobRecord>& open, std::int64_t number) {
    return std::ranges::any_of(open, [&](const auto& job) { return job.number == number; });
  };
  for (const data::JobRecord& job : ended) {
    if (job.number > last || stands_in(jobs_, job.number) || stands_in(jobs, job.number)) continue;
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(job.number));
    notices_.job_ended(job, job.state, totals);
  }
  last_job_ = last;
  return {};
}

// And when something has lasted too long, or rows begin to need them.
Result<void> Control::notice_troubles(Instant now) {
  if (now < next_troubles_) return {};
  next_troubles_ = now + kTroublesEvery;
  const std::vector<service::LaneView> lanes = parts_.engine.view();
  notices_.breakers(lanes, now);
  VOUCH_CHECK(notice_pools());
  lane_watch_.look(lanes, now, parts_.clock.wall_now());
  const auto snapshot = parts_.board.read();
  for (const data::JobRecord& job : jobs_) {
    VOUCH_TRY(const data::StateCounts totals, reader_.totals(job.number));
    notices_.held(job, totals, now);
    const data::JobNow* known = snapshot->job(job.number);
    if (known == nullptr) continue;
    if (known->exports != 0) VOUCH_CHECK(notice_exports(job, totals));
    if (std::string why = failure_watch_.look(job, *known, totals); !why.empty()) {
      parts_.writer.push(data::ChangeJob{.number = job.number,
                                         .action = JobAction::pause,
                                         .reason = PauseReason::failures,
                                         .words = std::move(why)});
    }
    if (!known->finish_by) continue;
    VOUCH_TRY(const std::int64_t open, reader_.open_rows(job.number));
    notices_.late(job, *known->finish_by, open, now, parts_.clock.wall_now());
  }
  return {};
}

// Only when nothing is called any more: until then nobody need come.
Result<void> Control::notice_exports(const data::JobRecord& job, const data::StateCounts& totals) {
  // Who asked for single issuances was told when they were born.
  if (job.kind == data::JobKind::single) return {};
  const auto count = [&](IssuanceState state) { return totals[static_cast<std::size_t>(state)]; };
  const std::int64_t waiting = count(IssuanceState::planned) + count(IssuanceState::waiting);
  const bool is_planned = job.ranges_planned == job.ranges || job.pilot_left.value_or(1) <= 0;
  const bool calls = count(IssuanceState::sending) + count(IssuanceState::in_doubt) > 0;
  if (waiting == 0) notices_.exports(job, 0);
  if (waiting == 0 || calls || !is_planned || job.state != JobState::running) return {};
  VOUCH_TRY(const auto due, reader_.next_due(job.number));
  if (!due) notices_.exports(job, waiting);
  return {};
}

Result<void> Control::notice_pools() {
  for (const auto& [name, pool] : definitions_.pools()) {
    const bool is_ours = pool->instance.empty() || pool->instance == instance_;
    if (!is_ours || pool->segments.empty()) continue;
    VOUCH_TRY(const std::int64_t out, reader_.codes_out(pool->id));
    notices_.pool(*pool, pool->codes() - out);
  }
  return {};
}

}  // namespace vouch::daemon
