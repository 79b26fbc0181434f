// health.hpp: whether the ledger can still be trusted to keep what it is told.
//
// SQLite carries on after a failed fsync; we do not.  The ledger writer reports the first failure
// here; from then on the engine starts no call, and main stops the daemon.
//
// Threads: any.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "common/result.hpp"

namespace vouch::data {

class Health {
 public:
  [[nodiscard]] bool store_ok() const { return ok_.load(std::memory_order_acquire); }

  // The first failure counts; later ones follow from it.
  void store_failed(Error error) {
    const std::scoped_lock lock{mutex_};
    if (!ok_.load(std::memory_order_relaxed)) return;
    error_ = std::move(error);
    ok_.store(false, std::memory_order_release);
  }

  // Not even what is known could be kept: those rows will be in doubt.
  void spool_failed(Error error) {
    const std::scoped_lock lock{mutex_};
    if (!spool_error_) spool_error_ = std::move(error);
  }
  [[nodiscard]] std::optional<Error> spool_error() const {
    const std::scoped_lock lock{mutex_};
    return spool_error_;
  }

  // Requires !store_ok().
  [[nodiscard]] Error error() const {
    const std::scoped_lock lock{mutex_};
    return error_;
  }

 private:
  std::atomic<bool> ok_{true};
  mutable std::mutex mutex_;
  Error error_;
  std::optional<Error> spool_error_;
};

}  // namespace vouch::data
