#include <doctest/doctest.h>

#include "daemon/failure_watch.hpp"

namespace vouch::test {
namespace {

using daemon::FailureWatch;
using S = IssuanceState;

// A job that runs, and what a look at it says.
struct Watched {
  FailureWatch watch;
  data::JobRecord job;
  data::JobNow wanted;
  data::StateCounts totals{};

  Watched() {
    job.number = 1;
    job.state = JobState::running;
    static_cast<void>(look());  // it begins here
  }
  std::string look() { return watch.look(job, wanted, totals); }
  std::string after(S state, std::int64_t rows) {
    totals[static_cast<std::size_t>(state)] += rows;
    return look();
  }
};

TEST_CASE("failure_watch: more than the part allowed, of rows enough, pauses a job") {
  for (const S bad : {S::declined, S::failed, S::held}) {
    CAPTURE(name_of(bad));
    Watched few;
    CHECK(few.after(bad, daemon::kFailuresRowsMin - 1).empty());
    CHECK(
        few.after(bad, 1) ==
        "100 % of the last 500 rows were declined, failed or held; more than 50 % pauses the job");
    Watched half;
    CHECK(half.after(S::issued, 500).empty());
    CHECK(half.after(bad, 500).empty());
    CHECK_FALSE(half.after(bad, 20).empty());
  }
  Watched cancelled;  // people and deadlines end these
  CHECK(cancelled.after(S::cancelled, 5'000).empty());
  CHECK(cancelled.after(S::expired, 5'000).empty());
}

TEST_CASE("failure_watch: how it goes now counts, not how it went for long") {
  Watched watched;
  for (int i = 0; i < 100; ++i) REQUIRE(watched.after(S::issued, 10'000).empty());
  std::string why;
  int looks = 0;
  for (; why.empty() && looks < 20; ++looks) why = watched.after(S::declined, 500);
  CHECK(looks < 10);
}

TEST_CASE("failure_watch: what was before a resume, people have seen") {
  Watched watched;
  CHECK_FALSE(watched.after(S::failed, 600).empty());
  watched.job.state = JobState::paused;
  CHECK(watched.look().empty());
  watched.job.state = JobState::running;
  CHECK(watched.look().empty());
  CHECK(watched.after(S::failed, 499).empty());
  CHECK_FALSE(watched.after(S::failed, 1).empty());
}

TEST_CASE("failure_watch: a job's own part, and states that it tolerates") {
  Watched strict;
  strict.wanted.failures_percent_max = 1;
  CHECK(strict.after(S::issued, 990).empty());
  CHECK_FALSE(strict.after(S::declined, 11).empty());
  Watched never;
  never.wanted.failures_percent_max = 100;
  CHECK(never.after(S::failed, 9'999).empty());
  Watched tolerant;
  tolerant.wanted.tolerated = {S::declined};
  CHECK(tolerant.after(S::declined, 9'999).empty());
  CHECK_FALSE(tolerant.after(S::failed, 500).empty());
}

}  // namespace
}  // namespace vouch::test
