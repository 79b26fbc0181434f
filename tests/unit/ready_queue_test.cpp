#include "daemon/data/ready_queue.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;
using data::owner_of;
using data::ReadyOwner;
using data::ReadyQueue;

namespace {

constexpr ReadyOwner kList{.downstream = 1, .job = 1, .from_list = true};
constexpr ReadyOwner kAgain{.downstream = 1, .job = 1, .from_list = false};
constexpr ReadyOwner kOther{.downstream = 2, .job = 1, .from_list = true};

std::vector<data::Intent> rows(int first, int count) {
  std::vector<data::Intent> made;
  for (int i = 0; i < count; ++i) made.push_back(sample_intent(first + i));
  return made;
}

}  // namespace

TEST_CASE("ready_queue: a row belongs to its list only when it is fresh and no single") {
  data::Intent intent = sample_intent(1);
  intent.downstream = 5;
  intent.job_number = 6;
  CHECK(owner_of(intent) == ReadyOwner{.downstream = 5, .job = 6, .from_list = true});
  intent.single = true;
  CHECK(owner_of(intent) == ReadyOwner{.downstream = 5, .job = 6, .from_list = false});
  intent.single = false;
  intent.fresh = false;
  CHECK(owner_of(intent) == ReadyOwner{.downstream = 5, .job = 6, .from_list = false});
}

TEST_CASE("ready_queue: the depth is what was reserved and not released, by owner") {
  ReadyQueue queue{[] {}};
  REQUIRE(queue.reserve({{kList, 10}, {kAgain, 3}}));
  REQUIRE(queue.reserve({{kList, 5}, {kOther, 1}}));
  CHECK(queue.depth(kList) == 15);
  CHECK(queue.depth(kAgain) == 3);
  CHECK(queue.depth(kOther) == 1);
  CHECK(queue.depth() == 19);
  queue.release(kList, 4);
  queue.release(kOther, 1);
  CHECK(queue.depth(kList) == 11);
  CHECK(queue.depth(kOther) == 0);
  CHECK(queue.depth() == 14);
}

TEST_CASE("ready_queue: rows keep their room from the reservation to their start") {
  ReadyQueue queue{[] {}};
  REQUIRE(queue.reserve({{kList, 2}}));
  queue.push(rows(1, 2));
  CHECK(queue.depth() == 2);  // durable, not started
  std::vector<data::Intent> taken;
  queue.take_all(taken);
  CHECK(queue.depth() == 2);  // at the engine, not started
  queue.release(kList, 2);
  CHECK(queue.depth() == 0);
}

TEST_CASE("ready_queue: rows that are handed over change their owner and not the depth") {
  ReadyQueue queue{[] {}};
  const ReadyOwner before{.downstream = 1, .job = 0, .from_list = false};
  REQUIRE(queue.reserve({{before, 2}}));
  queue.hand_over(before, kAgain, 1);
  CHECK(queue.depth(before) == 1);
  CHECK(queue.depth(kAgain) == 1);
  CHECK(queue.depth() == 2);
}

TEST_CASE("ready_queue: closed, it reserves nothing at all, and only empties") {
  ReadyQueue queue{[] {}};
  REQUIRE(queue.reserve({{kList, 2}}));
  CHECK_FALSE(queue.is_closed());
  queue.close();
  CHECK(queue.is_closed());
  CHECK_FALSE(queue.reserve({{kList, 1}, {kOther, 1}}));
  CHECK(queue.depth() == 2);
  queue.hand_over(kList, kAgain, 1);  // a single whose job came about after the close
  queue.push(rows(1, 2));             // what the writer had under way still comes
  std::vector<data::Intent> taken;
  queue.take_all(taken);
  CHECK(taken.size() == 2);
  queue.release(kList, 1);
  queue.release(kAgain, 1);
  CHECK(queue.depth() == 0);
}

TEST_CASE("ready_queue: take_all gives every row once, in the order of the commits") {
  ReadyQueue queue{[] {}};
  queue.push(rows(1, 2));
  queue.push(rows(3, 2));
  std::vector<data::Intent> taken = rows(0, 1);  // what the caller has stays in front
  queue.take_all(taken);
  REQUIRE(taken.size() == 5);
  for (int i = 0; i < 5; ++i) {
    CHECK(taken[static_cast<std::size_t>(i)].key.recipient == sample_recipient(i));
  }
  std::vector<data::Intent> again;
  queue.take_all(again);
  CHECK(again.empty());
  queue.push(rows(5, 1));
  queue.take_all(again);
  CHECK(again.size() == 1);
  queue.take_all(again);
  CHECK(again.size() == 1);
}

TEST_CASE("ready_queue: the engine is woken when rows are there to take, and only then") {
  int wakes = 0;
  std::size_t seen = 0;
  ReadyQueue* self = nullptr;
  ReadyQueue queue{[&] {
    ++wakes;
    std::vector<data::Intent> taken;
    self->take_all(taken);  // no lock is held here
    seen += taken.size();
  }};
  self = &queue;
  queue.push({});
  CHECK(wakes == 0);
  queue.push(rows(1, 3));
  CHECK(wakes == 1);
  CHECK(seen == 3);
}

// Method: three threads as in the daemon; every row must come out once and all room come back.
TEST_CASE(
    "ready_queue: nothing is lost between a thread that reserves, one that pushes and one "
    "that takes") {
  constexpr int kRows = 2'000;
  ReadyQueue queue{[] {}};
  std::thread intake{[&] {
    for (int i = 0; i < kRows; ++i) CHECK(queue.reserve({{kList, 1}}));
  }};
  std::thread writer{[&] {
    for (int i = 0; i < kRows; i += 4) queue.push(rows(i, 4));
  }};
  std::vector<data::Intent> all;
  for (int round = 0; round < 1'000; ++round) queue.take_all(all);
  intake.join();
  writer.join();
  queue.take_all(all);
  REQUIRE(all.size() == kRows);
  queue.release(kList, kRows);
  CHECK(queue.depth() == 0);
  for (int i = 0; i < kRows; ++i) {
    REQUIRE(all[static_cast<std::size_t>(i)].key.recipient == sample_recipient(i));
  }
}
