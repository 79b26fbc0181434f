// Goal: the bad days that operators ask about, one by one.  Method: the world of the simulation,
// without chance where the story needs none.
#include "tests/simulation/scenario_steps.hpp"

using namespace vouch;
using namespace vouch::test;
using data::JobAction;

namespace {

constexpr auto kIssued = IssuanceState::issued;

// The service's own times, looked at less often: hours pass in a moment.
WorldSettings patient() {
  WorldSettings settings;
  settings.engine = {.retry = {}, .breaker = {}, .idle_poll = Millis{2'000}};
  settings.intake = {.poll = Millis{2'000}, .idle_poll = Millis{2'000}};
  settings.control_poll = Millis{2'000};
  settings.timeout = Millis{10'000};
  settings.key_lifetime = std::chrono::hours{24};
  return settings;
}

}  // namespace

TEST_CASE("scenario: the ledger's disk fails at any moment: nothing starts, nothing is lost") {
  struct Case {
    const char* name;
    FaultRule rule;
  };
  const Case cases[] = {
      {"full", {.fault = Fault::disk_full, .suffix = {}}},
      {"EIO on a write", {.fault = Fault::write_error, .suffix = {}}},
      {"EIO on one write", {.fault = Fault::write_error, .times = 1, .suffix = {}}},
      {"EIO on fsync", {.fault = Fault::sync_error, .suffix = {}}},
      {"EIO on one fsync", {.fault = Fault::sync_error, .times = 1, .suffix = {}}},
  };
  for (const Case& c : cases) {
    for (const std::int64_t after : {0, 1, 2, 7, 15}) {
      INFO(c.name, " after ", after, " operations");
      World world{static_cast<std::uint64_t>(after) + 1, {}};
      world.instance().restarts_by_itself = false;
      world.coupons.fault(Fate::answer_lost) = 0.05;
      world.submit({.campaign = kGift, .list = SampleLists::spring});
      REQUIRE(run_until_calls(world, 20));
      FaultRule rule = c.rule;
      rule.after = after;
      world.instance().fail_disk(rule);
      REQUIRE(world.run_until([&] { return !world.instance().store_ok(); }));
      const std::int64_t calls = calls_of(world);
      world.run_for(Millis{3'000});
      CHECK(calls_of(world) == calls);
      CHECK(world.instance().life().client.out() == 0);
      world.instance().mend_store();
      world.calm();
      world.finish();
      CHECK(world.problem() == "");
      CHECK(world.instance().audit().count(kIssued) == 140);
    }
  }
}

TEST_CASE("scenario: hours without the downstream cost time, and no row") {
  struct Case {
    const char* name;
    Outage outage;
  };
  for (const Case& c : {Case{"refused", Outage::refused}, Case{"502", Outage::bad_gateway},
                        Case{"silence", Outage::silence}, Case{"resets", Outage::resets}}) {
    INFO(c.name);
    World world{7, patient()};
    world.coupons.latency_max = Millis{900};  // calls from before the outage end well in it
    const ObjectId job = world.submit({.campaign = kGift, .list = SampleLists::many});
    REQUIRE(run_until_calls(world, 100));
    constexpr Millis kOutage = std::chrono::hours{6};
    world.coupons.begin_outage(c.outage, world.clock.now() + kOutage);
    world.balances.begin_outage(c.outage, world.clock.now() + kOutage);
    world.run_for(kOutage);
    CHECK(world.job(job).state == JobState::running);
    const std::int64_t calls = calls_of(world);
    CHECK(calls < 2'000);  // a call a minute and downstream, not a flood
    const Instant back = world.clock.now();
    REQUIRE(run_until_state(world, job, JobState::done));
    CHECK(world.clock.now() - back < std::chrono::minutes{5});
    world.calm();
    world.finish();
    CHECK(world.problem() == "");
    CHECK(world.instance().audit().count(kIssued) == 400);
  }
}

TEST_CASE("scenario: one downstream is away for long, and its neighbour's doubt is settled") {
  WorldSettings settings;
  settings.key_lifetime = std::chrono::minutes{5};
  World world{3, settings};
  world.balances.fault(Fate::answer_lost) = 0.3;
  world.submit({.campaign = kGift, .list = SampleLists::many});
  REQUIRE(run_until_calls(world, 60));
  world.coupons.begin_outage(Outage::refused, world.clock.now() + std::chrono::minutes{10});
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.instance().audit().count(kIssued) == 400);
}

TEST_CASE("scenario: recipients who always fail are held, and keep nobody else waiting") {
  World world{5, {}};
  world.coupons.broken_share = 0.3;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(run_until_calls(world, 10));
  const Instant begun = world.clock.now();
  world.other_traffic = true;
  world.calm();
  REQUIRE(run_until_state(world, job, JobState::unsettled));
  CHECK(world.clock.now() - begun < std::chrono::minutes{2});
  world.finish();
  CHECK(world.problem() == "");
  const AuditedJob end = world.job(job);
  CHECK(end.count(IssuanceState::held) > 80);
  CHECK(end.count(IssuanceState::held) + end.count(kIssued) == 400);
}

TEST_CASE("scenario: declined, failed and expired rows are run again, with crashes: once each") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    INFO("seed ", seed);
    World world{seed, {}};
    const auto run = [&](JobSpec spec) {
      spec.campaign = kPair;
      spec.list = SampleLists::many;
      const ObjectId job = world.submit(spec);
      REQUIRE(run_until_state(world, job, JobState::done));
      return job;
    };
    world.other_traffic = true;
    world.coupons.decline_share = 0.6;
    const ObjectId declined = run({});
    world.coupons.decline_share = 0;
    world.coupons.exhaust_share = 0.6;
    const ObjectId failed = run({});
    world.coupons.exhaust_share = 0;
    const ObjectId expired = run({.finish_by = world.clock.wall_now() + Millis{200}});
    CHECK(world.job(declined).count(IssuanceState::declined) >= 200);
    CHECK(world.job(failed).count(IssuanceState::failed) >= 200);
    CHECK(world.job(expired).count(IssuanceState::expired) >= 200);

    for (const ObjectId job : {declined, failed, expired}) {
      const ObjectId again =
          world.submit({.campaign = kPair,
                        .list = SampleLists::many,
                        .rerun_of = job,
                        .rerun_states = {IssuanceState::declined, IssuanceState::failed,
                                         IssuanceState::expired}});
      for (int i = 0; i < 4; ++i) {
        world.run_for(Millis{static_cast<std::int64_t>(20 + world.random.below(300))});
        if (i % 2 == 0) {
          world.instance().crash();
        } else {
          world.instance().kill();
        }
      }
      REQUIRE(run_until_state(world, again, JobState::done));
    }
    world.calm();
    world.finish();
    CHECK(world.problem() == "");
    std::int64_t issued = 0;
    for (const AuditedJob& job : world.instance().audit().jobs()) {
      const bool single = job.kind == static_cast<int>(data::JobKind::single);
      if (!single) issued += job.count(kIssued);
    }
    CHECK(issued == 1'200);
  }
}

namespace {

// How a job is brought to its end, and what that is.
struct Stop {
  const char* name;
  std::vector<Outage> outage;  // on both downstreams, from the middle of the job on
  bool pause = false;
  bool cancel = false;
  bool settle = false;
  bool crash = false;
  bool deadline = false;
  std::optional<std::int64_t> pilot{};
  JobState end = JobState::done;  // before anybody wishes otherwise
};

const Stop kStops[] = {
    {.name = "cancelled while it runs", .outage = {}, .cancel = true, .end = JobState::cancelled},
    {.name = "cancelled while paused",
     .outage = {},
     .pause = true,
     .cancel = true,
     .end = JobState::cancelled},
    {.name = "cancelled with doubt",
     .outage = {Outage::silence},
     .cancel = true,
     .end = JobState::unsettled},
    {.name = "cancelled with doubt, which is to be repeated",
     .outage = {Outage::silence},
     .cancel = true,
     .settle = true,
     .end = JobState::cancelled},
    {.name = "cancelled with doubt, and a crash",
     .outage = {Outage::silence},
     .cancel = true,
     .settle = true,
     .crash = true,
     .end = JobState::cancelled},
    {.name = "cancelled while credentials are wrong",
     .outage = {Outage::unauthorised},
     .cancel = true,
     .end = JobState::cancelled},
    {.name = "cancelled with doubt, then wrong credentials",
     .outage = {Outage::silence, Outage::unauthorised},
     .cancel = true,
     .settle = true,
     .end = JobState::cancelled},
    {.name = "wrong credentials for a while", .outage = {Outage::unauthorised}},
    {.name = "deadline while credentials are wrong",
     .outage = {Outage::unauthorised},
     .deadline = true},
    {.name = "deadline with doubt", .outage = {Outage::silence}, .deadline = true},
    {.name = "deadline with doubt, and a crash",
     .outage = {Outage::silence},
     .crash = true,
     .deadline = true},
    {.name = "cancelled as a pilot",
     .outage = {},
     .cancel = true,
     .pilot = 10,
     .end = JobState::cancelled},
};

void run_to_its_end(const Stop& stop) {
  INFO(stop.name);
  World world{11, {}};
  JobSpec spec{.campaign = kGift, .list = SampleLists::many, .pilot = stop.pilot};
  if (stop.deadline) spec.finish_by = world.clock.wall_now() + Millis{2'500};
  const ObjectId job = world.submit(spec);
  REQUIRE(run_until_calls(world, 15));
  for (const Outage outage : stop.outage) {
    world.coupons.begin_outage(outage, world.clock.now() + Millis{6'000});
    world.balances.begin_outage(outage, world.clock.now() + Millis{6'000});
    world.run_for(Millis{1'500});
  }
  if (stop.pause) world.change(job, JobAction::pause);
  if (stop.pause) world.run_for(Millis{300});
  if (stop.cancel) world.change(job, JobAction::cancel, stop.settle);
  world.run_for(Millis{100});
  if (stop.crash) world.instance().crash();
  CHECK(run_until_state(world, job, stop.end));
  if (stop.cancel) CHECK(world.job(job).count(kIssued) < 400);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
}

}  // namespace

TEST_CASE("scenario: a job comes to its end from wherever it is stopped") {
  for (const Stop& stop : kStops) run_to_its_end(stop);
}

TEST_CASE("scenario: a job that met a wrong URL goes on under the mended definition") {
  World world{23, {}};
  world.coupons.url = "https://coupons.test/moved";
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::spring});
  REQUIRE(comes_to(world, [&] { return world.job(job).pause_reason == PauseReason::setup; }));
  world.run_for(Millis{5'000});  // probes, all of them under the first version
  CHECK(world.job(job).state == JobState::paused);
  CHECK(world.coupons.journal().empty());
  world.set_url(0, world.coupons.url);
  REQUIRE(run_until_state(world, job, JobState::done));
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 140);
}

// Goal: what an older copy of the ledger does not know is nowhere taken for not done.  Method: a
// job in its middle, accepted as an older copy, under the contract that allows no second call.
TEST_CASE("scenario: of an older ledger nothing is called, planned before or not") {
  WorldSettings settings;
  settings.contracts[0].contract = plan::Contract::none;
  World world{37, settings};
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(run_until_calls(world, 60));
  world.instance().accept_older_ledger();
  const std::int64_t calls = world.coupons.calls();
  const std::int64_t all_calls = calls_of(world);
  REQUIRE(run_until_state(world, job, JobState::paused));
  world.run_for(Millis{5'000});
  CHECK(calls_of(world) == all_calls);  // it may have been cancelled since
  world.instance().resume_older();
  const ObjectId later = world.submit({.campaign = kGift, .list = SampleLists::spring});
  world.issue(kTraffic, "r1");
  REQUIRE(run_until_state(world, job, JobState::unsettled));
  REQUIRE(run_until_state(world, later, JobState::unsettled));
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.coupons.calls() == calls);
  const AuditedJob end = world.job(job);
  CHECK(end.count(kIssued) + end.count(IssuanceState::held) == 400);
  CHECK(end.count(kIssued) <= calls);
  // Its other item goes to who honours keys: asked to issue once more, he does so at most once.
  CHECK(world.job(later).count(IssuanceState::held) == 70);
  CHECK(world.job(later).count(kIssued) == 70);
}

// Goal: under contract none a crash leaves no more to be held than people can clear up.  Method: a
// downstream so fast that nothing but that bound keeps rows from being ready; the world counts
// those that are ready or out after each step.
TEST_CASE("scenario: under none few rows are ready or out, however fast the downstream") {
  WorldSettings settings;
  settings.contracts[0].contract = plan::Contract::none;
  settings.limit = 10'000;
  World world{53, settings};
  world.coupons.latency_min = world.coupons.latency_max = Millis{200};
  for (int i = 0; i < 3; ++i) world.submit({.campaign = kPair, .list = SampleLists::many});
  for (int i = 0; i < 40; ++i) world.issue(kTraffic, "r" + std::to_string(i));
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.coupons.calls() == 1'240);
}

// Goal: what was promised when a call was made holds for that call.  Method: calls that are out
// under contract none when the power goes, and a definition that says `key` when it is back.
TEST_CASE("scenario: what was called under none is not repeated under a later key") {
  WorldSettings settings;
  settings.contracts[0].contract = plan::Contract::none;
  World world{47, settings};
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(run_until_calls(world, 60));
  REQUIRE(comes_to(world, [&] { return world.instance().life().client.out() > 3; }));
  world.set_contract(0, plan::Contract::key);
  world.instance().crash();
  REQUIRE(world.counts.recovered > 3);
  REQUIRE(run_until_state(world, job, JobState::unsettled));
  CHECK(world.job(job).count(IssuanceState::held) == world.counts.recovered);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 400 - world.counts.recovered);
}

// Goal: a "not found" is not believed because a call looks old.  Method: calls that arrive when
// their caller has given up, and a wall clock that is put an hour ahead meanwhile.
TEST_CASE("scenario: a clock that is put ahead settles no call that may still arrive") {
  WorldSettings settings;
  settings.contracts[0].contract = plan::Contract::query;
  World world{59, settings};
  world.coupons.fault(Fate::late) = 0.3;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(comes_to(world, [&] { return world.job(job).count(IssuanceState::in_doubt) > 10; }));
  world.clock.jump_wall(std::chrono::hours{1});
  world.run_for(Millis{3'000});
  world.coupons.fault(Fate::late) = 0;
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 400);
}

TEST_CASE("scenario: after a sleep no call leaves under a lock that may end before it") {
  WorldSettings settings;
  settings.redis = true;
  settings.limit = 40;
  World world{43, settings};
  world.submit({.campaign = kPair, .list = SampleLists::many});
  const Millis life = service::lock_life(settings.engine.lock, settings.timeout);
  for (Millis nap = life / 3; nap < life; nap += Millis{100}) {
    world.run_for(Millis{250});
    world.instance().stand_still(nap);
  }
  CHECK(world.problem() == "");
  CHECK(calls_of(world) > 100);
  CHECK(calls_of(world) < 400);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.count(kIssued) == 400);
}

TEST_CASE("scenario: a call that would not be the same as before is held, and not sent") {
  World world{41, {}};
  world.coupons.fault(Fate::answer_lost) = 0.5;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(comes_to(world, [&] { return world.job(job).count(IssuanceState::in_doubt) > 10; }));
  const std::int64_t doubtful = world.count(IssuanceState::in_doubt);
  REQUIRE(world.instance().life().ledger.exec(
      "UPDATE issuance SET call_digest = zeroblob(16) WHERE state = 3"));
  world.coupons.fault(Fate::answer_lost) = 0;
  REQUIRE(run_until_state(world, job, JobState::unsettled));
  CHECK(world.job(job).count(IssuanceState::held) == doubtful);
  CHECK(world.job(job).count(kIssued) == 400 - doubtful);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
}

TEST_CASE("scenario: recipients whom a downstream does not know are held, the others go on") {
  World world{29, {}};
  world.coupons.unknown_share = 0.02;
  world.other_traffic = true;
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  const Instant begun = world.clock.now();
  REQUIRE(run_until_state(world, job, JobState::unsettled));
  CHECK(world.clock.now() - begun < std::chrono::minutes{3});
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  const AuditedJob end = world.job(job);
  CHECK(end.count(IssuanceState::held) > 0);
  CHECK(end.count(IssuanceState::held) < 30);
  CHECK(end.count(IssuanceState::held) + end.count(kIssued) == 400);
}

TEST_CASE("scenario: a 429 that asks for an hour keeps its own row waiting, and no other") {
  World world{31, patient()};
  world.coupons.long_wait = 3'600;
  const Instant begun = world.clock.now();
  const ObjectId job = world.submit({.campaign = kPair, .list = SampleLists::many});
  REQUIRE(comes_to(world, [&] { return world.job(job).count(kIssued) == 399; }));
  CHECK(world.clock.now() - begun < std::chrono::minutes{15});
  REQUIRE(run_until_state(world, job, JobState::done));
  CHECK(world.clock.now() - begun >= std::chrono::hours{1});
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
}

TEST_CASE("scenario: a job that is paused before its time waits for it again") {
  World world{13, {}};
  const WallTime start = world.clock.wall_now() + Millis{5'000};
  const ObjectId job =
      world.submit({.campaign = kGift, .list = SampleLists::spring, .start_at = start});
  world.run_for(Millis{500});
  world.change(job, JobAction::pause);
  world.run_for(Millis{500});
  world.change(job, JobAction::resume);
  world.run_for(Millis{500});
  CHECK(world.job(job).state == JobState::scheduled);
  CHECK(calls_of(world) == 0);
  REQUIRE(run_until_state(world, job, JobState::done));
  CHECK(world.clock.wall_now() > start);
}

TEST_CASE("scenario: a stop with healthy downstreams leaves no doubt") {
  World world{17, {}};
  world.submit({.campaign = kGift, .list = SampleLists::many});
  for (int i = 0; i < 5; ++i) {
    REQUIRE(run_until_calls(world, 50 * (i + 1)));
    world.stop();
  }
  CHECK(world.counts.recovered == 0);
  CHECK(world.instance().audit().count(IssuanceState::in_doubt) == 0);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(calls_of(world) == 400);
}

TEST_CASE("scenario: the same list twice, and lists that overlap, issue nothing twice") {
  World world{19, {}};
  const ObjectId first = world.submit({.campaign = kGift, .list = SampleLists::spring});
  const ObjectId second = world.submit({.campaign = kGift, .list = SampleLists::spring});
  const ObjectId third = world.submit({.campaign = kGift, .list = SampleLists::summer});
  world.issue(kGift, "r36");
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.coupons.journal().size() == 85);
  CHECK(world.balances.journal().size() == 85);
  for (const ObjectId job : {first, second, third}) CHECK(world.job(job).state == JobState::done);
}

TEST_CASE("scenario: a pool runs empty twice, is filled up, and everybody has a code of his own") {
  World world{37, {}};
  const ObjectId vip = world.submit({.campaign = kVip, .list = SampleLists::spring});
  REQUIRE(comes_to(world, [&] { return world.job(vip).pause_reason == PauseReason::pool; }));
  CHECK(world.job(vip).count(kIssued) <= 50);
  const ObjectId visit = world.submit({.campaign = kVisit, .list = SampleLists::tiny});
  REQUIRE(run_until_state(world, vip, JobState::done));
  REQUIRE(run_until_state(world, visit, JobState::done));
  CHECK(world.counts.happened["pool filled up"] >= 2);
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.instance().audit().codes_out() == 73);
}

TEST_CASE("scenario: without the pools' key a restart hands out nothing, repeats nothing, waits") {
  World world{41, {}};
  world.coupons.fault(Fate::answer_lost) = 1;
  const ObjectId job = world.submit({.campaign = kVip, .list = SampleLists::spring});
  world.issue(kVip, "r300");
  REQUIRE(run_until_calls(world, 20));
  world.hide_pool_key(true);
  world.instance().kill();
  const std::int64_t codes = world.instance().audit().codes_out();
  const std::int64_t calls = world.coupons.calls();
  world.run_for(Millis{20'000});
  CHECK(world.coupons.calls() == calls);
  CHECK(world.instance().audit().codes_out() == codes);
  CHECK(world.job(job).pause_reason == PauseReason::pool);
  CHECK(world.job(world.store().campaign_id(kVip)).count(kIssued) < 2);
  world.hide_pool_key(false);
  world.coupons.fault(Fate::answer_lost) = 0;
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  CHECK(world.job(job).count(kIssued) == 140);
  CHECK(world.job(world.store().campaign_id(kVip)).count(kIssued) == 2);
}

namespace {

// How a copy of the ledger comes to run beside the first.
struct Copy {
  const char* name;
  plan::Contract contract;
  bool redis;
};

// A downstream of contract query would have to be asked after the first daemon is gone: see
// older_ledger.bats.
const Copy kCopies[] = {
    {"key", plan::Contract::key, false},
    {"key, locks in Redis", plan::Contract::key, true},
    {"none", plan::Contract::none, false},
    {"none, locks in Redis", plan::Contract::none, true},
};

void run_with_a_copy(const Copy& copy, std::uint64_t seed) {
  INFO(copy.name, ", seed ", seed);
  WorldSettings settings;
  settings.instances = 2;
  settings.is_cloned = true;
  settings.redis = copy.redis;
  for (WorldSettings::Contracted& of : settings.contracts) of.contract = copy.contract;
  World world{seed, settings};
  for (ModelService* service : {&world.coupons, &world.balances}) {
    service->fault(Fate::answer_lost) = 0.02;
    service->fault(Fate::late) = 0.02;
    service->fault(Fate::refused) = 0.2;  // some rows wait when the copy is made
  }
  const ObjectId gift = world.submit({.campaign = kGift, .list = SampleLists::many});
  const ObjectId vip = world.submit({.campaign = kVip, .list = SampleLists::tiny});
  REQUIRE(run_until_calls(world, 60));
  world.submit({.campaign = kPair, .list = SampleLists::spring});  // the copy does not know of it
  world.start_copy_after(Millis{300});
  REQUIRE(world.problem() == "");
  REQUIRE(world.instances() == 2);
  CHECK(world.job(gift).open() > 0);
  world.instance(1).resume_older();
  for (int i = 0; i < 4 && world.problem().empty(); ++i) {
    world.run_for(Millis{static_cast<std::int64_t>(50 + world.random.below(300))});
    Instance& struck = world.instance(world.random.below(2));
    if (i == 1 && copy.redis)
      world.redis.be(ModelRedis::Mood::gone, world.clock.now() + Millis{2'000});
    if (i % 2 == 0) {
      struck.crash();
    } else if (i == 1) {
      struck.kill();
    } else {
      struck.fall_asleep();
    }
  }
  world.calm();
  world.finish();
  CHECK(world.problem() == "");
  for (const ObjectId job : {gift, vip}) {
    CHECK(world.job(job).count(kIssued) + world.job(job).count(IssuanceState::held) ==
          world.job(job).rows_accepted * 2);
  }
}

}  // namespace

TEST_CASE("scenario: a copy of the ledger runs beside the first: nobody is given anything twice") {
  for (const Copy& copy : kCopies) {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) run_with_a_copy(copy, seed);
  }
}
