// snapshot.hpp: what is wanted at this moment, as one immutable value.
//
// The control thread makes a new one whenever the control store or the state of a job changes and
// hands it to the others; they look at theirs once a round and never wait for one.
//
// Threads: a Snapshot is immutable; SnapshotBoard may be used by all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/campaign.hpp"
#include "common/plan/downstream.hpp"
#include "common/plan/item_set.hpp"
#include "common/store/pool_row.hpp"

namespace vouch::data {

// Which command of the control store: in another copy of that store an id may be another command's,
// its nonce is not.  Nought: none.
struct CommandName {
  CommandName() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a plain id is a name
  CommandName(std::int64_t of_id, std::int64_t of_nonce = 0) : id{of_id}, nonce{of_nonce} {}
  bool operator==(const CommandName&) const = default;

  std::int64_t id = 0;
  std::int64_t nonce = 0;
};

enum class JobKind : std::uint8_t { list = 0, rerun = 1, single = 2 };

struct DownstreamNow {
  ObjectId id = 0;
  std::string name;
  double limit = 0;    // L
  double warning = 0;  // W
  bool paused = false;
  std::string pause_reason;
  int version = 0;
  std::map<int, std::shared_ptr<const plan::Downstream>> versions;
  std::string bearer;               // token read from its file; never logged
  std::string signing_secret = {};  // the same

  [[nodiscard]] double target() const { return plan::target_rate(warning); }
  // Whether rows of any version of it can be asked about.
  [[nodiscard]] bool can_be_asked() const {
    return std::ranges::any_of(versions,
                               [](const auto& one) { return one.second->query.has_value(); });
  }
  // Whether any version of it has this contract.
  [[nodiscard]] bool has_had(plan::Contract contract) const {
    return std::ranges::any_of(versions,
                               [&](const auto& one) { return one.second->contract == contract; });
  }
};

struct JobNow {
  ObjectId id = 0;
  std::int64_t number = 0;  // of the ledger
  JobKind kind = JobKind::list;
  JobState state = JobState::scheduled;
  PauseReason pause_reason = PauseReason::none;
  ObjectId campaign_id = 0;
  std::int64_t campaign_number = 0;
  int campaign_version = 0;
  std::shared_ptr<const plan::Campaign> campaign;
  std::vector<ObjectId> item_downstreams;  // by item number; 0: unknown, or none since exported
  plan::ItemSet exports;                   // items that are delivered by export
  std::vector<std::shared_ptr<const store::PoolRow>> item_pools;  // by item number; null: none
  std::string list_digest;                                        // empty for singles
  std::int32_t ranges = 0;
  std::int32_t start_range = 0;
  std::int32_t ranges_planned = 0;
  std::optional<std::int64_t> pilot_left;
  std::int64_t replans = 0;  // a page planned before the latest of these is planned again
  std::uint64_t occurrence = 0;
  std::optional<double> rate;
  std::optional<WallTime> start_at;
  std::optional<WallTime> finish_by;  // its own or the end of the campaign's window
  // Of the rows that end, more than so many without a voucher pause the job; those states apart.
  std::int64_t failures_percent_max = 50;
  std::vector<IssuanceState> tolerated;
  bool settle_by_repeat = false;
  std::optional<WallTime> restored_at;  // fresh rows may have been executed since: born in doubt
  ObjectId rerun_of = 0;
  std::vector<IssuanceState> rerun_states;
  std::string blocked;  // why no call at all may start: "downstream coupons is paused"
  std::string ended;    // why nothing new may start, but doubt is settled: the campaign has ended

  [[nodiscard]] std::size_t items_count() const { return item_downstreams.size(); }
  [[nodiscard]] bool by_export(std::size_t item) const { return exports.contains(item); }
  // How many of its items a downstream is called for.
  [[nodiscard]] int calls_count() const { return static_cast<int>(items_count()) - exports.size(); }
  // Whether its calls hand out codes.
  [[nodiscard]] bool has_pools() const {
    for (std::size_t item = 0; item < item_pools.size(); ++item) {
      if (item_pools[item] != nullptr && !by_export(item)) return true;
    }
    return false;
  }
  // Whether a call of this job may start now.
  [[nodiscard]] bool may_start() const {
    return state == JobState::running && blocked.empty() && ended.empty();
  }
  // Whether nothing new may start any more: what is open expires.
  [[nodiscard]] bool is_late(WallTime now) const {
    return !ended.empty() || (finish_by && now >= *finish_by);
  }
  // Whether it is too late for a row in that doubt: its job's ledger is an older copy that has not
  // called it since, so that the call might be the row's first.
  [[nodiscard]] bool is_too_late(const std::optional<WallTime>& doubt_since, WallTime now) const {
    return restored_at && doubt_since == restored_at && is_late(now);
  }
  // Whether rows that may have been executed are repeated.
  [[nodiscard]] bool may_settle() const {
    if (!blocked.empty()) return false;
    if (state == JobState::running || state == JobState::scheduled) return true;
    return settle_by_repeat && (state == JobState::cancelling || state == JobState::unsettled);
  }
  // Whether the downstream may be asked about rows that are in doubt.
  [[nodiscard]] bool may_ask() const { return blocked.empty(); }
};

struct Snapshot {
  std::int64_t serial = 0;
  std::map<ObjectId, DownstreamNow> downstreams;
  std::map<std::int64_t, JobNow> jobs;  // by number; those that are not over

  [[nodiscard]] const JobNow* job(std::int64_t number) const {
    const auto found = jobs.find(number);
    return found == jobs.end() ? nullptr : &found->second;
  }
  [[nodiscard]] const DownstreamNow* downstream(ObjectId id) const {
    const auto found = downstreams.find(id);
    return found == downstreams.end() ? nullptr : &found->second;
  }
};

class SnapshotBoard {
 public:
  [[nodiscard]] std::shared_ptr<const Snapshot> read() const {
    const std::scoped_lock lock{mutex_};
    return snapshot_;
  }
  void publish(std::shared_ptr<const Snapshot> snapshot) {
    const std::scoped_lock lock{mutex_};
    snapshot_ = std::move(snapshot);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<const Snapshot>();
};

}  // namespace vouch::data
