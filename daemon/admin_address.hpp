// admin_address.hpp: where the admin listener listens, from the words of the configuration.
//
// Threads: pure functions, but for check_admin_address, which binds for a moment.
// Errors:  invalid for words that are no address, unavailable for one that this machine has not.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.hpp"

namespace vouch::daemon {

struct AdminAddress {
  std::string socket;   // path of a Unix socket; empty for TCP
  std::string address;  // numeric; empty: no listener
  std::uint16_t port = 0;
};
// "127.0.0.1:9464", "unix:/run/vouch/admin.sock" or "none".
[[nodiscard]] Result<AdminAddress> parse_admin_address(const std::string& text);

// Whether a vouchd could listen there, but for one that listens there already: that may be the one
// whose configuration is checked.
[[nodiscard]] Result<void> check_admin_address(const std::string& text);

}  // namespace vouch::daemon
