// lane.hpp: one downstream as the engine sees it: what is ready for it, how fast it may be called,
// how it fares.
//
// Rows wait here by job.  Singles come first; among jobs the one that has had the least goes next
// (virtual time: each start costs a job one unit; a newcomer begins at the present time, so that
// it neither waits nor catches up).
//
// Where a downstream takes several issuances in a call, rows that wait go together, and nothing
// waits for others to come.  What was called before goes apart from what was not, since it may be
// why its call failed, and with a quarter as many each time that nobody answered; a probe, and what
// two unusable answers have come for, goes alone.
//
// Threads: the engine's alone.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "daemon/data/intent.hpp"
#include "daemon/service/breaker.hpp"
#include "daemon/service/pacer.hpp"

namespace vouch::service {

// Upper bounds of the latency histogram, in microseconds; the last bucket is open.
inline constexpr std::array<std::int64_t, 14> kLatencyBoundsUs = {
    500,     1'000,   2'500,   5'000,     10'000,    25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

// However long a 429 asks for, it holds the whole downstream no longer than this: it may be about
// one recipient.  The row itself waits for as long as it was told.
inline constexpr Millis kLaneHoldMax{60'000};

// A window smaller than this is filled by a few lost answers.
inline constexpr int kWindowMin = 16;

// What a downstream has seen; read by others through Engine::view().
struct LaneView {
  ObjectId downstream = 0;
  std::string name;
  double limit = 0, warning = 0, target = 0;
  int in_flight = 0;
  int in_flight_max = 0;
  int ready = 0;
  Breaker::State breaker = Breaker::State::closed;
  Instant ailing_since{};         // meaningful while the breaker is not closed
  Instant next_call = Instant{};  // as far as the breaker goes; max: a call that tries is out
  Breaker::State query_breaker = Breaker::State::closed;
  Instant queries_ailing_since{};
  Instant next_query = Instant{};
  Instant held_since{}, held_until{};  // by a 429 with Retry-After
  std::string last_failure;            // how the latest call that ailed had ended
  std::uint64_t started = 0;
  std::uint64_t stale = 0;  // rows whose lock was sure no more when their turn came
  std::array<std::uint64_t, kOutcomes> outcomes{};  // by Outcome
  std::array<std::uint64_t, kLatencyBoundsUs.size() + 1> latency{};
  std::uint64_t latency_sum_us = 0;
  std::int64_t median_us = 0;
};

class Lane {
 public:
  Lane(double target, const BreakerSettings& settings, Instant now)
      : pacer{target, now},
        query_pacer{target, now},
        breaker{settings, now},
        query_breaker{settings, now} {}

  Pacer pacer;
  Pacer query_pacer;  // queries take a permit of both
  // Who answers queries may be well while who issues is not, and the other way round.
  Breaker breaker;
  Breaker query_breaker;
  std::optional<WallTime> last_success;        // when the latest call that succeeded had started
  std::optional<WallTime> last_query_success;  // the same of queries
  int in_flight = 0;
  LaneView view;

  void add(data::Intent intent);
  [[nodiscard]] bool empty() const { return ready_ == 0; }
  [[nodiscard]] int ready() const { return ready_; }
  [[nodiscard]] bool has_singles() const { return !singles_.empty(); }

  // No call for so long, as the downstream has asked.
  void hold(Instant now, Millis length);

  // A job's own rate; nothing takes it away.
  void set_job_rate(std::int64_t job, std::optional<double> rate, Instant now);

  // Takes the best row that may start: singles, then the job that has had the least and whose own
  // pacer has room.  With `bulk_allowed` false only singles; with `untried_first` a row that was
  // never called before all others, since it says most of the downstream.
  [[nodiscard]] std::optional<data::Intent> take_best(Instant now, bool bulk_allowed,
                                                      bool untried_first = false);
  // More rows for a call that so far holds `call`'s first one: up to what its downstream takes in a
  // call, those that stand at the head of the same queue and may go with it.
  void take_more(std::vector<data::Intent>& call);
  [[nodiscard]] bool has_queries() const { return !queries_.empty(); }
  [[nodiscard]] data::Intent take_query();
  // When a row that is no query may start as far as its job's own pacer goes: never without rows.
  [[nodiscard]] Instant rows_ready_at(Instant now) const;

  // Takes out every row for which `test` says why it may not start, with that reason.
  using Test = std::function<std::string(const data::Intent&)>;
  void take_out(const Test& test, const std::function<void(data::Intent, std::string)>& taken);

  // Calls that may be in flight: by Little's law rate x time in flight, twice that for its
  // spread, at least kWindowMin, at most what the downstream allows.
  [[nodiscard]] int window() const;
  // The same for calls of lists: a tenth, at least two, is kept for singles.
  [[nodiscard]] int bulk_window() const;
  // How long a call was out; `answered` ones make the latency that is shown.
  void note_duration(std::int64_t duration_us, bool answered);

 private:
  struct JobRows {
    std::deque<data::Intent> rows;
    std::optional<Pacer> pacer;
    std::uint64_t had = 0;  // virtual time
  };

  [[nodiscard]] std::optional<data::Intent> take_from(Instant now, bool bulk_allowed,
                                                      bool (*fits)(const data::Intent&));

  std::deque<data::Intent> queries_;
  std::deque<data::Intent> singles_;
  std::map<std::int64_t, JobRows> jobs_;
  std::uint64_t clock_ = 0;  // virtual time of the last start
  double mean_us_ = 0;       // time in flight, lost answers included
  int ready_ = 0;
};

}  // namespace vouch::service
