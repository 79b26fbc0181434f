// Goal: a row gets a lease only once its lock is sure to hold for long enough, under an epoch that
// is in the ledger before anybody is asked; what nobody needs is let go, what somebody else has is
// told.  Method: a ledger and its writer, and a coordination whose answers the test gives.
#include "daemon/strategy/lease_book.hpp"

#include <doctest/doctest.h>

#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Lease;
using data::LeasePtr;

namespace {

constexpr std::string_view kEpoch = "SELECT ifnull(max(epoch), 0) FROM job_range WHERE range = 3";

// Keeps what it is asked for; the test plays Redis.
class ToldCoordination final : public service::Coordination {
 public:
  LeasePtr claim(const service::LeaseWanted& wanted) override {
    asked.push_back(wanted);
    leases.push_back(std::make_shared<Lease>(wanted.name, wanted.epoch));
    return leases.back();
  }
  std::string holder_of(const std::string&) const override { return "south"; }
  Instant run_once(Instant) override { return Instant::max(); }
  service::CoordinationView view() const override { return {}; }

  std::vector<service::LeaseWanted> asked;
  std::vector<std::shared_ptr<Lease>> leases;
};

struct BookWorld : WriterWorld {
  BookWorld() : reader{data::open_ledger_reader(folder / "ledger.db").value()} {
    submit();
    job.id = kSampleJob;
    job.number = 1;
    job.item_downstreams = {7};
    auto definition = std::make_shared<plan::Downstream>();
    definition->timeout = Millis{3'000};
    definition->settle_time = Millis{5'000};
    snapshot.downstreams[7].versions[1] = definition;
    snapshot.jobs[1] = job;
    round();
  }
  void round() { REQUIRE(book.begin_round(clock.now(), snapshot)); }
  // Asks for a range until its epoch is durable.
  LeasePtr want() {
    if (LeasePtr lease = book.of_range(job, 3)) return lease;
    run();
    return book.of_range(job, 3);
  }

  data::LedgerReader reader;
  ToldCoordination coordination;
  strategy::LeaseBook book{
      coordination, writer(), reader, {.lock = {}, .owner = "north", .first_epoch = 100}};
  data::Snapshot snapshot;
  data::JobNow job;
};

}  // namespace

TEST_CASE("lease_book: a range's epoch is durable before its lock is asked for") {
  BookWorld world;
  CHECK_FALSE(world.book.of_range(world.job, 3));
  CHECK(world.book.is_asking());
  CHECK(world.coordination.asked.empty());
  world.run();
  CHECK(world.count(kEpoch) == 100);
  CHECK_FALSE(world.book.of_range(world.job, 3));
  REQUIRE(world.coordination.asked.size() == 1);
  const service::LeaseWanted& wanted = world.coordination.asked[0];
  CHECK(wanted.name == "range:" + format_id(ObjectKind::job, kSampleJob) + ":3");
  CHECK(wanted.epoch == 100);
  CHECK(wanted.life == Millis{30'000});  // three times the timeout and the margin, by chance
  CHECK(wanted.grace == Millis{8'000});  // the call's end, and the downstream's rest

  world.coordination.leases[0]->hold_until(world.clock.now() + Millis{30'000});
  CHECK(world.book.of_range(world.job, 3) == world.coordination.leases[0]);
  CHECK(world.coordination.asked.size() == 1);
}

TEST_CASE("lease_book: a lease that is short or over is not given; over, it is claimed anew") {
  BookWorld world;
  world.want();
  const auto lease = world.coordination.leases[0];
  lease->hold_until(world.clock.now() + Millis{9'999});
  CHECK_FALSE(world.want());
  CHECK(world.coordination.asked.size() == 1);  // it will be renewed
  lease->hold_until(world.clock.now() + Millis{10'000});
  CHECK(world.want() == lease);

  world.clock.advance(Millis{10'000});  // nobody has noticed yet
  world.round();
  CHECK_FALSE(world.want());
  REQUIRE(world.coordination.asked.size() == 2);
  CHECK(world.coordination.asked[1].epoch == 101);
  CHECK(world.count(kEpoch) == 101);
}

TEST_CASE("lease_book: what somebody else has is told, and asked for again under the same epoch") {
  BookWorld world;
  world.want();
  world.coordination.leases[0]->give_up(Lease::State::refused);
  CHECK(world.book.is_refused(1, 3));
  CHECK_FALSE(world.want());
  world.clock.advance(Millis{1'000});
  world.round();
  CHECK(world.book.problem_of(1).ends_with(":3 is locked by south"));
  CHECK(world.book.problem_of(2).empty());
  CHECK_FALSE(world.want());
  REQUIRE(world.coordination.asked.size() == 2);
  CHECK(world.coordination.asked[1].epoch == 100);
  CHECK(world.count(kEpoch) == 100);
  world.coordination.leases[1]->hold_until(Instant::max());
  CHECK(world.want());
  world.clock.advance(Millis{1'000});
  world.round();
  CHECK(world.book.problem_of(1).empty());
}

TEST_CASE("lease_book: a range is kept while rows of it are to be called, and not longer") {
  BookWorld world;
  world.want();
  world.coordination.leases[0]->hold_until(Instant::max());
  const std::weak_ptr<Lease> lease = world.coordination.leases[0];
  world.coordination.leases.clear();
  const auto later = [&](Millis by) {
    world.clock.advance(by);
    world.round();
  };
  later(Millis{9'000});
  CHECK_FALSE(lease.expired());
  SUBCASE("no row of it is open") {
    later(Millis{2'000});
    CHECK(lease.expired());
  }
  SUBCASE("a call is out, then is to be made again, then has its outcome") {
    data::PlanPage page = world.page({1});
    page.range = 3;
    page.intents[0].range = 3;
    world.write(std::move(page));
    data::Intent out = world.take_ready().front();
    later(std::chrono::minutes{10});
    CHECK_FALSE(lease.expired());
    world.life->ready.release(owner_of(out), 1);
    world.write(world.ended(out, IssuanceEvent::defer));
    later(std::chrono::minutes{10});
    CHECK_FALSE(lease.expired());
    out.fresh = false;
    out.from = IssuanceState::waiting;
    REQUIRE(world.life->ready.reserve({{owner_of(out), 1}}));
    world.write(data::SendAgain{{out}});
    world.write(world.ended(out, IssuanceEvent::confirm));
    later(std::chrono::minutes{10});
    CHECK(lease.expired());
  }
}

TEST_CASE("lease_book: rows that wait for an export keep no lease, planned rows of others do") {
  for (const bool exports : {true, false}) {
    CAPTURE(exports);
    BookWorld world;
    if (exports) world.snapshot.jobs[1].exports.add(0);
    data::PlanPage page = sample_page({1});
    page.range = 3;
    page.intents[0].range = 3;
    page.intents[0].by_export = true;
    world.write(std::move(page));
    world.want();
    world.coordination.leases[0]->hold_until(Instant::max());
    const std::weak_ptr<Lease> lease = world.coordination.leases[0];
    world.coordination.leases.clear();
    world.clock.advance(Millis{11'000});
    world.round();
    CHECK(lease.expired() == exports);
  }
}

TEST_CASE("lease_book: an issuance's lease goes with its call") {
  BookWorld world;
  CHECK_FALSE(world.book.of_issuance(world.job, "one"));
  REQUIRE(world.coordination.asked.size() == 1);
  CHECK(world.coordination.asked[0].name == "issuance:one");
  CHECK_FALSE(world.book.of_issuance(world.job, "one"));  // still being asked for
  CHECK(world.coordination.asked.size() == 1);
  world.coordination.leases[0]->hold_until(Instant::max());
  data::Intent intent = sample_intent(1);
  intent.request_id = "one";
  intent.lease = world.book.of_issuance(world.job, "one");
  REQUIRE(intent.lease);
  // Its call has to wait after all: the same lease is there the next time.
  world.book.put_back(world.job, intent);
  CHECK_FALSE(intent.lease);
  CHECK(world.book.of_issuance(world.job, "one") == world.coordination.leases[0]);
  // Once it has gone with a call, the next call needs another one.
  CHECK_FALSE(world.book.of_issuance(world.job, "one"));
  CHECK(world.coordination.asked.size() == 2);
  CHECK(world.coordination.asked[1].epoch > world.coordination.asked[0].epoch);
}
