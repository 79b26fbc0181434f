#include "common/wire/network.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>

namespace vouch::wire {
namespace {

struct Address {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> bytes{};
};

Address parse_address(const std::string& text) {
  Address address;
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), address.bytes.data()) == 1) address.family = family;
  }
  return address;
}

}  // namespace

bool in_network(const std::string& address, const std::string& cidr) {
  const auto slash = cidr.find('/');
  const Address network = parse_address(cidr.substr(0, slash));
  const Address peer = parse_address(address);
  if (network.family == AF_UNSPEC || network.family != peer.family) return false;
  const int most = network.family == AF_INET ? 32 : 128;
  int bits = most;
  if (slash != std::string::npos) {
    const char* end = cidr.data() + cidr.size();
    const auto [rest, error] = std::from_chars(cidr.data() + slash + 1, end, bits);
    if (error != std::errc{} || rest != end || bits < 0 || bits > most) return false;
  }
  for (std::size_t i = 0; bits > 0 && i < 16; ++i, bits -= 8) {
    const int mask = bits >= 8 ? 0xff : 0xff & (0xff << (8 - bits));
    if ((network.bytes[i] & mask) != (peer.bytes[i] & mask)) return false;
  }
  return true;
}

}  // namespace vouch::wire
