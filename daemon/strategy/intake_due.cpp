// Intake's part for rows that are due: to be called again, asked about, or held; declared in
// intake.hpp.
#include <utility>

#include "daemon/service/query_policy.hpp"
#include "daemon/service/retry_policy.hpp"
#include "daemon/strategy/intake.hpp"

namespace vouch::strategy {
namespace {

using data::Intent;
using data::JobKind;
using data::JobNow;

constexpr int kDueRows = 500;
// Of a row that could be called again, and is not because its job was stopped.
constexpr Millis kAskAgainAfter{60'000};

// Of the version that the row was called under.
plan::Contract contract_of(const data::Snapshot& snapshot, ObjectId id, const data::DueRow& row) {
  const data::DownstreamNow* downstream = snapshot.downstream(id);
  if (downstream == nullptr) return plan::Contract::none;
  const auto version = downstream->versions.find(row.downstream_version);
  return version == downstream->versions.end() ? plan::Contract::none : version->second->contract;
}

}  // namespace

Result<bool> Intake::send_due(const JobNow& job, Plan& plan, Instant now, Probe kind) {
  const bool probe = kind != Probe::none;
  if (now < plan.look_at && !probe) return false;
  if (writer_.committed() < std::max(plan.due_ticket, plan.state_ticket)) return true;
  plan.look_at = now + settings_.poll;
  ObjectId only = 0;  // a success elsewhere proves nothing
  if (probe) {
    VOUCH_TRY(only, troubled(job));
  }
  DueRooms rooms = due_rooms(job, plan, probe, only);
  rooms.wanted.setup = kind == Probe::none         ? data::SetupOrder::none
                       : kind == Probe::setup_rows ? data::SetupOrder::first
                                                   : data::SetupOrder::last;
  if (!rooms.any) return false;
  // One downstream's queue is full: look again soon.
  if (rooms.wanted.items.is_empty() && rooms.wanted.doubtful.is_empty()) return true;
  VOUCH_TRY(const auto due, reader_.due(job.number, clock_.wall_now(), rooms.wanted));

  data::SendAgain message;
  bool held = false;
  for (const data::DueRow& row : due) {
    if (kind == Probe::other_rows && row.met_setup()) break;  // those come last
    VOUCH_TRY(const bool row_held, take_due(job, plan, row, probe, rooms, message));
    held = held || row_held;
    if (probe && !message.intents.empty()) break;
  }
  if (message.intents.empty()) return held || leases_.is_asking();
  data::ReadyRows reserved;
  for (const Intent& intent : message.intents) ++reserved[data::owner_of(intent)];
  if (!ready_.reserve(reserved)) return false;
  plan.due_ticket = writer_.push(std::move(message));
  return true;
}

// Room to call for whoever may be called, room to ask for whoever can be asked.  Rows that nobody
// could take now would only hide those behind them.
Intake::DueRooms Intake::due_rooms(const JobNow& job, const Plan& plan, bool probe,
                                   ObjectId only) const {
  const bool repeats = job.may_settle() || probe;
  const bool starts = (job.may_start() || probe) && !job.is_late(clock_.wall_now());
  DueRooms rooms;
  rooms.wanted = {.items = {}, .doubtful = {}, .rows_max = kDueRows};
  for (std::size_t item = 0; item < job.items_count(); ++item) {
    const ObjectId id = job.item_downstreams[item];
    const data::DownstreamNow* downstream = snapshot_->downstream(id);
    if (downstream == nullptr || (only != 0 && id != only)) continue;
    const bool asks = job.may_ask() && downstream->can_be_asked();
    // What can be neither asked about nor repeated is held, whatever becomes of its job.
    const bool holds = downstream->has_had(plan::Contract::none);
    if (repeats) rooms.calls.try_emplace(id, probe ? 1 : room(job, plan, id, RowSort::again));
    if (asks) rooms.queries.try_emplace(id, room(job, plan, id, RowSort::asks));
    const bool calls = rooms.calls[id] > 0;
    if (calls && starts) rooms.wanted.items.add(item);
    if (holds || rooms.queries[id] > 0 || (calls && downstream->has_had(plan::Contract::key))) {
      rooms.wanted.doubtful.add(item);
    }
    rooms.any = rooms.any || repeats || asks || holds;
  }
  return rooms;
}

// What to do with a row that is due: ask about it, call (again), or hold it; or nothing, when there
// is no room.  True when it is held.
Result<bool> Intake::take_due(const JobNow& job, Plan& plan, const data::DueRow& row, bool probe,
                              DueRooms& rooms, data::SendAgain& message) {
  const ObjectId downstream = job.item_downstreams[row.key.item];
  if (row.state == IssuanceState::in_doubt && !probe) {
    std::optional<Intent> query = make_query_intent(job, *snapshot_, row);
    if (query && wants_asking(job, *query, row)) {
      if (asked_too_long(*query, row)) {
        return hold(plan, std::move(*query), "asked for a day without a result");
      }
      int& left = rooms.queries[downstream];
      if (left == 0 || !give_lease(job, *query, left)) return false;
      message.intents.push_back(std::move(*query));
      return false;
    }
  }
  const plan::Contract contract = contract_of(*snapshot_, downstream, row);
  const bool in_doubt = row.state == IssuanceState::in_doubt;
  // Not even as a probe: a second call would be a second effect.
  if (in_doubt && contract == plan::Contract::query) return false;
  const bool holds = in_doubt && contract == plan::Contract::none;
  int& left = rooms.calls[downstream];
  if (left == 0 && !holds) return false;
  VOUCH_TRY(std::optional<Intent> intent, again(job, plan, row));
  if (!intent) return false;
  VOUCH_TRY(const bool filled, fill_code(job, plan, row, *intent));
  if (!filled) return false;
  if (std::string why = may_not_repeat(job, *intent, row); !why.empty()) {
    return hold(plan, std::move(*intent), std::move(why));
  }
  if (!give_lease(job, *intent, left)) return false;
  intent->probe = probe;
  message.intents.push_back(std::move(*intent));
  return false;
}

// One whose lease is being asked for takes its room, so that no more are asked for than there is
// room; one that somebody else has locked leaves it to the others.
bool Intake::give_lease(const JobNow& job, Intent& intent, int& left) {
  intent.lease = leases_.of(job, intent);
  if (intent.lease || !leases_.is_refused(job, intent)) --left;
  return intent.lease != nullptr;
}

Result<bool> Intake::fill_code(const JobNow& job, Plan& plan, const data::DueRow& row,
                               Intent& intent) {
  // Without one it is given one by the ledger writer, unless it is in doubt.
  if (intent.pool == nullptr || !row.ordinal) return true;
  auto filled = shelf_.fill(intent, *row.ordinal);
  if (filled) return true;
  // Nobody could resume the job that singles share: it is tried again until the code is there.
  if (job.state != JobState::running || job.kind == JobKind::single) {
    return tl::unexpected<Error>(std::move(filled).error());
  }
  plan.state_ticket = writer_.push(data::ChangeJob{.number = job.number,
                                                   .action = data::JobAction::pause,
                                                   .reason = PauseReason::pool,
                                                   .words = filled.error().message});
  return false;
}

bool Intake::hold(Plan& plan, Intent intent, std::string why) {
  intent.asks = false;
  plan.due_ticket = writer_.push(data::HoldRow{std::move(intent), std::move(why)});
  return true;
}

// Ask first.  Then whoever honours keys is called again, while it remembers them and the job allows
// it; who does not is asked until it says what became of the call.
bool Intake::wants_asking(const JobNow& job, const Intent& query, const data::DueRow& row) const {
  const WallTime now = clock_.wall_now();
  if (query.definition->contract == plan::Contract::query) return true;
  if (row.last_kind != EventKind::asked) return true;
  if (service::key_may_be_forgotten(*query.definition, row.doubt_since, now)) return true;
  return !job.may_settle() && now >= *row.last_attempt_at + kAskAgainAfter;
}

// A day in which nobody could ask, since all was paused, is no day of asking.
bool Intake::asked_too_long(const Intent& query, const data::DueRow& row) const {
  const WallTime now = clock_.wall_now();
  if (now < *row.doubt_since + service::kAskedForMax) return false;
  if (row.last_kind != EventKind::asked || row.missing_since) return false;
  return query.definition->contract == plan::Contract::query ||
         service::key_may_be_forgotten(*query.definition, row.doubt_since, now);
}

std::string Intake::may_not_repeat(const JobNow& job, const Intent& intent,
                                   const data::DueRow& row) const {
  if (row.state == IssuanceState::in_doubt && intent.definition->contract == plan::Contract::none) {
    return "in doubt, and under contract none nobody can ask or repeat";
  }
  if (row.state == IssuanceState::in_doubt && intent.pool != nullptr && !row.ordinal) {
    return "in doubt since before this copy of the ledger: which code it had is not known";
  }
  if (job.is_too_late(row.doubt_since, clock_.wall_now())) {
    return "in doubt since before this copy of the ledger, and too late for a first call: " +
           (job.ended.empty() ? "finish_by has passed" : job.ended);
  }
  if (service::key_may_be_forgotten(*intent.definition, row.doubt_since, clock_.wall_now())) {
    return "in doubt for longer than the downstream keeps its keys";
  }
  const bool may_differ = data::makes_new_call(row.state, row.doubt_since);
  return may_differ || intent.call_digest == row.call_digest
             ? ""
             : "the call would not be the same as before";
}

Result<std::optional<Intent>> Intake::again(const JobNow& job, Plan& plan,
                                            const data::DueRow& row) {
  if (job.kind == JobKind::single) return single_again(job, row);
  VOUCH_TRY(const auto rows, plan.list->find(row.key.recipient));
  for (const store::SealedRow& found : rows) {
    const std::uint64_t occurrence = occurrence_of(job, found.occurrence);
    if (rows.size() > 1 && occurrence != row.key.occurrence) continue;
    return plan.maker->make_again(job, *snapshot_,
                                  {.key = row.key.recipient,
                                   .occurrence = row.key.occurrence,
                                   .recipient_id = found.recipient_id,
                                   .amounts = found.amounts,
                                   .fields = found.fields},
                                  row);
  }
  return fail(Errc::corrupt,
              "the list " + job.list_digest + " no longer has a recipient whose issuance is open");
}

}  // namespace vouch::strategy
