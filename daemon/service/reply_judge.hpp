// reply_judge.hpp: what the end of a call means.
//
// Without a complete answer: "not executed" only when not one byte has left; else unknown,
// whatever the transport says.  A complete answer is read by common/plan/reply_reading.hpp.
//
// A call that holds several issuances ends once and is judged for each of them.
//
// Threads: a ReplyJudge is one thread's; parse_retry_after is a pure function.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/reply_reading.hpp"
#include "common/wire/http_client.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::service {

struct Judgement {
  Outcome outcome = Outcome::unknown;
  int status = 0;         // HTTP; of several issuances in a call that of its own result
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
  // What the end means for each of the issuances that the call held, in their order.
  [[nodiscard]] std::span<const Judgement> judge(std::span<const data::Intent> intents,
                                                 const wire::HttpEnd& end, WallTime now);

 private:
  std::vector<Judgement> judged_;  // of the latest call
  plan::ReplyReader reader_;
};

// "120" or an HTTP date; nothing when it is neither, or in the past.
[[nodiscard]] std::optional<Millis> parse_retry_after(const std::string& value, WallTime now);

}  // namespace vouch::service
