// outcome_words.hpp: an answer's class in words: which rule says so, and what vouchd makes of it.
//
// Threads: pure functions.
#pragma once

#include <string>

#include "common/plan/downstream.hpp"
#include "common/plan/reply_reading.hpp"

namespace vouch::cli {

// "422" or "400-499".
[[nodiscard]] std::string status_text(const plan::OutcomeRule& rule);

// "rule 2 of the outcome table: status 422, /code is BLOCKED"
[[nodiscard]] std::string decided_by(const plan::Downstream& downstream,
                                     const plan::ReplyReading& reading, int status, bool asks);

// What becomes of a row that was not in doubt before, or that was asked about: one sentence
// without a full stop.
[[nodiscard]] std::string consequence(const plan::Downstream& downstream, Outcome outcome,
                                      bool asks);

}  // namespace vouch::cli
