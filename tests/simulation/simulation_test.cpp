// Goal: nobody gets two vouchers, nobody owed one is forgotten, and every total is true, whatever
// the downstreams, the disk, the power and the operators do.  Method: see world.hpp.  Each seed is
// one of eight kinds of bad luck.  A failing seed says its number; it is replayed by
//     VOUCH_SIM_SEED=<seed> simulation_test
// and VOUCH_SIM_SEEDS=<n> runs more than 200.
#include <doctest/doctest.h>

#include <iostream>

#include "common/environment.hpp"
#include "common/text.hpp"
#include "tests/simulation/world.hpp"

using namespace vouch;
using namespace vouch::test;

namespace {

constexpr std::int64_t kSeeds = 200;

struct Luck {
  const char* name;
  // Nothing here is a reason to fail a row, nor to hold one but under contract none.
  bool rows_must_not_end_unissued = false;
};
constexpr Luck kLucks[] = {
    {"crashes", true},       {"network", false}, {"outages", true},   {"refusals", false},
    {"wrong set-up", false}, {"disk", true},     {"operators", true}, {"everything", false},
};

void prepare(World& world, std::size_t luck) {
  const bool everything = luck == 7;
  for (ModelService* service : {&world.coupons, &world.balances}) {
    service->fault(Fate::answer_lost) = 0.02;
    if (luck == 1 || everything) {
      for (const Fate fate :
           {Fate::answer_lost, Fate::swallowed, Fate::late, Fate::died_after, Fate::gone_after,
            Fate::reset_before, Fate::half_answer, Fate::refused, Fate::connect_slow,
            Fate::tls_failed, Fate::error, Fate::same_error, Fate::wrong_answer}) {
        service->fault(fate) = everything ? 0.015 : 0.03;
      }
      service->slow_share = 0.05;
      for (const QueryFate fate : {QueryFate::lost, QueryFate::error, QueryFate::other_id,
                                   QueryFate::wrong_amount, QueryFate::html, QueryFate::pending}) {
        service->fault(fate) = 0.04;
      }
    }
    if (luck == 3 || everything) {
      service->decline_share = 0.10;
      service->exhaust_share = 0.03;
      service->broken_share = 0.03;
      service->fault(Fate::too_many) = 0.05;
    }
    if (luck == 4 || everything) {
      service->fault(Fate::unauthorised) = 0.005;
      service->fault(Fate::redirected) = 0.005;
    }
  }
}

Chaos chaos_of(std::size_t luck) {
  Chaos chaos{.crashes = 2, .kills = 1, .reruns = 2, .key_losses = 1};
  switch (luck) {
    case 0:
      chaos = {.crashes = 6, .kills = 3, .stops = 1, .key_losses = 1};
      break;
    case 2:
      chaos.outages = 4;
      break;
    case 3:
      chaos.reruns = 4;
      break;
    case 4:
      chaos.outages = 4;
      chaos.setup_outages = true;
      break;
    case 5:
      chaos.disk_failures = 4;
      chaos.crashes = 3;
      break;
    case 6:
      chaos = {.crashes = 1,
               .stops = 2,
               .pauses = 4,
               .cancels = 2,
               .service_pauses = 2,
               .rate_changes = 3,
               .reruns = 3,
               .key_losses = 2};
      break;
    case 7:
      chaos = {.crashes = 3,
               .kills = 1,
               .disk_failures = 1,
               .stops = 1,
               .pauses = 2,
               .cancels = 1,
               .service_pauses = 1,
               .rate_changes = 1,
               .outages = 2,
               .reruns = 2,
               .key_losses = 1,
               .setup_outages = true};
      break;
    default:
      break;
  }
  return chaos;
}

void add_chaos_of_any_luck(std::size_t luck, Random& random, WorldSettings& settings) {
  Chaos& chaos = settings.chaos;
  // Ages are told by the wall clock: of keys that live for less than it jumps nothing can be said.
  // What was due while the clock was ahead may have to wait for an hour, with less to do meanwhile.
  if (luck != 3 && luck != 7 && random.chance(0.2)) {
    chaos.clock_jumps = 2;
    settings.key_lifetime = std::chrono::hours{24};
    settings.engine.idle_poll = Millis{1'000};
    settings.intake.poll = Millis{100};  // a job paused for its set-up looks so often for its rows
    settings.intake.idle_poll = Millis{1'000};
    settings.control_poll = Millis{500};
    settings.operators_look = Millis{1'000};
    settings.single_every = std::chrono::minutes{1};
  }
  // Half of the runs have their locks in a Redis, and bad luck with it.
  if (random.chance(0.5)) {
    settings.redis = true;
    chaos.redis_troubles = 2;
    chaos.rivals = 3;
    chaos.sleeps = 2;
  }
}

WorldSettings settings_of(std::size_t luck, Random& random) {
  WorldSettings settings;
  settings.limit = 100.0 * static_cast<double>(1 + random.below(8));
  for (WorldSettings::Contracted& of : settings.contracts) {
    constexpr std::array kContracts = {plan::Contract::key, plan::Contract::query,
                                       plan::Contract::none};
    of.contract = kContracts[random.below(kContracts.size())];
    of.asks = of.contract == plan::Contract::key && random.chance(0.5);
    of.visible_after = Millis{static_cast<std::int64_t>(random.below(2000))};
  }
  WorldSettings::Contracted& coupons = settings.contracts[0];
  if (coupons.contract != plan::Contract::none && random.chance(0.5)) {
    coupons.issuances_per_call = 3;
  }
  settings.instances = random.chance(0.3) ? 2 : 1;
  settings.chaos = chaos_of(luck);
  if (luck == 3 || luck == 7) settings.key_lifetime = Millis{30'000};
  add_chaos_of_any_luck(luck, random, settings);
  return settings;
}

// Several jobs, lists that overlap, one to three items, and singles in between.
void submit_jobs(World& world, Random& random) {
  const auto in = [&](std::uint64_t from_ms, std::uint64_t to_ms) {
    return world.clock.wall_now() +
           Millis{static_cast<std::int64_t>(from_ms + random.below(to_ms - from_ms))};
  };
  const std::array specs = {
      JobSpec{.campaign = kGift, .list = SampleLists::spring},
      JobSpec{.campaign = kGift, .list = SampleLists::spring},
      JobSpec{.campaign = kGift, .list = SampleLists::summer},
      JobSpec{.campaign = kPair, .list = SampleLists::tiny},
      JobSpec{.campaign = kPair, .list = SampleLists::spring},
      JobSpec{.campaign = kOrders, .list = SampleLists::orders},
      JobSpec{.campaign = kGift, .list = SampleLists::empty},
      JobSpec{.campaign = kVip, .list = SampleLists::spring},
      JobSpec{.campaign = kVip, .list = SampleLists::summer},
      JobSpec{.campaign = kVisit, .list = SampleLists::spring},
      JobSpec{.campaign = kVisit, .list = SampleLists::tiny},
      JobSpec{.campaign = kMailed, .list = SampleLists::spring},
      JobSpec{.campaign = kMailed, .list = SampleLists::summer},
      JobSpec{.campaign = kPrinted, .list = SampleLists::spring},
      JobSpec{.campaign = kPrinted, .list = SampleLists::tiny},
  };
  const std::size_t jobs = 3 + random.below(3);
  for (std::size_t i = 0; i < jobs; ++i) {
    JobSpec spec = specs[random.below(specs.size())];
    spec.instance = random.below(world.instances());
    if (random.chance(0.2)) spec.pilot = static_cast<std::int64_t>(1 + random.below(30));
    if (random.chance(0.2)) spec.rate = 30 + 300 * random.unit();
    if (random.chance(0.2)) spec.start_at = in(0, 2000);
    if (random.chance(0.2)) spec.finish_by = in(500, 5000);
    world.submit(spec);
  }
  const std::size_t singles = random.below(8);
  for (std::size_t i = 0; i < singles; ++i) {
    constexpr std::array kCampaigns = {kGift, kGift, kVip, kMailed};
    world.issue(kCampaigns[random.below(kCampaigns.size())],
                "r" + std::to_string(random.below(200)));
  }
}

struct Sums {
  int lives = 0;
  int recovered = 0;
  std::int64_t codes = 0;
  std::int64_t calls = 0;
  std::int64_t queries = 0;
  std::int64_t batches = 0;
  std::int64_t steps = 0;
  std::map<std::string, int> happened;
  std::map<std::pair<std::string, plan::Contract>, int> met;  // what has befallen whom
};

// What each contract must have met, in so many runs.
constexpr const char* kBadLuck[] = {
    "crash",  "kill",         "stop",  "disk fault armed", "restart after a failed store",
    "outage", "clock jumped", "slept", "Redis in trouble", "key of the pools lost"};
// What must have become of exports.
constexpr const char* kExports[] = {"exported", "exporter killed", "export cut off by vouchd",
                                    "pool filled up for an export"};

void play(std::uint64_t seed, Sums& sums) {
  const std::size_t luck = seed % std::size(kLucks);
  INFO("seed ", seed, " (", kLucks[luck].name, "); replay: VOUCH_SIM_SEED=", seed);
  SeededRandom random{seed * 7919};
  const WorldSettings settings = settings_of(luck, random);
  World world{seed, settings};
  world.other_traffic = true;
  prepare(world, luck);
  submit_jobs(world, random);
  world.finish();
  INFO("after ", world.counts.steps, " steps in ", world.counts.lives, " lives");
  CHECK(world.problem() == "");
  if (!world.problem().empty()) return;
  if (kLucks[luck].rows_must_not_end_unissued) {
    CHECK(world.count(IssuanceState::failed) == 0);
  }
  // A row whose doubt lies in the future, since the clock was set back, is for people.
  if (kLucks[luck].rows_must_not_end_unissued && settings.chaos.clock_jumps == 0) {
    for (const plan::Contract contract : {plan::Contract::key, plan::Contract::query}) {
      CHECK(world.count(IssuanceState::held, contract) == 0);
    }
  }
  for (std::size_t i = 0; i < world.instances(); ++i) {
    sums.codes += world.instance(i).audit().codes_out();
  }
  sums.lives += world.counts.lives;
  sums.recovered += world.counts.recovered;
  sums.calls += world.coupons.calls() + world.balances.calls();
  sums.batches += world.coupons.batches();
  sums.queries += world.coupons.queries() + world.balances.queries();
  for (const plan::Contract contract :
       {plan::Contract::key, plan::Contract::query, plan::Contract::none}) {
    const std::string of = "under " + std::string{plan::name_of(contract)};
    sums.happened["issued " + of] += static_cast<int>(world.count(IssuanceState::issued, contract));
    sums.happened["held " + of] += static_cast<int>(world.count(IssuanceState::held, contract));
  }
  for (const char* what : kBadLuck) {
    for (const WorldSettings::Contracted& of : settings.contracts) {
      sums.met[{what, of.contract}] += world.counts.happened[what];
    }
  }
  sums.steps += world.counts.steps;
  for (const auto& [what, often] : world.counts.happened) sums.happened[what] += often;
}

std::optional<std::uint64_t> number_in(const char* variable) {
  const auto text = environment(variable);
  if (!text || text->empty()) return std::nullopt;
  const auto number = parse_integer(*text);
  REQUIRE_MESSAGE(number.has_value(), variable, " must be a number");
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

TEST_CASE("simulation: one voucher each, none forgotten, whatever happens") {
  Sums sums;
  if (const auto seed = number_in("VOUCH_SIM_SEED")) {
    play(*seed, sums);
  } else {
    const std::uint64_t seeds = number_in("VOUCH_SIM_SEEDS").value_or(kSeeds);
    for (std::uint64_t i = 1; i <= seeds; ++i) play(i, sums);
    for (const auto& [what, often] : sums.met) {
      CAPTURE(what.first);
      CAPTURE(plan::name_of(what.second));
      if (seeds >= kSeeds) CHECK(often > 0);
    }
    for (const char* what : kExports) {
      CAPTURE(what);
      if (seeds >= kSeeds) CHECK(sums.happened[what] > 0);
    }
  }
  std::cout << sums.calls << " calls (" << sums.queries << " queries, " << sums.batches
            << " batches), " << sums.lives << " lives, " << sums.codes << " codes, "
            << sums.recovered << " rows put in doubt by restarts, " << sums.steps << " steps;";
  for (const auto& [what, often] : sums.happened) std::cout << " " << what << " " << often << ";";
  std::cout << "\n";
}
