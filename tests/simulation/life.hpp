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

namespace vouch::test {

inline constexpr const char* kLockPrefix = "vouch:1:";
inline constexpr const char* kLockPlace = "here";
inline constexpr const char* kLedgerPath = "/ledger/ledger.db";

struct Life {
  struct Outside {
    const Clock& clock;
    Random& random;
    std::string vfs;
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
    return std::unique_ptr<Life>{new Life(outside, first_epoch, std::move(ledger),
                                          data::LedgerReader{std::move(for_intake)},
                                          data::LedgerReader{std::move(for_control)})};
  }

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
                                                            std::int64_t first_epoch) {
    strategy::IntakeSettings settings = outside.intake;
    settings.leases.lock = outside.engine.lock;
    settings.leases.first_epoch = first_epoch;
    return settings;
  }
  [[nodiscard]] static std::unique_ptr<service::Coordination> make_coordination(
      const Outside& outside) {
    if (outside.redis == nullptr) return std::make_unique<service::InProcessCoordination>();
    return std::make_unique<service::RedisCoordination>(
        outside.clock,
        service::RedisSettings{
            .where = "model", .prefix = kLockPrefix, .place = kLockPlace, .name = "main"},
        [redis = outside.redis](const auto& commands, bool) { return redis->exchange(commands); },
        service::RedisCoordination::Reports{.on_change = outside.on_leases,
                                            .on_turn = [](bool, const std::string&) {}});
  }
  Life(const Outside& outside, std::int64_t first_epoch, store::Database ledger_file,
       data::LedgerReader for_intake, data::LedgerReader for_control)
      : ledger{std::move(ledger_file)},
        client{outside.services, outside.clock, outside.before_guard, outside.on_start,
               outside.on_end},
        coordination{make_coordination(outside)},
        ready{[this] { client.wake(); }},
        writer{ledger, ready, health, outside.clock},
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
               settings_of(outside, first_epoch)},
        reader{std::move(for_control)} {}
};

}  // namespace vouch::test
