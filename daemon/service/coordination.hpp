// coordination.hpp: locks that keep others from the same work, and how long each is sure to hold.
//
// One of the few interfaces with more than one implementation: in this process, where the lock
// file of the ledger has shut out everybody else already; and through Redis, for whoever runs a
// second vouchd on a copy of the same ledger.  A lock spares the downstream and keeps others away.
// What is right is decided by the ledger alone: without any lock it stays right.
//
// claim() never waits: the lease is held, or refused, when run_once() has been able to ask.  A lock
// is released when nobody but the coordination has its lease any more.
//
// Threads: claim(), view() and wake() from any; run_once() from one.
// Errors:  a lock that somebody else has is a lease that is refused; a service that is away shows
//          in view(), and locks are granted by the lock file meanwhile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/clock.hpp"
#include "daemon/data/lease.hpp"

namespace vouch::service {

struct LockSettings {
  Millis life_min{30'000};  // of a lock that nobody renews, at least
  Millis margin{7'000};     // a call may take so much longer than its timeout, all in all
};
// How long a lease must be sure to hold when a call with this timeout starts.
[[nodiscard]] constexpr Nanos cover_needed(const LockSettings& settings, Millis timeout) {
  return timeout + settings.margin;
}
// Renewed at a third of its life, a lease covers a call after one renewal that failed, too.
[[nodiscard]] constexpr Millis lock_life(const LockSettings& settings, Millis timeout) {
  return std::max(settings.life_min, 3 * (timeout + settings.margin));
}

struct LeaseWanted {
  std::string name;        // "range:job_7h3k9q2x:12", "issuance:..."
  std::int64_t epoch = 0;  // of the ledger, written there before
  Millis life{30'000};     // how long a lock holds that is not renewed
  Millis grace{0};         // how much later somebody else may have it
};

struct CoordinationView {
  std::string where;  // "this process", "redis://10.0.0.7:6379/0"
  bool is_up = true;
  std::string problem;  // why it is not
  std::uint64_t asked = 0, granted = 0, refused = 0, renewed = 0, released = 0;
  std::uint64_t ran_out = 0;    // held no more before they were released
  std::uint64_t by_ledger = 0;  // granted by the lock file alone
  std::uint64_t failures = 0;   // times that the service was lost
  std::size_t held = 0;
};

class Coordination {
 public:
  virtual ~Coordination() = default;
  // Of a name that this process has a lease of already, the older one is over from now on.
  [[nodiscard]] virtual data::LeasePtr claim(const LeaseWanted& wanted) = 0;
  // Who has the lock that was refused; empty when that is not known.
  [[nodiscard]] virtual std::string holder_of(const std::string& name) const = 0;
  // Asks, renews, releases.  Returns when the next round is due; claim() may want it sooner.
  virtual Instant run_once(Instant now) = 0;
  [[nodiscard]] virtual CoordinationView view() const = 0;
};

// Nobody else can be there: each lock is granted at once and for good.
class InProcessCoordination final : public Coordination {
 public:
  [[nodiscard]] data::LeasePtr claim(const LeaseWanted& wanted) override;
  [[nodiscard]] std::string holder_of(const std::string&) const override { return {}; }
  Instant run_once(Instant now) override;
  [[nodiscard]] CoordinationView view() const override;

 private:
  mutable std::mutex mutex_;
  CoordinationView view_;                                       // guarded by mutex_
  std::map<std::string, std::shared_ptr<data::Lease>> leases_;  // guarded by mutex_
  std::size_t forget_at_ = 64;  // guarded by mutex_: so many leases, and old ones are let go
};

}  // namespace vouch::service
