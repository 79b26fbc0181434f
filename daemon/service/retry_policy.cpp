#include "daemon/service/retry_policy.hpp"

#include <algorithm>

namespace vouch::service {
namespace {

using data::AttemptEnd;
using data::Intent;

// Whoever took a row back needs a moment to be seen by intake, which would send it again at once.
constexpr Millis kTakenBackFor{1'000};

// Exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
Millis delay(const RetrySettings& settings, Millis ceiling, Random& random) {
  const Millis most = std::clamp(ceiling, settings.delay_first, settings.delay_max);
  return Millis{static_cast<std::int64_t>(random.unit() * static_cast<double>(most.count()))};
}

// Doubling by the attempts before this one; a row in doubt doubles by its age, which needs no
// counter and grows through an outage too.
Millis ceiling_of(const RetrySettings& settings, const AttemptEnd& end) {
  if (end.doubt_since) return std::max<Millis>(Millis{0}, end.at - *end.doubt_since);
  return settings.delay_first * (std::int64_t{1} << std::min(end.intent.attempts, 16));
}

bool counts(const Judgement& judged, const LaneHealth& health, const Intent& intent) {
  if (!judged.answered || !health.breaker_closed) return false;
  if (!intent.last_attempt_at) return true;
  return health.last_success && *health.last_success > *intent.last_attempt_at;
}

bool same_as_before(const AttemptEnd& end) {
  return end.reply_digest && end.http_status == end.intent.last_status &&
         *end.reply_digest == end.intent.last_reply;
}

// The downstream is still at it, or asks for the call again: however often, that is no refusal.
bool asks_for_patience(int http_status) {
  return http_status == 408 || http_status == 409 || http_status == 425;
}

// The attempt is proven not executed; earlier ones may not be.
void not_executed(const RetrySettings& settings, bool counted, AttemptEnd& end) {
  if (end.doubt_since) {
    end.step = IssuanceEvent::lose;
    return;
  }
  if (counted) ++end.attempts;
  end.step = end.attempts >= settings.attempts_max ? IssuanceEvent::give_up : IssuanceEvent::defer;
}

// A set-up that is wrong for one row alone: others succeeded between its refusals.
void wrong_setup(const RetrySettings& settings, bool counted, AttemptEnd& end) {
  end.step = end.doubt_since ? IssuanceEvent::lose : IssuanceEvent::defer;
  if (!end.reply_digest) return;              // a certificate says nothing of the row
  const int before = end.intent.last_status;  // 0: it was taken back, or nobody answered
  if (end.strikes == 0 || (before != 0 && before != end.http_status)) {
    end.strikes = 1;
  } else if (counted) {
    ++end.strikes;
  }
  if (end.strikes < settings.strikes_max) return;
  end.step = IssuanceEvent::hold;
  end.detail = "answered HTTP " + std::to_string(end.http_status) + " " +
               std::to_string(end.strikes) + " times while others succeeded: " + end.detail;
}

void unknown(const RetrySettings& settings, bool counted, AttemptEnd& end) {
  end.step = IssuanceEvent::lose;
  if (!end.doubt_since) end.doubt_since = end.intent.intent_at;
  const plan::Contract contract = end.intent.definition->contract;
  if (contract == plan::Contract::none) {
    end.step = IssuanceEvent::hold;
    end.detail = "nobody can ask or repeat under contract none: " + end.detail;
    return;
  }
  // No answer says nothing of the row.
  if (!end.reply_digest || asks_for_patience(end.http_status)) return;
  // What was asked since the attempt before hides its answer.
  if (!end.intent.was_asked && contract == plan::Contract::key && !same_as_before(end)) {
    end.strikes = 1;
  } else if (counted) {
    ++end.strikes;
  }
  // Under query it is asked about first: the answer may yet say that it was executed.
  if (contract == plan::Contract::query || end.strikes < settings.strikes_max) return;
  end.step = IssuanceEvent::hold;
}

}  // namespace

void decide(const RetrySettings& settings, const Judgement& judged, const LaneHealth& health,
            Random& random, AttemptEnd& end) {
  const Intent& intent = end.intent;
  end.outcome = judged.outcome;
  end.reference = judged.reference;
  end.detail = judged.detail;
  end.reply_digest = judged.reply_digest;
  end.attempts = intent.attempts;
  end.strikes = intent.strikes;
  end.doubt_since = intent.doubt_since;
  const bool counted = counts(judged, health, intent);

  switch (judged.outcome) {
    case Outcome::issued:
      end.step = IssuanceEvent::confirm;
      break;
    case Outcome::declined:
      end.step = IssuanceEvent::decline;
      break;
    case Outcome::hold:
      end.step = IssuanceEvent::hold;
      if (!end.doubt_since) end.doubt_since = intent.intent_at;
      break;
    case Outcome::not_executed:
    case Outcome::unstarted:
      not_executed(settings, counted, end);
      break;
    case Outcome::setup:
      wrong_setup(settings, counted, end);
      break;
    case Outcome::unknown:
    case Outcome::unknown_setup:
    case Outcome::not_found:  // of queries alone
      unknown(settings, counted, end);
      break;
  }
  const auto to = next_state(IssuanceState::sending, end.step);
  VOUCH_ASSERT(to.has_value());
  if (*to == IssuanceState::waiting || *to == IssuanceState::in_doubt) {
    const Millis least = judged.retry_after.value_or(Millis{0});
    end.next_at = end.at + least + delay(settings, ceiling_of(settings, end), random);
  }
}

AttemptEnd take_back(Intent intent, std::string_view why, WallTime now) {
  AttemptEnd end;
  end.kind = EventKind::unstarted;
  end.outcome = Outcome::unstarted;
  end.step = intent.doubt_since ? IssuanceEvent::lose : IssuanceEvent::unstart;
  end.next_at = now + kTakenBackFor;
  end.doubt_since = intent.doubt_since;
  end.attempts = intent.attempts;
  end.strikes = intent.strikes;
  end.detail = why;
  end.started_at = intent.intent_at;  // of the call before, if there was one
  end.at = now;
  end.intent = std::move(intent);
  return end;
}

bool key_may_be_forgotten(const plan::Downstream& downstream, std::optional<WallTime> doubt_since,
                          WallTime now) {
  if (!doubt_since) return false;
  // A clock that stands before the doubt was set back, and the doubt's age is anybody's guess.
  if (now < *doubt_since - kClockStepMax) return true;
  return now - *doubt_since >= downstream.key_lifetime / 5 * 4;
}

}  // namespace vouch::service
