// Goal: what travels together in a call is issued, doubted and repeated one by one.  Method: the
// world of the simulation, with a coupon service that takes three issuances in a call.
#include "tests/simulation/scenario_steps.hpp"

using namespace vouch;
using namespace vouch::test;

namespace {

constexpr auto kIssued = IssuanceState::issued;

WorldSettings with_batches(plan::Contract contract) {
  WorldSettings settings;
  settings.contracts[0] = {.contract = contract, .issuances_per_call = 3};
  return settings;
}

void lose_parts_and_crash(plan::Contract contract, std::uint64_t seed) {
  INFO(plan::name_of(contract), ", seed ", seed);
  World world{seed, with_batches(contract)};
  for (const Fate fate : {Fate::answer_lost, Fate::swallowed, Fate::late, Fate::half_answer,
                          Fate::error, Fate::refused}) {
    world.coupons.fault(fate) = 0.04;
  }
  const ObjectId pair = world.submit({.campaign = kPair, .list = SampleLists::many});
  const ObjectId visit = world.submit({.campaign = kVisit, .list = SampleLists::tiny});
  REQUIRE(run_until_calls(world, 20));
  for (int i = 0; i < 6 && world.problem().empty(); ++i) {
    world.run_for(Millis{static_cast<std::int64_t>(20 + world.random.below(200))});
    if (i % 2 == 0) {
      world.instance().crash();
    } else {
      world.instance().kill();
    }
  }
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.coupons.batches() > 0);
  CHECK(world.job(pair).count(kIssued) == 400);
  CHECK(world.job(visit).count(kIssued) == world.job(visit).rows_accepted);
  CHECK(std::ssize(world.coupons.journal()) == 400 + world.job(visit).rows_accepted);
}

// Between a call for each issuance and batches, while much is in doubt.
void redefine_in_doubt(int before, int after) {
  INFO("from ", before, " to ", after, " issuances in a call");
  WorldSettings settings;
  settings.contracts[0].issuances_per_call = before;
  World world{61, settings};
  world.coupons.fault(Fate::answer_lost) = 0.3;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(comes_to(world, [&] { return world.job(job).count(IssuanceState::in_doubt) > 10; }));
  world.set_batch(0, after);
  world.instance().crash();
  CHECK(world.count(IssuanceState::in_doubt) > 10);
  const std::int64_t batches = world.coupons.batches();
  const std::int64_t alone = world.coupons.calls() - batches;
  world.coupons.fault(Fate::answer_lost) = 0;
  REQUIRE(run_until_state(world, job, JobState::done));
  // Both forms are called from now on: the old one for what may have been executed.
  CHECK(world.coupons.batches() > batches);
  CHECK(world.coupons.calls() - world.coupons.batches() > alone);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 400);
}

// 16 recipients whose calls nobody answers, among those of large batches.
void meet_silence(plan::Contract contract) {
  INFO(plan::name_of(contract));
  WorldSettings settings;
  settings.contracts[0] = {.contract = contract, .issuances_per_call = 50};
  World world{7, settings};
  world.coupons.silent_share = 0.05;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(run_until_calls(world, 1));
  const Instant begun = world.clock.now();
  REQUIRE(comes_to(world, [&] { return world.job(job).count(kIssued) >= 384; }));
  CHECK(world.clock.now() - begun < std::chrono::minutes{1});
  CHECK(world.job(job).count(kIssued) == 384);
  world.coupons.silent_share = 0;
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 400);
}

}  // namespace

TEST_CASE("scenario: batches whose answers lack results or are lost, with crashes: once each") {
  for (const plan::Contract contract : {plan::Contract::key, plan::Contract::query}) {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) lose_parts_and_crash(contract, seed);
  }
}

TEST_CASE("scenario: what is in doubt is repeated as it was called, alone or in a batch") {
  redefine_in_doubt(1, 3);
  redefine_in_doubt(3, 1);
}

TEST_CASE("scenario: a recipient whom nobody answers does not keep back who was called with him") {
  for (const plan::Contract contract : {plan::Contract::key, plan::Contract::query}) {
    meet_silence(contract);
  }
}
