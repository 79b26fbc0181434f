// identity.hpp: how campaigns, recipients and issuances are named.
//
// Ids of campaigns, jobs, lists, clients and downstreams are 40 random bits, written as a prefix
// and eight Crockford base32 letters: "job_7h3k9q2x".  A recipient is known by a keyed hash of
// the normalised id, so that the ledger holds no personal data.  An issuance's id says all of its
// primary key, reversibly, so that no index from id to row is needed; the request id that the
// downstream sees is the same with the round in it.
//
// Threads: pure functions; RecipientKeys is immutable.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/random.hpp"
#include "common/result.hpp"

namespace vouch {

using RecipientKey = Digest128;

// 40 random bits, never 0.
using ObjectId = std::uint64_t;

enum class ObjectKind : std::uint8_t {
  campaign,
  job,
  list,
  client,
  downstream,
  operator_account,
  pool,
  proposal,
  code_export,
};

[[nodiscard]] ObjectId new_object_id(Random& random);
// "job_7h3k9q2x"
[[nodiscard]] std::string format_id(ObjectKind kind, ObjectId id);
// Accepts what format_id writes, in either case; Errc::invalid otherwise.
[[nodiscard]] Result<ObjectId> parse_id(ObjectKind kind, std::string_view text);

// The primary key of an issuance.
struct IssuanceKey {
  ObjectId campaign = 0;
  RecipientKey recipient{};
  std::uint64_t occurrence = 0;  // below 2^48; 0 under once_per: campaign
  std::uint8_t item = 0;         // number of the item in its campaign, never reused
  auto operator<=>(const IssuanceKey&) const = default;
};

// "iss_" or "" and 40 letters of [A-Za-z0-9_-]: campaign 5 bytes, recipient key 16, occurrence 6,
// item 1, round 1, check 1 (CRC-8), in base64url.
[[nodiscard]] std::string format_request_id(const IssuanceKey& key, std::uint8_t round);
struct RequestId {
  IssuanceKey key;
  std::uint8_t round = 0;
};
[[nodiscard]] Result<RequestId> parse_request_id(std::string_view text);

// Normalisation 1: ASCII blanks trimmed at both ends, Unicode NFC, nothing else.  ASCII text is
// returned as it is, without a copy.  Errc::invalid when it is no UTF-8.
[[nodiscard]] Result<std::string> normalise_recipient(std::string_view recipient_id);
inline constexpr int kNormalisationVersion = 1;

class RecipientKeys {
 public:
  explicit RecipientKeys(std::string_view store_secret) : key_{store_secret} {}
  // The key of an already normalised recipient id.
  [[nodiscard]] RecipientKey of(std::string_view normalised) const {
    return key_.sign_128(normalised);
  }

 private:
  HmacKey key_;
};

}  // namespace vouch
