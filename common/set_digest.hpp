// set_digest.hpp: one digest of a set, whatever the order in which its members are met.
//
// The sum of the members' digests, so that both sides of a comparison can go through theirs in
// their own order and in flat memory.
//
// Threads: a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/crypto.hpp"

namespace vouch {

class SetDigest {
 public:
  SetDigest() = default;
  // Goes on from what value() gave.
  explicit SetDigest(const Digest128& value);

  void add(std::string_view member);
  [[nodiscard]] Digest128 value() const;
  [[nodiscard]] std::string text() const;  // 32 hexadecimal digits
  bool operator==(const SetDigest&) const = default;

 private:
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0;
};

// What a row of a proposal adds to the proposal's digest: its request id, and the downstream's
// reference where one was given.
[[nodiscard]] std::string proposal_member(std::string_view request_id, std::string_view reference);

}  // namespace vouch
