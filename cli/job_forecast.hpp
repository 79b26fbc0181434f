// job_forecast.hpp: what a job would do and when it would end, at the rates in force.
//
// Threads: pure but for plan_job, which reads list and ledger.
// Units:   calls per second, money in minor units.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/plan/campaign.hpp"
#include "common/store/control_store.hpp"
#include "common/store/ledger_view.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::cli {

// What one downstream has to do.
struct LaneLoad {
  std::string downstream;
  double target = 0;                 // calls per second that are kept
  std::int64_t calls = 0;            // of the job
  std::vector<std::int64_t> others;  // calls that other open jobs still want of it
};
// The load that issuances make, which go several in a call where the downstream takes batches:
// those of the job, and of other open jobs.
[[nodiscard]] LaneLoad load_of(const store::DownstreamRow& downstream, std::int64_t issuances,
                               std::span<const std::int64_t> others = {});

// How long the calls take when every job has an equal share and `job_rate` is kept on each
// downstream.  The slowest downstream decides.
[[nodiscard]] Millis time_needed(std::span<const LaneLoad> loads, std::optional<double> job_rate);

// What a job over a list would give.
struct JobPlan {
  std::int64_t rows = 0;
  std::int64_t issuances = 0;                    // rows x items
  std::int64_t repeats = 0;                      // of them, held by other jobs already
  std::map<std::uint8_t, std::int64_t> by_item;  // that would be new
  std::map<std::string, std::int64_t> money;     // of the new ones, by currency
  [[nodiscard]] std::int64_t fresh() const { return issuances - repeats; }
};

// Looks at every row of the list and, where there is a `ledger`, at what it has been given already.
// `observe` hears how many rows were looked at.
[[nodiscard]] Result<JobPlan> plan_job(const plan::Campaign& campaign, ObjectId campaign_id,
                                       std::uint64_t occurrence, store::SealedList& list,
                                       store::LedgerView* ledger,
                                       const std::function<void(std::int64_t)>& observe);

// The occurrence under which a row of a list is planned: the job's own, or its column's.
[[nodiscard]] std::uint64_t occurrence_of_row(const plan::Campaign& campaign, std::uint64_t of_job,
                                              std::string_view of_row);

// What a list lacks for a campaign: amounts, or the column that tells occurrences apart.
[[nodiscard]] Result<void> check_list_fits(const plan::Campaign& campaign,
                                           const store::ListMeta& list);

}  // namespace vouch::cli
