// reply_judge.hpp: what the end of a call means.
//
// The rules in order.  1. No complete answer: "not executed" only when not one byte has left;
// else unknown, whatever the transport says.  2. The downstream's own outcome
// table.  3. The rules for statuses; what no rule knows is unknown.  `issued` needs evidence in
// the reply each time: a reference, the same request id, the same amount and currency.
//
// The reply is read by nlohmann's SAX interface: no document is built for the millions.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/issuance_state.hpp"
#include "common/wire/http_client.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::service {

inline constexpr std::size_t kReferenceBytesMax = 200;

struct Judgement {
  Outcome outcome = Outcome::unknown;
  bool answered = false;  // a complete answer was read
  bool ails = false;      // says that the downstream is not well (feeds the breaker)
  std::string reference;  // of what was issued
  std::string detail;     // reason code or words; short
  std::optional<Digest128> reply_digest;
  std::optional<Millis> retry_after;  // from now, at most an hour
};

inline constexpr Millis kRetryAfterMax = std::chrono::hours{1};

[[nodiscard]] Judgement judge(const data::Intent& intent, const wire::HttpEnd& end, WallTime now);

// "120" or an HTTP date; nothing when it is neither, or in the past.
[[nodiscard]] std::optional<Millis> parse_retry_after(const std::string& value, WallTime now);

}  // namespace vouch::service
