#include "daemon/service/lane.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/manual_clock.hpp"
#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using service::kLatencyBoundsUs;
using service::Lane;

namespace {

struct World {
  explicit World(double target = 1'000) : lane{target, {}, clock.now()} {
    lane.view.in_flight_max = 256;
  }
  ManualClock clock;
  Lane lane;
  int next_recipient = 1;

  data::Intent row(std::int64_t job) {
    data::Intent intent = sample_intent(next_recipient++);
    intent.job_number = job;
    return intent;
  }
  void add(std::int64_t job, int rows) {
    for (int i = 0; i < rows; ++i) lane.add(row(job));
  }
  void add_single() {
    data::Intent intent = row(0);
    intent.single = true;
    lane.add(std::move(intent));
  }
  // The job of the row taken; -1 for none.
  std::int64_t take(bool bulk_allowed = true, bool untried_first = false) {
    const auto taken = lane.take_best(clock.now(), bulk_allowed, untried_first);
    return taken ? taken->job_number : -1;
  }
  // How many rows of each job the next `calls` are.
  std::map<std::int64_t, int> take_many(int calls) {
    std::map<std::int64_t, int> by_job;
    for (int i = 0; i < calls; ++i) ++by_job[take()];
    return by_job;
  }
};

using Shares = std::map<std::int64_t, int>;

}  // namespace

TEST_CASE("lane: jobs share a downstream evenly, row by row") {
  World world;
  world.add(1, 100);
  world.add(2, 30);
  world.add(3, 100);
  for (int i = 0; i < 10; ++i) {
    CHECK(world.take() == 1);
    CHECK(world.take() == 2);
    CHECK(world.take() == 3);
  }
  CHECK(world.take_many(60) == Shares{{1, 20}, {2, 20}, {3, 20}});
  CHECK(world.take_many(20) == Shares{{1, 10}, {3, 10}});  // what job 2 leaves is shared
}

TEST_CASE("lane: rows of one job keep their order") {
  World world;
  world.add(1, 3);
  for (int number = 1; number <= 3; ++number) {
    const auto taken = world.lane.take_best(world.clock.now(), true);
    REQUIRE(taken);
    CHECK(taken->key.recipient == sample_recipient(number));
  }
  CHECK(world.lane.empty());
  CHECK(world.take() == -1);
}

TEST_CASE("lane: a newcomer neither waits nor catches up") {
  World world;
  world.add(1, 200);
  CHECK(world.take_many(100) == Shares{{1, 100}});
  world.add(2, 100);
  CHECK(world.take_many(40) == Shares{{1, 20}, {2, 20}});
}

TEST_CASE("lane: a job that had no rows for a while does not catch up either") {
  World world;
  world.add(1, 200);
  world.add(2, 1);
  CHECK(world.take_many(100) == Shares{{1, 99}, {2, 1}});
  world.add(2, 50);
  CHECK(world.take_many(40) == Shares{{1, 20}, {2, 20}});
}

TEST_CASE("lane: singles and probes go before every job, in the order they came") {
  World world;
  world.add(1, 5);
  world.add_single();
  data::Intent probe = world.row(7);
  probe.probe = true;
  world.lane.add(std::move(probe));
  CHECK(world.lane.has_singles());
  CHECK(world.take() == 0);
  CHECK(world.take() == 7);
  CHECK_FALSE(world.lane.has_singles());
  CHECK(world.take() == 1);
}

TEST_CASE("lane: the calls kept for singles are not given to lists") {
  World world;
  world.add(1, 5);
  CHECK(world.take(false) == -1);
  world.add_single();
  CHECK(world.take(false) == 0);
  CHECK(world.take(false) == -1);
  CHECK(world.lane.ready() == 5);
}

TEST_CASE("lane: a row never called before says most of an ailing downstream") {
  World world;
  data::Intent tried = world.row(1);
  tried.last_attempt_at = world.clock.wall_now();
  data::Intent doubtful = world.row(1);
  doubtful.doubt_since = world.clock.wall_now();
  data::Intent tried_single = world.row(0);
  tried_single.single = true;
  tried_single.last_attempt_at = world.clock.wall_now();
  world.lane.add(std::move(tried));
  world.lane.add(std::move(doubtful));
  world.lane.add(std::move(tried_single));
  world.add(1, 1);
  const auto first = world.lane.take_best(world.clock.now(), true, true);
  REQUIRE(first);
  CHECK(first->key.recipient == sample_recipient(4));
  CHECK(world.take(true, true) == 0);  // none is left: the usual order
  CHECK(world.take(true, true) == 1);
  CHECK(world.lane.ready() == 1);
}

TEST_CASE("lane: a job's own rate holds that job and no other") {
  World world;
  world.lane.set_job_rate(1, 10, world.clock.now());
  world.add(1, 100);
  world.add(2, 100);
  CHECK(world.take_many(20) == Shares{{1, 1}, {2, 19}});
  world.clock.advance(99ms);
  CHECK(world.take_many(10) == Shares{{1, 1}, {2, 9}});  // 4 ms of tolerance are used
  world.clock.advance(10s);
  CHECK(world.take_many(10) == Shares{{1, 1}, {2, 9}});  // a pause stores nothing
}

TEST_CASE("lane: a job's rate can be changed and taken away") {
  World world;
  world.lane.set_job_rate(1, 1, world.clock.now());
  world.add(1, 100);
  CHECK(world.take_many(2) == Shares{{1, 1}, {-1, 1}});
  CHECK(world.lane.rows_ready_at(world.clock.now()) == world.clock.now() + 996ms);
  world.lane.set_job_rate(1, 10, world.clock.now());
  CHECK(world.lane.rows_ready_at(world.clock.now()) == world.clock.now() + 96ms);
  world.lane.set_job_rate(1, std::nullopt, world.clock.now());
  CHECK(world.lane.rows_ready_at(world.clock.now()) == world.clock.now());
  CHECK(world.take_many(50) == Shares{{1, 50}});
}

TEST_CASE("lane: a job that its own rate holds back spends no turn and no permit meanwhile") {
  World world;
  world.lane.set_job_rate(1, 10, world.clock.now());
  world.add(1, 10);
  CHECK(world.take_many(1) == Shares{{1, 1}});
  for (int i = 0; i < 50; ++i) CHECK(world.take() == -1);
  world.clock.advance(100ms);
  CHECK(world.take() == 1);
}

TEST_CASE("lane: rows_ready_at looks only at jobs that have rows") {
  World world;
  CHECK(world.lane.rows_ready_at(world.clock.now()) == Instant::max());
  world.lane.set_job_rate(1, 10, world.clock.now());
  CHECK(world.lane.rows_ready_at(world.clock.now()) == Instant::max());
  world.add(2, 1);
  CHECK(world.lane.rows_ready_at(world.clock.now()) == world.clock.now());
}

TEST_CASE("lane: take_out hands over what may not start, with its reason, and keeps the rest") {
  World world;
  world.add(1, 3);
  world.add(2, 3);
  world.add_single();
  std::vector<std::string> taken;
  world.lane.take_out(
      [](const data::Intent& intent) {
        if (intent.job_number == 2) return std::string{"paused"};
        return std::string{intent.single ? "stopping" : ""};
      },
      [&](const data::Intent& intent, std::string why) {
        taken.push_back(std::to_string(intent.job_number) + " " + why);
      });
  CHECK(taken == std::vector<std::string>{"0 stopping", "2 paused", "2 paused", "2 paused"});
  CHECK(world.lane.ready() == 3);
  CHECK_FALSE(world.lane.has_singles());
  const auto left = world.lane.take_best(world.clock.now(), true);
  REQUIRE(left);
  CHECK(left->key.recipient == sample_recipient(1));
  CHECK(world.take_many(3) == Shares{{1, 2}, {-1, 1}});
}

TEST_CASE("lane: take_out forgets no job's own rate") {
  World world;
  world.lane.set_job_rate(1, 10, world.clock.now());
  world.add(1, 2);
  CHECK(world.take() == 1);
  world.lane.take_out([](const data::Intent&) { return std::string{"paused"}; },
                      [](const data::Intent&, const std::string&) {});
  CHECK(world.lane.empty());
  world.add(1, 2);
  CHECK(world.take() == -1);
}

TEST_CASE("lane: calls in flight follow Little's law") {
  struct Case {
    const char* name;
    double rate;
    std::int64_t duration_us;
    int most;
    int want, want_bulk;
  };
  const Case cases[] = {
      {"nothing measured yet: what the downstream allows", 1'000, 0, 256, 256, 231},
      {"twice the rate times the time in flight", 1'000, 50'000, 256, 100, 90},
      {"no more than the downstream allows", 1'000, 50'000, 64, 64, 58},
      {"no fewer than a few lost answers would fill", 10, 10'000, 256, 16, 14},
      {"unless the downstream allows still fewer", 10, 10'000, 8, 8, 6},
      {"at least one for lists", 10, 10'000, 2, 2, 1},
      {"one alone is for both", 10, 10'000, 1, 1, 1},
      {"two are kept for singles at least", 100, 95'000, 256, 19, 17},
      {"a tenth of many", 1'000, 100'000, 256, 200, 180},
      {"a time without measure", 1e6, 86'400'000'000, 1'024, 1'024, 922},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    World world{c.rate};
    world.lane.view.in_flight_max = c.most;
    if (c.duration_us > 0) world.lane.note_duration(c.duration_us, true);
    CHECK(world.lane.window() == c.want);
    CHECK(world.lane.bulk_window() == c.want_bulk);
  }
}

TEST_CASE("lane: lost answers widen the window and leave the latency shown alone") {
  World world;
  for (int i = 0; i < 100; ++i) world.lane.note_duration(20'000, true);
  CHECK(world.lane.window() == 40);
  const auto before = world.lane.view;
  for (int i = 0; i < 3; ++i) world.lane.note_duration(10'000'000, false);
  CHECK(world.lane.window() > 200);  // each is out for ten seconds and must not stop the rest
  CHECK(world.lane.view.median_us == before.median_us);
  CHECK(world.lane.view.latency == before.latency);
  CHECK(world.lane.view.latency_sum_us == before.latency_sum_us);
  for (int i = 0; i < 3'000; ++i) world.lane.note_duration(20'000, true);
  CHECK(world.lane.window() == 40);  // and are forgotten in time
}

TEST_CASE("lane: the latency histogram counts a duration under the first bound that holds it") {
  struct Case {
    std::int64_t duration_us;
    std::size_t bucket;
  };
  const Case cases[] = {{0, 0},           {499, 0},   {500, 0},           {501, 1},
                        {1'000, 1},       {1'001, 2}, {50'000, 6},        {10'000'000, 13},
                        {10'000'001, 14}, {-5, 0},    {3'600'000'000, 14}};
  for (const Case& c : cases) {
    CAPTURE(c.duration_us);
    World world;
    world.lane.note_duration(c.duration_us, true);
    for (std::size_t i = 0; i <= kLatencyBoundsUs.size(); ++i) {
      CHECK(world.lane.view.latency[i] == (i == c.bucket ? 1 : 0));
    }
    CHECK(world.lane.view.latency_sum_us == std::max<std::int64_t>(0, c.duration_us));
  }
}

TEST_CASE("lane: the median shown follows the answers and not their outliers") {
  World world;
  world.lane.note_duration(9'000, true);
  CHECK(world.lane.view.median_us == 9'000);
  for (int i = 0; i < 500; ++i) world.lane.note_duration(i % 3 == 0 ? 5'000'000 : 1'000, true);
  CHECK(world.lane.view.median_us > 900);
  CHECK(world.lane.view.median_us < 1'200);
  for (int i = 0; i < 500; ++i) world.lane.note_duration(2'000, true);
  CHECK(world.lane.view.median_us > 1'850);
  CHECK(world.lane.view.median_us < 2'150);
}

TEST_CASE("lane: queries wait in a line of their own, oldest first, and are no rows to call") {
  World world;
  for (int i = 0; i < 3; ++i) {
    data::Intent query = world.row(i + 1);
    query.asks = true;
    query.single = i == 1;
    world.lane.add(std::move(query));
  }
  CHECK(world.lane.ready() == 3);
  CHECK(world.take() == -1);
  CHECK(world.lane.rows_ready_at(world.clock.now()) == Instant::max());
  std::vector<std::string> taken;
  world.lane.take_out(
      [](const data::Intent& intent) { return std::string{intent.job_number == 2 ? "x" : ""}; },
      [&](data::Intent intent, std::string) {
        taken.push_back(std::to_string(intent.job_number));
      });
  CHECK(taken == std::vector<std::string>{"2"});
  CHECK(world.lane.take_query().job_number == 1);
  CHECK(world.lane.take_query().job_number == 3);
  CHECK_FALSE(world.lane.has_queries());
  CHECK(world.lane.empty());
}

TEST_CASE("lane: a single is ready at once, whatever its jobs' own rates say") {
  World world;
  world.lane.set_job_rate(1, 1, world.clock.now());
  world.add(1, 2);
  CHECK(world.take() == 1);
  CHECK(world.lane.rows_ready_at(world.clock.now()) > world.clock.now());
  world.add_single();
  CHECK(world.lane.rows_ready_at(world.clock.now()) == world.clock.now());
}

namespace {

// A lane whose downstream takes several issuances in a call.
struct BatchWorld : World {
  explicit BatchWorld(int issuances_max = 3) {
    plan::Downstream downstream = sample_downstream();
    downstream.batch.emplace().issuances_max = issuances_max;
    definition = std::make_shared<const plan::Downstream>(std::move(downstream));
  }
  std::shared_ptr<const plan::Downstream> definition;

  data::Intent batch_row(std::int64_t job = 1) {
    data::Intent intent = row(job);
    intent.definition = definition;
    return intent;
  }
  // How many rows the next call holds.
  std::size_t take_call() {
    auto first = lane.take_best(clock.now(), true);
    if (!first) return 0;
    std::vector<data::Intent> call;
    call.push_back(std::move(*first));
    lane.take_more(call);
    return call.size();
  }
};

}  // namespace

TEST_CASE("lane: rows of a job go together, as many as the downstream takes, and nobody waits") {
  BatchWorld world;
  for (int i = 0; i < 7; ++i) world.lane.add(world.batch_row(1));
  for (int i = 0; i < 2; ++i) world.lane.add(world.batch_row(2));
  CHECK(world.take_call() == 3);  // of job 1
  CHECK(world.take_call() == 2);  // of job 2
  CHECK(world.take_call() == 3);
  CHECK(world.take_call() == 1);
  CHECK(world.take_call() == 0);
  CHECK(world.lane.empty());
}

TEST_CASE("lane: without batches each row goes alone") {
  BatchWorld world;
  for (int i = 0; i < 2; ++i) world.lane.add(world.row(1));
  CHECK(world.take_call() == 1);
  CHECK(world.take_call() == 1);
}

TEST_CASE("lane: what may be why a call failed goes apart, or alone") {
  struct Case {
    const char* name;
    void (*change)(data::Intent&);
    std::vector<std::size_t> calls;  // of two such rows, then two that were never called
  };
  const auto called = [](data::Intent& intent) { intent.last_attempt_at = from_ms(1); };
  const auto twice = [](data::Intent& intent) {
    intent.last_attempt_at = from_ms(1);
    intent.strikes = 2;
  };
  const auto in_doubt = [](data::Intent& intent) { intent.doubt_since = from_ms(1); };
  const auto silent = [](data::Intent& intent) {
    intent.doubt_since = from_ms(1);
    intent.unanswered_with = 3;
  };
  const auto other_version = [](data::Intent& intent) {
    auto other = *intent.definition;
    intent.definition = std::make_shared<const plan::Downstream>(std::move(other));
  };
  const Case cases[] = {
      {"never called", [](data::Intent&) {}, {3, 1}},
      {"called before", called, {2, 2}},
      {"in doubt", in_doubt, {2, 2}},
      {"answered twice to no use", twice, {1, 1, 2}},
      {"not answered", silent, {1, 1, 2}},
      {"of other versions of the definition", other_version, {1, 1, 2}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    BatchWorld world;
    for (int i = 0; i < 4; ++i) {
      data::Intent intent = world.batch_row();
      if (i < 2) c.change(intent);
      world.lane.add(std::move(intent));
    }
    std::vector<std::size_t> calls;
    while (const std::size_t rows = world.take_call()) calls.push_back(rows);
    CHECK(calls == c.calls);
  }
}

TEST_CASE("lane: each time that a call goes unanswered, a quarter as many go together") {
  BatchWorld world{16};
  int last = 16;
  for (const int together : {4, 1, 1}) {
    for (int i = 0; i < 16; ++i) {
      data::Intent intent = world.batch_row();
      intent.doubt_since = from_ms(1);
      intent.unanswered_with = last;
      world.lane.add(std::move(intent));
    }
    while (const std::size_t rows = world.take_call()) CHECK(static_cast<int>(rows) == together);
    last = together;
  }
}

TEST_CASE("lane: a call of several takes one permit of its job's own rate") {
  BatchWorld world;
  world.lane.set_job_rate(1, 1, world.clock.now());
  for (int i = 0; i < 6; ++i) world.lane.add(world.batch_row(1));
  CHECK(world.take_call() == 3);
  CHECK(world.take_call() == 0);
  world.clock.advance(1s);
  CHECK(world.take_call() == 3);
}

TEST_CASE("lane: singles that wait go together, a probe goes alone") {
  BatchWorld world;
  for (int i = 0; i < 2; ++i) {
    data::Intent single = world.batch_row();
    single.single = true;
    world.lane.add(std::move(single));
  }
  data::Intent probe = world.batch_row();
  probe.probe = true;
  world.lane.add(std::move(probe));
  world.lane.add(world.batch_row());
  CHECK(world.take_call() == 2);
  CHECK(world.take_call() == 1);
  CHECK(world.take_call() == 1);
}
