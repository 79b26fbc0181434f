#include "daemon/data/ready_queue.hpp"

#include <algorithm>
#include <iterator>

#include "common/result.hpp"

namespace vouch::data {

void ReadyQueue::reserve(ObjectId downstream, std::int64_t job, int rows) {
  const std::scoped_lock lock{mutex_};
  depth_[{downstream, job}] += rows;
}

void ReadyQueue::release(ObjectId downstream, std::int64_t job, int rows) {
  const std::scoped_lock lock{mutex_};
  const auto found = depth_.find({downstream, job});
  VOUCH_ASSERT(found != depth_.end() && found->second >= rows);
  found->second -= rows;
  if (found->second == 0) depth_.erase(found);
}

int ReadyQueue::depth(ObjectId downstream, std::int64_t job) const {
  const std::scoped_lock lock{mutex_};
  const auto found = depth_.find({downstream, job});
  return found == depth_.end() ? 0 : found->second;
}

int ReadyQueue::depth(ObjectId downstream) const {
  const std::scoped_lock lock{mutex_};
  int sum = 0;
  for (auto at = depth_.lower_bound({downstream, INT64_MIN});
       at != depth_.end() && at->first.first == downstream; ++at) {
    sum += at->second;
  }
  return sum;
}

int ReadyQueue::depth() const {
  const std::scoped_lock lock{mutex_};
  int sum = 0;
  for (const auto& [owner, rows] : depth_) sum += rows;
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
