// Goal: people are told what interfaces and vouchd(8) promise, once, and with what they need.
// Method: facts by hand, a clock by hand, and a listener that remembers.
#include "daemon/notices.hpp"

#include <doctest/doctest.h>

using namespace vouch;
using namespace std::chrono_literals;

namespace {

struct Listener {
  std::vector<std::string> heard;
  daemon::Notices notices{
      [this](const std::string& kind, const std::string& subject, const std::string& words) {
        heard.push_back(kind + " " + subject + ": " + words);
      }};
  std::string last() {
    if (heard.empty()) return {};
    const std::string words = heard.back();
    heard.clear();
    return words;
  }
};

data::JobRecord job_in(JobState state) {
  data::JobRecord job;
  job.number = 1;
  job.id = 17;
  job.state = state;
  return job;
}

const std::string kJob = format_id(ObjectKind::job, 17);

data::StateCounts totals(std::int64_t issued, std::int64_t declined, std::int64_t held) {
  data::StateCounts counts{};
  counts[static_cast<std::size_t>(IssuanceState::issued)] = issued;
  counts[static_cast<std::size_t>(IssuanceState::declined)] = declined;
  counts[static_cast<std::size_t>(IssuanceState::held)] = held;
  return counts;
}

}  // namespace

TEST_CASE("notices: a job that stops, goes on, waits for people, ends") {
  Listener listener;
  const auto running = job_in(JobState::running);
  auto paused = job_in(JobState::paused);
  paused.pause_reason = PauseReason::setup;
  paused.pause_detail = "coupons answered HTTP 401";
  listener.notices.job_changed(running, paused, totals(1, 0, 0));
  CHECK(listener.last() == "paused " + kJob + ": setup: coupons answered HTTP 401");
  listener.notices.job_changed(paused, running, totals(5, 0, 0));
  CHECK(listener.last() == "resumed " + kJob + ": 5 issued");
  listener.notices.job_changed(running, job_in(JobState::unsettled), totals(5, 2, 3));
  CHECK(listener.last() == "unsettled " + kJob + ": 5 issued, 3 held, 2 declined");
  listener.notices.job_ended(running, JobState::done, totals(8, 2, 0));
  CHECK(listener.last() == "done " + kJob + ": 8 issued, 2 declined");
  listener.notices.job_ended(running, JobState::cancelled, totals(0, 0, 0));
  CHECK(listener.last() == "cancelled " + kJob + ": 0 issued");
  listener.notices.job_changed(running, running, totals(0, 0, 0));
  CHECK(listener.heard.empty());
}

TEST_CASE("notices: held rows are told when there are more, once a minute") {
  Listener listener;
  const auto job = job_in(JobState::running);
  const Instant start{1h};
  listener.notices.held(job, totals(0, 0, 0), start);
  CHECK(listener.heard.empty());
  listener.notices.held(job, totals(0, 0, 2), start);
  CHECK(listener.last().starts_with("held " + kJob + ": 2 held; see vouchctl issuance list"));
  listener.notices.held(job, totals(0, 0, 9), start + 59s);
  listener.notices.held(job, totals(0, 0, 2), start + 60s);
  CHECK(listener.heard.empty());
  listener.notices.held(job, totals(0, 0, 9), start + 61s);
  CHECK(listener.last().starts_with("held " + kJob + ": 9 held"));
}

TEST_CASE("notices: a breaker that is not closed for five minutes, once for each outage") {
  using State = service::Breaker::State;
  Listener listener;
  std::vector<service::LaneView> lanes(1);
  lanes[0].downstream = 3;
  lanes[0].name = "coupons";
  const auto see = [&](State state, Nanos at) {
    lanes[0].breaker = state;
    listener.notices.breakers(lanes, Instant{1h} + at);
  };
  see(State::open, 0s);
  see(State::trying, 4min);
  CHECK(listener.heard.empty());
  see(State::open, 5min);
  CHECK(listener.last().starts_with("breaker_open coupons: "));
  see(State::open, 20min);
  CHECK(listener.heard.empty());
  see(State::closed, 21min);
  see(State::open, 22min);
  see(State::open, 26min);
  CHECK(listener.heard.empty());
  see(State::open, 27min);
  CHECK(listener.heard.size() == 1);
}
