// issuance_state.hpp: the life of an issuance and of a job, as data.
//
// The numbers are stored in the ledger and never change their meaning.
//
// Threads: constants and pure functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vouch {

enum class IssuanceState : std::uint8_t {
  planned = 0,    // born at intake or by a rerun; no call of this round was made
  sending = 1,    // durable: a call may start at any moment, or has started
  waiting = 2,    // proven not executed; due again later
  in_doubt = 3,   // a call ended without a usable answer: ask, or repeat the same bytes
  held = 4,       // no safe automatic move is left: people decide
  issued = 5,     // final: evidence is stored
  declined = 6,   // final: the downstream said no for a business reason
  failed = 7,     // final: attempts used up, each proven not executed
  cancelled = 8,  // final: an operator stopped it before any call could act
  expired = 9,    // final: its deadline passed before any call could act
  skipped = 10,   // final: strategy or a limit said no
};
inline constexpr int kIssuanceStates = 11;

enum class IssuanceEvent : std::uint8_t {
  send,     // its turn has come: the intent is about to be durable
  confirm,  // evidence of one effect with the right id and amount
  decline,  // a business refusal, no effect
  defer,    // this attempt is proven not executed
  unstart,  // never started: stop, pause, limit cut
  lose,     // the attempt's outcome is unknown
  hold,     // no safe automatic move is left
  clear,    // asked twice, and long enough after the call: it was not executed
  give_up,  // attempts used up
  cancel,   // an operator's stop
  expire,   // finish_by has passed
  // A downstream's statement, or the people who decide, settle what was in doubt or held:
  resolve_issued,   // it was executed, with the right amount
  resolve_waiting,  // it was not, and its job may try again
  resolve_failed,   // it was not, and its job is over
};

struct Transition {
  IssuanceState from;
  IssuanceEvent on;
  IssuanceState to;
};

// The whole life.  What is not listed is forbidden.  In particular nothing leads from in_doubt
// to cancelled or expired, and only a proof to failed: a lost answer is settled by an answer, never
// by a deadline.
// A rerun starts a new round of a final issuance; it is no edge of this table.
// clang-format off
inline constexpr Transition kTransitions[] = {
    {IssuanceState::planned, IssuanceEvent::send, IssuanceState::sending},
    {IssuanceState::planned, IssuanceEvent::cancel, IssuanceState::cancelled},
    {IssuanceState::planned, IssuanceEvent::expire, IssuanceState::expired},
    {IssuanceState::sending, IssuanceEvent::confirm, IssuanceState::issued},
    {IssuanceState::sending, IssuanceEvent::decline, IssuanceState::declined},
    {IssuanceState::sending, IssuanceEvent::defer, IssuanceState::waiting},
    {IssuanceState::sending, IssuanceEvent::unstart, IssuanceState::waiting},
    {IssuanceState::sending, IssuanceEvent::lose, IssuanceState::in_doubt},
    {IssuanceState::sending, IssuanceEvent::hold, IssuanceState::held},
    {IssuanceState::sending, IssuanceEvent::give_up, IssuanceState::failed},
    {IssuanceState::waiting, IssuanceEvent::send, IssuanceState::sending},
    {IssuanceState::waiting, IssuanceEvent::give_up, IssuanceState::failed},
    {IssuanceState::waiting, IssuanceEvent::hold, IssuanceState::held},
    {IssuanceState::waiting, IssuanceEvent::cancel, IssuanceState::cancelled},
    {IssuanceState::waiting, IssuanceEvent::expire, IssuanceState::expired},
    {IssuanceState::in_doubt, IssuanceEvent::send, IssuanceState::sending},
    {IssuanceState::in_doubt, IssuanceEvent::confirm, IssuanceState::issued},
    {IssuanceState::in_doubt, IssuanceEvent::decline, IssuanceState::declined},
    {IssuanceState::in_doubt, IssuanceEvent::clear, IssuanceState::waiting},
    {IssuanceState::in_doubt, IssuanceEvent::lose, IssuanceState::in_doubt},
    {IssuanceState::in_doubt, IssuanceEvent::hold, IssuanceState::held},
    {IssuanceState::in_doubt, IssuanceEvent::resolve_issued, IssuanceState::issued},
    {IssuanceState::in_doubt, IssuanceEvent::resolve_waiting, IssuanceState::waiting},
    {IssuanceState::in_doubt, IssuanceEvent::resolve_failed, IssuanceState::failed},
    {IssuanceState::held, IssuanceEvent::resolve_issued, IssuanceState::issued},
    {IssuanceState::held, IssuanceEvent::resolve_waiting, IssuanceState::waiting},
    {IssuanceState::held, IssuanceEvent::resolve_failed, IssuanceState::failed},
};
// clang-format on

[[nodiscard]] constexpr bool is_final(IssuanceState state) {
  return state >= IssuanceState::issued;
}

[[nodiscard]] constexpr std::optional<IssuanceState> next_state(IssuanceState from,
                                                                IssuanceEvent on) {
  for (const Transition& t : kTransitions) {
    if (t.from == from && t.on == on) return t.to;
  }
  return std::nullopt;
}

static_assert(std::ranges::none_of(kTransitions, is_final, &Transition::from));

inline constexpr std::array<std::string_view, kIssuanceStates> kIssuanceStateNames = {
    "planned",  "sending", "waiting",   "in_doubt", "held",   "issued",
    "declined", "failed",  "cancelled", "expired",  "skipped"};

[[nodiscard]] constexpr std::string_view name_of(IssuanceState state) {
  return kIssuanceStateNames[static_cast<std::size_t>(state)];
}
[[nodiscard]] constexpr std::optional<IssuanceState> issuance_state_of(std::string_view name) {
  for (std::size_t i = 0; i < kIssuanceStateNames.size(); ++i) {
    if (kIssuanceStateNames[i] == name) return static_cast<IssuanceState>(i);
  }
  return std::nullopt;
}

// How one attempt ended, as the outcome table and the sender's rules class it.
enum class Outcome : std::uint8_t {
  issued = 0,         // complete reply, right id and amount
  declined = 1,       // business refusal
  not_executed = 2,   // refused, unreachable, 429: nothing can have happened
  unknown = 3,        // may have been executed
  setup = 4,          // credentials, URL or contract are wrong: not executed, people mend it
  unknown_setup = 5,  // a redirect, a 406: unknown, and people mend it
  unstarted = 6,      // taken back before any byte left
  hold = 7,           // the outcome table says that people decide
  not_found = 8,      // of a query: the downstream knows of no such call
};
inline constexpr int kOutcomes = 9;
inline constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {
    "issued",        "declined",  "not_executed", "unknown",  "setup",
    "unknown_setup", "unstarted", "hold",         "not_found"};
[[nodiscard]] constexpr std::string_view name_of(Outcome outcome) {
  return kOutcomeNames[static_cast<std::size_t>(outcome)];
}

enum class JobState : std::uint8_t {
  scheduled = 0,  // accepted; its start time or window has not come
  running = 1,
  paused = 2,      // with a reason
  cancelling = 3,  // no new call; what is out is awaited
  cancelled = 4,
  unsettled = 5,  // every row was tried; some are in doubt or held
  done = 6,       // every row is final
  closed = 7,     // done, and balanced against the downstream
};
inline constexpr std::array<std::string_view, 8> kJobStateNames = {
    "scheduled", "running", "paused", "cancelling", "cancelled", "unsettled", "done", "closed"};
[[nodiscard]] constexpr std::string_view name_of(JobState state) {
  return kJobStateNames[static_cast<std::size_t>(state)];
}
// No call will start for such a job unless somebody acts.
[[nodiscard]] constexpr bool is_over(JobState state) {
  return state == JobState::cancelled || state == JobState::done || state == JobState::closed;
}

enum class PauseReason : std::uint8_t {
  none = 0,
  operator_request = 1,
  approval = 2,
  setup = 3,
  budget = 4,
  coordination = 5,
  store = 6,
  pilot = 7,
  pool = 8,      // no code can be taken from a pool: it is empty, or cannot be read
  failures = 9,  // too many rows ended without a voucher
};
inline constexpr std::array<std::string_view, 10> kPauseReasonNames = {
    "",      "operator", "approval", "setup",   "budget", "coordination",
    "store", "pilot",    "pool",     "failures"};
[[nodiscard]] constexpr std::string_view name_of(PauseReason reason) {
  return kPauseReasonNames[static_cast<std::size_t>(reason)];
}

// What an event row records.
enum class EventKind : std::uint8_t {
  attempt = 1,    // the end of one call, with its evidence
  recovered = 2,  // found `sending` after a stop: outcome unknown
  unstarted = 3,  // taken back before any byte left
  cancelled = 4,
  expired = 5,
  held = 6,
  gave_up = 7,      // attempts used up
  rerun = 8,        // a new job took the issuance over
  asked = 9,        // the end of a query about a call that is in doubt
  statement = 10,   // settled by the downstream's own statement
  resolved = 11,    // settled by people
  exported = 12,    // its code stands in a file: pool segment, ordinal and export id
  job = 20,         // a job changed its state; detail says how
  downstream = 21,  // breaker, test call, setup; detail says what
  daemon = 22,      // started, stopped
};
inline constexpr std::array<std::string_view, 23> kEventKindNames = {
    "",      "attempt", "recovered", "unstarted", "cancelled", "expired",    "held",  "gave_up",
    "rerun", "asked",   "statement", "resolved",  "exported",  "",           "",      "",
    "",      "",        "",          "",          "job",       "downstream", "daemon"};
[[nodiscard]] constexpr std::string_view name_of(EventKind kind) {
  return kEventKindNames[static_cast<std::size_t>(kind)];
}

}  // namespace vouch
