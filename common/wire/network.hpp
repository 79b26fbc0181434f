// network.hpp: whether an address lies in a network.
//
// Threads: pure.
#pragma once

#include <string>

namespace vouch::wire {

// "10.1.2.3" in "10.0.0.0/8", "::1" in "::1"; a network that cannot be read holds nothing.
[[nodiscard]] bool in_network(const std::string& address, const std::string& cidr);

}  // namespace vouch::wire
