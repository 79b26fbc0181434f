// ready_queue.hpp: rows that are durable as `sending` and not yet started.
//
// Between the ledger writer, which fills it after each commit, and the engine, which empties it.
// Intake reserves room before it asks for a row, so that the queue's depth, rows still in the
// writer included, never exceeds what was decided per downstream and job; after kill -9 no more
// than the calls in flight and this depth are in doubt.  Once closed, at a stop, it gives no more
// room, and the depth only falls.
//
// Threads: any; one mutex, held for moves only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "daemon/data/intent.hpp"

namespace vouch::data {

// At full drain four groups of 1,000 rows keep the engine busy while one is being committed.
inline constexpr int kReadyRowsMax = 4000;

// Whose room a row takes.  Rows on their way from a list, queries, and all others (those sent
// again, and singles) have room of their own, so that none keeps another out.
struct ReadyOwner {
  ObjectId downstream = 0;
  std::int64_t job = 0;  // 0: a single whose job may not be there yet
  bool from_list = false;
  bool asks = false;
  auto operator<=>(const ReadyOwner&) const = default;
};
[[nodiscard]] inline ReadyOwner owner_of(const Intent& intent) {
  return {intent.downstream, intent.job_number, intent.fresh && !intent.single, intent.asks};
}
using ReadyRows = std::map<ReadyOwner, int>;

class ReadyQueue {
 public:
  // Called, from the pushing thread, after rows have been pushed.
  explicit ReadyQueue(std::function<void()> wake_engine) : wake_engine_{std::move(wake_engine)} {}

  // Counts rows as on their way: all of them, or none and false when the queue is closed.
  // Intake alone.
  [[nodiscard]] bool reserve(const ReadyRows& rows);
  // Rows that were reserved and are not coming, or have been started or taken back.
  void release(const ReadyOwner& owner, int rows);
  // Rows change their owner; possible when closed, too.
  void hand_over(const ReadyOwner& from, const ReadyOwner& to, int rows);
  // Rows reserved and not yet released.
  [[nodiscard]] int depth(const ReadyOwner& owner) const;
  [[nodiscard]] int depth() const;
  // Of a downstream's rows but queries: each of them may be executed.
  [[nodiscard]] int calls_depth(ObjectId downstream) const;

  // From now on nothing is reserved.
  void close();
  [[nodiscard]] bool is_closed() const;

  // The ledger writer, after its commit.
  void push(std::vector<Intent>&& rows);
  // The engine: everything that is there, appended.
  void take_all(std::vector<Intent>& out);

 private:
  void take_off(const ReadyOwner& owner, int rows);

  std::function<void()> wake_engine_;
  mutable std::mutex mutex_;
  ReadyRows depth_;
  bool closed_ = false;
  std::vector<Intent> rows_;
};

}  // namespace vouch::data
