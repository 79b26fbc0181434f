// life.hpp: one life of the simulated daemon, from its start to its crash or stop.
//
// The real parts, put together as daemon.cpp does: the same order of members, hence of birth and
// death.  Only what lies outside the process is exchanged: disk, downstreams, clock, chance.
//
// Threads: the simulation's only one.
#pragma once

#include <memory>
#include <string>

#include "daemon/data/ledger_file.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/strategy/intake.hpp"
#include "tests/simulation/model_client.hpp"
#include "tests/simulation/sample_lists.hpp"

namespace vouch::test {

inline constexpr const char* kLedgerPath = "/ledger/ledger.db";

struct Life {
  struct Outside {
    const Clock& clock;
    Random& random;
    std::string vfs;
    ModelClient::Services services;
    ModelClient::OnStart on_start;
    ModelClient::OnEnd on_end;
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
    return std::unique_ptr<Life>{new Life(outside, std::move(ledger),
                                          data::LedgerReader{std::move(for_intake)},
                                          data::LedgerReader{std::move(for_control)})};
  }

  store::Database ledger;
  data::Health health;
  data::SnapshotBoard board;
  ModelClient client;
  data::ReadyQueue ready;
  data::LedgerWriter writer;
  SeededRandom random;
  service::Engine engine;
  strategy::Intake intake;
  data::LedgerReader reader;

 private:
  Life(const Outside& outside, store::Database ledger_file, data::LedgerReader for_intake,
       data::LedgerReader for_control)
      : ledger{std::move(ledger_file)},
        client{outside.services, outside.clock, outside.on_start, outside.on_end},
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
               [](const std::string& digest) {
                 return store::SealedList::open(SampleLists::shared().by_digest(digest).path);
               },
               outside.intake},
        reader{std::move(for_control)} {}
};

}  // namespace vouch::test
