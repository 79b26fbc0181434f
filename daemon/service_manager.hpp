// service_manager.hpp: what the daemon tells systemd (sd_notify(3), without its library): one
// datagram to the socket that NOTIFY_SOCKET names.
//
// Threads: main.   Errors: none: without a service manager nobody listens.
#pragma once

#include <optional>
#include <string>

#include "common/clock.hpp"

namespace vouch::daemon {

class ServiceManager {
 public:
  ServiceManager();
  void ready(const std::string& status) const;  // READY=1
  void stopping() const;                        // STOPPING=1
  void reloading(Instant now) const;            // RELOADING=1
  void alive() const;                           // WATCHDOG=1
  void status(const std::string& words) const;
  // How often alive() is wanted; nothing when it is not.
  [[nodiscard]] std::optional<Millis> watchdog() const { return watchdog_; }

 private:
  void send(const std::string& text) const;
  std::string socket_;
  std::optional<Millis> watchdog_;
};

}  // namespace vouch::daemon
