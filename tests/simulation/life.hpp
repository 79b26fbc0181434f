// life.hpp: one life of the simulated daemon, from its start to its crash or stop.
//
// The real parts, put together as daemon.cpp does: the same order of members, hence of birth and
// death.  Only what lies outside the process is exchanged: disk, downstreams, clock, chance.
//
// Threads: the simulation's only one.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "daemon/data/ledger_file.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/service/redis_coordination.hpp"
#include "daemon/strategy/intake.hpp"
#include "tests/simulation/model_client.hpp"
#include "tests/simulation/model_redis.hpp"
#include "tests/simulation/sample_lists.hpp"
#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {

inline constexpr const char* kLedgerPath = "/ledger/ledger.db";

struct Life {
  struct Outside {
    const Clock& clock;
    Random& random;
    std::string vfs;
    Caller caller;
    std::string name;   // of the instance
    std::string place;  // of its lock file
    std::string pool_key;
    ModelClient::Services services;
    ModelClient::BeforeGuard before_guard;
    ModelClient::OnStart on_start;
    ModelClient::OnEnd on_end;
    // Through this Redis; null: locks in this process.
    ModelRedis* redis = nullptr;
    std::function<void()> on_leases;  // granted or refused
    service::EngineSettings engine;
    strategy::IntakeSettings intake;
  };
  // Opens the ledger; nothing in it is changed or recovered yet.
  [[nodiscard]] static Result<std::unique_ptr<Life>> open(const Outside& outside) {
    const WallTime now = outside.clock.wall_now();
    VOUCH_TRY(store::Database ledger,
              data::open_ledger(kLedgerPath, now, outside.random, outside.vfs));
    VOUCH_TRY(store::Database for_intake, data::open_ledger_reader(kLedgerPath, outside.vfs));
    VOUCH_TRY(store::Database for_control, data::open_ledger_reader(kLedgerPath, outside.vfs));
    VOUCH_TRY(const std::int64_t first_epoch, data::first_epoch(ledger));
    VOUCH_TRY(const std::string ledger_id, data::ledger_id(ledger));
    return std::unique_ptr<Life>{new Life(
        outside, first_epoch, "vouch:" + ledger_id + ":", std::move(ledger),
        data::LedgerReader{std::move(for_intake)}, data::LedgerReader{std::move(for_control)})};
  }

  const std::int64_t first_epoch;
  const std::string lock_prefix;  // of its keys in Redis
  store::Database ledger;
  data::Health health;
  data::SnapshotBoard board;
  ModelClient client;
  std::unique_ptr<service::Coordination> coordination;
  data::ReadyQueue ready;
  data::LedgerWriter writer;
  SeededRandom random;
  service::Engine engine;
  strategy::Intake intake;
  data::LedgerReader reader;

 private:
  [[nodiscard]] static strategy::IntakeSettings settings_of(const Outside& outside,
                                                            std::int64_t first) {
    strategy::IntakeSettings settings = outside.intake;
    settings.leases.lock = outside.engine.lock;
    settings.leases.owner = outside.name;
    settings.leases.first_epoch = first;
    return settings;
  }
  [[nodiscard]] static std::unique_ptr<service::Coordination> make_coordination(
      const Outside& outside, const std::string& prefix) {
    if (outside.redis == nullptr) return std::make_unique<service::InProcessCoordination>();
    return std::make_unique<service::RedisCoordination>(
        outside.clock,
        service::RedisSettings{.where = "model",
                               .prefix = prefix,
                               .place = outside.place,
                               .name = outside.name + " on a model"},
        [redis = outside.redis](const auto& commands, bool) { return redis->exchange(commands); },
        service::RedisCoordination::Reports{.on_change = outside.on_leases,
                                            .on_turn = [](bool, const std::string&) {}});
  }
  [[nodiscard]] static data::CodeShelf make_shelf(const Outside& outside) {
    return {SamplePool::shared().folder(), outside.pool_key};
  }
  Life(const Outside& outside, std::int64_t first, std::string prefix, store::Database ledger_file,
       data::LedgerReader for_intake, data::LedgerReader for_control)
      : first_epoch{first},
        lock_prefix{std::move(prefix)},
        ledger{std::move(ledger_file)},
        client{outside.services,     outside.clock,    outside.caller,
               outside.before_guard, outside.on_start, outside.on_end},
        coordination{make_coordination(outside, lock_prefix)},
        ready{[this] { client.wake(); }},
        writer{ledger, ready, health, outside.clock, make_shelf(outside)},
        random{outside.random.next()},
        engine{client, ready, writer, board, health, outside.clock, random, outside.engine},
        intake{std::move(for_intake),
               writer,
               ready,
               board,
               health,
               outside.clock,
               *coordination,
               [](const std::string& digest) {
                 return store::SealedList::open(SampleLists::shared().by_digest(digest).path);
               },
               settings_of(outside, first),
               make_shelf(outside)},
        reader{std::move(for_control)} {}
};

}  // namespace vouch::test
