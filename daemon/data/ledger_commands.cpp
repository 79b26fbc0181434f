// The ledger writer's part that changes jobs: submissions, commands, reruns, singles.  Declared in
// ledger_writer.hpp.
#include "common/json.hpp"
#include "common/text.hpp"
#include "daemon/data/downstream_book.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/older_ledger.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kCoordination = "coordination";
constexpr std::string_view kReplaceMeta =
    "INSERT OR REPLACE INTO ledger_meta (key, value) VALUES (:key, :value)";
constexpr std::string_view kForgetMeta = "DELETE FROM ledger_meta WHERE key = :key";

// Answers are small and made of known words and ids: no text from outside is put into them.
std::string ok_answer(std::string_view field, std::string_view value) {
  return R"({"ok":true,")" + std::string{field} + R"(":")" + std::string{value} + R"("})";
}

std::string refusal(Errc code, std::string_view message, std::string_view hint) {
  return R"({"ok":false,"code":")" + std::string{name_of(code)} + R"(","message":")" +
         std::string{message} + R"(","hint":")" + std::string{hint} + R"("})";
}

// Words that may name a file, as an answer can hold them.
std::string plain(std::string words) {
  for (char& c : words) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return words;
}

// What a command may do to a job in this state; empty when it may.
std::string_view objection(const JobRecord& job, JobAction action) {
  const bool ended = is_over(job.state) || job.state == JobState::unsettled;
  switch (action) {
    case JobAction::start:
      return job.state == JobState::scheduled ? "" : "it has started";
    case JobAction::pause:
      if (ended) return "it is over";
      return job.state == JobState::cancelling ? "it is being cancelled" : "";
    case JobAction::resume:
      return job.state == JobState::paused ? "" : "it is not paused";
    case JobAction::cancel:
      return is_over(job.state) ? "it is over" : "";
    case JobAction::note:
      return "";
  }
  return "";
}

// One that was paused before its time goes back to waiting for it; one that an older copy of the
// ledger found being cancelled, to that.
JobState resumed_state(const JobRecord& job) {
  if (job.cancel_asked) return JobState::cancelling;
  return job.has_started ? JobState::running : JobState::scheduled;
}

}  // namespace

Result<bool> LedgerWriter::already_applied(const CommandName& command) {
  if (command == 0) return false;
  VOUCH_TRY(const auto before, jobs_.applied(command));
  if (before) answers_.push_back({command.id, *before});
  return before.has_value();
}

Result<void> LedgerWriter::answer(const CommandName& command, std::string text) {
  if (command == 0) return {};
  VOUCH_CHECK(jobs_.record_applied(command, text, now_));
  answers_.push_back({command.id, std::move(text)});
  return {};
}

Result<void> LedgerWriter::apply(SubmitJob& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  if (known) return {};
  // Back already, when its command was not answered before the ledger was lost.
  VOUCH_TRY(const auto there, jobs_.any(message.id));
  if (there) return answer(message.command, ok_answer("state", name_of(there->state)));
  if (message.kind == JobKind::rerun) {
    VOUCH_TRY(const auto source, jobs_.any(message.rerun_of));
    const bool at_rest = source && (is_over(source->state) || source->state == JobState::unsettled);
    if (!at_rest) {
      return answer(message.command, refusal(Errc::conflict, "the job to rerun is still running",
                                             "wait until it is done, or cancel it"));
    }
  }
  VOUCH_TRY(const std::int64_t campaign, jobs_.campaign_number(message.campaign));
  JobRecord job;
  job.id = message.id;
  job.campaign_number = campaign;
  job.kind = message.kind;
  const bool waits = message.start_later || message.is_lost;
  job.state = waits ? JobState::scheduled : JobState::running;
  job.ranges = message.ranges;
  // Nobody always comes last when a budget ends: where a job starts follows from its campaign.
  job.start_range =
      message.ranges == 0
          ? 0
          : static_cast<std::int32_t>(message.campaign % static_cast<ObjectId>(message.ranges));
  job.rows_accepted = message.rows_accepted;
  job.items = message.items;
  job.pilot_left = message.pilot;
  VOUCH_TRY(JobRecord * created, jobs_.create(std::move(job), now_));
  if (message.is_lost) VOUCH_CHECK(jobs_.pause_older(*created, "", now_));
  return answer(message.command, ok_answer("state", name_of(created->state)));
}

Result<void> LedgerWriter::apply(LostJobsBack& /*message*/) {
  return forget_lost(database_);
}

Result<void> LedgerWriter::apply(ChangeJob& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  if (known) return {};
  JobRecord* job = message.number != 0 ? jobs_.find(message.number) : jobs_.find_id(message.id);
  const bool inside = message.command == 0;
  if (job == nullptr) {
    return answer(message.command, refusal(Errc::conflict, "the job is over", ""));
  }
  // From inside, only the reason that paused a job may resume it.
  if (inside && message.action == JobAction::resume && job->pause_reason != message.reason) {
    return {};
  }
  if (inside && message.action == JobAction::pause && job->state != JobState::running) return {};
  if (const std::string_view why = objection(*job, message.action); !why.empty()) {
    return answer(message.command, refusal(Errc::conflict, why, "see `vouchctl job show`"));
  }
  switch (message.action) {
    case JobAction::start:
      VOUCH_CHECK(jobs_.set_state(*job, JobState::running, PauseReason::none, message.words, now_));
      break;
    case JobAction::resume:
      if (job->pause_reason == PauseReason::pilot) job->pilot_left.reset();
      VOUCH_CHECK(
          jobs_.set_state(*job, resumed_state(*job), PauseReason::none, message.words, now_));
      break;
    case JobAction::pause:
      VOUCH_CHECK(jobs_.set_state(*job, JobState::paused, message.reason, message.words, now_));
      break;
    case JobAction::cancel:
      job->settle_by_repeat = job->settle_by_repeat || message.settle_by_repeat;
      job->cancel_asked = true;
      VOUCH_CHECK(
          jobs_.set_state(*job, JobState::cancelling, PauseReason::none, message.words, now_));
      break;
    case JobAction::note:
      VOUCH_TRY(const auto seq, events_.append(EventKind::job, job->number, message.words, now_));
      static_cast<void>(seq);
      break;
  }
  job->changed = true;
  return answer(message.command, ok_answer("state", name_of(job->state)));
}

Result<void> LedgerWriter::apply(GatherRerun& message) {
  JobRecord* job = jobs_.find(message.job_number);
  const bool gathers = job != nullptr && job->takes_fresh_rows();
  if (!gathers || job->ranges_planned == job->ranges) return {};
  VOUCH_TRY(const auto source, jobs_.any(message.from_job));
  VOUCH_ASSERT(source.has_value());
  int gathered = 0;
  for (const IssuanceState state : message.states) {
    VOUCH_TRY(const int rows, ledger_.rerun({.to_job = job->number,
                                             .from_job = source->number,
                                             .exports = message.exports,
                                             .doubt_since = job->restored_at},
                                            state, kEndRowsPage - gathered, now_));
    gathered += rows;
    if (gathered == kEndRowsPage) break;
  }
  job->rows_accepted += gathered;
  if (gathered < kEndRowsPage) jobs_.add_planned(job->number, 0, {.range_done = true});
  rows_since_checkpoint_ += 2 * gathered;
  return {};
}

Result<void> LedgerWriter::apply(IssueSingle& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  JobRecord* job = jobs_.find_id(message.campaign);
  if (known) {
    drop(message.intents);
    return {};
  }
  VOUCH_TRY(const std::int64_t campaign, jobs_.campaign_number(message.campaign));
  if (job == nullptr) {
    // Singles of a campaign share one job, known by the campaign's own id, which never ends.
    JobRecord singles;
    singles.id = message.campaign;
    singles.campaign_number = campaign;
    singles.kind = JobKind::single;
    singles.items = message.items;
    VOUCH_TRY(job, jobs_.create(std::move(singles), now_));
  }
  std::vector<std::string> ids;
  for (Intent& intent : message.intents) {
    // Reserved under no job, since the job may not have been there.
    const ReadyOwner before = owner_of(intent);
    intent.campaign_number = campaign;
    intent.job_number = job->number;
    if (!intent.by_export) ready_.hand_over(before, owner_of(intent), 1);
    ids.push_back("\"" + intent.request_id + "\"");
  }
  VOUCH_TRY(const bool existed, ledger_.is_planned(message.intents.front()));
  if (!existed && !job->restored_at) {
    VOUCH_TRY(const std::string why, ledger_.give_codes(message.intents));
    if (!why.empty()) {
      drop(message.intents);
      return answer(message.command,
                    refusal(Errc::attention, plain(why), "see `vouchctl pool list`"));
    }
  }
  VOUCH_TRY(const bool is_new,
            ledger_.plan_single(message.intents, message.input, job->restored_at, now_));
  if (is_new) {
    ++job->rows_accepted;
    job->changed = true;
  }
  if (is_new && !job->restored_at) {
    for (Intent& intent : message.intents) {
      if (!intent.by_export) started_.push_back(std::move(intent));
    }
  } else {
    drop(message.intents);
  }
  return answer(message.command, R"({"ok":true,"existed":)" +
                                     std::string{is_new ? "false" : "true"} + R"(,"issuances":[)" +
                                     join(ids, ",") + "]}");
}

Result<void> LedgerWriter::apply(SettleByStatement& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  if (known) return {};
  int settled = 0;
  std::vector<std::string> passed_over;  // places in the message
  for (std::size_t i = 0; i < message.rows.size(); ++i) {
    const SettleByStatement::Row& row = message.rows[i];
    VOUCH_TRY(const bool done, ledger_.settle_by_statement({.key = row.key,
                                                            .round = row.round,
                                                            .was_executed = row.was_executed,
                                                            .amount_minor = row.amount_minor,
                                                            .last_event = row.last_event,
                                                            .reference = row.reference,
                                                            .words = message.words},
                                                           now_));
    settled += done ? 1 : 0;
    if (!done) passed_over.push_back(std::to_string(i));
  }
  rows_since_checkpoint_ += 2 * settled;
  return answer(message.command, R"({"ok":true,"settled":)" + std::to_string(settled) +
                                     R"(,"passed_over":[)" + join(passed_over, ",") + "]}");
}

Result<void> LedgerWriter::apply(CloseJob& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  if (known) return {};
  VOUCH_TRY(auto job, jobs_.any(message.id));
  if (!job) return answer(message.command, refusal(Errc::not_found, "no such job", ""));
  if (job->state == JobState::closed) {
    return answer(message.command, ok_answer("state", name_of(job->state)));
  }
  if (job->state != JobState::done && job->state != JobState::cancelled) {
    return answer(message.command,
                  refusal(Errc::conflict, "the job is not over", "see `vouchctl job show`"));
  }
  VOUCH_TRY(const StateCounts counts, jobs_.totals(job->number));
  std::int64_t open = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!is_final(static_cast<IssuanceState>(i))) open += counts[i];
  }
  const bool same = counts[static_cast<std::size_t>(IssuanceState::issued)] == message.issued;
  if (open > 0 || !same) {
    return answer(message.command, refusal(Errc::conflict, "the job has changed since",
                                           "reconcile it again: vouchctl reconcile"));
  }
  VOUCH_CHECK(jobs_.set_state(*job, JobState::closed, PauseReason::none, message.words, now_));
  return answer(message.command, ok_answer("state", name_of(JobState::closed)));
}

Result<void> LedgerWriter::apply(DownstreamChange& message) {
  VOUCH_CHECK(record_downstream(database_, message.state));
  if (message.words.empty()) return {};
  return events_.append(EventKind::downstream, 0, message.words, now_).map([](std::int64_t) {});
}

// For vouchctl, which looks into the ledger and not into vouchd.
Result<void> LedgerWriter::apply(CoordinationTurned& message) {
  store::Statement& forget = database_.prepared(kForgetMeta);
  if (message.where.empty()) return forget.bind(":key", kCoordination).run();
  const Json json = {{"where", message.where},
                     {"up", message.is_up},
                     {"why", message.why},
                     {"since_ms", to_ms(now_)}};
  VOUCH_CHECK(database_.prepared(kReplaceMeta)
                  .bind(":key", kCoordination)
                  .bind(":value", json.dump(-1, ' ', true, Json::error_handler_t::replace))
                  .run());
  const std::string words = message.where + (message.is_up ? " is " : " is lost: ") + message.why +
                            (message.is_up ? "" : "; vouchd goes on by its ledger's lock file");
  VOUCH_TRY(const auto seq, events_.append(EventKind::daemon, 0, words, now_));
  static_cast<void>(seq);
  return {};
}

Result<void> LedgerWriter::apply(Note& message) {
  VOUCH_TRY(const bool known, already_applied(message.command));
  if (known) return {};
  VOUCH_TRY(const auto seq, events_.append(message.kind, 0, message.words, now_));
  static_cast<void>(seq);
  return answer(message.command, message.answer.empty() ? R"({"ok":true})" : message.answer);
}

Result<void> LedgerWriter::apply(TakeForExport& message) {
  const JobRecord* job = jobs_.find(message.job_number);
  if (job == nullptr || job->state != JobState::running) {
    const std::string_view state = job == nullptr ? "over" : name_of(job->state);
    message.done->refusal = Error{Errc::conflict, "the job is " + std::string{state}, ""};
    return {};
  }
  VOUCH_TRY(const auto taken, ledger_.take_for_export({.job_number = job->number,
                                                       .items = message.items,
                                                       .pool = *message.pool,
                                                       .rows_max = kExportRowsPage},
                                                      now_));
  message.done->rows = taken.rows;
  if (taken.is_short) {
    message.done->refusal =
        Error{Errc::attention, "the pool " + message.pool->name + " has no code left",
              "add codes, then export again: what has its code keeps it"};
  }
  rows_since_checkpoint_ += 2 * taken.rows;
  if (taken.rows == 0) return {};
  const std::string words = message.words + " takes " + format_count(taken.rows) +
                            " codes of the pool " + message.pool->name;
  return events_.append(EventKind::job, job->number, words, now_).map([](std::int64_t) {});
}

Result<void> LedgerWriter::apply(ConfirmExport& message) {
  for (const ConfirmExport::Run& run : message.runs) {
    VOUCH_TRY(const int rows, ledger_.confirm_export({.pool = *message.pool,
                                                      .first = run.first,
                                                      .codes = run.codes,
                                                      .export_id = message.export_id},
                                                     now_));
    message.done->rows += rows;
    rows_since_checkpoint_ += 2 * rows;
  }
  const std::string words = message.words + " has " + format_count(message.done->rows) +
                            " codes of the pool " + message.pool->name + " in its file";
  return events_.append(EventKind::job, 0, words, now_).map([](std::int64_t) {});
}

Result<void> LedgerWriter::apply(DraftProposal& message) {
  return proposals_.draft(message.proposal);
}

Result<void> LedgerWriter::apply(AddProposedRows& message) {
  rows_since_checkpoint_ += static_cast<std::int64_t>(message.rows.size());
  return proposals_.add_rows(message.id, message.rows);
}

Result<void> LedgerWriter::apply(OpenProposal& message) {
  return proposals_.open(message.id);
}

Result<void> LedgerWriter::apply(DecideProposal& message) {
  return proposals_.decide(message.decision, now_);
}

Result<void> LedgerWriter::apply(ProposalPage& message) {
  VOUCH_TRY(const int rows, proposals_.page(message.id, now_));
  rows_since_checkpoint_ += 3 * rows;
  return {};
}

}  // namespace vouch::data
