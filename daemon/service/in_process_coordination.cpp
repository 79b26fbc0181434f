#include "daemon/service/coordination.hpp"

namespace vouch::service {

data::LeasePtr InProcessCoordination::claim(const LeaseWanted& wanted) {
  auto lease = std::make_shared<data::Lease>(wanted.name, wanted.epoch);
  lease->hold_until(Instant::max());
  const std::scoped_lock lock{mutex_};
  ++view_.asked;
  ++view_.granted;
  std::shared_ptr<data::Lease>& kept = leases_[wanted.name];
  if (kept) kept->give_up(data::Lease::State::over);
  kept = lease;
  if (leases_.size() >= forget_at_) {
    view_.released +=
        std::erase_if(leases_, [](const auto& one) { return one.second.use_count() == 1; });
    forget_at_ = std::max<std::size_t>(64, 2 * leases_.size());
  }
  return lease;
}

Instant InProcessCoordination::run_once(Instant) {
  const std::scoped_lock lock{mutex_};
  view_.released +=
      std::erase_if(leases_, [](const auto& one) { return one.second.use_count() == 1; });
  return Instant::max();
}

CoordinationView InProcessCoordination::view() const {
  const std::scoped_lock lock{mutex_};
  CoordinationView view = view_;
  view.where = "this process";
  view.held = leases_.size();
  return view;
}

}  // namespace vouch::service
