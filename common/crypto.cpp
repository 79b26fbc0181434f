// OpenSSL's one-block functions are deprecated in 3.0 in favour of EVP, which costs 300 ns of
// set-up a call; for 20-byte messages by the million that is the whole budget.  They are the same
// SHA-256.
#define OPENSSL_SUPPRESS_DEPRECATED 1

#include "common/crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

namespace vouch {
namespace {

Digest128 first_half(const Digest256& full) {
  Digest128 half;
  std::copy_n(full.begin(), half.size(), half.begin());
  return half;
}

}  // namespace

Digest256 sha256(std::string_view bytes) {
  Digest256 out;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data());
  return out;
}

Digest128 sha256_128(std::string_view bytes) {
  return first_half(sha256(bytes));
}

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_{std::make_unique<State>()} {
  SHA256_Init(&state_->context);
}
Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  SHA256_Update(&state_->context, bytes.data(), bytes.size());
}

Digest256 Sha256::finish() {
  Digest256 out;
  SHA256_Final(out.data(), &state_->context);
  return out;
}

struct HmacKey::State {
  SHA256_CTX inner;  // after the inner pad
  SHA256_CTX outer;  // after the outer pad
};

HmacKey::HmacKey(std::string_view key) : state_{std::make_unique<State>()} {
  std::array<unsigned char, SHA256_CBLOCK> block{};
  if (key.size() > block.size()) {
    const Digest256 hashed = sha256(key);
    std::copy(hashed.begin(), hashed.end(), block.begin());
  } else {
    std::memcpy(block.data(), key.data(), key.size());
  }
  for (unsigned char& byte : block) byte ^= 0x36;
  SHA256_Init(&state_->inner);
  SHA256_Update(&state_->inner, block.data(), block.size());
  for (unsigned char& byte : block) byte ^= 0x36 ^ 0x5c;
  SHA256_Init(&state_->outer);
  SHA256_Update(&state_->outer, block.data(), block.size());
  OPENSSL_cleanse(block.data(), block.size());
}

HmacKey::~HmacKey() {
  if (state_) OPENSSL_cleanse(state_.get(), sizeof(State));
}
HmacKey::HmacKey(HmacKey&&) noexcept = default;
HmacKey& HmacKey::operator=(HmacKey&&) noexcept = default;

Digest256 HmacKey::sign(std::string_view message) const {
  Digest256 out;
  SHA256_CTX context = state_->inner;
  SHA256_Update(&context, message.data(), message.size());
  SHA256_Final(out.data(), &context);
  context = state_->outer;
  SHA256_Update(&context, out.data(), out.size());
  SHA256_Final(out.data(), &context);
  return out;
}

Digest128 HmacKey::sign_128(std::string_view message) const {
  return first_half(sign(message));
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace vouch
