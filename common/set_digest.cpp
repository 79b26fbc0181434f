#include "common/set_digest.hpp"

#include "common/text.hpp"

namespace vouch {
namespace {

constexpr std::size_t kHalf = 8;

std::uint64_t half_of(const Digest128& digest, std::size_t from) {
  std::uint64_t value = 0;
  for (std::size_t i = from; i < from + kHalf; ++i) value = value << 8 | digest[i];
  return value;
}

}  // namespace

SetDigest::SetDigest(const Digest128& value)
    : low_{half_of(value, kHalf)}, high_{half_of(value, 0)} {}

void SetDigest::add(std::string_view member) {
  const Digest128 digest = sha256_128(member);
  const std::uint64_t low = low_ + half_of(digest, kHalf);
  high_ += half_of(digest, 0) + (low < low_ ? 1 : 0);
  low_ = low;
}

Digest128 SetDigest::value() const {
  Digest128 out{};
  for (std::size_t i = 0; i < kHalf; ++i) {
    const std::size_t shift = 8 * (kHalf - 1 - i);
    out[i] = static_cast<std::uint8_t>(high_ >> shift);
    out[kHalf + i] = static_cast<std::uint8_t>(low_ >> shift);
  }
  return out;
}

std::string SetDigest::text() const {
  return hex(value());
}

std::string proposal_member(std::string_view request_id, std::string_view reference) {
  std::string member{request_id};
  if (!reference.empty()) member.append("\n").append(reference);
  return member;
}

}  // namespace vouch
