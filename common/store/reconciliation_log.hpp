// reconciliation_log.hpp: which statements a ledger was compared with, and what was found of each
// job.
//
// Threads: those of its ControlStore.
// Errors:  as control_store.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/store/control_store.hpp"

namespace vouch::store {

struct ReconciledJob {
  ObjectId job = 0;
  std::int64_t matched = 0;      // also what the statement settled
  std::int64_t differences = 0;  // lost, ghost, double, differs
  std::int64_t undecided = 0;    // in doubt or held
};

struct ReconciliationRow {
  std::int64_t id = 0;
  WallTime at;
  std::string operator_name, instance, downstream, source, scope, verdict, digest;
  std::optional<WallTime> since;
  WallTime until;
  std::int64_t lines = 0;
  std::int64_t unowned = 0;  // ghosts that belong to no job
};

// Adds it and what it found of each job; `row.id`, time and operator are given here.
[[nodiscard]] Result<void> record_reconciliation(ControlStore& control, const Actor& actor,
                                                 const ReconciliationRow& row,
                                                 const std::vector<ReconciledJob>& jobs);

// The latest reconciliation of a job with a downstream, and what it found of the job.
struct JobReconciliation {
  ReconciliationRow row;
  ReconciledJob found;
};
[[nodiscard]] Result<std::optional<JobReconciliation>> latest_reconciliation(
    ControlStore& control, ObjectId job, std::string_view downstream);

}  // namespace vouch::store
