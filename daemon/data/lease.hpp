// lease.hpp: leave to start calls for a part of the work, for a while.
//
// A job's range, or one issuance, is locked while its calls are made, so that nobody else makes
// them too.  A lease says how long that lock is sure to be ours.  Whoever starts a call looks at
// it without waiting; rows hold on to theirs from intake until the end of their call is recorded,
// and the last to let go of it releases the lock.
//
// Threads: covers() and state() from any; the coordination that made it changes it.
// Units:   instants of this process's boot-time clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/clock.hpp"

namespace vouch::data {

class Lease {
 public:
  // Begun as `asked`.  Once refused it may be asked for again; once over it never comes back.
  enum class State : std::uint8_t { asked, held, refused, over };

  Lease(std::string name, std::int64_t epoch) : name_{std::move(name)}, epoch_{epoch} {}

  [[nodiscard]] const std::string& name() const { return name_; }
  // From the ledger, greater at every claim.
  [[nodiscard]] std::int64_t epoch() const { return epoch_; }
  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
  // Whether it is sure to be held for so long from now on.
  [[nodiscard]] bool covers(Instant now, Nanos how_long) const { return until() - now >= how_long; }
  // The beginning of time unless it is held.
  [[nodiscard]] Instant until() const {
    return Instant{Nanos{until_ns_.load(std::memory_order_acquire)}};
  }

  // --- for the coordination alone.
  void hold_until(Instant until) {
    until_ns_.store(until.time_since_epoch().count(), std::memory_order_release);
    state_.store(State::held, std::memory_order_release);
  }
  void give_up(State why) {
    until_ns_.store(0, std::memory_order_release);
    state_.store(why, std::memory_order_release);
  }

 private:
  const std::string name_;
  const std::int64_t epoch_;
  std::atomic<std::int64_t> until_ns_{0};
  std::atomic<State> state_{State::asked};
};

using LeasePtr = std::shared_ptr<const Lease>;

}  // namespace vouch::data
