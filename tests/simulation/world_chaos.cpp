// What befalls the simulated daemons: crashes, broken disks, outages, clocks that jump, and
// operators who change their minds; declared in world.hpp.
#include <algorithm>

#include "tests/simulation/world.hpp"

namespace vouch::test {

void World::run_chaos() {
  chaos_due_ = clock.now() + Millis{20 + static_cast<std::int64_t>(random.below(300))};
  struct Kind {
    int* left;
    void (World::*act)();
  };
  Chaos& left = settings_.chaos;
  std::vector<Kind> kinds = {
      {&left.crashes, &World::chaos_crash},          {&left.kills, &World::chaos_kill},
      {&left.disk_failures, &World::chaos_disk},     {&left.stops, &World::chaos_stop},
      {&left.pauses, &World::chaos_pause},           {&left.cancels, &World::chaos_cancel},
      {&left.service_pauses, &World::chaos_service}, {&left.rate_changes, &World::chaos_rate},
      {&left.outages, &World::chaos_outage},         {&left.redis_troubles, &World::chaos_redis},
      {&left.rivals, &World::chaos_rival},           {&left.sleeps, &World::chaos_sleep},
      {&left.clock_jumps, &World::chaos_clock},      {&left.key_losses, &World::chaos_key},
  };
  std::erase_if(kinds, [](const Kind& kind) { return *kind.left == 0; });
  if (kinds.empty()) return calm();
  const Kind kind = kinds[random.below(kinds.size())];
  --*kind.left;
  (this->*kind.act)();
}

void World::after(std::uint64_t ms_min, std::uint64_t ms_max, std::function<void()> act) {
  const auto ms = static_cast<std::int64_t>(ms_min + random.below(ms_max - ms_min));
  later_.push_back({clock.now() + Millis{ms}, std::move(act)});
}

void World::chaos_crash() {
  Instance& struck = instance(any_instance());
  if (random.chance(0.4)) return struck.crash();
  struck.vfs.power_cut_after(static_cast<std::int64_t>(random.below(60)));
  happened("power cut armed");
}

void World::chaos_kill() {
  instance(any_instance()).kill();
}

void World::chaos_stop() {
  stop(any_instance());
}

void World::chaos_disk() {
  constexpr std::array kFaults = {Fault::write_error, Fault::disk_full, Fault::truncate_error,
                                  Fault::sync_error};
  constexpr std::array<const char*, 3> kSuffixes = {"", "-wal", "ledger.db"};
  instance(any_instance())
      .fail_disk({.fault = kFaults[random.below(kFaults.size())],
                  .after = static_cast<std::int64_t>(random.below(20)),
                  .chance = 1.0,
                  .times = random.chance(0.5) ? 1 : std::numeric_limits<std::int64_t>::max(),
                  .suffix = kSuffixes[random.below(kSuffixes.size())]});
  happened("disk fault armed");
}

void World::chaos_cancel() {
  if (store_.jobs().empty()) return;
  happened("cancel");
  const ObjectId job = store_.jobs()[random.below(store_.jobs().size())].id;
  change(job, data::JobAction::cancel, random.chance(0.5));
}

void World::chaos_pause() {
  if (store_.jobs().empty()) return;
  happened("pause");
  const ObjectId job = store_.jobs()[random.below(store_.jobs().size())].id;
  change(job, data::JobAction::pause);
  after(50, 1550, [this, job] { change(job, data::JobAction::resume); });
}

void World::chaos_service() {
  happened("service paused");
  const std::size_t which = random.below(2);
  store_.pause_service(which, true);
  after(50, 1550, [this, which] { store_.pause_service(which, false); });
}

void World::chaos_rate() {
  happened("rate changed");
  set_limit(random.below(2), settings_.limit * (0.1 + 1.4 * random.unit()));
}

void World::chaos_outage() {
  happened("outage");
  const std::size_t kinds = settings_.chaos.setup_outages ? 5 : 4;
  ModelService& service = random.chance(0.5) ? coupons : balances;
  service.begin_outage(static_cast<Outage>(random.below(kinds)),
                       clock.now() + Millis{static_cast<std::int64_t>(random.below(5000))});
}

void World::chaos_redis() {
  happened("Redis in trouble");
  constexpr std::array kMoods = {ModelRedis::Mood::gone, ModelRedis::Mood::silent,
                                 ModelRedis::Mood::errors, ModelRedis::Mood::rubbish};
  if (random.chance(0.5)) redis.empty();
  const auto mood = random.below(kMoods.size() + 1);
  if (mood == kMoods.size()) return;  // emptied, or nothing at all
  redis.be(kMoods[mood], clock.now() + Millis{static_cast<std::int64_t>(random.below(12'000))});
}

void World::chaos_rival() {
  if (store_.jobs().empty()) return;
  const JobSpec& spec = store_.jobs()[random.below(store_.jobs().size())];
  const auto ranges = static_cast<std::uint64_t>(SampleLists::shared().at(spec.list).ranges);
  const std::string key = instance(spec.instance).life().lock_prefix +
                          "range:" + format_id(ObjectKind::job, spec.id) + ":" +
                          std::to_string(random.below(std::max<std::uint64_t>(1, ranges)));
  const Instant until = clock.now() + Millis{500 + static_cast<std::int64_t>(random.below(8'000))};
  if (redis.seize(key, until)) happened("a rival has a lock");
}

void World::chaos_sleep() {
  instance(any_instance()).fall_asleep();
}

// An hour ahead or behind, and right again soon after.
void World::chaos_clock() {
  happened("clock jumped");
  const Millis by = random.chance(0.5) ? std::chrono::hours{1} : -std::chrono::hours{1};
  clock.jump_wall(by);
  after(50, 6000, [this, by] { clock.jump_wall(-by); });
}

// A process that runs has what it has opened; one that starts does not.
void World::chaos_key() {
  happened("key of the pools lost");
  hide_pool_key(true);
  after(50, 3000, [this] { hide_pool_key(false); });
  if (random.chance(0.5)) instance(any_instance()).kill();
}

}  // namespace vouch::test
