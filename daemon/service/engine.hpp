// engine.hpp: the loop that calls.
//
// A round: settle what came back, take what has become ready, take back what may no longer start,
// start what the pacers permit.  Rows here are durable as `sending` already; the permit is taken
// at the start of the call.  Never touches SQLite, never blocks, never acts in a callback.
//
// Threads: run_once() on the engine thread; view(), test() and drain() from any.
// Errors:  none go out: every call ends as an AttemptEnd for the ledger writer.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "daemon/data/health.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/ready_queue.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/service/coordination.hpp"
#include "daemon/service/downstream.hpp"
#include "daemon/service/lane.hpp"
#include "daemon/service/retry_policy.hpp"

namespace vouch::service {

struct EngineSettings {
  RetrySettings retry;
  BreakerSettings breaker;
  LockSettings lock{};
  int calls_max = 1024;   // in flight, over all downstreams
  Millis idle_poll{100};  // a round at least this often: pauses and stops are seen by then
};

// `downstream test`: one GET that tells whether name, address, TLS and credentials are right.
struct TestCall {
  data::CommandName command = {};
  ObjectId downstream = 0;
};

class Engine {
 public:
  Engine(Downstream& downstream, data::ReadyQueue& ready, data::LedgerWriter& writer,
         const data::SnapshotBoard& board, data::Health& health, const Clock& clock, Random& random,
         EngineSettings settings);

  // Returns when the next round is due; an answer, a wake or a push may come sooner.
  Instant run_once(Instant now);

  // Starts no more calls; what is ready is taken back, what is out is awaited.
  void drain() {
    ready_.close();  // intake asks for no more rows
    draining_.store(true, std::memory_order_release);
  }
  // True once nothing is out and nothing is ready.
  [[nodiscard]] bool drained() const { return drained_.load(std::memory_order_acquire); }

  void test(TestCall call);
  // A copy of how each downstream fares.
  [[nodiscard]] std::vector<LaneView> view() const;

 private:
  static constexpr std::string_view kStale =
      "its lock was not sure to hold for as long as a call may take";

  struct Call {
    std::vector<data::Intent> intents;    // several where the downstream takes batches
    data::CommandName test_command = {};  // not 0: a test call, without intents
    ObjectId downstream = 0;
    WallTime started_at{};
    int breaker_round = 0;
    bool used = false;
    bool stopped = false;  // by the guard, before its first byte
  };

  void watch_clock(Instant now);
  void follow_snapshot(Instant now);
  void settle_ended(Instant now);
  void settle(Call call, const wire::HttpEnd& end, Instant now);
  [[nodiscard]] static data::AttemptEnd end_of(Call& call, std::size_t row,
                                               const wire::HttpEnd& end, WallTime at);
  static void tell_breaker(Breaker& breaker, const Call& call, std::span<const Judgement> judged,
                           Instant now);
  void settle_test(const Call& call, const wire::HttpEnd& end);
  void note_setup(const data::AttemptEnd& end, Outcome outcome, Instant now);
  void forget_setups(Instant now);
  void take_ready();
  void take_back_forbidden(Instant now);
  void start_tests(Instant now);
  void start_queries(Lane& lane, Instant now);
  void start_calls(Lane& lane, Instant now);
  void give_back(Lane& lane, data::Intent intent, std::string_view why, WallTime now);
  struct Moment {
    Instant now;
    WallTime wall;
  };
  [[nodiscard]] bool may_start(Lane& lane, data::Intent& intent, const Moment& at);
  void start(Lane& lane, std::vector<data::Intent> intents, Instant now);
  [[nodiscard]] std::string forbidden(const data::Intent& intent, const Moment& at) const;
  [[nodiscard]] bool is_stale(const data::Intent& intent, Instant now) const;
  // The last word before a call's first byte.
  [[nodiscard]] std::string guard(std::uint64_t tag);
  void settle_stopped(Call call);
  void push_outcomes();
  void publish_view(Instant now);
  [[nodiscard]] Instant next_due(Instant now) const;
  [[nodiscard]] Lane* lane_of(ObjectId downstream);
  std::uint64_t keep(Call call);

  Downstream& downstream_;
  data::ReadyQueue& ready_;
  data::LedgerWriter& writer_;
  const data::SnapshotBoard& board_;
  data::Health& health_;
  const Clock& clock_;
  Random& random_;
  EngineSettings settings_;

  std::shared_ptr<const data::Snapshot> snapshot_;
  Nanos wall_ahead_;           // of the clock that never jumps
  WallTime clock_good_since_;  // our start, or the wall clock's last jump
  std::map<ObjectId, Lane> lanes_;
  ReplyJudge judge_;
  std::vector<Call> calls_;  // by tag
  std::vector<std::uint64_t> free_tags_;
  int in_flight_ = 0;
  std::vector<wire::HttpEnd> ended_;
  std::vector<data::Intent> taken_;
  std::vector<data::AttemptEnd> outcomes_;
  data::ReadyRows released_;
  // Jobs that met a wrong set-up.
  struct WrongSetup {
    Instant since;
    ObjectId downstream = 0;
    bool seen_paused = false;  // in a snapshot
  };
  std::map<std::int64_t, WrongSetup> setup_jobs_;
  Instant next_sweep_{};
  Instant next_publish_{};

  std::atomic<bool> draining_{false};
  std::atomic<bool> drained_{false};
  mutable std::mutex mutex_;
  std::vector<TestCall> tests_;  // guarded by mutex_
  std::vector<LaneView> views_;  // guarded by mutex_
};

}  // namespace vouch::service
