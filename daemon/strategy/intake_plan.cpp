// Intake's part for planning a list: page by page, range by range; declared in intake.hpp.
#include <algorithm>
#include <utility>

#include "daemon/strategy/intake.hpp"

namespace vouch::strategy {
namespace {

using data::Intent;
using data::JobNow;

constexpr int kPageRows = 1000;

bool makes_calls(const JobNow& job, IssuanceState state) {
  return state == IssuanceState::sending && job.calls_count() > 0;
}

}  // namespace

// Planning begins at the job's own range and wraps round.
void Intake::next_range(const JobNow& job, Plan& plan) {
  plan.cursor.clear();
  plan.range = -1;
  for (std::int32_t i = 0; i < job.ranges; ++i) {
    const std::int32_t range = (job.start_range + i) % job.ranges;
    if (plan.done[range]) continue;
    return go_to_range(plan, range);
  }
}

void Intake::go_to_range(Plan& plan, std::int32_t range) {
  if (plan.range >= 0) plan.begun[plan.range] = std::move(plan.cursor);
  plan.range = range;
  plan.cursor = std::exchange(plan.begun[range], {});
}

std::int32_t Intake::free_range(const JobNow& job, const Plan& plan, std::int32_t from) const {
  for (std::int32_t i = 0; i < job.ranges; ++i) {
    const std::int32_t range = (from + i) % job.ranges;
    const auto done = plan.done.find(range);
    const bool is_done = done != plan.done.end() && done->second;
    if (!is_done && !leases_.is_refused(job.number, range)) return range;
  }
  return -1;
}

data::LeasePtr Intake::lease_of_page(const JobNow& job, Plan& plan) {
  data::LeasePtr lease = leases_.of_range(job, plan.range);
  const std::int32_t next = free_range(job, plan, (plan.range + 1) % job.ranges);
  if (next < 0 || next == plan.range) return lease;
  if (lease) {
    // Asked for ahead, so that nobody waits for it.
    static_cast<void>(leases_.of_range(job, next));
  } else if (leases_.is_refused(job.number, plan.range)) {
    go_to_range(plan, next);
  }
  return lease;
}

int Intake::page_room(const JobNow& job, const Plan& plan) const {
  std::map<ObjectId, int> items_on;
  for (const ObjectId downstream : job.item_downstreams) {
    if (downstream != 0) ++items_on[downstream];
  }
  int rows = kPageRows / static_cast<int>(job.item_downstreams.size());
  for (const auto& [downstream, items] : items_on) {
    const int free = room(job, plan, downstream, RowSort::fresh);
    // A queue too short for one recipient's items still takes one recipient when it is empty.
    const int ready = is_uncertain(downstream)
                          ? ready_.calls_depth(downstream)
                          : ready_.depth({downstream, job.number, true, false});
    const bool one = free > 0 && free < items && ready == 0;
    rows = std::min(rows, one ? 1 : free / items);
  }
  return std::max(0, rows);
}

bool Intake::knows_downstreams(const JobNow& job) const {
  for (std::size_t item = 0; item < job.items_count(); ++item) {
    if (job.by_export(item)) continue;
    if (snapshot_->downstream(job.item_downstreams[item]) == nullptr) return false;
  }
  return true;
}

// Behind the cursor, in the range that is being planned; good until the next are read.
Result<std::span<const store::SealedRow>> Intake::next_rows(Plan& plan, int rows) {
  const auto at = static_cast<std::size_t>(plan.range);
  store::SealedList::PageBounds bounds{.from = plan.ranges[at].first_key, .after = {}, .upto = {}};
  if (!plan.cursor.empty()) {
    VOUCH_TRY(bounds.after, store::RowKey::from_bytes(store::as_blob(plan.cursor)));
  }
  if (at + 1 < plan.ranges.size()) bounds.upto = plan.ranges[at + 1].first_key;
  return plan.list->page(bounds, rows);
}

data::PlanPage Intake::page_of(const JobNow& job, Plan& plan,
                               std::span<const store::SealedRow> rows, IssuanceState state) const {
  data::PlanPage message{.job_number = job.number,
                         .campaign_number = job.campaign_number,
                         .range = plan.range,
                         .rows = static_cast<int>(rows.size()),
                         .planned_from = {},
                         .planned_to = {},
                         .range_done = false,
                         .state = state,
                         .doubt_since = job.restored_at,
                         .intents = {},
                         .cursors = {},
                         .replans = plan.replans,
                         .cut = {}};
  message.intents.reserve(rows.size() * job.items_count());
  for (const store::SealedRow& row : rows) {
    const Recipient recipient{.key = row.recipient_key,
                              .occurrence = occurrence_of(job, row.occurrence),
                              .recipient_id = row.recipient_id,
                              .amounts = row.amounts,
                              .fields = row.fields};
    const bool called = state != IssuanceState::expired;
    plan.maker->make_fresh(job, *snapshot_, recipient, plan.range, called, message.intents);
    if (makes_calls(job, state) && job.has_pools()) message.cursors.push_back(row.key().to_bytes());
  }
  if (rows.empty()) return message;
  message.planned_from = rows.front().recipient_key;
  message.planned_to = rows.back().key().to_bytes();
  return message;
}

Result<bool> Intake::plan_page(const JobNow& job, Plan& plan, IssuanceState state, bool probe) {
  // What waits for an export is bounded by the disk alone, as what is not called at all.
  const bool sending = makes_calls(job, state);
  int rows = sending ? page_room(job, plan) : kPageRows / static_cast<int>(job.items_count());
  if (!sending && writer_.queued() > 4) return true;
  if (plan.pilot_left && job.pilot_left) {
    rows = static_cast<int>(std::min<std::int64_t>(rows, *plan.pilot_left));
    if (*plan.pilot_left <= 0) return false;
  }
  if (probe) rows = 1;
  if (rows == 0) return true;
  if (!knows_downstreams(job)) {
    return fail(Errc::not_found, "a downstream of the campaign is not in the store");
  }
  const data::LeasePtr lease = sending ? lease_of_page(job, plan) : nullptr;
  if (sending && !lease) return true;

  VOUCH_TRY(const auto page, next_rows(plan, rows));
  data::PlanPage message = page_of(job, plan, page, state);
  message.range_done = page.size() < static_cast<std::size_t>(rows);
  if (sending && !reserve_calls(message.intents, lease, probe)) return false;
  if (!page.empty()) plan.cursor = message.planned_to;
  if (plan.pilot_left) *plan.pilot_left -= static_cast<std::int64_t>(page.size());
  if (message.range_done) {
    plan.done[plan.range] = true;
    next_range(job, plan);
  }
  page_ticket_ = writer_.push(std::move(message));
  return true;
}

// Room in the ready queue for those that are called, under that lease.
bool Intake::reserve_calls(std::vector<Intent>& intents, const data::LeasePtr& lease, bool probe) {
  data::ReadyRows reserved;
  for (Intent& intent : intents) {
    if (intent.by_export) continue;
    intent.probe = probe;
    intent.lease = lease;
    ++reserved[data::owner_of(intent)];
  }
  return ready_.reserve(reserved);
}

}  // namespace vouch::strategy
