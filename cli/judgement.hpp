// judgement.hpp: what the ledger and a downstream's statement together say of one issuance.
//
// Threads: pure.
// Units:   amounts in minor units, times UTC.
// Errors:  none; whatever the two say is in exactly one class.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"

namespace vouch::cli {

// What the two sides together say of one issuance.
enum class Class : std::uint8_t {
  match,      // issued here, there once and alike
  agrees,     // not issued here, and not there
  lost,       // issued here, not there
  ghost,      // there, not issued here
  doubled,    // there more than once
  differs,    // on both sides, but not alike
  resolves,   // in doubt or held here, there once and alike: it was issued
  absent,     // in doubt or held here, not there, and the statement would show it: not executed
  open,       // in doubt, held or being sent here; the statement does not reach it
  early,      // there already; here its call is still out
  late,       // issued here so near the end of the statement that the next one may have it
  outside,    // belongs to a time that the statement is not about
  elsewhere,  // of another campaign, job or store than those looked at
};
inline constexpr std::size_t kClasses = 13;
// As in reports: "match", "lost", "double", "resolves_negative".
[[nodiscard]] std::string_view name_of(Class c);
// lost, ghost, double, differs: with one of these nothing balances.
[[nodiscard]] bool is_difference(Class c);

// What a statement is about: executions from `since` to before `until`.
struct Window {
  std::optional<WallTime> since;  // nothing: from the beginning
  WallTime until;
  // How far the clocks of both sides may be apart, and how late an execution may be booked.
  Millis margin{300'000};
  // From the start of a call until the downstream can no longer act on it: timeout + settle time.
  Millis settle{70'000};
  // The statement is known to be complete up to `until`, so that what it lacks was not executed.
  bool is_complete = false;
};

// Columns that the statement has; what it has not is not compared.
struct Compared {
  bool reference = false, recipient = false, amount = false, currency = false, time = false;
};

// One line of a statement that counts as an execution.
struct StatementEntry {
  std::int64_t line = 0;
  std::uint8_t round = 0;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  std::string reference;
  std::optional<WallTime> time;
  bool is_of_another_recipient = false;  // its recipient is not the one in the request id
};

// One row of the ledger, with the evidence of its last event.
struct LedgerEntry {
  enum class Place : std::uint8_t { here, other_job, other_downstream };
  IssuanceKey key;
  Place place = Place::here;
  IssuanceState state = IssuanceState::planned;
  std::uint8_t round = 0;
  std::optional<std::int64_t> last_event;
  ObjectId job = 0;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  std::string reference;
  WallTime first_sent;  // of the earliest call that may have acted
  WallTime last_sent;   // of the latest call
  WallTime ended;       // when the state came about
};

enum class Difference : std::uint8_t { amount, currency, recipient, reference };
inline constexpr std::array<std::string_view, 4> kDifferenceNames = {"amount", "currency",
                                                                     "recipient", "reference"};

using Differences = std::array<bool, kDifferenceNames.size()>;  // by Difference

struct Judgement {
  Class c = Class::agrees;
  Differences differs{};
};

// `entries` are those of the row's own round.
[[nodiscard]] Judgement classify(const LedgerEntry& row, std::span<const StatementEntry> entries,
                                 const Window& window, const Compared& compared);

}  // namespace vouch::cli
