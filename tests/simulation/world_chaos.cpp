// What befalls the simulated daemon: crashes, broken disks, outages, and operators who change
// their minds.
#include <algorithm>

#include "tests/simulation/world.hpp"

namespace vouch::test {

void World::run_chaos() {
  due_[chaos] = clock.now() + Millis{20 + static_cast<std::int64_t>(random.below(300))};
  struct Kind {
    int* left;
    void (World::*act)();
  };
  Chaos& left = settings_.chaos;
  std::vector<Kind> kinds = {
      {&left.crashes, &World::chaos_crash},
      {&left.kills, &World::kill},
      {&left.disk_failures, &World::chaos_disk},
      {&left.stops, &World::stop},
      {&left.pauses, nullptr},
      {&left.cancels, nullptr},
      {&left.service_pauses, &World::chaos_service},
      {&left.rate_changes, &World::chaos_rate},
      {&left.outages, &World::chaos_outage},
      {&left.redis_troubles, &World::chaos_redis},
      {&left.rivals, &World::chaos_rival},
      {&left.sleeps, &World::chaos_sleep},
  };
  std::erase_if(kinds, [](const Kind& kind) { return *kind.left == 0; });
  if (kinds.empty()) return calm();
  const Kind kind = kinds[random.below(kinds.size())];
  --*kind.left;
  if (kind.act != nullptr) {
    (this->*kind.act)();
  } else {
    chaos_job(kind.left == &left.cancels);
  }
}

void World::chaos_crash() {
  if (random.chance(0.4)) return crash();
  vfs.power_cut_after(static_cast<std::int64_t>(random.below(60)));
  happened("power cut armed");
}

void World::chaos_disk() {
  constexpr std::array kFaults = {Fault::write_error, Fault::disk_full, Fault::truncate_error,
                                  Fault::sync_error};
  constexpr std::array<const char*, 3> kSuffixes = {"", "-wal", "ledger.db"};
  vfs.fail({.fault = kFaults[random.below(kFaults.size())],
            .after = static_cast<std::int64_t>(random.below(20)),
            .chance = 1.0,
            .times = random.chance(0.5) ? 1 : std::numeric_limits<std::int64_t>::max(),
            .suffix = kSuffixes[random.below(kSuffixes.size())]});
  disk_is_broken_ = true;
  happened("disk fault armed");
}

void World::chaos_job(bool cancel) {
  if (specs_.empty()) return;
  const ObjectId job = specs_[random.below(specs_.size())].id;
  if (cancel) {
    happened("cancel");
    return change(job, data::JobAction::cancel, random.chance(0.5));
  }
  happened("pause");
  change(job, data::JobAction::pause);
  later_.push_back({clock.now() + Millis{50 + static_cast<std::int64_t>(random.below(1500))},
                    [this, job] { change(job, data::JobAction::resume); }});
}

void World::chaos_service() {
  happened("service paused");
  const std::size_t which = random.below(2);
  pause_service(which, true);
  later_.push_back({clock.now() + Millis{50 + static_cast<std::int64_t>(random.below(1500))},
                    [this, which] { pause_service(which, false); }});
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

}  // namespace vouch::test
