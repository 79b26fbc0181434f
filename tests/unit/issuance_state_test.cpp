#include "common/issuance_state.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>

using namespace vouch;

namespace {

using S = IssuanceState;
using E = IssuanceEvent;

constexpr S kStates[] = {S::planned,  S::sending, S::waiting,   S::in_doubt, S::held,   S::issued,
                         S::declined, S::failed,  S::cancelled, S::expired,  S::skipped};
constexpr E kEvents[] = {
    E::send,  E::confirm,        E::decline,         E::defer,         E::unstart,
    E::lose,  E::hold,           E::give_up,         E::cancel,        E::expire,
    E::clear, E::resolve_issued, E::resolve_waiting, E::resolve_failed};

// The protocol's section 3, transition by transition.
struct Rule {
  const char* protocol;
  S from;
  E on;
  S to;
};
constexpr Rule kProtocol[] = {
    {"planned, waiting -> sending", S::planned, E::send, S::sending},
    {"planned, waiting -> sending", S::waiting, E::send, S::sending},
    {"sending -> issued", S::sending, E::confirm, S::issued},
    {"sending -> declined", S::sending, E::decline, S::declined},
    {"sending -> waiting", S::sending, E::defer, S::waiting},
    {"sending -> in_doubt", S::sending, E::lose, S::in_doubt},
    {"sending, never started -> waiting", S::sending, E::unstart, S::waiting},
    {"in_doubt -> sending (same bytes)", S::in_doubt, E::send, S::sending},
    {"in_doubt -> issued", S::in_doubt, E::confirm, S::issued},
    {"in_doubt -> declined", S::in_doubt, E::decline, S::declined},
    {"in_doubt -> held", S::in_doubt, E::hold, S::held},
    {"in_doubt -> waiting (two not-founds)", S::in_doubt, E::clear, S::waiting},
    {"in_doubt, asked in vain", S::in_doubt, E::lose, S::in_doubt},
    {"held -> issued (a statement)", S::held, E::resolve_issued, S::issued},
    {"held -> waiting (a statement)", S::held, E::resolve_waiting, S::waiting},
    {"held -> failed (a statement)", S::held, E::resolve_failed, S::failed},
    {"in_doubt -> issued (a statement)", S::in_doubt, E::resolve_issued, S::issued},
    {"in_doubt -> waiting (a statement)", S::in_doubt, E::resolve_waiting, S::waiting},
    {"in_doubt -> failed (a statement, its job is over)", S::in_doubt, E::resolve_failed,
     S::failed},
    {"waiting -> failed (attempts used up)", S::waiting, E::give_up, S::failed},
    {"planned, waiting -> cancelled", S::planned, E::cancel, S::cancelled},
    {"planned, waiting -> cancelled", S::waiting, E::cancel, S::cancelled},
    {"planned, waiting -> expired", S::planned, E::expire, S::expired},
    {"planned, waiting -> expired", S::waiting, E::expire, S::expired},
    // Two of its steps in one, since the attempt's end decides both.
    {"sending -> waiting -> failed", S::sending, E::give_up, S::failed},
    {"sending -> in_doubt -> held", S::sending, E::hold, S::held},
    // Invariant I5: a call that would not be the same as before is held, never sent.
    {"waiting -> held (digest mismatch)", S::waiting, E::hold, S::held},
};

std::optional<S> promised(S from, E on) {
  for (const Rule& rule : kProtocol) {
    if (rule.from == from && rule.on == on) return rule.to;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("issuance_state: every transition of the protocol exists, and no other") {
  for (const Rule& rule : kProtocol) {
    CAPTURE(rule.protocol);
    CHECK(next_state(rule.from, rule.on) == rule.to);
  }
  for (const S from : kStates) {
    for (const E on : kEvents) {
      CAPTURE(name_of(from));
      CAPTURE(static_cast<int>(on));
      CHECK(next_state(from, on) == promised(from, on));
    }
  }
}

TEST_CASE("issuance_state: no pair of state and event stands twice in the table") {
  std::set<std::pair<S, E>> seen;
  for (const Transition& t : kTransitions) {
    CAPTURE(name_of(t.from));
    CAPTURE(static_cast<int>(t.on));
    CHECK(seen.insert({t.from, t.on}).second);
  }
}

TEST_CASE("issuance_state: what may have been executed never ends without an answer") {
  for (const Transition& t : kTransitions) {
    // A statement that covers the call is an answer too, and so is what people find out.
    const bool proved = t.on == E::resolve_waiting || t.on == E::resolve_failed;
    if (t.from != S::in_doubt || t.to == S::in_doubt || t.on == E::clear || proved) continue;
    CAPTURE(name_of(t.to));
    CHECK((t.to == S::sending || t.to == S::issued || t.to == S::declined || t.to == S::held));
  }
}

TEST_CASE("issuance_state: only a confirmation leads to issued, from where a call was out") {
  int ways = 0;
  for (const Transition& t : kTransitions) {
    if (t.to != S::issued) continue;
    ++ways;
    CHECK((t.on == E::confirm || t.on == E::resolve_issued));
    CHECK((t.from == S::sending || t.from == S::in_doubt || t.from == S::held));
    CHECK((t.from != S::held || t.on == E::resolve_issued));
  }
  CHECK(ways == 4);
}

TEST_CASE("issuance_state: the final states are those six, and nothing leaves them") {
  const std::set<S> final_states = {S::issued,    S::declined, S::failed,
                                    S::cancelled, S::expired,  S::skipped};
  for (const S state : kStates) {
    CAPTURE(name_of(state));
    CHECK(is_final(state) == final_states.contains(state));
    for (const E on : kEvents) {
      if (is_final(state)) CHECK_FALSE(next_state(state, on));
    }
  }
}

// The numbers are in every ledger there is: a change here is a change of the schema.
TEST_CASE("issuance_state: the stored numbers and their names never change") {
  struct Case {
    int stored;
    int number;
    std::string_view name;
    std::string_view want;
  };
  const auto state = [](S value) { return static_cast<int>(value); };
  const auto outcome = [](Outcome value) { return static_cast<int>(value); };
  const auto job = [](JobState value) { return static_cast<int>(value); };
  const auto event = [](EventKind value) { return static_cast<int>(value); };
  const auto pause = [](PauseReason value) { return static_cast<int>(value); };
  const Case cases[] = {
      {0, state(S::planned), name_of(S::planned), "planned"},
      {1, state(S::sending), name_of(S::sending), "sending"},
      {2, state(S::waiting), name_of(S::waiting), "waiting"},
      {3, state(S::in_doubt), name_of(S::in_doubt), "in_doubt"},
      {4, state(S::held), name_of(S::held), "held"},
      {5, state(S::issued), name_of(S::issued), "issued"},
      {6, state(S::declined), name_of(S::declined), "declined"},
      {7, state(S::failed), name_of(S::failed), "failed"},
      {8, state(S::cancelled), name_of(S::cancelled), "cancelled"},
      {9, state(S::expired), name_of(S::expired), "expired"},
      {10, state(S::skipped), name_of(S::skipped), "skipped"},
      {0, outcome(Outcome::issued), name_of(Outcome::issued), "issued"},
      {1, outcome(Outcome::declined), name_of(Outcome::declined), "declined"},
      {2, outcome(Outcome::not_executed), name_of(Outcome::not_executed), "not_executed"},
      {3, outcome(Outcome::unknown), name_of(Outcome::unknown), "unknown"},
      {4, outcome(Outcome::setup), name_of(Outcome::setup), "setup"},
      {5, outcome(Outcome::unknown_setup), name_of(Outcome::unknown_setup), "unknown_setup"},
      {6, outcome(Outcome::unstarted), name_of(Outcome::unstarted), "unstarted"},
      {7, outcome(Outcome::hold), name_of(Outcome::hold), "hold"},
      {0, job(JobState::scheduled), name_of(JobState::scheduled), "scheduled"},
      {1, job(JobState::running), name_of(JobState::running), "running"},
      {2, job(JobState::paused), name_of(JobState::paused), "paused"},
      {3, job(JobState::cancelling), name_of(JobState::cancelling), "cancelling"},
      {4, job(JobState::cancelled), name_of(JobState::cancelled), "cancelled"},
      {5, job(JobState::unsettled), name_of(JobState::unsettled), "unsettled"},
      {6, job(JobState::done), name_of(JobState::done), "done"},
      {7, job(JobState::closed), name_of(JobState::closed), "closed"},
      {1, event(EventKind::attempt), name_of(EventKind::attempt), "attempt"},
      {2, event(EventKind::recovered), name_of(EventKind::recovered), "recovered"},
      {3, event(EventKind::unstarted), name_of(EventKind::unstarted), "unstarted"},
      {4, event(EventKind::cancelled), name_of(EventKind::cancelled), "cancelled"},
      {5, event(EventKind::expired), name_of(EventKind::expired), "expired"},
      {6, event(EventKind::held), name_of(EventKind::held), "held"},
      {7, event(EventKind::gave_up), name_of(EventKind::gave_up), "gave_up"},
      {8, event(EventKind::rerun), name_of(EventKind::rerun), "rerun"},
      {10, event(EventKind::statement), name_of(EventKind::statement), "statement"},
      {11, event(EventKind::resolved), name_of(EventKind::resolved), "resolved"},
      {20, event(EventKind::job), name_of(EventKind::job), "job"},
      {21, event(EventKind::downstream), name_of(EventKind::downstream), "downstream"},
      {22, event(EventKind::daemon), name_of(EventKind::daemon), "daemon"},
      {0, pause(PauseReason::none), name_of(PauseReason::none), ""},
      {1, pause(PauseReason::operator_request), name_of(PauseReason::operator_request), "operator"},
      {3, pause(PauseReason::setup), name_of(PauseReason::setup), "setup"},
      {7, pause(PauseReason::pilot), name_of(PauseReason::pilot), "pilot"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.want);
    CHECK(c.number == c.stored);
    CHECK(c.name == c.want);
  }
}

TEST_CASE("issuance_state: a state's name is read back, and no other word") {
  for (const S state : kStates) CHECK(issuance_state_of(name_of(state)) == state);
  for (const char* wrong : {"", "Issued", "issued ", "sent", "in doubt"}) {
    CAPTURE(wrong);
    CHECK_FALSE(issuance_state_of(wrong));
  }
}

TEST_CASE("issuance_state: a job is over when only people could start a call of it") {
  for (const JobState state : {JobState::cancelled, JobState::done, JobState::closed}) {
    CHECK(is_over(state));
  }
  for (const JobState state : {JobState::scheduled, JobState::running, JobState::paused,
                               JobState::cancelling, JobState::unsettled}) {
    CAPTURE(name_of(state));
    CHECK_FALSE(is_over(state));
  }
}
