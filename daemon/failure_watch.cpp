#include "daemon/failure_watch.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/text.hpp"

namespace vouch::daemon {
namespace {

constexpr std::array kBad = {IssuanceState::declined, IssuanceState::failed, IssuanceState::held};
// From here on older rows weigh half: what counts is how it goes now.
constexpr double kFadeAt = 4.0 * static_cast<double>(kFailuresRowsMin);

std::size_t at(IssuanceState state) {
  return static_cast<std::size_t>(state);
}

}  // namespace

std::string FailureWatch::look(const data::JobRecord& job, const data::JobNow& wanted,
                               const data::StateCounts& totals) {
  Known& known = known_[job.number];
  const bool runs = job.state == JobState::running;
  if (!runs || !known.runs) {  // it begins here: what was before, people have seen
    known = {.seen = totals, .runs = runs};
    return {};
  }
  // A row that people or a statement settle leaves a bad state: that is no success of today.
  const auto grown = [&](IssuanceState state) {
    return static_cast<double>(
        std::max<std::int64_t>(0, totals[at(state)] - known.seen[at(state)]));
  };
  known.ended += grown(IssuanceState::issued);
  for (const IssuanceState state : kBad) {
    if (std::ranges::find(wanted.tolerated, state) != wanted.tolerated.end()) continue;
    known.ended += grown(state);
    known.failed += grown(state);
  }
  known.seen = totals;
  const double ended = known.ended;
  const double percent = ended == 0 ? 0 : 100.0 * known.failed / ended;
  while (known.ended > kFadeAt) {
    known.ended /= 2;
    known.failed /= 2;
  }
  const bool too_many = percent > static_cast<double>(wanted.failures_percent_max);
  if (ended < static_cast<double>(kFailuresRowsMin) || !too_many) return {};
  return std::to_string(std::lround(percent)) + " % of the last " +
         format_count(std::lround(ended)) + " rows were declined, failed or held; more than " +
         std::to_string(wanted.failures_percent_max) + " % pauses the job";
}

}  // namespace vouch::daemon
