// daemon.hpp: everything the daemon is made of, put together in one place.
//
// Members stand in the order of dependence, lowest first: C++ builds them downwards and destroys
// them upwards, which is also the order of start and stop.  Nothing else makes a service, and
// nothing reaches for a global.
//
// Threads: main makes, starts and stops a Daemon; the table of threads stands in vouch(7).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "daemon/access/http_server.hpp"
#include "daemon/access/metrics_text.hpp"
#include "daemon/config.hpp"
#include "daemon/control.hpp"
#include "daemon/control_socket.hpp"
#include "daemon/data/ledger_file.hpp"
#include "daemon/data/outcome_spool.hpp"
#include "daemon/fault_mark.hpp"
#include "daemon/service/redis_coordination.hpp"

namespace vouch::daemon {

class Daemon {
 public:
  // Takes the lock, opens and migrates the ledger, checks the anchor, puts in doubt what a crash
  // left `sending`, binds the listener and reads the first snapshot.  No thread runs yet.
  [[nodiscard]] static Result<std::unique_ptr<Daemon>> open(const Config& config,
                                                            const Clock& clock, Random& random);
  ~Daemon();

  void start();
  // No new call from now on; readyz says no.
  void drain();
  // True when no call is out, nothing is ready, and the ledger, or once it has failed the spool,
  // holds every outcome.
  [[nodiscard]] bool drained() const;
  void reload() { control_->reload(); }
  // Of all downstreams: how long a call that is out may take.
  [[nodiscard]] Millis longest_timeout() const;
  [[nodiscard]] const data::Health& health() const { return health_; }
  // Grows with every round of the engine: the watchdog's evidence.
  [[nodiscard]] std::uint64_t engine_rounds() const { return engine_rounds_.load(); }
  [[nodiscard]] const data::LedgerWriter::Recovered& recovered() const { return recovered_; }
  // Stamps the lock file if every thread that moves jobs has gone round since the last stamp.
  void show_life();

 private:
  struct Opened {
    data::InstanceLock lock;
    FaultMark fault_mark;
    data::OutcomeSpool spool;
    store::Database ledger;
    data::LedgerReader intake_reader;
    data::LedgerReader control_reader;
    store::ControlStore control;
    std::string ledger_id;
    std::int64_t first_epoch = 0;
    data::LedgerReader socket_reader;
    store::ControlStore socket_control;
    std::string policy;
  };
  Daemon(const Config& config, const Clock& clock, Random& random, Opened opened);
  [[nodiscard]] Result<void> begin(const Config& config);
  [[nodiscard]] Result<void> listen(const Config& config);
  [[nodiscard]] Result<void> open_control_socket(const Config& config);
  [[nodiscard]] access::HttpResponse answer(const access::HttpRequest& request);
  [[nodiscard]] std::string readiness() const;
  void run_thread(const char* name, int nice, void (Daemon::*body)());
  void went_round(unsigned thread);
  void run_engine();
  void run_writer();
  void run_intake();
  void run_control();
  void run_http();
  void run_redis();
  [[nodiscard]] std::unique_ptr<service::RedisCoordination> make_redis(
      const Config& config, const std::string& ledger_id);
  void redis_turned(bool is_up, const std::string& why);
  [[nodiscard]] service::Coordination& coordination();
  void run_control_socket();

  const Clock& clock_;
  store::StorePaths paths_;
  data::InstanceLock lock_;
  FaultMark fault_mark_;
  data::OutcomeSpool spool_;
  store::Database ledger_file_;
  data::Health health_;
  data::SnapshotBoard board_;
  service::HttpDownstream downstream_;
  std::unique_ptr<wire::RedisConnection> redis_connection_;
  std::unique_ptr<service::RedisCoordination> redis_;  // null: locks in this process alone
  service::InProcessCoordination in_process_;
  data::ReadyQueue ready_;
  data::LedgerWriter writer_;
  service::Engine engine_;
  strategy::Intake intake_;
  Notifier notifier_;
  std::unique_ptr<Control> control_;
  ControlSocket control_socket_;
  access::HttpServer http_;
  bool listens_ = false;
  data::LedgerWriter::Recovered recovered_;
  std::int64_t started_at_ms_ = 0;

  std::atomic<bool> ready_to_serve_{false};
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> engine_rounds_{0};
  // One bit for each thread that has gone round since the last sign of life.
  enum : unsigned {
    kEngineWentRound = 1,
    kWriterWentRound = 2,
    kIntakeWentRound = 4,
    kControlWentRound = 8,
    kAllWentRound = 15
  };
  std::atomic<unsigned> went_round_{0};
  std::vector<std::thread> threads_;
};

}  // namespace vouch::daemon
