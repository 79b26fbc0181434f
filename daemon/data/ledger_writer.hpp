// ledger_writer.hpp: the one connection that writes the ledger, and its group commits.
//
// Everyone's writes of a moment go into one transaction with one fsync; only then do rows reach
// the ready queue and commands their answers.  Intents are waited for, so a group with intents
// commits at once; outcomes alone wait up to kOutcomeDelay for company.
//
// The first error of the store ends writing for good: the transaction is undone, Health says so,
// the engine starts no more calls, and a restart recovers from what is durable.  How the calls that
// were out have ended goes into the spool, which the restart settles from.
//
// Threads: push(), committed() and take_answers() from any; run_once() from the ledger thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/store/database.hpp"
#include "daemon/data/event_log.hpp"
#include "daemon/data/health.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/ledger_messages.hpp"
#include "daemon/data/outcome_spool.hpp"
#include "daemon/data/ready_queue.hpp"

namespace vouch::data {

inline constexpr Millis kOutcomeDelay{10};
// Messages of one group.  Their rows are bounded by what can be in flight and ready.
inline constexpr std::size_t kGroupMessagesMax = 4096;
inline constexpr int kEndRowsPage = 1000;
// The WAL is copied into the database after about this many rows, off the committing moment.
inline constexpr std::int64_t kCheckpointRows = 5000;

class LedgerWriter {
 public:
  LedgerWriter(store::Database& database, ReadyQueue& ready, Health& health, const Clock& clock,
               CodeShelf shelf = {});

  // Reads what earlier runs left: settles what the spool knows, and puts every other row that was
  // `sending` in doubt.  Before the threads start.  The spool may be null, and must outlive this.
  struct Recovered {
    int settled = 0;   // from the spool
    int in_doubt = 0;  // or held, those whose calls were out at three faults of the program
  };
  [[nodiscard]] Result<Recovered> load_and_recover(OutcomeSpool* spool, bool after_fault);

  // Returns the message's ticket: once committed() has reached it, its effect is durable.
  std::uint64_t push(LedgerMessage message);
  [[nodiscard]] std::uint64_t committed() const {
    return committed_.load(std::memory_order_acquire);
  }
  // Answers that are durable and have not been taken yet.
  [[nodiscard]] std::vector<CommandAnswer> take_answers();
  [[nodiscard]] std::uint64_t commits() const { return commits_.load(std::memory_order_relaxed); }
  [[nodiscard]] Nanos slowest_commit() const {
    return Nanos{slowest_commit_.load(std::memory_order_relaxed)};
  }
  [[nodiscard]] std::size_t queued() const;
  // Everything that was pushed is durable; once the ledger has failed, in the spool.
  [[nodiscard]] bool idle() const;

  // One group.  Returns when the next is due; push() may wake the thread sooner.
  Instant run_once(Instant now);
  // Sleeps until `until` or until something is pushed.
  void wait_until(Instant until);
  void wake();

 private:
  [[nodiscard]] std::vector<LedgerMessage> take_group();
  [[nodiscard]] Result<void> write_group(std::vector<LedgerMessage>& group);
  [[nodiscard]] Result<int> settle_spooled();
  // After a failure: what the group knows of calls, and nothing else.
  void spool(std::vector<LedgerMessage>& group);
  void publish_group();

  [[nodiscard]] Result<void> apply(PlanPage& page);
  [[nodiscard]] Result<void> apply(ClaimRange& message);
  [[nodiscard]] Result<void> apply(SendAgain& message);
  [[nodiscard]] Result<void> apply(HoldRow& message);
  [[nodiscard]] Result<void> apply(AttemptsEnded& message);
  [[nodiscard]] Result<void> apply(EndOpenRows& message);
  [[nodiscard]] Result<void> apply(GatherRerun& message);
  [[nodiscard]] Result<void> apply(SubmitJob& message);
  [[nodiscard]] Result<void> apply(LostJobsBack& message);
  [[nodiscard]] Result<void> apply(ChangeJob& message);
  [[nodiscard]] Result<void> apply(IssueSingle& message);
  [[nodiscard]] Result<void> apply(SettleByStatement& message);
  [[nodiscard]] Result<void> apply(CloseJob& message);
  [[nodiscard]] Result<void> apply(DownstreamChange& message);
  [[nodiscard]] Result<void> apply(CoordinationTurned& message);
  [[nodiscard]] Result<void> apply(Note& message);
  [[nodiscard]] Result<void> apply(DraftProposal& message);
  [[nodiscard]] Result<void> apply(AddProposedRows& message);
  [[nodiscard]] Result<void> apply(OpenProposal& message);
  [[nodiscard]] Result<void> apply(DecideProposal& message);
  [[nodiscard]] Result<void> apply(ProposalPage& message);
  [[nodiscard]] Result<void> apply(TakeForExport& message);
  [[nodiscard]] Result<void> apply(ConfirmExport& message);
  // Durable with the effect; passed on after the commit.
  [[nodiscard]] Result<void> answer(const CommandName& command, std::string text);
  // True when an earlier run has applied it: its answer is passed on again.
  [[nodiscard]] Result<bool> already_applied(const CommandName& command);
  void drop(const std::vector<Intent>& intents);  // reserved, and not coming
  [[nodiscard]] Result<bool> send_with_code(JobRecord& job, Intent& intent);
  // A job that cannot take a code waits for people.
  [[nodiscard]] Result<void> pause_for_pool(JobRecord& job, const std::string& why);

  store::Database& database_;
  ReadyQueue& ready_;
  Health& health_;
  const Clock& clock_;
  EventLog events_;
  JobBook jobs_;
  PoolBook pools_;
  CodeShelf shelf_;
  IssuanceLedger ledger_;
  OutcomeSpool* spool_ = nullptr;
  ProposalBook proposals_;

  // Of the group being written.
  WallTime now_;
  std::vector<Intent> started_;
  std::vector<CommandAnswer> answers_;
  std::int64_t rows_since_checkpoint_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;                   // guarded by mutex_
  std::vector<LedgerMessage> queue_;     // guarded by mutex_
  bool urgent_ = false;                  // guarded by mutex_: something waits for this commit
  Instant oldest_{};                     // guarded by mutex_: of queue_
  std::uint64_t pushed_ = 0;             // guarded by mutex_
  std::vector<CommandAnswer> answered_;  // guarded by mutex_
  std::uint64_t taken_ = 0;              // ledger thread: ticket of the last message taken
  std::atomic<std::uint64_t> committed_{0};
  std::atomic<std::uint64_t> spooled_{0};  // counts once the ledger has failed
  std::atomic<std::uint64_t> commits_{0};
  std::atomic<std::int64_t> slowest_commit_{0};
};

}  // namespace vouch::data
