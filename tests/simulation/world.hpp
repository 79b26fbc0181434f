// world.hpp: the real daemon in a world of our own making.
//
// The bodies of intake, ledger writer and engine run in one thread, in an order drawn from the
// seed, with a clock that jumps to whatever is due next.  The ledger lies on a crash_vfs, the
// downstreams are models.  The world plays the part of control thread and operators, and of fate:
// it crashes, stops and starts the daemon, fails its disk and its downstreams.  The first thing
// that is wrong ends the run; problem() says what.
//
// Threads: one.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "daemon/data/ledger_messages.hpp"
#include "daemon/strategy/intake.hpp"
#include "tests/simulation/audit.hpp"
#include "tests/simulation/life.hpp"
#include "tests/simulation/model_service.hpp"
#include "tests/simulation/sample_lists.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/support/manual_clock.hpp"

namespace vouch::test {

// Each item has its own downstream; amounts stand in the list.
inline constexpr std::size_t kGift = 0;     // once per campaign: coupon, balance
inline constexpr std::size_t kPair = 1;     // once per job: two items on the coupon service
inline constexpr std::size_t kOrders = 2;   // once per order_no: balance
inline constexpr std::size_t kTraffic = 3;  // singles for healthy recipients: coupon, balance

// How often what happens, over a run; when all of it has happened, calm() follows.  Without any,
// nothing happens by itself.
struct Chaos {
  int crashes = 0;        // power cuts, at any moment or in the middle of a write
  int kills = 0;          // kill -9
  int disk_failures = 0;  // a write, sync or truncation fails, or the disk is full, for good
  int stops = 0;          // SIGTERM, then started again
  int pauses = 0;         // a job, for a while
  int cancels = 0;
  int service_pauses = 0;  // a downstream, for a while
  int rate_changes = 0;
  int outages = 0;
  int reruns = 0;
  int redis_troubles = 0;      // lost, silent, emptied, errors, rubbish; for a while
  int rivals = 0;              // somebody else has a lock, for a while
  int sleeps = 0;              // the process stands still for about as long as a lock lives
  bool setup_outages = false;  // wrong credentials for a while

  [[nodiscard]] bool none_left() const {
    return crashes + kills + disk_failures + stops + pauses + cancels + service_pauses +
               rate_changes + outages + redis_troubles + rivals + sleeps ==
           0;
  }
};

struct WorldSettings {
  service::EngineSettings engine{
      .retry = {.delay_first = Millis{100},
                .delay_max = Millis{3000},
                .setup_probe = Millis{2000},
                .query_apart = Millis{500}},
      .breaker = {.open_first = Millis{500}, .open_max = Millis{4000}, .probe_first = Millis{100}},
      .lock = {.life_min = Millis{3000}, .margin = Millis{500}},
      .idle_poll = Millis{100}};
  strategy::IntakeSettings intake{
      .poll = Millis{10}, .idle_poll = Millis{50}, .setup_probe = Millis{2000}};
  Millis timeout{1000};
  Millis key_lifetime{std::chrono::hours{1}};
  // Of the coupon and of the balance service.
  struct Contracted {
    plan::Contract contract = plan::Contract::key;
    bool asks = false;  // besides `query`, where it goes without saying
    Millis visible_after{0};
  };
  std::array<Contracted, 2> contracts{};
  // A call that is late arrives at most three times its timeout after that; what it does is seen
  // later still.
  [[nodiscard]] Millis settle_time(const Contracted& of) const {
    return 3 * timeout + of.visible_after;
  }
  double limit = 400;  // calls per second of each downstream
  Millis control_poll{50};
  bool redis = false;  // locks through a Redis
  Chaos chaos;
};

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
  ObjectId id = 0;  // given by submit()
};

class World {
 public:
  World(std::uint64_t seed, const WorldSettings& settings);
  ~World();

  // --- what operators do; carried out by the next rounds of the daemon.
  ObjectId submit(JobSpec spec);
  void change(ObjectId job, data::JobAction action, bool settle_by_repeat = false);
  void issue(std::size_t campaign, const std::string& recipient_id);
  void pause_service(std::size_t which, bool paused);
  void set_limit(std::size_t which, double limit);
  // A new version of its definition.
  void set_url(std::size_t which, std::string url);
  void set_contract(std::size_t which, plan::Contract contract);
  void accept_older_ledger();  // and a restart

  // --- what fate does.
  void crash(Survival survival = Survival::by_chance);  // a power cut, and a restart
  void kill();                                          // kill -9, and a restart
  void stop();                                          // SIGTERM, and a restart
  void stand_still(Nanos how_long);                     // the process; calls that are out go on
  void mend_store();  // after a failure of the store: the disk is well again, and a restart
  void calm();        // no more chaos; everything that is paused or cancelled half goes on

  // --- time.
  void step();
  // Steps until `done` holds, the run is wrong, or too much has happened.
  bool run_until(const std::function<bool()>& done, int steps_max = 200'000);
  void run_for(Millis how_long);
  // Every command is answered and every job over, or unsettled with nothing that can be done.
  [[nodiscard]] bool settled();
  // settled(), then time for whatever is still on its way, then the last checks.
  bool finish();

  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] AuditedJob job(ObjectId id);
  [[nodiscard]] std::string answer_of(ObjectId job) const;  // of the job's last command
  [[nodiscard]] Audit& audit() { return *audit_; }
  // The contract of the downstream that a campaign's item goes to.
  [[nodiscard]] plan::Contract contract_of(ObjectId campaign, std::size_t item) const;
  // Rows in a state whose downstream has this contract.
  [[nodiscard]] std::int64_t count(IssuanceState state, plan::Contract contract);
  [[nodiscard]] Life& life() { return *life_; }
  [[nodiscard]] bool store_ok() const { return life_->health.store_ok(); }

  ManualClock clock;
  SeededRandom random;
  CrashVfs vfs;
  ModelService coupons;
  ModelService balances;
  ModelRedis redis{clock};
  bool restarts_by_itself = true;  // after a failure of its store
  bool other_traffic = false;      // a single every second, until all jobs are over

  struct Counts {
    int lives = 0;
    int recovered = 0;  // rows put in doubt by recoveries
    std::int64_t steps = 0;
    std::int64_t commits = 0;
    std::map<std::string, int> happened;
  };
  Counts counts;

 private:
  enum Actor : std::size_t { writer, intake, engine, control, locks, chaos, kActors };
  struct Command {
    std::int64_t id = 0;
    std::variant<data::SubmitJob, data::ChangeJob, strategy::SingleRequest> what;
    ObjectId job = 0;
    bool given = false;  // to the present life
    std::string answer;
  };
  // A promise to undo something.
  struct Later {
    Instant at;
    std::function<void()> act;
  };

  // world.cpp: lives, steps, checks.
  void start_life();
  [[nodiscard]] Result<void> try_life();
  void end_life();
  std::string may_leave(const wire::HttpCall& call);
  void check_survivors();
  void check_uncertain();
  void check_commit();
  void check_everything();
  void check_lists();
  void let_time_pass(Nanos how_much);
  void run(Actor actor);
  void run_writer();
  void run_engine();
  [[nodiscard]] Instant due_of(Actor actor) const;
  void wake(Actor actor);
  void wrong(std::string words);
  [[nodiscard]] std::string state_in_words();
  void happened(const std::string& what) { ++counts.happened[what]; }

  // world_control.cpp: the part of the control thread, and operators who mean well.
  void define();
  void run_control();
  void take_answers();
  void give_commands();
  void nudge_jobs();
  [[nodiscard]] std::shared_ptr<const data::Snapshot> snapshot(
      const std::vector<data::JobRecord>& jobs);
  [[nodiscard]] data::JobNow job_now(std::size_t campaign) const;
  void redefine(std::size_t which, const std::function<void(plan::Downstream&)>& change);
  [[nodiscard]] const JobSpec* spec_of(ObjectId job) const;
  [[nodiscard]] bool has_open_command(ObjectId job) const;
  std::int64_t add_command(Command command);

  // world_chaos.cpp
  void run_chaos();
  void chaos_crash();
  void chaos_disk();
  void chaos_job(bool cancel);
  void chaos_service();
  void chaos_rate();
  void chaos_outage();

  // world_locks.cpp
  void chaos_redis();
  void chaos_rival();
  void chaos_sleep();
  void sleep_before_a_call();
  [[nodiscard]] Nanos a_long_sleep();
  [[nodiscard]] bool locks_can_be_told() const;
  [[nodiscard]] std::optional<std::string> lock_of(const std::string& request_id);
  void check_lock(const std::string& request_id, const WorldSettings::Contracted& of);
  void check_locks_of_calls();

  WorldSettings settings_;
  std::vector<std::shared_ptr<const plan::Campaign>> campaigns_;
  std::vector<ObjectId> campaign_ids_;
  std::vector<data::DownstreamNow> downstreams_;
  std::vector<JobSpec> specs_;
  std::vector<Command> commands_;
  std::vector<Later> later_;

  std::unique_ptr<Life> life_;
  std::unique_ptr<Audit> audit_;
  std::array<Instant, kActors> due_{};
  int idle_rounds_ = 0;  // of the engine, in a row, that were due at once for nothing
  Instant locks_ran_at_{};
  Instant awake_since_{};
  std::set<std::string> out_;      // request ids of calls that are out
  std::set<std::string> asked_;    // of queries
  std::set<std::string> ended_;    // taken by the engine, not yet known to be recorded
  int taken_back_ = 0;             // likewise
  int doubtful_max_ = 0;           // how many rows a restart may put in doubt
  std::int64_t last_event_ = 0;    // as the ledger had it after the last commit
  std::int64_t rows_planned_ = 0;  // likewise
  std::int64_t serial_ = 0;
  std::vector<data::JobRecord> known_jobs_;
  bool definitions_changed_ = true;
  Instant next_single_{};
  Instant next_nudge_{};
  bool has_chaos_ = false;
  bool calm_ = false;
  bool draining_ = false;
  bool disk_is_broken_ = false;  // a fault may strike
  std::optional<Instant> dying_until_;
  std::string problem_;
};

}  // namespace vouch::test
