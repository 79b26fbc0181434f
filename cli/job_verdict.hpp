// job_verdict.hpp: whether a job's waiting is over, and with which exit status.
//
// Threads: pure functions.
// Errors:  usage for a tolerance that is not understood.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/job_standing.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"

namespace vouch::cli {

// How many rows may end in which way and be a success all the same: "declined=2%" of the job's
// issuances, or "failed=10".
class Tolerance {
 public:
  [[nodiscard]] static Result<Tolerance> parse(const std::vector<std::string>& texts);

  // Of what ended without a voucher, that which is not tolerated: all of a state whose part is
  // above its limit.
  [[nodiscard]] std::int64_t beyond(const store::JobProgress& job) const;

 private:
  struct Limit {
    double percent = 0;
    std::optional<std::int64_t> count;
  };
  std::map<IssuanceState, Limit> limits_;
};

enum class WaitFor : std::uint8_t { done, started, paused };

struct Verdict {
  enum class Kind : std::uint8_t {
    wait_on,
    good,      // 0
    shortage,  // 3: rows ended without a voucher
    person,    // 9
    never,     // what is waited for will not come: 6
  };
  Kind kind = Kind::wait_on;
  std::string words;  // why; empty for wait_on and good
  std::string hint;
};
[[nodiscard]] Verdict judge(const JobStanding& job, WaitFor wait_for, const Tolerance& tolerance);

// Why a job does not go on and what a person can do about it; nothing for one that goes on.
struct Obstacle {
  std::string why;
  std::string advice;
};
[[nodiscard]] std::optional<Obstacle> obstacle_of(const JobStanding& job);

// "30 declined, 10 failed": what ended without a voucher.
[[nodiscard]] std::string without_voucher_text(const store::JobProgress& job);

}  // namespace vouch::cli
