// transport.hpp: what kept a call from a complete answer, as far as the protocol cares.
//
// The numbers are kept in the ledger's events.
#pragma once

#include <cstdint>
#include <string_view>

namespace vouch::wire {

enum class Transport : std::uint8_t {
  complete = 0,     // an answer was read to its end
  unreachable = 1,  // name, route or port: no connection came about
  tls = 2,          // the handshake failed
  certificate = 3,  // the peer's certificate does not prove who it is
  timed_out = 4,
  broken = 5,   // reset, closed, partial, too large, not HTTP
  refused = 6,  // by the guard, before the first byte
};

[[nodiscard]] constexpr std::string_view name_of(Transport transport) {
  constexpr std::string_view names[] = {"complete",  "unreachable", "tls",    "certificate",
                                        "timed out", "broken",      "refused"};
  return names[static_cast<std::size_t>(transport)];
}
// Of a number that was kept; for one that no version has written "unknown".
[[nodiscard]] constexpr std::string_view transport_name(std::int64_t number) {
  return number < 0 || number > static_cast<std::int64_t>(Transport::refused)
             ? "unknown"
             : name_of(static_cast<Transport>(number));
}

}  // namespace vouch::wire
