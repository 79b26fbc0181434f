#include "cli/job_view.hpp"

#include <algorithm>

#include "cli/open_exports.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// vouchd makes the file, then all tables at once.
constexpr std::string_view kTables = "SELECT count(*) FROM sqlite_schema";

bool is_being_made(const std::string& path) {
  auto database = store::Database::open(path, {.mode = store::OpenMode::read_only, .vfs = {}});
  if (!database) return false;
  store::Statement& count = database->prepared(kTables);
  const auto row = count.step();
  return row && *row && count.integer(0) == 0;
}

// How far back the pace is measured, and how many events are read for it at most.
constexpr Millis kPaceWindow{10'000};
constexpr int kPacePages = 4;
constexpr double kPaceSecondsMin = 0.2;

std::optional<Error> refusal_in(const store::CommandRow& submission) {
  if (!submission.answered) return std::nullopt;
  const Json answer = Json::parse(submission.answer_json, nullptr, false);
  if (!answer.is_object() || answer.value("ok", false)) return std::nullopt;
  return Error{errc_of(answer.value("code", std::string{"failure"})),
               answer.value("message", std::string{"vouchd refused it"}),
               answer.value("hint", std::string{})};
}

Tone tone_of(const std::string& state) {
  if (state == "done" || state == "closed") return Tone::good;
  if (state == "paused" || state == "cancelling" || state == "cancelled") return Tone::warn;
  return state == "unsettled" || state == "refused" ? Tone::bad : Tone::plain;
}

}  // namespace

std::string JobView::state() const {
  if (progress) return std::string{name_of(progress->state)};
  return refusal ? "refused" : "submitted";
}

std::int64_t JobView::count(IssuanceState state) const {
  return progress ? progress->by_state[static_cast<std::size_t>(state)] : 0;
}

bool JobView::is_at_rest() const {
  if (!progress) return refusal.has_value();
  return is_over(progress->state) || progress->state == JobState::unsettled;
}

bool JobView::is_settled() const {
  if (!is_at_rest()) return false;
  for (const IssuanceState state :
       {IssuanceState::planned, IssuanceState::sending, IssuanceState::waiting,
        IssuanceState::in_doubt, IssuanceState::held}) {
    if (count(state) > 0) return false;
  }
  return true;
}

Result<JobBoard> JobBoard::open(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  JobBoard board{session, *control};
  VOUCH_CHECK(board.read_names());
  return board;
}

Result<void> JobBoard::read_names() {
  VOUCH_TRY(const auto campaigns, control_->campaigns());
  VOUCH_TRY(const auto clients, control_->clients());
  VOUCH_TRY(const auto lists, control_->lists());
  for (const auto& row : campaigns) campaigns_[row.id] = row.definition.name;
  for (const auto& row : clients) clients_[row.id] = row.name;
  for (const auto& row : lists) lists_[row.id] = row.name;
  return {};
}

Result<store::LedgerView*> JobBoard::ledger(const std::string& instance) {
  const auto known = ledgers_.find(instance);
  if (known != ledgers_.end()) return &known->second;
  auto opened = store::LedgerView::open(session_->paths(), instance);
  if (!opened && opened.error().code == Errc::store) {
    const std::string path = session_->paths().ledger_db(instance);
    if (!path_exists(path) || is_being_made(path)) return nullptr;
  }
  if (!opened) return tl::unexpected<Error>(opened.error());
  return &ledgers_.emplace(instance, std::move(*opened)).first->second;
}

Result<store::JobRow> JobBoard::root_of(store::JobRow row) {
  while (row.list == 0 && row.rerun_of != 0) {
    VOUCH_TRY(row, control_->job_by_id(row.rerun_of));
  }
  return row;
}

Result<JobView> JobBoard::view_of(store::JobRow row) {
  JobView view;
  VOUCH_TRY(const store::JobRow root, root_of(row));
  view.row = std::move(row);
  view.campaign = campaigns_[view.row.campaign];
  view.client = clients_[view.row.client];
  view.list_id = root.list;
  view.list = root.list == 0 ? "" : lists_[root.list];
  VOUCH_CHECK(refresh(view));
  return view;
}

Result<void> JobBoard::refresh(JobView& view) {
  VOUCH_TRY(store::LedgerView * of, ledger(view.row.instance));
  view.progress.reset();
  view.is_lost = false;
  if (of != nullptr) {
    VOUCH_TRY(auto progress, of->job(view.row.id));
    if (progress) view.progress = JobStanding{{std::move(*progress)}};
  }
  const bool is_over_now = view.progress && is_over(view.progress->state);
  view.daemon = is_over_now ? DaemonState{} : session_->daemon(view.row.instance);
  if (view.progress) return is_over_now ? Result<void>{} : count_exports(*of, view);
  VOUCH_TRY(const store::CommandRow submission, control_->submission_of(view.row.id));
  view.refusal = refusal_in(submission);
  view.is_lost = submission.answered && !view.refusal;
  return {};
}

// Where its list is being planned calls are made meanwhile, and nobody need count.
Result<void> JobBoard::count_exports(store::LedgerView& of, JobView& view) {
  JobStanding& job = *view.progress;
  const bool plans_on = job.not_planned() > 0 && job.pilot_left.value_or(1) > 0;
  const auto key = std::pair{view.row.campaign, view.row.campaign_version};
  if (!definitions_.contains(key)) {
    VOUCH_TRY(plan::Campaign read, control_->campaign_version(key.first, key.second));
    definitions_.emplace(key, std::move(read));
  }
  const plan::Campaign& campaign = definitions_.at(key);
  const bool exports = std::ranges::any_of(campaign.items, &plan::Item::by_export);
  if (!exports || (plans_on && job.state == JobState::running)) return {};
  return add_exports(of, campaign, job);
}

Result<JobView> JobBoard::find(std::string_view job) {
  VOUCH_TRY(store::JobRow row, control_->job(job));
  return view_of(std::move(row));
}

Result<std::vector<JobView>> JobBoard::all() {
  VOUCH_TRY(auto rows, control_->jobs());
  std::vector<JobView> views;
  for (store::JobRow& row : rows) {
    VOUCH_TRY(views.emplace_back(), view_of(std::move(row)));
  }
  return views;
}

Result<JobPace> pace_of(store::LedgerView& ledger, const store::JobProgress& job, WallTime now) {
  JobPace pace;
  const WallTime since = std::max(now - kPaceWindow, job.started.value_or(now));
  WallTime from = now;  // how far back the pages read reach
  double calls = 0;
  std::int64_t settled = 0;
  VOUCH_TRY(std::int64_t upto, ledger.last_event());
  for (int page = 0; page < kPacePages && upto > 0 && from > since; ++page) {
    const std::int64_t after = std::max<std::int64_t>(0, upto - store::kPageRows);
    VOUCH_TRY(const auto events, ledger.events(after, static_cast<int>(upto - after)));
    for (const store::EventRow& event : events) {
      from = std::min(from, event.at);
      if (event.job != job.id || event.at <= since || event.at > now) continue;
      if (event.kind == EventKind::attempt) calls += 1.0 / event.shared_by.value_or(1);
      if (event.to_state && is_final(static_cast<IssuanceState>(*event.to_state))) ++settled;
    }
    upto = after;
  }
  if (upto == 0) from = since;  // the ledger's first event was read
  const double seconds = std::chrono::duration<double>(now - std::max(from, since)).count();
  if (seconds < kPaceSecondsMin) return pace;
  pace.calls_per_second = calls / seconds;
  pace.settled_per_second = static_cast<double>(settled) / seconds;
  return pace;
}

std::string rates_text(const store::DownstreamRow& row) {
  return "limit " + format_rate(row.rate_limit) + ", warning " + format_rate(row.warning_rate) +
         ", target " + format_rate(plan::target_rate(row.warning_rate));
}

Result<void> check_instance(const Session& session, const JobView& view) {
  if (view.row.instance == session.instance()) return {};
  return fail(Errc::usage, view.id() + " belongs to the instance \"" + view.row.instance + "\"",
              "add --instance " + view.row.instance);
}

Value daemon_value(const JobView& view) {
  if (view.daemon.kind == DaemonState::Kind::unknown) return {};
  return word_of(view.daemon.kind);
}

Record summary_of(const JobView& view) {
  const std::string state = view.state();
  Record record = {{"id", "Id", view.id()},
                   {"submit_key", "Submit key", view.row.submit_key},
                   {"state", "State", Value{state}.tone(tone_of(state))},
                   {"reason", "Reason", Value{}},
                   {"campaign", "Campaign", view.campaign},
                   {"client", "Client", view.client, Shown::wide},
                   {"list", "List", view.list, Shown::wide},
                   {"rerun_of", "Rerun of", Value{}, Shown::wide}};
  if (view.row.rerun_of != 0) record.back().value = format_id(ObjectKind::job, view.row.rerun_of);
  if (view.refusal) record[3].value = view.refusal->message;
  if (view.progress && view.progress->pause_reason != PauseReason::none) {
    record[3].value = name_of(view.progress->pause_reason);
  } else if (const auto waits = view.progress ? export_obstacle(*view.progress) : std::nullopt) {
    record[3].value = waits->why;
  } else if (!view.blocks.empty() && !view.is_at_rest()) {
    record[3].value = view.blocks.front().words;
  }
  const auto number = [&](auto value) { return view.progress ? Value{value} : Value{}; };
  const JobStanding none;
  const JobStanding& at = view.progress ? *view.progress : none;
  std::int64_t open = at.not_planned();
  std::int64_t without = 0;
  for (int i = 0; i < kIssuanceStates; ++i) {
    const auto one = static_cast<IssuanceState>(i);
    if (!is_final(one)) {
      open += view.count(one);
    } else if (one != IssuanceState::issued) {
      without += view.count(one);
    }
  }
  record.push_back({"total", "Total", number(at.total())});
  record.push_back({"issued", "Issued", number(view.count(IssuanceState::issued))});
  record.push_back({"repeats", "Repeats", number(at.repeats)});
  record.push_back(
      {"without_voucher", "Without", number(without).tone(without > 0 ? Tone::warn : Tone::plain)});
  record.push_back({"open", "Open", number(open)});
  record.push_back({"held", "Held",
                    number(view.count(IssuanceState::held))
                        .tone(view.count(IssuanceState::held) > 0 ? Tone::bad : Tone::plain)});
  record.push_back({"submitted_at", "Submitted", view.row.submitted});
  record.push_back({"ended_at", "Ended", Value{}, Shown::wide});
  if (view.progress) record.back().value = Value{at.ended};
  record.push_back({"daemon", "vouchd", daemon_value(view), Shown::wide});
  return record;
}

}  // namespace vouch::cli
