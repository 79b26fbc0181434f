// instance.hpp: one vouchd of the world: its machine, its ledger and its lives.
//
// The bodies of its threads run one at a time, when the world says so.  It crashes, stops and
// starts again on a disk of its own, and is watched at every call, commit and start.  While it
// stands still, or is down, the others go on.
//
// Threads: the simulation's only one.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/audit.hpp"
#include "tests/simulation/life.hpp"
#include "tests/simulation/model_store.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/support/manual_clock.hpp"

namespace vouch::test {

struct Counts {
  int lives = 0;
  int recovered = 0;  // rows put in doubt by recoveries
  std::int64_t steps = 0;
  std::int64_t commits = 0;
  std::map<std::string, int> happened;
};

class Instance {
 public:
  enum Actor : std::size_t { writer, intake, engine, control, locks, kActors };
  // What it finds around it.
  struct Surroundings {
    ManualClock& clock;
    Random& random;
    const WorldSettings& settings;
    ModelStore& store;
    std::array<ModelService*, 2> services;
    ModelRedis& redis;
    std::string pool_key;
    Counts& counts;
    std::function<void(std::string)> wrong;
    std::function<bool()> is_wrong;
    // Until it stands still no more.
    std::function<void(Instance&, Nanos)> others_go_on;
  };
  Instance(const Surroundings& around, std::size_t number);
  ~Instance();

  // --- what fate does.
  void start();
  void crash(Survival survival = Survival::by_chance);  // a power cut, and a restart
  void kill();                                          // kill -9, and a restart
  void drain();                                         // SIGTERM
  [[nodiscard]] bool is_drained() const { return life_->engine.drained() && life_->writer.idle(); }
  void restart_after_stop();
  void fail_disk(const FaultRule& rule);
  void mend_store();  // after a failure of the store: the disk is well again, and a restart
  void stand_still(Nanos how_long);  // calls that are out go on
  void fall_asleep();                // stands still for about as long as a lock lives
  // A machine with a copy of another's ledger; nothing is started.
  void clone_from(Instance& original);
  // Whatever may have been done since its last event, its ledger does not know of it: that is
  // accepted, and vouchd starts again.
  void accept_older_ledger();
  // Jobs that wait for people since the ledger is an older copy go on: as `vouchctl job resume`,
  // which a copy of the whole machine takes from a control store of its own.
  void resume_older();
  // vouchd --accept-older-ledger on a copy, against the anchor that the original has written.
  [[nodiscard]] Result<void> accept_older(const data::Anchor& anchor);
  [[nodiscard]] data::Anchor anchor();  // as the control thread writes it

  // --- time.
  [[nodiscard]] Instant due() const;
  [[nodiscard]] bool is_due(Actor actor) const { return due_of(actor) <= around_.clock.now(); }
  void run(Actor actor);
  // Hands the ledger writer a message, as the control socket does; returns its ticket.
  std::uint64_t write(data::LedgerMessage message);
  // Mends what has died for lack of a store, when its time has come; true when it did.
  bool mend_when_due();

  // False only after a run that went wrong while it was down.
  [[nodiscard]] bool is_up() const { return audit_ != nullptr; }
  [[nodiscard]] Audit& audit() { return *audit_; }
  [[nodiscard]] Life& life() { return *life_; }
  [[nodiscard]] bool store_ok() const { return life_->health.store_ok(); }
  [[nodiscard]] int lives() const { return lives_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  void check_everything(Audit::Journal& journal);
  [[nodiscard]] std::string state_in_words();

  CrashVfs vfs;
  bool restarts_by_itself = true;  // after a failure of its store
  bool stands_still = false;
  bool draining = false;
  bool calm = false;  // nothing befalls it any more

 private:
  // instance.cpp
  [[nodiscard]] Result<void> try_life();
  [[nodiscard]] Result<void> check_clock();
  [[nodiscard]] Result<void> accept_older(store::Database& ledger);
  void submit_lost_jobs();
  [[nodiscard]] Life::Outside outside();
  void begin_life();
  void end_life();
  void be_down(Nanos how_long);
  [[nodiscard]] Instant due_of(Actor actor) const;
  void wake(Actor actor);
  void run_writer();
  void run_engine();
  void run_control();
  void take_answers();
  void give_commands();
  void give(ModelStore::Command& command);

  // instance_checks.cpp
  std::string may_leave(const wire::HttpCall& call);
  void call_ended(const std::string& request_id, bool asks);
  void sleep_before_a_call();
  [[nodiscard]] Nanos a_long_sleep();
  [[nodiscard]] const WorldSettings::Contracted& contracted(const wire::HttpCall& call) const;
  [[nodiscard]] bool locks_can_be_told() const;
  [[nodiscard]] bool is_ours(const std::optional<std::string>& token) const;
  [[nodiscard]] std::string lock_of(const std::string& request_id, const Audit::Range& range);
  void check_lock(const std::string& request_id, const WorldSettings::Contracted& of);
  void check_lock_in_redis(const std::string& request_id, const Audit::Range& range,
                           const WorldSettings::Contracted& of);
  void check_locks_of_calls();
  void check_survivors();
  void check_uncertain();
  void check_commit();
  void check_files();
  void expect(const std::optional<std::string>& wrong);

  Surroundings around_;
  std::size_t number_;
  std::string name_;
  std::unique_ptr<Life> life_;
  std::unique_ptr<Audit> audit_;
  Seen seen_;
  std::array<Instant, kActors> due_{};
  int lives_ = 0;
  int idle_rounds_ = 0;  // of the engine, in a row, that were due at once for nothing
  Instant locks_ran_at_{};
  Instant awake_since_{};
  std::set<std::string> out_;    // request ids of calls that are out
  std::set<std::string> asked_;  // of queries
  std::set<std::string> ended_;  // taken by the engine, not yet known to be recorded
  int taken_back_ = 0;           // likewise
  int doubtful_max_ = 0;         // how many rows a restart may put in doubt
  std::int64_t commits_ = 0;
  std::int64_t serial_ = 0;
  std::int64_t store_version_ = -1;
  std::vector<data::JobRecord> known_jobs_;
  bool disk_is_broken_ = false;  // a fault may strike
  std::optional<Instant> dying_until_;
};

}  // namespace vouch::test
