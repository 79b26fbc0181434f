// batch_form.hpp: a downstream that takes several issuances in one call, with a result for each.
//
// What stands in the call for one issuance is what its own call's body would be, the same bytes
// each time; around them stands the batch's body.  Key, digest, outcome and evidence stay those of
// the issuance: a batch is how calls travel, and nothing that the ledger knows.
//
// Threads: values and pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vouch::plan {

struct BatchForm {
  int issuances_max = 2;                     // in one call, 2..kBatchIssuancesMax
  std::string body_source;                   // JSON with "{{issuances}}" once
  std::string head;                          // the body before the issuances
  std::string tail;                          // and behind them
  std::string results_pointer = "/results";  // in the answer; empty: the answer itself is the array
  std::string status_pointer;  // in a result, a number that counts as its HTTP status; empty: that
                               // of the answer counts
};
// So many issuances are in doubt at once when one answer is lost.
inline constexpr int kBatchIssuancesMax = 500;

// The body of a call for these issuances.
[[nodiscard]] std::string batch_body(const BatchForm& form, std::span<const std::string> bodies);

}  // namespace vouch::plan
