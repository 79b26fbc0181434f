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

TEST_CASE("notices: that rows wait for an export is told once, until none does") {
  Listener listener;
  const auto job = job_in(JobState::running);
  listener.notices.exports(job, 0);
  CHECK(listener.heard.empty());
  listener.notices.exports(job, 40);
  CHECK(listener.last().starts_with("export " + kJob + ": 40 rows wait for an export"));
  listener.notices.exports(job, 50);
  CHECK(listener.heard.empty());
  listener.notices.exports(job, 0);
  listener.notices.exports(job, 3);
  CHECK(listener.heard.size() == 1);
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

TEST_CASE("notices: late by its pace, and late for certain, each once") {
  Listener listener;
  const auto job = job_in(JobState::running);
  const WallTime finish_by = from_ms(1'900'000'000'000);
  // 100 rows a minute; 1000 are left ten minutes before the end, then 900 eight minutes before it.
  const auto see = [&](std::int64_t open, std::chrono::seconds before_end) {
    const Instant now = Instant{10h} - before_end;
    listener.notices.late(job, finish_by, open, now, finish_by - before_end);
  };
  see(1100, 660s);
  see(1050, 630s);
  CHECK(listener.heard.empty());  // no minute has passed
  see(1000, 600s);
  CHECK(listener.heard.empty());  // ten minutes' rows, ten minutes' time
  see(950, 540s);
  CHECK(listener.last().starts_with("late " + kJob + ": at its pace it needs "));
  see(900, 480s);
  see(800, 1s);
  CHECK(listener.heard.empty());
  see(800, 0s);
  CHECK(listener.last() == "late " + kJob + ": finish_by has passed with rows left");
  see(700, -60s);
  CHECK(listener.heard.empty());
}

TEST_CASE("notices: a pause says nothing of the pace, and what is done is not late") {
  Listener listener;
  const WallTime finish_by = from_ms(1'900'000'000'000);
  const auto see = [&](JobState state, std::int64_t open, std::chrono::minutes before_end) {
    listener.notices.late(job_in(state), finish_by, open, Instant{10h} - before_end,
                          finish_by - before_end);
  };
  see(JobState::running, 1000, 60min);
  see(JobState::paused, 1000, 40min);
  see(JobState::running, 1000, 20min);
  see(JobState::running, 900, 19min);  // 100 a minute since it goes on
  CHECK(listener.heard.empty());
  see(JobState::running, 0, -1min);
  CHECK(listener.heard.empty());
}
