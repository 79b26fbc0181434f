#include <doctest/doctest.h>

#include "cli/import_list.hpp"
#include "cli/issuance_words.hpp"
#include "cli/job_forecast.hpp"
#include "cli/job_verdict.hpp"
#include "cli/recipient_display.hpp"
#include "cli/run_lock.hpp"
#include "common/files.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::cli;
using namespace std::chrono_literals;

namespace {

JobStanding job_in(JobState state, PauseReason reason = PauseReason::none) {
  JobStanding job;
  job.id = 1;
  job.state = state;
  job.pause_reason = reason;
  job.rows_accepted = 100;
  job.rows_planned = 100;
  job.items = 1;
  job.by_state[static_cast<std::size_t>(IssuanceState::issued)] = 100;
  return job;
}

// The same with `count` of its issuances in another state.
JobStanding with(JobStanding job, IssuanceState state, std::int64_t count) {
  job.by_state[static_cast<std::size_t>(state)] += count;
  job.by_state[static_cast<std::size_t>(IssuanceState::issued)] -= count;
  return job;
}

Verdict::Kind judged(const JobStanding& job, WaitFor wait_for = WaitFor::done,
                     const std::vector<std::string>& tolerate = {}) {
  return judge(job, wait_for, Tolerance::parse(tolerate).value()).kind;
}

}  // namespace

TEST_CASE("recipients: masked so that one is recognised and none is learnt") {
  CHECK(mask_recipient("cust-000317") == "cu***17");
  CHECK(mask_recipient("12345678") == "12***78");
  CHECK(mask_recipient("1234567") == "1***");
  CHECK(mask_recipient("x") == "***");
  CHECK(mask_recipient("") == "***");
  // By letters, not by bytes: no half of one is shown.
  CHECK(mask_recipient("\xe5\xbc\xa0\xe4\xb8\x89") == "\xe5\xbc\xa0***");
}

TEST_CASE("lists: a name is found for whatever a submit key holds") {
  CHECK(list_name_for("birthday-2026-11-22") == "birthday-2026-11-22");
  CHECK(list_name_for("Birthday 22/11").starts_with("birthday-22-11-"));
  CHECK(list_name_for("Birthday 22/11") != list_name_for("birthday 22-11"));
  CHECK(list_name_for("\xe7\x94\x9f").starts_with("list-"));
  for (const std::string& text : {std::string(200, 'x'), std::string{"-.-"}, std::string{"A_b"}}) {
    CAPTURE(text);
    CHECK(plan::check_name("list", list_name_for(text)));
  }
}

TEST_CASE("tolerance: parts and counts of what ended without a voucher") {
  const auto job =
      with(with(job_in(JobState::done), IssuanceState::declined, 2), IssuanceState::failed, 1);
  struct Case {
    std::vector<std::string> texts;
    std::int64_t beyond;
  };
  const Case cases[] = {{{}, 3},
                        {{"declined=2%"}, 1},
                        {{"declined=1.99%"}, 3},
                        {{"declined=2%", "failed=1"}, 0},
                        {{"failed=0"}, 3},
                        {{"skipped=100%"}, 3},
                        {{"declined=100%", "failed=100%"}, 0}};
  for (const Case& c : cases) {
    CHECK(Tolerance::parse(c.texts).value().beyond(job) == c.beyond);
  }
  for (const char* text : {"declined", "issued=2%", "declined=", "declined=x", "declined=101%",
                           "declined=-1", "held=1%", "=2%"}) {
    CAPTURE(text);
    CHECK(Tolerance::parse({text}).error().code == Errc::usage);
  }
}

TEST_CASE("wait: what has not come true yet, what is good, what needs a person") {
  using Kind = Verdict::Kind;
  const auto running = job_in(JobState::running);
  CHECK(judged(running) == Kind::wait_on);
  CHECK(judged(job_in(JobState::scheduled)) == Kind::wait_on);
  CHECK(judged(job_in(JobState::cancelling)) == Kind::wait_on);
  CHECK(judged(job_in(JobState::done)) == Kind::good);
  CHECK(judged(job_in(JobState::closed)) == Kind::good);

  const auto declined = with(job_in(JobState::done), IssuanceState::declined, 3);
  CHECK(judged(declined) == Kind::shortage);
  CHECK(judged(declined, WaitFor::done, {"declined=3%"}) == Kind::good);
  // Another job's rows are not this one's concern.
  auto repeats = job_in(JobState::done);
  repeats.by_state = {};
  repeats.repeats = 100;
  CHECK(judged(repeats) == Kind::good);
  // Rows that were never planned ended with the cancelling.
  auto cancelled = job_in(JobState::cancelled);
  cancelled.rows_planned = 40;
  cancelled.by_state[static_cast<std::size_t>(IssuanceState::issued)] = 40;
  CHECK(judged(cancelled) == Kind::shortage);
  CHECK(judge(cancelled, WaitFor::done, {}).words == "60 cancelled of 100");

  for (const PauseReason reason :
       {PauseReason::operator_request, PauseReason::setup, PauseReason::pilot,
        PauseReason::approval, PauseReason::budget, PauseReason::store}) {
    CAPTURE(name_of(reason));
    CHECK(judged(job_in(JobState::paused, reason)) == Kind::person);
    CHECK_FALSE(obstacle_of(job_in(JobState::paused, reason))->advice.empty());
  }
  CHECK(judged(job_in(JobState::paused, PauseReason::coordination)) == Kind::wait_on);
  CHECK(judged(with(job_in(JobState::unsettled), IssuanceState::held, 1)) == Kind::person);
}

TEST_CASE("wait: for a start, for a pause, and for what will never come") {
  using Kind = Verdict::Kind;
  auto started = job_in(JobState::running);
  CHECK(judged(started, WaitFor::started) == Kind::wait_on);
  started.started = from_ms(1);
  CHECK(judged(started, WaitFor::started) == Kind::good);
  CHECK(judged(job_in(JobState::cancelled), WaitFor::started) == Kind::never);
  CHECK(judged(job_in(JobState::paused, PauseReason::pilot), WaitFor::paused) == Kind::good);
  CHECK(judged(started, WaitFor::paused) == Kind::wait_on);
  CHECK(judged(job_in(JobState::done), WaitFor::paused) == Kind::never);
}

TEST_CASE("forecast: the slowest downstream decides, and jobs share it") {
  const std::vector<LaneLoad> alone = {{"coupons", 100, 1000, {}}, {"balances", 50, 1000, {}}};
  CHECK(time_needed(alone, {}) == 20s);
  CHECK(time_needed(alone, 10.0) == 100s);
  CHECK(time_needed({}, {}) == 0s);
  // A small job beside a large one needs twice its time; a large one beside a small one waits
  // only for what the small one wants.
  const std::vector<LaneLoad> small = {{"coupons", 100, 100, {10'000}}};
  CHECK(time_needed(small, {}) == 2s);
  const std::vector<LaneLoad> large = {{"coupons", 100, 10'000, {100}}};
  CHECK(time_needed(large, {}) == 101s);
  const std::vector<LaneLoad> endless = {{"coupons", 1e-9, 1'000'000, {}}};
  CHECK(time_needed(endless, {}) == 366 * 24h);
}

TEST_CASE("submit lock: one run at a time for a key, and nothing left behind") {
  const test::TemporaryFolder folder;
  const store::StorePaths paths{folder / "store"};
  REQUIRE(make_folder(paths.control(), 0750));
  const test::ManualClock clock;
  {
    auto first = RunLock::for_submit(paths, "k", 0ms, clock);
    REQUIRE(first);
    const auto second = RunLock::for_submit(paths, "k", 0ms, clock);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::locked);
    CHECK(RunLock::for_submit(paths, "other", 0ms, clock));
  }
  CHECK(RunLock::for_submit(paths, "k", 0ms, clock));
  CHECK(std::filesystem::is_empty(paths.control()));
}

namespace {

store::IssuanceRow row_in(IssuanceState state) {
  store::IssuanceRow row;
  row.state = state;
  row.next_at = from_ms(5'000);
  row.doubt = from_ms(1'000);
  return row;
}

store::EventRow unanswered_call() {
  store::EventRow event;
  event.kind = EventKind::attempt;
  event.outcome = static_cast<int>(Outcome::unknown);
  event.transport = 4;
  event.sends = 2;
  event.duration_us = 1'000'000;
  event.detail = "timed out";
  return event;
}

}  // namespace

TEST_CASE("explain: every state has its words, and what keeps an issuance comes first") {
  IssuanceFacts facts;
  facts.item = "coupon";
  facts.campaign = "birthday";
  facts.downstream = "coupons";
  facts.job = "job_1";
  facts.key_lifetime = 100s;
  for (int i = 0; i < kIssuanceStates; ++i) {
    const auto state = static_cast<IssuanceState>(i);
    CAPTURE(name_of(state));
    const Explanation words = explain(row_in(state), {}, facts, from_ms(2'000));
    CHECK(words.where.starts_with("coupon of birthday is "));
    CHECK_FALSE(words.next.empty());
    CHECK(words.tried == "no call is on record");
  }
  const auto doubt =
      explain(row_in(IssuanceState::in_doubt), {unanswered_call()}, facts, from_ms(2'000));
  CHECK(doubt.tried.find("one call") == 0);
  CHECK(doubt.tried.find("timed out") != std::string::npos);
  CHECK(doubt.next.find("under the same key at ") != std::string::npos);
  CHECK(doubt.next.find("coupons may have forgotten the key") != std::string::npos);
  CHECK(explain(row_in(IssuanceState::declined), {}, facts, from_ms(0)).advice ==
        "if the cause is mended: vouchctl job rerun job_1 --state declined");

  facts.blocks = {"the client shop is paused: stocktaking"};
  CHECK(explain(row_in(IssuanceState::waiting), {}, facts, from_ms(0)).next ==
        "it waits: the client shop is paused: stocktaking");
  CHECK_FALSE(explain(row_in(IssuanceState::waiting), {}, facts, from_ms(0)).advice.empty());
  CHECK(explain(row_in(IssuanceState::issued), {}, facts, from_ms(0)).next ==
        "nothing: it is given");
}

TEST_CASE("job words: what waits for an export needs a person, once nothing else is left") {
  const auto waiting = [](JobState state, IssuanceState rows, ExportStage stage) {
    JobStanding job = with(job_in(state), rows, 40);
    job.exports.by_stage[static_cast<std::size_t>(stage)] = 40;
    job.exports.pools = {"vip"};
    return job;
  };
  const auto job = waiting(JobState::running, IssuanceState::planned, ExportStage::waits);
  const Verdict verdict = judge(job, WaitFor::done, {});
  CHECK(verdict.kind == Verdict::Kind::person);
  CHECK(verdict.words == "40 rows wait for an export of their codes");
  CHECK(verdict.hint == "as an administrator: vouchctl pool export vip --job " +
                            format_id(ObjectKind::job, 1) + " --to FILE");
  CHECK(judged(job, WaitFor::paused) == Verdict::Kind::person);
  // Calls go on, or rows are still to be planned: nobody is needed yet.
  CHECK(judged(with(job, IssuanceState::sending, 1)) == Verdict::Kind::wait_on);
  JobStanding planning = job;
  planning.rows_planned = 90;
  CHECK(judged(planning) == Verdict::Kind::wait_on);
  planning.pilot_left = 0;
  CHECK(judged(planning) == Verdict::Kind::person);

  // A cancelled job ends by itself what has no code; what was taken it cannot.
  CHECK(judged(waiting(JobState::cancelling, IssuanceState::planned, ExportStage::waits)) ==
        Verdict::Kind::wait_on);
  for (const auto& [state, rows, stage] :
       {std::tuple{JobState::cancelling, IssuanceState::sending, ExportStage::taken},
        std::tuple{JobState::running, IssuanceState::in_doubt, ExportStage::in_doubt},
        std::tuple{JobState::unsettled, IssuanceState::in_doubt, ExportStage::in_doubt}}) {
    const Verdict taken = judge(waiting(state, rows, stage), WaitFor::done, {});
    CHECK(taken.kind == Verdict::Kind::person);
    CHECK(taken.hint.find("vouchctl pool export vip --job") != std::string::npos);
    CHECK(taken.hint.find("settle-by-repeat") == std::string::npos);
  }
}
