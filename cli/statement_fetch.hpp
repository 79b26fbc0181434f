// statement_fetch.hpp: a downstream's statement from its own paged endpoint.
//
// Pages are fetched one after another as they are needed, each with a GET that may be asked again:
// what the downstream did is not changed by it.  Where the pages lead in a circle, or one cannot
// be had, the whole statement is refused: half of one would show everything else as lost.
//
// Threads: one at a time.
// Errors:  invalid for an answer that is not understood, with its page and entry; unavailable when
//          the downstream does not answer; not_permitted when it refuses the credentials.
#pragma once

#include <memory>
#include <string>

#include "cli/reconciliation.hpp"
#include "cli/statement_csv.hpp"
#include "common/clock.hpp"
#include "common/plan/downstream.hpp"

namespace vouch::cli {

struct FetchOptions {
  std::string time_zone;    // of times without an offset; empty: UTC
  std::string currency;     // where the entries do not say it
  std::string authorities;  // path of a PEM file to trust besides the system's; may be empty
};

// `downstream.statement` must be there; `clock` must outlive it.
[[nodiscard]] Result<std::unique_ptr<Statement>> fetch_statement(const plan::Downstream& downstream,
                                                                 const FetchOptions& options,
                                                                 const Clock& clock);

}  // namespace vouch::cli
