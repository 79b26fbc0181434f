// Engine's part for what came back, and what it leads to: declared in engine.hpp.
#include <algorithm>
#include <utility>

#include "common/failpoint.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/service/query_policy.hpp"

namespace vouch::service {
namespace {

using data::AttemptEnd;
using data::Intent;

// What only a downstream that is well says.
bool is_success(const Judgement& judged) {
  return judged.outcome == Outcome::issued || judged.outcome == Outcome::declined ||
         judged.outcome == Outcome::not_found || judged.known;
}

bool is_setup(Outcome outcome) {
  return outcome == Outcome::setup || outcome == Outcome::unknown_setup;
}

std::string failure_words(const Judgement& judged, const wire::HttpEnd& end) {
  if (judged.status != 0) return "HTTP " + std::to_string(judged.status);
  return end.detail.empty() ? std::string{wire::name_of(end.transport)} : end.detail;
}

// Why a job is paused: who answered what, to which issuance.
std::string setup_words(const AttemptEnd& end) {
  const std::string status = "HTTP " + std::to_string(end.http_status);
  const bool told_more = end.detail != status && !end.detail.empty();
  const std::string more = told_more ? ": " + end.detail : "";
  return end.intent.definition->name +
         (end.http_status != 0 ? " answered " + status + " to " : " was not called for ") +
         end.intent.request_id + more;
}

}  // namespace

void Engine::settle_ended(Instant now) {
  ended_.clear();
  downstream_.take_ended(ended_);
  if (!ended_.empty()) reach_failpoint("reply-read");
  for (const wire::HttpEnd& end : ended_) {
    VOUCH_ASSERT(end.tag < calls_.size() && calls_[end.tag].used);
    Call call = std::move(calls_[end.tag]);
    calls_[end.tag].used = false;
    free_tags_.push_back(end.tag);
    --in_flight_;
    if (Lane* lane = lane_of(call.downstream)) --lane->in_flight;
    if (call.test_command != 0) {
      settle_test(call, end);
    } else if (call.stopped) {
      VOUCH_ASSERT(end.sends == 0);
      settle_stopped(std::move(call));
    } else {
      settle(std::move(call), end, now);
    }
  }
}

AttemptEnd Engine::end_of(Call& call, std::size_t row, const wire::HttpEnd& end, WallTime at) {
  AttemptEnd attempt;
  attempt.started_at = call.started_at;
  attempt.at = at;
  attempt.transport = end.transport;
  attempt.sends = end.sends;
  attempt.shared_by = static_cast<int>(call.intents.size());
  attempt.duration_us = end.duration_us;
  attempt.intent = std::move(call.intents[row]);
  return attempt;
}

void Engine::settle(Call call, const wire::HttpEnd& end, Instant now) {
  Lane& lane = *lane_of(call.downstream);
  const WallTime at = clock_.wall_now();
  const std::span<const Judgement> judged = judge_.judge(call.intents, end, at);
  const bool asks = call.intents.front().asks;
  Breaker& breaker = asks ? lane.query_breaker : lane.breaker;
  std::optional<WallTime>& last_success = asks ? lane.last_query_success : lane.last_success;
  // Of several rows in a call each is another's "other row that succeeded".
  if (std::ranges::any_of(judged, is_success)) {
    last_success = std::max(last_success.value_or(call.started_at), call.started_at);
  }
  const LaneHealth health{.breaker_closed = breaker.closed(),
                          .last_success = last_success,
                          .clock_good_since = clock_good_since_};
  tell_breaker(breaker, call, judged, now);
  lane.note_duration(end.duration_us, judged.front().answered);
  for (std::size_t i = 0; i < judged.size(); ++i) {
    AttemptEnd attempt = end_of(call, i, end, at);
    attempt.http_status = judged[i].status;
    if (asks) {
      decide_query(settings_.retry, judged[i], health, random_, attempt);
    } else {
      decide(settings_.retry, judged[i], health, random_, attempt);
    }
    ++lane.view.outcomes[static_cast<std::size_t>(judged[i].outcome)];
    if (judged[i].ails) lane.view.last_failure = failure_words(judged[i], end);
    if (judged[i].retry_after && end.status == 429) {
      lane.hold(now, std::min(*judged[i].retry_after, kLaneHoldMax));
    }
    if (!asks) note_setup(attempt, judged[i].outcome, now);
    outcomes_.push_back(std::move(attempt));
  }
}

// Not a byte has left: it says nothing of the downstream, and is no attempt.
void Engine::settle_stopped(Call call) {
  Lane& lane = *lane_of(call.downstream);
  Breaker& breaker = call.intents.front().asks ? lane.query_breaker : lane.breaker;
  if (call.breaker_round == breaker.round()) breaker.ended_neutral();
  for (Intent& intent : call.intents) {
    give_back(lane, std::move(intent), kStale, clock_.wall_now());
  }
}

void Engine::tell_breaker(Breaker& breaker, const Call& call, std::span<const Judgement> judged,
                          Instant now) {
  if (call.breaker_round != breaker.round()) return;
  if (std::ranges::any_of(judged, is_success)) {
    breaker.ended(true, now);
  } else if (std::ranges::any_of(judged, &Judgement::ails)) {
    breaker.ended(false, now);
  } else {
    breaker.ended_neutral();
  }
}

// The first wrong set-up pauses the job; a probe of that downstream that meets another outcome lets
// it go on.  A row that struck out has shown that the set-up is wrong for it alone.
void Engine::note_setup(const AttemptEnd& end, Outcome outcome, Instant now) {
  const std::int64_t job = end.intent.job_number;
  if (is_setup(outcome)) {
    if (end.strikes >= settings_.retry.strikes_max) return;
    const WrongSetup setup{.since = now, .downstream = end.intent.downstream};
    if (!setup_jobs_.try_emplace(job, setup).second) return;
    writer_.push(data::ChangeJob{.number = job,
                                 .action = data::JobAction::pause,
                                 .reason = PauseReason::setup,
                                 .words = setup_words(end)});
    return;
  }
  const bool answered = outcome == Outcome::issued || outcome == Outcome::declined;
  if (!end.intent.probe || !answered) return;
  const auto known = setup_jobs_.find(job);
  if (known != setup_jobs_.end() && known->second.downstream != end.intent.downstream) return;
  setup_jobs_.erase(job);
  writer_.push(
      data::ChangeJob{.number = job,
                      .action = data::JobAction::resume,
                      .reason = PauseReason::setup,
                      .words = "a probe of " + end.intent.definition->name + " succeeded"});
}

void Engine::settle_test(const Call& call, const wire::HttpEnd& end) {
  const bool reached = end.transport == wire::Transport::complete;
  const Lane* lane = lane_of(call.downstream);
  const std::string name = lane == nullptr ? "downstream" : lane->view.name;
  const std::string result =
      reached ? "HTTP " + std::to_string(end.status) : std::string{wire::name_of(end.transport)};
  // Words from outside (the peer's, a library's) stay out of the answer's JSON.
  const std::string answer =
      std::string{R"({"ok":true,"reached":)"} + (reached ? "true" : "false") + R"(,"status":)" +
      std::to_string(end.status) + R"(,"transport":")" + std::string{wire::name_of(end.transport)} +
      R"(","duration_us":)" + std::to_string(end.duration_us) + "}";
  writer_.push(data::Note{.command = call.test_command,
                          .kind = EventKind::downstream,
                          .words = "test of " + name + ": " + result,
                          .answer = answer});
}

}  // namespace vouch::service
