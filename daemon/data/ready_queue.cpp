#include "daemon/data/ready_queue.hpp"

#include <algorithm>
#include <iterator>

#include "common/result.hpp"

namespace vouch::data {

bool ReadyQueue::reserve(const ReadyRows& rows) {
  const std::scoped_lock lock{mutex_};
  if (closed_) return false;
  for (const auto& [owner, count] : rows) depth_[owner] += count;
  return true;
}

void ReadyQueue::release(const ReadyOwner& owner, int rows) {
  const std::scoped_lock lock{mutex_};
  take_off(owner, rows);
}

void ReadyQueue::hand_over(const ReadyOwner& from, const ReadyOwner& to, int rows) {
  const std::scoped_lock lock{mutex_};
  take_off(from, rows);
  depth_[to] += rows;
}

void ReadyQueue::take_off(const ReadyOwner& owner, int rows) {
  const auto found = depth_.find(owner);
  VOUCH_ASSERT(found != depth_.end() && found->second >= rows);
  found->second -= rows;
  if (found->second == 0) depth_.erase(found);
}

int ReadyQueue::depth(const ReadyOwner& owner) const {
  const std::scoped_lock lock{mutex_};
  const auto found = depth_.find(owner);
  return found == depth_.end() ? 0 : found->second;
}

void ReadyQueue::close() {
  const std::scoped_lock lock{mutex_};
  closed_ = true;
}

bool ReadyQueue::is_closed() const {
  const std::scoped_lock lock{mutex_};
  return closed_;
}

int ReadyQueue::depth() const {
  const std::scoped_lock lock{mutex_};
  int sum = 0;
  for (const auto& [owner, rows] : depth_) sum += rows;
  return sum;
}

int ReadyQueue::calls_depth(ObjectId downstream) const {
  const std::scoped_lock lock{mutex_};
  int sum = 0;
  for (const auto& [owner, rows] : depth_) {
    if (owner.downstream == downstream && !owner.asks) sum += rows;
  }
  return sum;
}

void ReadyQueue::push(std::vector<Intent>&& rows) {
  if (rows.empty()) return;
  {
    const std::scoped_lock lock{mutex_};
    if (rows_.empty()) {
      rows_ = std::move(rows);
    } else {
      std::move(rows.begin(), rows.end(), std::back_inserter(rows_));
    }
  }
  wake_engine_();
}

void ReadyQueue::take_all(std::vector<Intent>& out) {
  const std::scoped_lock lock{mutex_};
  if (out.empty()) {
    std::swap(out, rows_);
    return;
  }
  std::move(rows_.begin(), rows_.end(), std::back_inserter(out));
  rows_.clear();
}

}  // namespace vouch::data
