// issuance_words.hpp: the life of an issuance in plain words.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/plan/downstream.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

// One line for a table or a partner: "the downstream refused it", "a call is on its way".
[[nodiscard]] std::string_view words_of(IssuanceState state);
// The same, where its code goes out by an export.
[[nodiscard]] std::string_view words_of(const store::IssuanceRow& row);

// The stable word for why an issuance is where it is, as far as it was recorded: the downstream's
// business code, or what vouchd wrote.  Empty for one that is issued or on its way.
[[nodiscard]] std::string reason_of(const store::IssuanceRow& row,
                                    const std::optional<store::EventRow>& last);

// What an event says: "attempt: HTTP 503 after 12ms, outcome unknown: row in_doubt".
[[nodiscard]] std::string words_of(const store::EventRow& event);

// A call or a query, and how it ended; found out after a stop of vouchd, perhaps.
[[nodiscard]] bool is_try(const store::EventRow& event);

// What is known besides the row, for explain().
struct IssuanceFacts {
  std::string item, campaign, downstream, pool;
  std::string job;           // its id
  std::string job_state;     // "paused"
  std::string job_obstacle;  // why it does not go on
  std::string job_advice;
  std::vector<std::string> blocks;  // what is paused, stopped or does not work
  std::string block_advice;         // what mends the first of them, where it is trouble
  std::optional<WallTime> finish_by;
  plan::Contract contract = plan::Contract::key;
  bool can_be_asked = false;
  Millis key_lifetime{0};
  Millis settled_after{0};  // after a call began: what it did has been done by then
};

// Where it is and why, what was tried with which evidence, what happens next and when, what an
// operator can do.  `history` is newest first.
struct Explanation {
  std::string where, why, tried, next, advice;
};
[[nodiscard]] Explanation explain(const store::IssuanceRow& row,
                                  const std::vector<store::EventRow>& history,
                                  const IssuanceFacts& facts, WallTime now);

}  // namespace vouch::cli
