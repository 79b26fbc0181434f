// crypto.hpp: digests and keyed hashes.  The only file besides random.cpp that knows OpenSSL's
// hash functions.
//
// Threads: all functions may be called from any thread; a HmacKey is immutable once made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace vouch {

using Digest128 = std::array<std::uint8_t, 16>;
using Digest256 = std::array<std::uint8_t, 32>;

[[nodiscard]] Digest256 sha256(std::string_view bytes);

// The first half of SHA-256, for evidence kept by the million.
[[nodiscard]] Digest128 sha256_128(std::string_view bytes);

// SHA-256 of content too large for memory.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  [[nodiscard]] Digest256 finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// HMAC-SHA-256 (RFC 2104) with the key's two pads hashed once, so that a short message costs two
// block operations: recipient keys are made by the million.
class HmacKey {
 public:
  explicit HmacKey(std::string_view key);
  ~HmacKey();
  HmacKey(HmacKey&&) noexcept;
  HmacKey& operator=(HmacKey&&) noexcept;
  [[nodiscard]] Digest256 sign(std::string_view message) const;
  // The first 128 bits of sign().
  [[nodiscard]] Digest128 sign_128(std::string_view message) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// False in constant time for equal lengths.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace vouch
