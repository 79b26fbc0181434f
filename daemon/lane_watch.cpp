#include "daemon/lane_watch.hpp"

#include "common/text.hpp"

namespace vouch::daemon {
namespace {

// A shorter pause is ordinary pacing.
constexpr Millis kHoldMin{3'000};
// A downstream that asks for a pause again and again makes one event of it.
constexpr Millis kHoldEventEvery{60'000};
constexpr Millis kRenewEvery{2'000};

WallTime wall_of(Instant instant, Instant now, WallTime wall) {
  return wall + std::chrono::duration_cast<Millis>(instant - now);
}

DownstreamState state_of(const service::LaneView& lane, Instant now, WallTime wall) {
  using service::Breaker;
  DownstreamState state{.downstream = lane.downstream, .since = wall};
  const auto trouble = [&](DownstreamCondition condition, Instant since, Instant next) {
    state.condition = condition;
    state.since = wall_of(since, now, wall);
    if (next != Instant::max()) state.next = wall_of(next, now, wall);
  };
  if (lane.breaker != Breaker::State::closed) {
    trouble(DownstreamCondition::away, lane.ailing_since, lane.next_call);
    state.detail = lane.last_failure;
  } else if (lane.held_until > now && lane.held_until - lane.held_since >= kHoldMin) {
    trouble(DownstreamCondition::holds, lane.held_since, lane.held_until);
    state.detail = "HTTP 429";
  } else if (lane.query_breaker != Breaker::State::closed) {
    trouble(DownstreamCondition::mute, lane.queries_ailing_since, lane.next_query);
    state.detail = lane.last_failure;
  }
  return state;
}

std::string words_of(const std::string& name, const DownstreamState& before,
                     const DownstreamState& state, WallTime now) {
  const std::string subject = "downstream " + name + " ";
  const std::string detail = state.detail.empty() ? "" : ": " + state.detail;
  std::string next;
  if (state.next && *state.next > now) next = " for " + format_duration(*state.next - now);
  switch (state.condition) {
    case DownstreamCondition::away:
      return subject + "does not answer" + detail + "; calls are held back" + next +
             ", then single ones try";
    case DownstreamCondition::holds:
      return subject + "asks to wait (HTTP 429); calls are held back" + next;
    case DownstreamCondition::mute:
      return subject + "does not answer queries" + detail + "; rows in doubt wait" + next;
    case DownstreamCondition::answers:
      break;
  }
  return subject + (before.condition == DownstreamCondition::mute ? "answers queries" : "answers") +
         " again after " + format_duration(now - before.since);
}

}  // namespace

void LaneWatch::begin(const std::vector<DownstreamState>& left,
                      const std::map<ObjectId, std::string>& names, WallTime wall) {
  for (const DownstreamState& state : left) {
    if (state.condition == DownstreamCondition::answers) continue;
    const auto name = names.find(state.downstream);
    const std::string who = name == names.end() ? "" : name->second + " ";
    tell_({.downstream = state.downstream, .since = wall},
          "downstream " + who + "is called again, since vouchd has started");
  }
}

void LaneWatch::look(const std::vector<service::LaneView>& lanes, Instant now, WallTime wall) {
  for (const service::LaneView& lane : lanes) {
    DownstreamState state = state_of(lane, now, wall);
    const auto found = known_.find(lane.downstream);
    if (found == known_.end() && state.condition == DownstreamCondition::answers) continue;
    Known& known = found == known_.end() ? known_[lane.downstream] : found->second;
    if (state.condition != known.state.condition) {
      change(lane, known, std::move(state), now, wall);
      continue;
    }
    if (state.condition == DownstreamCondition::answers) continue;
    // By what is seen of it, milliseconds of rounding differ from look to look.
    const bool same = state.detail == known.state.detail &&
                      state.next.has_value() == known.state.next.has_value() &&
                      (!state.next || abs(*state.next - *known.state.next) < Millis{1'000});
    if (same || now < known.renew_at) continue;
    state.since = known.state.since;
    known.state = std::move(state);
    known.renew_at = now + kRenewEvery;
    tell_(known.state, "");
  }
}

void LaneWatch::change(const service::LaneView& lane, Known& known, DownstreamState state,
                       Instant now, WallTime wall) {
  // A pause that is not told has an end that is not told either.
  bool quiet = false;
  if (state.condition == DownstreamCondition::holds) {
    quiet = now < known.next_hold_event;
    if (!quiet) known.next_hold_event = now + kHoldEventEvery;
  } else if (known.state.condition == DownstreamCondition::holds) {
    quiet = known.is_quiet && state.condition == DownstreamCondition::answers;
  }
  const std::string words = quiet ? "" : words_of(lane.name, known.state, state, wall);
  known = {.state = std::move(state),
           .renew_at = now + kRenewEvery,
           .next_hold_event = known.next_hold_event,
           .is_quiet = quiet};
  tell_(known.state, words);
}

}  // namespace vouch::daemon
