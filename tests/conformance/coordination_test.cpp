// Goal: whoever uses a Coordination need not know which it is.  Method: the same cases over the one
// in this process and the one through a real Redis.
#include "tests/conformance/coordination_world.hpp"

using namespace vouch;
using namespace vouch::test;

namespace {

// One of them, and what else it needs to live.
struct Subject {
  std::string name;
  std::function<void(const std::function<void(service::Coordination&, const Clock&)>&)> with;
};

const Subject kSubjects[] = {
    {"in process",
     [](const auto& body) {
       const ManualClock clock;
       service::InProcessCoordination coordination;
       body(coordination, clock);
     }},
    {"Redis",
     [](const auto& body) {
       RedisServer server;
       RedisOwner owner{server.address()};
       body(owner.coordination, owner.clock);
       CHECK(owner.coordination.view().is_up);
       CHECK(owner.coordination.view().failures == 0);
     }},
    {"Redis that is away",
     [](const auto& body) {
       wire::RedisAddress nowhere;
       nowhere.path = "/nonexistent/redis.sock";
       RedisOwner owner{nowhere};
       owner.run();
       body(owner.coordination, owner.clock);
       CHECK_FALSE(owner.coordination.view().is_up);
     }},
};

// Each case, for each of them.
void for_each(const std::function<void(service::Coordination&, const Clock&)>& body) {
  for (const Subject& subject : kSubjects) {
    CAPTURE(subject.name);
    subject.with(body);
  }
}

}  // namespace

TEST_CASE("coordination: what is claimed is held after a round, under its name and epoch") {
  for_each([](service::Coordination& coordination, const Clock& clock) {
    const LeasePtr lease = claim(coordination, "range:1:2", 7);
    REQUIRE(lease);
    coordination.run_once(clock.now());
    CHECK(lease->state() == Lease::State::held);
    CHECK(lease->name() == "range:1:2");
    CHECK(lease->epoch() == 7);
    CHECK(lease->covers(clock.now(), kLife / 3 * 2));
    CHECK(coordination.view().held == 1);
    CHECK(coordination.view().refused == 0);
  });
}

TEST_CASE("coordination: another claim of the same name ends the lease before") {
  for_each([](service::Coordination& coordination, const Clock& clock) {
    const LeasePtr first = claim(coordination, "range:1:2", 7);
    coordination.run_once(clock.now());
    const LeasePtr second = claim(coordination, "range:1:2", 8);
    coordination.run_once(clock.now());
    CHECK(first->state() == Lease::State::over);
    CHECK_FALSE(first->covers(clock.now(), Nanos{1}));
    CHECK(second->state() == Lease::State::held);
    CHECK(coordination.view().held == 1);
  });
}

TEST_CASE("coordination: a lease that nobody has any more is let go, and may be claimed again") {
  for_each([](service::Coordination& coordination, const Clock& clock) {
    LeasePtr lease = claim(coordination, "issuance:a", 1);
    const LeasePtr other = claim(coordination, "issuance:b", 2);
    coordination.run_once(clock.now());
    CHECK(coordination.view().held == 2);
    lease.reset();
    coordination.run_once(clock.now());
    CHECK(coordination.view().held == 1);
    lease = claim(coordination, "issuance:a", 3);
    coordination.run_once(clock.now());
    CHECK(lease->state() == Lease::State::held);
    CHECK(other->state() == Lease::State::held);
  });
}

TEST_CASE("coordination: more leases than go into one exchange") {
  for_each([](service::Coordination& coordination, const Clock& clock) {
    std::vector<LeasePtr> leases;
    for (int i = 0; i < 1'200; ++i) leases.push_back(claim(coordination, std::to_string(i), i));
    for (int round = 0; round < 4; ++round) coordination.run_once(clock.now());
    for (const LeasePtr& lease : leases) REQUIRE(lease->state() == Lease::State::held);
    CHECK(coordination.view().held == leases.size());
    leases.clear();
    for (int round = 0; round < 4; ++round) coordination.run_once(clock.now());
    CHECK(coordination.view().held == 0);
  });
}
