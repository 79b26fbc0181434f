// intake.hpp: the one way for an issuance to be born, and the way back for those that are due.
//
// For each job in turn: start it when its time has come, end its open rows when it was cancelled
// or its deadline passed, send again what is due, and plan the next page of its list; as many
// rows as the ready queue has room for, so that no more is `sending` than is about to be called.
//
// A page and its cursor are written in one transaction: a stop loses nothing and plans nothing
// twice.  At most one message of each sort per job is under way, so that the ledger that is read
// already holds what was asked before.
//
// Threads: run_once() on the intake thread; issue() and wake() from any.
// Errors:  of a list or of the ledger's reader: the job is left alone and the error is reported
//          through problems().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/store/sealed_list.hpp"
#include "daemon/data/code_shelf.hpp"
#include "daemon/data/health.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/data/ready_queue.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/strategy/intent_maker.hpp"
#include "daemon/strategy/lease_book.hpp"

namespace vouch::strategy {

struct IntakeSettings {
  Millis poll{5};  // while there is work
  Millis idle_poll{50};
  Millis setup_probe{60'000};  // distance of probes of a job that is paused for setup
  Millis ready_for{20};        // the ready queue holds this much of the rate, at least
  LeaseSettings leases{};
};

// A single issuance, resolved by the control thread.
struct SingleRequest {
  data::CommandName command = {};
  data::JobNow job;  // of kind single; number 0 when there is none yet
  RecipientKey recipient{};
  std::uint64_t occurrence = 0;
  std::string recipient_id;
  std::map<std::string, std::int64_t> amounts;         // minor units, by column
  std::map<std::string, std::string> attributes = {};  // by column
};

class Intake {
 public:
  // Opens a sealed list by its digest.
  using OpenList = std::function<Result<store::SealedList>(const std::string& digest)>;

  Intake(data::LedgerReader reader, data::LedgerWriter& writer, data::ReadyQueue& ready,
         const data::SnapshotBoard& board, const data::Health& health, const Clock& clock,
         service::Coordination& coordination, OpenList open_list, IntakeSettings settings,
         data::CodeShelf shelf = {});

  // Returns when the next round is due.
  Instant run_once(Instant now);
  void wait_until(Instant until);
  void wake();

  void issue(SingleRequest request);
  // What kept a job from being planned, by job id; empty when nothing does.
  [[nodiscard]] std::map<ObjectId, std::string> problems() const;

 private:
  // What rows do in the ready queue; each sort has room of its own.
  enum class RowSort { fresh, again, asks };
  // Room for rows that are due, by downstream, and which of them are worth looking at.
  struct DueRooms {
    std::map<ObjectId, int> calls;
    std::map<ObjectId, int> queries;
    data::DueWanted wanted;
    bool any = false;  // the job has something to do with rows that are due
  };
  // What a job that is paused for setup is probed with: rows that met it, or the others.
  enum class Probe { none, setup_rows, other_rows };
  // What is kept of a job between rounds.
  struct Plan {
    bool loaded = false;
    std::unique_ptr<store::SealedList> list;
    std::vector<store::ListRange> ranges;
    std::optional<IntentMaker> maker;
    std::vector<std::string> amount_columns;
    std::int32_t range = -1;  // being planned; -1: all are
    std::string cursor;       // RowKey bytes; empty: at the range's start
    std::map<std::int32_t, bool> done;
    std::map<std::int32_t, std::string> begun;  // cursors of other ranges that are not done
    std::optional<std::int64_t> pilot_left;
    std::int64_t replans = 0;        // of the job, when the cursors were read
    std::uint64_t due_ticket = 0;    // of the last message that changed due rows
    std::uint64_t state_ticket = 0;  // of the last message that changes the job
    Instant probe_at{};
    int probes = 0;
    Instant look_at{};  // when due rows are looked for again
  };

  bool step(const data::JobNow& job, Instant now);
  [[nodiscard]] Result<bool> work(const data::JobNow& job, Plan& plan, Instant now);
  [[nodiscard]] Result<bool> look_after_paused(const data::JobNow& job, Plan& plan, Instant now);
  [[nodiscard]] Result<void> load(const data::JobNow& job, Plan& plan);
  [[nodiscard]] Result<bool> end_open_rows(const data::JobNow& job, Plan& plan, IssuanceState to);
  [[nodiscard]] Result<bool> fits_templates(const data::JobNow& job, Plan& plan);
  [[nodiscard]] Result<bool> probe(const data::JobNow& job, Plan& plan, Instant now);
  // The downstream whose set-up is wrong; 0 when no row that is due tells.
  [[nodiscard]] Result<ObjectId> troubled(const data::JobNow& job);
  [[nodiscard]] Result<bool> send_due(const data::JobNow& job, Plan& plan, Instant now,
                                      Probe kind = Probe::none);
  [[nodiscard]] DueRooms due_rooms(const data::JobNow& job, const Plan& plan, bool probe,
                                   ObjectId only) const;
  [[nodiscard]] Result<bool> take_due(const data::JobNow& job, Plan& plan, const data::DueRow& row,
                                      bool probe, DueRooms& rooms, data::SendAgain& message);
  // False while it is not held.
  [[nodiscard]] bool give_lease(const data::JobNow& job, data::Intent& intent, int& left);
  bool hold(Plan& plan, data::Intent intent, std::string why);
  [[nodiscard]] bool wants_asking(const data::JobNow& job, const data::Intent& query,
                                  const data::DueRow& row) const;
  [[nodiscard]] bool asked_too_long(const data::Intent& query, const data::DueRow& row) const;
  // Why a row must be held instead; empty when it may be sent.
  [[nodiscard]] std::string may_not_repeat(const data::JobNow& job, const data::Intent& intent,
                                           const data::DueRow& row) const;
  [[nodiscard]] static Result<std::span<const store::SealedRow>> next_rows(Plan& plan, int rows);
  [[nodiscard]] data::PlanPage page_of(const data::JobNow& job, Plan& plan,
                                       std::span<const store::SealedRow> rows,
                                       IssuanceState state) const;
  [[nodiscard]] Result<bool> plan_page(const data::JobNow& job, Plan& plan, IssuanceState state,
                                       bool probe = false);
  [[nodiscard]] Result<std::optional<data::Intent>> again(const data::JobNow& job, Plan& plan,
                                                          const data::DueRow& row);
  [[nodiscard]] Result<std::optional<data::Intent>> single_again(const data::JobNow& job,
                                                                 const data::DueRow& row);
  // The code that the row has already.  False when it cannot be read now: the job is paused.
  [[nodiscard]] Result<bool> fill_code(const data::JobNow& job, Plan& plan, const data::DueRow& row,
                                       data::Intent& intent);
  void next_range(const data::JobNow& job, Plan& plan);
  void go_to_range(Plan& plan, std::int32_t range);
  // The first range at or behind `from` that is not done and that nobody else has; -1: none.
  [[nodiscard]] std::int32_t free_range(const data::JobNow& job, const Plan& plan,
                                        std::int32_t from) const;
  // The lease of the range that is being planned, and of the one that comes next; null, and maybe
  // another range's turn, while it is not held.
  [[nodiscard]] data::LeasePtr lease_of_page(const data::JobNow& job, Plan& plan);
  void plan_singles();
  [[nodiscard]] Result<data::IssueSingle> make_single(const SingleRequest& request) const;
  [[nodiscard]] std::optional<data::ReadyRows> lock_single(const data::JobNow& job,
                                                           std::vector<data::Intent>& intents);
  [[nodiscard]] bool has_room(const SingleRequest& request) const;
  [[nodiscard]] int room(const data::JobNow& job, const Plan& plan, ObjectId downstream,
                         RowSort sort) const;
  // Whether rows of the job's list are still to be planned, and may be.
  [[nodiscard]] static bool plans_on(const data::JobNow& job, const Plan& plan);
  // Rows of a page whose every item has room in its downstream's ready queue.
  [[nodiscard]] int page_room(const data::JobNow& job, const Plan& plan) const;
  [[nodiscard]] bool reserve_calls(std::vector<data::Intent>& intents, const data::LeasePtr& lease,
                                   bool probe);
  [[nodiscard]] bool knows_downstreams(const data::JobNow& job) const;
  [[nodiscard]] int depth_wanted(ObjectId downstream) const;
  [[nodiscard]] bool is_uncertain(ObjectId downstream) const;
  void note(ObjectId job, std::string problem);

  data::LedgerReader reader_;
  data::LedgerWriter& writer_;
  data::ReadyQueue& ready_;
  const data::SnapshotBoard& board_;
  const data::Health& health_;
  const Clock& clock_;
  OpenList open_list_;
  IntakeSettings settings_;
  LeaseBook leases_;
  data::CodeShelf shelf_;

  std::shared_ptr<const data::Snapshot> snapshot_;
  std::map<std::int64_t, Plan> plans_;
  std::uint64_t page_ticket_ = 0;    // of the last page of any job
  std::map<ObjectId, int> jobs_on_;  // running jobs by downstream: they share its ready queue

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;                        // guarded by mutex_
  std::vector<SingleRequest> singles_;        // guarded by mutex_
  std::map<ObjectId, std::string> problems_;  // guarded by mutex_
};

}  // namespace vouch::strategy
