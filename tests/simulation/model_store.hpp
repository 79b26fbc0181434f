// model_store.hpp: the control store as the simulated daemons and their operators know it.
//
// Definitions, jobs and commands; whose a campaign is; and snapshots, made as definitions.cpp makes
// them.  It never fails and outlives every daemon.
//
// Threads: the simulation's only one.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/data/ledger_messages.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/snapshot.hpp"
#include "tests/simulation/exported_files.hpp"
#include "tests/simulation/sample_lists.hpp"
#include "tests/simulation/world_settings.hpp"

namespace vouch::test {

// The campaigns.  Each item has its own downstream, or is delivered by export; amounts stand in the
// list.
inline constexpr std::size_t kGift = 0;    // once per campaign: coupon, balance
inline constexpr std::size_t kPair = 1;    // once per job: two items on the coupon service
inline constexpr std::size_t kOrders = 2;  // once per order_no: balance
inline constexpr std::size_t kVip = 3;     // once per campaign: code on the coupon service, balance
inline constexpr std::size_t kVisit = 4;   // once per job: code of the same pool
inline constexpr std::size_t kMailed = 5;  // once per campaign: code by export, balance
inline constexpr std::size_t kPrinted = 6;  // once per job: code by export; all of the same pool
// Of each instance from here on: singles for healthy recipients: coupon, balance
inline constexpr std::size_t kTraffic = 7;

inline constexpr std::array<const char*, 2> kInstanceNames = {"main", "other"};

// A job as the control store would have it.
struct JobSpec {
  std::size_t campaign = kGift;
  SampleLists::Name list = SampleLists::spring;
  std::optional<std::int64_t> pilot{};
  std::optional<double> rate{};
  std::optional<WallTime> start_at{};
  std::optional<WallTime> finish_by{};
  ObjectId rerun_of = 0;
  std::vector<IssuanceState> rerun_states{};
  std::size_t instance = 0;  // for which it is submitted; a campaign keeps that of its first job
  ObjectId id = 0;           // given by submit()
};

class ModelStore {
 public:
  struct Command {
    std::int64_t id = 0;
    std::variant<data::SubmitJob, data::ChangeJob, strategy::SingleRequest> what;
    ObjectId job = 0;  // of a single: its campaign
    std::size_t instance = 0;
    bool given = false;  // to the instance's present life
    std::string answer;
  };

  ModelStore(const WorldSettings& settings, Random& random);

  // --- what operators do.
  ObjectId submit(JobSpec spec);
  void change(ObjectId job, data::JobAction action, bool settle_by_repeat = false);
  void issue(std::size_t campaign, const std::string& recipient_id, std::size_t instance = 0);
  void pause_service(std::size_t which, bool paused);
  // Of all instances together: as manuals say, each is given its part.
  void set_limit(std::size_t which, double limit);
  // Each a new version of its definition.
  void set_url(std::size_t which, std::string url);
  void set_contract(std::size_t which, plan::Contract contract);
  void set_batch(std::size_t which, int issuances_per_call);
  void fill_pool();  // by a further segment, while there are any
  [[nodiscard]] ExportedFiles& files() { return files_; }

  // --- what is in it.
  [[nodiscard]] std::int64_t version() const { return version_; }  // grows with every change
  [[nodiscard]] std::deque<Command>& commands() { return commands_; }
  [[nodiscard]] const std::deque<Command>& commands() const { return commands_; }
  [[nodiscard]] const std::vector<JobSpec>& jobs() const { return specs_; }
  [[nodiscard]] const JobSpec* job(ObjectId id) const;
  [[nodiscard]] const std::vector<data::DownstreamNow>& downstreams() const { return downstreams_; }
  [[nodiscard]] const plan::Campaign& campaign(std::size_t number) const {
    return *campaigns_[number];
  }
  [[nodiscard]] const std::vector<ObjectId>& campaign_ids() const { return campaign_ids_; }
  [[nodiscard]] ObjectId campaign_id(std::size_t number) const { return campaign_ids_[number]; }
  // Of a campaign's id; a job's is none.
  [[nodiscard]] bool is_traffic(ObjectId id) const {
    const std::size_t number = number_of(id);
    return number >= kTraffic && number < campaigns_.size();
  }
  [[nodiscard]] const store::PoolRow& pool() const { return *pool_; }
  [[nodiscard]] std::string answer_of(ObjectId job) const;  // of the job's last command
  [[nodiscard]] bool has_open_command(ObjectId job) const;
  [[nodiscard]] double limit_of(std::size_t which) const;

  // What a campaign's item is: the contract of its downstream, and whether it is a code.
  [[nodiscard]] plan::Contract contract_of(ObjectId campaign, std::size_t item) const;
  [[nodiscard]] bool is_code(ObjectId campaign, std::size_t item) const;
  [[nodiscard]] bool is_by_export(ObjectId campaign, std::size_t item) const;
  // Whether anything was ever asked for that is delivered by export, and whose the pool is then.
  [[nodiscard]] bool has_exports() const { return has_exports_; }
  [[nodiscard]] std::size_t pool_owner() const { return owners_[kMailed].value_or(0); }
  [[nodiscard]] const ExportedFiles& files() const { return files_; }

  // --- what a daemon's control thread makes of it.
  [[nodiscard]] data::JobNow single_job(ObjectId campaign) const;
  [[nodiscard]] std::shared_ptr<const data::Snapshot> snapshot(
      const std::vector<data::JobRecord>& open_jobs, std::int64_t serial) const;

 private:
  void define_campaigns(std::size_t instances);
  void define_downstream(std::size_t which);
  void redefine(std::size_t which, const std::function<void(plan::Downstream&)>& change);
  void add_command(Command command);
  [[nodiscard]] std::size_t bind(std::size_t campaign, std::size_t instance);
  // The place of a campaign in campaigns_; their number when it is none.
  [[nodiscard]] std::size_t number_of(ObjectId campaign) const;
  [[nodiscard]] data::JobNow job_now(std::size_t campaign) const;
  void fill_job(data::JobNow& now, const JobSpec& spec) const;

  const WorldSettings& settings_;
  Random& random_;
  std::vector<std::shared_ptr<const plan::Campaign>> campaigns_;
  std::vector<ObjectId> campaign_ids_;
  std::vector<std::optional<std::size_t>> owners_;  // by campaign: its instance, once it has one
  std::vector<data::DownstreamNow> downstreams_;
  std::shared_ptr<const store::PoolRow> pool_;
  std::vector<JobSpec> specs_;
  std::deque<Command> commands_;
  ExportedFiles files_;
  bool has_exports_ = false;
  std::int64_t version_ = 0;
};

}  // namespace vouch::test
