// world.hpp: the real daemons in a world of our own making.
//
// The bodies of intake, ledger writer and engine of one vouchd, or of two, run in one thread, in an
// order drawn from the seed, with a clock that jumps to whatever is due next.  Each ledger lies on
// a crash_vfs of its own; downstreams, Redis and control store are models, and all have the same.
// The world plays the part of operators and of fate: it exports codes, crashes, stops and starts
// the daemons, fails their disks and their downstreams.  The first thing that is wrong ends the
// run; problem() says what.
//
// Threads: one.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/exporter.hpp"
#include "tests/simulation/instance.hpp"
#include "tests/simulation/model_redis.hpp"
#include "tests/simulation/model_service.hpp"
#include "tests/simulation/model_store.hpp"
#include "tests/simulation/world_settings.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

class World {
 public:
  World(std::uint64_t seed, const WorldSettings& settings);
  ~World();

  // --- what operators do; carried out by the next rounds of the daemons.
  ObjectId submit(JobSpec spec) { return store_.submit(std::move(spec)); }
  void change(ObjectId job, data::JobAction action, bool settle_by_repeat = false) {
    store_.change(job, action, settle_by_repeat);
  }
  void issue(std::size_t campaign, const std::string& recipient_id, std::size_t instance = 0) {
    store_.issue(campaign, recipient_id, instance);
  }
  void set_limit(std::size_t which, double limit);
  void set_url(std::size_t which, std::string url) { store_.set_url(which, std::move(url)); }
  void set_contract(std::size_t which, plan::Contract contract) {
    store_.set_contract(which, contract);
  }
  void set_batch(std::size_t which, int issuances_per_call) {
    store_.set_batch(which, issuances_per_call);
  }
  void stop(std::size_t number = 0);  // SIGTERM, and a restart
  void calm();  // no more chaos; everything that is paused or cancelled half goes on
  void hide_pool_key(bool hidden);
  // Somebody has made a copy of the first instance's machine, and starts it after `how_long`.
  void start_copy_after(Millis how_long);

  // --- time.
  void step();
  // Steps until `done` holds, the run is wrong, or too much has happened.
  bool run_until(const std::function<bool()>& done, int steps_max = 300'000);
  void run_for(Millis how_long);
  // Every command is answered and every job over, or unsettled with nothing that can be done.
  [[nodiscard]] bool settled();
  // settled(), then time for whatever is still on its way, then the last checks.
  bool finish();

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] AuditedJob job(ObjectId id);
  [[nodiscard]] std::string answer_of(ObjectId job) const { return store_.answer_of(job); }
  // Rows of all ledgers in a state, and of those the ones whose downstream has this contract.
  [[nodiscard]] std::int64_t count(IssuanceState state);
  [[nodiscard]] std::int64_t count(IssuanceState state, plan::Contract contract);
  [[nodiscard]] Instance& instance(std::size_t number = 0) { return *instances_.at(number); }
  [[nodiscard]] std::size_t instances() const { return instances_.size(); }
  [[nodiscard]] const ModelStore& store() const { return store_; }

  ManualClock clock;
  SeededRandom random;
  ModelService coupons;
  ModelService balances;
  ModelRedis redis{clock};
  bool other_traffic = false;  // a single now and then, until all jobs are over
  Counts counts;

 private:
  // A promise to undo something.
  struct Later {
    Instant at;
    std::function<void()> act;
  };

  // world.cpp
  [[nodiscard]] Instance::Surroundings surroundings();
  [[nodiscard]] Exporter::Surroundings surroundings_of_exporter();
  void prepare_services();
  void let_time_pass(Nanos how_much);
  void others_go_on(Instance& still, Nanos how_long);
  bool run_next(Instant until, bool with_fate);
  [[nodiscard]] Instant next_due(bool with_fate) const;
  void do_later();
  void run_any(bool with_fate);
  void wrong(std::string words);
  [[nodiscard]] std::string state_in_words();
  void happened(const std::string& what) { ++counts.happened[what]; }
  void check_everything();
  void check_lists();

  // world_operators.cpp: those who want to see every job at its end.
  void run_operators();
  void nudge_jobs(Instance& instance);
  void nudge_job(const AuditedJob& job);
  void look_after_pool(const AuditedJob& job);
  void run_again(const AuditedJob& job);

  // world_chaos.cpp
  void run_chaos();
  void after(std::uint64_t ms_min, std::uint64_t ms_max, std::function<void()> act);
  [[nodiscard]] std::size_t any_instance() { return random.below(instances_.size()); }
  void chaos_crash();
  void chaos_kill();
  void chaos_stop();
  void chaos_disk();
  void chaos_cancel();
  void chaos_pause();
  void chaos_service();
  void chaos_rate();
  void chaos_outage();
  void chaos_redis();
  void chaos_rival();
  void chaos_sleep();
  void chaos_clock();
  void chaos_key();

  WorldSettings settings_;
  TemporaryFolder folder_;
  ModelStore store_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::vector<Exporter> exporters_;
  std::vector<Later> later_;
  Instant chaos_due_{};
  Instant operators_due_{};
  Instant next_single_{};
  bool has_chaos_ = false;
  bool calm_ = false;
  std::string problem_;
};

}  // namespace vouch::test
