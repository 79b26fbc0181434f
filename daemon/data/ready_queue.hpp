// ready_queue.hpp: rows that are durable as `sending` and not yet started.
//
// Between the ledger writer, which fills it after each commit, and the engine, which empties it.
// Intake reserves room before it asks for a row, so that the queue's depth, rows still in the
// writer included, never exceeds what was decided per downstream and job; after kill -9 no more
// than the calls in flight and this depth are in doubt.
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

class ReadyQueue {
 public:
  // Called, from the pushing thread, after rows have been pushed.
  explicit ReadyQueue(std::function<void()> wake_engine) : wake_engine_{std::move(wake_engine)} {}

  // Counts rows as on their way.  Intake alone.
  void reserve(ObjectId downstream, std::int64_t job, int rows);
  // Rows that were reserved and are not coming, or have been started or taken back.
  void release(ObjectId downstream, std::int64_t job, int rows);
  // Rows reserved and not yet released.
  [[nodiscard]] int depth(ObjectId downstream, std::int64_t job) const;
  [[nodiscard]] int depth(ObjectId downstream) const;
  [[nodiscard]] int depth() const;

  // The ledger writer, after its commit.
  void push(std::vector<Intent>&& rows);
  // The engine: everything that is there, appended.
  void take_all(std::vector<Intent>& out);

 private:
  std::function<void()> wake_engine_;
  mutable std::mutex mutex_;
  std::map<std::pair<ObjectId, std::int64_t>, int> depth_;
  std::vector<Intent> rows_;
};

}  // namespace vouch::data
