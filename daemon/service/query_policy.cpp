#include "daemon/service/query_policy.hpp"

#include <algorithm>

namespace vouch::service {
namespace {

using data::AttemptEnd;
using data::Intent;

constexpr Millis kTakenBackFor{1'000};

Millis delay(const RetrySettings& settings, const AttemptEnd& end, Random& random) {
  const Millis age = end.at - end.intent.doubt_since.value_or(end.at);
  const Millis most = std::clamp(age, settings.delay_first, settings.delay_max);
  return Millis{static_cast<std::int64_t>(random.unit() * static_cast<double>(most.count()))};
}

bool may_count(const Judgement& judged, const LaneHealth& health, const Intent& intent) {
  if (!judged.answered || !health.breaker_closed) return false;
  return !intent.last_attempt_at ||
         (health.last_success && *health.last_success > *intent.last_attempt_at);
}

// A clock that was put ahead makes a call look older than it is: it may still be on its way.
WallTime may_be_settled_at(const LaneHealth& health, const Intent& intent) {
  return settled_at(*intent.definition, std::max(intent.intent_at, health.clock_good_since));
}

// The first settled "not found" is remembered, the second believed.  What counts is when the query
// began: its answer may be as old as that.
void missing(const RetrySettings& settings, const LaneHealth& health, AttemptEnd& end) {
  const Intent& intent = end.intent;
  if (intent.known) {
    end.step = IssuanceEvent::hold;
    end.detail = "the downstream knew the call before, and now does not";
    return;
  }
  if (end.started_at < may_be_settled_at(health, intent)) return;
  if (!end.missing_since) {
    end.missing_since = end.at;
  } else if (end.started_at >= *end.missing_since + settings.query_apart) {
    end.step = IssuanceEvent::clear;
    end.gives_up = intent.strikes >= settings.strikes_max;
    end.doubt_since.reset();
    end.missing_since.reset();
    end.asked = 0;
  }
}

void told_nothing(const Judgement& judged, bool counted, AttemptEnd& end) {
  if (judged.answered) end.missing_since.reset();
  end.known = end.known || judged.known;
  if (!counted || ++end.asked < kAskedMax) return;
  end.step = IssuanceEvent::hold;
  end.detail = "asked " + std::to_string(end.asked) + " times, at last: " + end.detail;
}

// Whoever honours keys may be called again now; others are asked again.
WallTime next_look(const RetrySettings& settings, const Judgement& judged, const LaneHealth& health,
                   Random& random, const AttemptEnd& end) {
  const Intent& intent = end.intent;
  const WallTime least = end.at + judged.retry_after.value_or(Millis{0});
  const plan::Downstream& downstream = *intent.definition;
  const bool repeatable = downstream.contract == plan::Contract::key &&
                          !key_may_be_forgotten(downstream, intent.doubt_since, end.at);
  if (repeatable) return least;
  if (judged.outcome != Outcome::not_found) return least + delay(settings, end, random);
  return std::max(least, end.missing_since ? *end.missing_since + settings.query_apart
                                           : may_be_settled_at(health, intent));
}

}  // namespace

WallTime settled_at(const plan::Downstream& downstream, WallTime called_at) {
  return called_at + downstream.timeout + downstream.settle_time;
}

wire::HttpCall make_query(const Intent& intent, std::string_view bearer) {
  const plan::Downstream& downstream = *intent.definition;
  VOUCH_ASSERT(downstream.query.has_value());
  wire::HttpCall call;
  call.get = true;
  call.url = downstream.query->url;
  const auto place = call.url.find(plan::kRequestIdPlace);
  VOUCH_ASSERT(place != std::string::npos);
  call.url.replace(place, plan::kRequestIdPlace.size(), intent.request_id);
  call.headers.emplace_back("Accept: application/json");
  if (!bearer.empty()) call.headers.push_back("Authorization: Bearer " + std::string{bearer});
  call.connect_timeout = downstream.connect_timeout;
  call.timeout = downstream.timeout;
  call.http_allowed = downstream.allow_http;
  call.address_allow = downstream.address_allow;
  return call;
}

void decide_query(const RetrySettings& settings, const Judgement& judged, const LaneHealth& health,
                  Random& random, AttemptEnd& end) {
  const Intent& intent = end.intent;
  VOUCH_ASSERT(intent.asks);
  end.kind = EventKind::asked;
  end.outcome = judged.outcome;
  end.reference = judged.reference;
  end.detail = judged.detail;
  end.reply_digest = judged.reply_digest;
  end.attempts = intent.attempts;
  end.strikes = intent.strikes;
  end.doubt_since = intent.doubt_since;
  end.asked = intent.asked;
  end.missing_since = intent.missing_since;
  end.known = intent.known;
  end.shared_by = intent.unanswered_with;
  end.step = IssuanceEvent::lose;
  switch (judged.outcome) {
    case Outcome::issued:
      end.step = IssuanceEvent::confirm;
      break;
    case Outcome::declined:
      end.step = IssuanceEvent::decline;
      break;
    case Outcome::hold:
      end.step = IssuanceEvent::hold;
      break;
    case Outcome::not_found:
      missing(settings, health, end);
      break;
    default:
      told_nothing(judged, may_count(judged, health, intent), end);
      break;
  }
  const auto to = next_state(IssuanceState::in_doubt, end.step);
  VOUCH_ASSERT(to.has_value());
  if (*to == IssuanceState::in_doubt)
    end.next_at = next_look(settings, judged, health, random, end);
  if (*to == IssuanceState::waiting) end.next_at = end.at;
}

AttemptEnd take_query_back(Intent intent, WallTime now) {
  AttemptEnd end;
  end.kind = EventKind::unstarted;
  end.outcome = Outcome::unstarted;
  end.step = IssuanceEvent::lose;
  end.next_at = now + kTakenBackFor;
  end.doubt_since = intent.doubt_since;
  end.attempts = intent.attempts;
  end.strikes = intent.strikes;
  end.asked = intent.asked;
  end.missing_since = intent.missing_since;
  end.known = intent.known;
  end.started_at = now;
  end.at = now;
  end.intent = std::move(intent);
  return end;
}

}  // namespace vouch::service
