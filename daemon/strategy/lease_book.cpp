#include "daemon/strategy/lease_book.hpp"

#include <algorithm>

namespace vouch::strategy {
namespace {

using data::JobKind;
using data::JobNow;
using data::Lease;
using data::LeasePtr;

constexpr Millis kSweep{1'000};
constexpr Millis kAskAgain{1'000};
// A lease that nobody has wanted for so long is let go, if its rows need it no more.
constexpr Millis kWantedFor{10'000};
// Ranges with rows that are to be called again; beyond, a further range waits for one of them.
constexpr std::size_t kRangesMax = 4096;

std::string range_name(const JobNow& job, std::int32_t range) {
  return "range:" + format_id(ObjectKind::job, job.id) + ":" + std::to_string(range);
}

std::string issuance_name(const std::string& request_id) {
  return "issuance:" + request_id;
}

// What the resolver has taken over is locked one by one: its range may be long gone.
bool is_alone(const JobNow& job, const data::Intent& intent) {
  return job.kind == JobKind::single || intent.asks || intent.from == IssuanceState::in_doubt;
}

}  // namespace

Result<void> LeaseBook::begin_round(Instant now, const data::Snapshot& snapshot) {
  now_ = now;
  snapshot_ = &snapshot;
  asking_ = false;
  if (now < next_sweep_) return {};
  next_sweep_ = now + kSweep;
  for (auto at = ranges_.begin(); at != ranges_.end();) {
    VOUCH_TRY(const bool needed, is_needed(at->first.first, at->first.second, at->second));
    at = needed ? std::next(at) : ranges_.erase(at);
  }
  std::erase_if(issuances_,
                [&](const auto& one) { return now >= one.second.wanted_at + kWantedFor; });
  note_refusals();
  return {};
}

Result<bool> LeaseBook::is_needed(std::int64_t job, std::int32_t range, const Entry& entry) {
  const JobNow* of = snapshot_->job(job);
  if (of == nullptr) return false;
  if (now_ < entry.wanted_at + kWantedFor) return true;
  // Nobody has wanted to call under it for long: whatever was asked of the writer is done.
  // What waits for an export may wait for long, and nobody is called about it.
  const bool exports = of->kind == JobKind::list && !of->exports.is_empty();
  return reader_.range_has_open_rows(
      job, range,
      exports ? data::LedgerReader::Planned::exported : data::LedgerReader::Planned::called);
}

void LeaseBook::note_refusals() {
  refusals_.clear();
  const auto note = [&](const Entry& entry) {
    if (!entry.lease || entry.lease->state() != Lease::State::refused) return;
    if (refusals_.contains(entry.job)) return;
    const std::string holder = coordination_.holder_of(entry.lease->name());
    refusals_[entry.job] = entry.lease->name() + " is locked by " +
                           (holder.empty() ? std::string{"somebody else"} : holder);
  };
  for (const auto& [range, entry] : ranges_) note(entry);
  for (const auto& [id, entry] : issuances_) note(entry);
}

std::string LeaseBook::problem_of(std::int64_t job) const {
  const auto found = refusals_.find(job);
  return found == refusals_.end() ? std::string{} : found->second;
}

// Of the slowest of its downstreams.
LeaseBook::Patience LeaseBook::patience_of(const JobNow& job) const {
  Patience patience;
  for (const ObjectId id : job.item_downstreams) {
    const data::DownstreamNow* downstream = snapshot_->downstream(id);
    if (downstream == nullptr) continue;
    for (const auto& [version, definition] : downstream->versions) {
      patience.timeout = std::max(patience.timeout, definition->timeout);
      patience.settle = std::max(patience.settle, definition->settle_time);
    }
  }
  return patience;
}

bool LeaseBook::is_over(const Entry& entry) const {
  if (!entry.lease) return false;
  const Lease::State state = entry.lease->state();
  return state == Lease::State::over ||
         (state == Lease::State::held && entry.lease->until() <= now_);
}

LeasePtr LeaseBook::of_range(const JobNow& job, std::int32_t range) {
  const auto key = std::pair{job.number, range};
  if (!ranges_.contains(key) && ranges_.size() >= kRangesMax) return nullptr;
  Entry& entry = ranges_[key];
  if (is_over(entry)) entry = {};
  entry.job = job.number;
  entry.wanted_at = now_;
  if (entry.epoch == 0) {
    entry.epoch = next_epoch_++;
    entry.ticket = writer_.push(data::ClaimRange{
        .job_number = job.number, .range = range, .epoch = entry.epoch, .owner = settings_.owner});
  }
  if (writer_.committed() < entry.ticket) {
    asking_ = true;
    return nullptr;
  }
  return held(entry, range_name(job, range), patience_of(job));
}

LeasePtr LeaseBook::of_issuance(const JobNow& job, const std::string& request_id) {
  Entry& entry = issuances_[request_id];
  if (is_over(entry)) entry = {};
  entry.job = job.number;
  entry.wanted_at = now_;
  // The ledger's guarded change of the row itself is what makes it ours.
  if (entry.epoch == 0) entry.epoch = next_epoch_++;
  LeasePtr lease = held(entry, issuance_name(request_id), patience_of(job));
  if (lease) issuances_.erase(request_id);
  return lease;
}

void LeaseBook::put_back(const JobNow& job, data::Intent& intent) {
  if (!intent.lease) return;
  Entry& entry = issuances_[intent.request_id];
  entry.job = job.number;
  entry.epoch = intent.lease->epoch();
  entry.wanted_at = now_;
  entry.lease = std::move(intent.lease);
}

LeasePtr LeaseBook::of(const JobNow& job, const data::Intent& intent) {
  return is_alone(job, intent) ? of_issuance(job, intent.request_id) : of_range(job, intent.range);
}

LeasePtr LeaseBook::held(Entry& entry, const std::string& name, const Patience& patience) {
  const bool was_refused = entry.lease && entry.lease->state() == Lease::State::refused;
  if (!entry.lease || (was_refused && now_ >= entry.again_at)) {
    entry.again_at = now_ + kAskAgain;
    entry.lease = coordination_.claim({.name = name,
                                       .epoch = entry.epoch,
                                       .life = lock_life(settings_.lock, patience.timeout),
                                       .grace = patience.timeout + patience.settle});
  }
  if (entry.lease->covers(now_, cover_needed(settings_.lock, patience.timeout))) return entry.lease;
  asking_ = asking_ || entry.lease->state() != Lease::State::refused;
  return nullptr;
}

bool LeaseBook::is_refused(std::int64_t job, std::int32_t range) const {
  const auto found = ranges_.find({job, range});
  return found != ranges_.end() && found->second.lease &&
         found->second.lease->state() == Lease::State::refused;
}

bool LeaseBook::is_refused(const JobNow& job, const data::Intent& intent) const {
  if (!is_alone(job, intent)) return is_refused(job.number, intent.range);
  const auto found = issuances_.find(intent.request_id);
  return found != issuances_.end() && found->second.lease &&
         found->second.lease->state() == Lease::State::refused;
}

}  // namespace vouch::strategy
