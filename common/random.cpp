#include "common/random.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "common/result.hpp"

namespace vouch {

std::uint64_t Random::next() {
  std::uint64_t value = 0;
  fill(std::as_writable_bytes(std::span{&value, 1}));
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  // The bias is bound / 2^64: nothing for jitter, and ids are not drawn with it.
  return bound == 0 ? 0 : next() % bound;
}

double Random::unit() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

void SystemRandom::fill(std::span<std::byte> bytes) {
  const int ok =
      RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  VOUCH_ASSERT(ok == 1);  // without randomness no id is safe
}

void SeededRandom::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t word = engine_();
    const std::size_t n = std::min(bytes.size(), sizeof word);
    std::memcpy(bytes.data(), &word, n);
    bytes = bytes.subspan(n);
  }
}

}  // namespace vouch
