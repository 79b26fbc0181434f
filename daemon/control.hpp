// control.hpp: the thread between the control store and the rest.
//
// Five times a second it looks whether the store, the stop file or a job's state has changed; if
// so it hands everyone a new snapshot.  It takes commands in order, has each carried out
// (command_desk.hpp), and writes the answers back.  When the store is busy it keeps what it has and
// tries again: issuing never waits for it.
//
// Threads: run_once() on the control thread.
// Errors:  are reported in the log and met again in the next round.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/store/control_store.hpp"
#include "daemon/command_desk.hpp"
#include "daemon/data/ledger_file.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/definitions.hpp"
#include "daemon/failure_watch.hpp"
#include "daemon/lane_watch.hpp"
#include "daemon/notices.hpp"
#include "daemon/notifier.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/strategy/intake.hpp"
#include "daemon/submissions.hpp"

namespace vouch::daemon {

class Control {
 public:
  struct Parts {
    data::LedgerWriter& writer;
    data::SnapshotBoard& board;
    service::Engine& engine;
    strategy::Intake& intake;
    Notifier& notifier;
    const Clock& clock;
  };

  // `policy`: the one in force (common/policy.hpp).
  Control(store::ControlStore control, data::LedgerReader reader, store::StorePaths paths,
          std::string instance, std::string anchor_file, std::string ledger_id, std::string policy,
          Parts parts);

  // The first snapshot; before the threads start.
  [[nodiscard]] Result<void> begin();
  // The anchor, as far as the ledger; after the threads have ended.
  void end();
  Instant run_once(Instant now);
  // Read definitions and secrets again at the next round (SIGHUP).
  void reload() { reload_ = true; }

 private:
  [[nodiscard]] Result<void> round(Instant now);
  [[nodiscard]] Result<void> refresh(bool force);
  [[nodiscard]] Result<void> take_commands();
  void tell_older_copy();
  [[nodiscard]] Result<void> write_answers();
  [[nodiscard]] Result<void> anchor(Instant now);
  [[nodiscard]] Result<void> notice_changes(const std::vector<data::JobRecord>& jobs);
  [[nodiscard]] Result<void> notice_short_jobs(std::int64_t last,
                                               const std::vector<data::JobRecord>& jobs);
  [[nodiscard]] Result<void> notice_troubles(Instant now);
  [[nodiscard]] Result<void> notice_exports(const data::JobRecord& job,
                                            const data::StateCounts& totals);
  [[nodiscard]] Result<void> notice_pools();

  store::ControlStore control_;
  data::LedgerReader reader_;
  store::StorePaths paths_;
  std::string instance_;
  std::string anchor_file_;
  std::string ledger_id_;
  Parts parts_;

  Definitions definitions_;
  Submissions submissions_;
  CommandDesk desk_;
  std::vector<data::JobRecord> jobs_;  // as the last snapshot has them
  std::int64_t data_version_ = -1;
  std::int64_t serial_ = 0;
  std::int64_t last_command_ = 0;
  std::int64_t last_job_ = 0;                 // of the ledger: those up to it were seen
  std::vector<data::CommandAnswer> answers_;  // durable in the ledger, not yet in the store
  std::int64_t anchored_event_ = -1;
  Instant next_anchor_{};
  Instant next_bearers_{};
  std::atomic<bool> reload_{false};
  Notices notices_;
  LaneWatch lane_watch_;
  FailureWatch failure_watch_;
  Instant next_troubles_{};
};

}  // namespace vouch::daemon
