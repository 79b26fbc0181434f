// reply_judge.hpp: what the end of a call means.
//
// Without a complete answer: "not executed" only when not one byte has left; else unknown,
// whatever the transport says.  A complete answer is read by common/plan/reply_reading.hpp.
//
// Threads: a ReplyJudge is one thread's; parse_retry_after is a pure function.
#pragma once

#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/reply_reading.hpp"
#include "common/wire/http_client.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::service {

struct Judgement {
  Outcome outcome = Outcome::unknown;
  bool answered = false;  // a complete answer was read
  bool ails = false;      // says that the downstream is not well (feeds the breaker)
  bool known = false;     // of a query: the downstream knows the call, and has no result yet
  std::string reference;  // of what was issued
  std::string detail;     // reason code or words; short
  std::optional<Digest128> reply_digest;
  std::optional<Millis> retry_after;  // from now, at most an hour
};

inline constexpr Millis kRetryAfterMax = std::chrono::hours{1};

class ReplyJudge {
 public:
  [[nodiscard]] Judgement judge(const data::Intent& intent, const wire::HttpEnd& end, WallTime now);

 private:
  plan::ReplyReader reader_;
};

// "120" or an HTTP date; nothing when it is neither, or in the past.
[[nodiscard]] std::optional<Millis> parse_retry_after(const std::string& value, WallTime now);

}  // namespace vouch::service
