#include "daemon/data/ledger_writer.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/support/crash_vfs.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using data::Intent;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr std::string_view kEvents = "SELECT count(*) FROM event";
constexpr std::string_view kRows = "SELECT count(*) FROM issuance";
constexpr std::string_view kJobs = "SELECT count(*) FROM job";
constexpr std::string_view kSending = "SELECT count(*) FROM issuance WHERE state = 1";

}  // namespace

// --- groups --------------------------------------------------------------------------------------

TEST_CASE("ledger_writer: an intent commits at once, and only then reaches the ready queue") {
  WriterWorld world;
  world.submit();
  const std::uint64_t ticket = world.writer().push(world.page({1, 2}));
  CHECK(world.take_ready().empty());
  CHECK(world.writer().committed() < ticket);
  CHECK_FALSE(world.writer().idle());
  world.run();
  CHECK(world.writer().committed() == ticket);
  CHECK(world.writer().idle());
  CHECK(world.count(kSending) == 2);
  CHECK(world.take_ready().size() == 2);
  CHECK(world.run() == Instant::max());
}

TEST_CASE("ledger_writer: outcomes alone wait ten milliseconds for company, and no longer") {
  WriterWorld world;
  world.submit();
  const auto rows = world.start({1, 2});
  const Instant first = world.clock.now();
  world.writer().push(world.ended(rows[0], E::confirm));
  CHECK(world.run() == first + 10ms);
  CHECK(world.state_of(rows[0]) == S::sending);
  world.clock.advance(9ms);
  world.writer().push(world.ended(rows[1], E::confirm));  // company does not make it wait longer
  CHECK(world.run() == first + 10ms);
  world.clock.advance(1ms);
  const std::uint64_t commits = world.writer().commits();
  world.run();
  CHECK(world.writer().commits() == commits + 1);
  CHECK(world.state_of(rows[0]) == S::issued);
  CHECK(world.state_of(rows[1]) == S::issued);
}

TEST_CASE("ledger_writer: outcomes go with the next intents, in one commit with one sync") {
  CrashVfs vfs{1};
  WriterWorld world{vfs.name()};
  world.submit();
  const auto rows = world.start({1});
  world.writer().push(world.ended(rows[0], E::confirm));
  world.writer().push(note());
  world.writer().push(world.page({2, 3}));
  const std::uint64_t commits = world.writer().commits();
  const std::int64_t syncs = vfs.counts("-wal").syncs;
  world.run();
  CHECK(world.writer().idle());
  CHECK(world.writer().commits() == commits + 1);
  CHECK(vfs.counts("-wal").syncs == syncs + 1);
  CHECK(vfs.unsynced("-wal") == 0);
  CHECK(world.state_of(rows[0]) == S::issued);
  CHECK(world.take_ready().size() == 2);
}

TEST_CASE("ledger_writer: a full group goes at once, and what is over waits for the next") {
  WriterWorld world;
  for (std::size_t i = 0; i < data::kGroupMessagesMax - 1; ++i) world.writer().push(note());
  CHECK(world.run() > world.clock.now());
  CHECK(world.writer().commits() == 0);
  world.writer().push(note());
  const std::uint64_t over = world.writer().push(note());
  world.run();
  CHECK(world.writer().commits() == 1);
  CHECK(world.writer().committed() == over - 1);
  CHECK(world.writer().queued() == 1);
  CHECK(world.count(kEvents) == static_cast<std::int64_t>(data::kGroupMessagesMax));
  CHECK(world.run() > world.clock.now());
  world.clock.advance(data::kOutcomeDelay);
  world.run();
  CHECK(world.writer().committed() == over);
}

TEST_CASE("ledger_writer: what is over and waited for goes in the very next group") {
  WriterWorld world;
  for (std::size_t i = 0; i < data::kGroupMessagesMax; ++i) world.writer().push(note());
  const std::uint64_t over = world.writer().push(WriterWorld::submission(0));
  world.run();
  CHECK(world.writer().committed() == over - 1);
  world.run();
  CHECK(world.writer().committed() == over);
}

TEST_CASE("ledger_writer: the WAL is copied into the database after five thousand rows") {
  CrashVfs vfs{1};
  WriterWorld world{vfs.name()};
  world.submit();
  std::vector<int> recipients(data::kCheckpointRows - 1);
  std::iota(recipients.begin(), recipients.end(), 1);
  const std::int64_t before = vfs.counts("ledger.db").writes;
  world.start(recipients);
  CHECK(vfs.counts("ledger.db").writes == before);
  world.start({6'000});
  const std::int64_t after = vfs.counts("ledger.db").writes;
  CHECK(after > before);
  world.start({6'001});
  CHECK(vfs.counts("ledger.db").writes == after);
}

// --- room in the ready queue ---------------------------------------------------------------------

TEST_CASE("ledger_writer: rows that do not come give back their room") {
  SUBCASE("repeats of a page") {
    WriterWorld world;
    world.submit();
    world.start({1, 2});
    world.write(world.page({1, 2, 3}));
    CHECK(world.life->ready.depth() == 3);
    CHECK(world.take_ready().size() == 1);
  }
  SUBCASE("a page of a job that is being cancelled") {
    WriterWorld world;
    world.submit();
    const auto rows = world.start({1});
    world.write(WriterWorld::change(data::JobAction::cancel, 7));
    REQUIRE(world.job_state() == JobState::cancelling);
    world.write(world.page({2, 3}));
    CHECK(world.life->ready.depth() == 1);
    CHECK(world.count(kRows) == 1);
    CHECK(world.take_ready().empty());
  }
  SUBCASE("a page of a job that is not there") {
    WriterWorld world;
    world.write(world.page({2, 3}));
    CHECK(world.life->ready.depth() == 0);
    CHECK(world.count(kRows) == 0);
  }
  SUBCASE("a row that is elsewhere meanwhile") {
    WriterWorld world;
    world.submit();
    const Intent waiting = world.row_in(1, E::defer, S::waiting);
    world.start({5});  // keeps the job open
    const int depth = world.life->ready.depth();
    for (int i = 0; i < 2; ++i) {  // the second time it is sending already
      REQUIRE(world.life->ready.reserve({{owner_of(waiting), 1}}));
      world.write(data::SendAgain{{waiting}});
      CHECK(world.life->ready.depth() == depth + 1);
      CHECK(world.take_ready().size() == (i == 0 ? 1 : 0));
    }
  }
  SUBCASE("a page past its deadline had none") {
    WriterWorld world;
    world.submit();
    data::PlanPage expired = sample_page({1, 2});
    expired.state = S::expired;
    world.write(std::move(expired));
    CHECK(world.life->ready.depth() == 0);
    CHECK(world.take_ready().empty());
    CHECK(world.count(kRows) == 2);
  }
}

TEST_CASE("ledger_writer: a cancelled job sends nothing again unless it settles by repeating") {
  for (const bool settle : {false, true}) {
    CAPTURE(settle);
    WriterWorld world;
    world.submit();
    const Intent doubtful = world.row_in(1, E::lose, S::in_doubt);
    world.start({2});  // still out: the job is not over yet
    data::ChangeJob cancel = WriterWorld::change(data::JobAction::cancel, 7);
    cancel.settle_by_repeat = settle;
    world.write(cancel);
    REQUIRE(world.life->ready.reserve({{owner_of(doubtful), 1}}));
    world.write(data::SendAgain{{doubtful}});
    CHECK(world.take_ready().size() == (settle ? 1 : 0));
    CHECK(world.state_of(doubtful) == (settle ? S::sending : S::in_doubt));
  }
}

// --- starts and failures -------------------------------------------------------------------------

TEST_CASE("ledger_writer: a start puts what was out in doubt, and goes on with the jobs") {
  WriterWorld world;
  world.submit();
  const Intent waiting = world.row_in(1, E::defer, S::waiting);
  const auto out = world.start({2, 3});
  world.restart();
  CHECK(world.life->recovered == 2);
  CHECK(world.state_of(out[0]) == S::in_doubt);
  CHECK(world.state_of(out[1]) == S::in_doubt);
  CHECK(world.state_of(waiting) == S::waiting);
  CHECK(world.take_ready().empty());  // nothing starts by itself
  CHECK(wrong_totals(world.life->durable) == 0);
  world.restart();
  CHECK(world.life->recovered == 0);
  CHECK(world.start({4}).size() == 1);
}

TEST_CASE("ledger_writer: how calls ended is kept aside when the ledger fails, and settled once") {
  CrashVfs vfs{1};
  WriterWorld world{vfs.name()};
  world.submit();
  const auto out = world.start({1, 2, 3, 4});
  const Intent doubtful = world.row_in(5, E::lose, S::in_doubt);
  vfs.fail({.fault = Fault::disk_full, .suffix = "-wal"});
  world.writer().push(world.ended(out[0], E::confirm));
  world.clock.advance(data::kOutcomeDelay);
  CHECK(world.run() == Instant::max());
  REQUIRE_FALSE(world.life->health.store_ok());
  // Those that were still out end now; one was never started.
  world.writer().push(world.ended(out[1], E::decline));
  CHECK_FALSE(world.writer().idle());
  CHECK(world.run() == Instant::max());
  world.writer().push(world.ended(out[2], E::unstart));
  CHECK(world.run() == Instant::max());
  CHECK(world.writer().idle());
  CHECK_FALSE(world.life->health.spool_error());

  vfs.heal();
  vfs.kill();
  world.restart();
  CHECK(world.life->settled == 3);
  CHECK(world.life->recovered == 1);
  CHECK(world.state_of(out[0]) == S::issued);
  CHECK(world.state_of(out[1]) == S::declined);
  CHECK(world.state_of(out[2]) == S::waiting);
  CHECK(world.state_of(out[3]) == S::in_doubt);  // nobody knows
  CHECK(world.state_of(doubtful) == S::in_doubt);
  const SeenEvent event = events_of(world.life->durable, out[0]).back();
  CHECK(event.reference == "C-1");
  CHECK(event.reply_digest == sha256_128("reply"));
  CHECK(wrong_totals(world.life->durable) == 0);
  world.restart();
  CHECK(world.life->settled == 0);
}

// Goal: an outcome that was kept aside is about its own call.  A later call of the same row may
// have been executed when the earlier one was not.
TEST_CASE("ledger_writer: what was kept aside once says nothing of a later call") {
  CrashVfs vfs{1};
  WriterWorld world{vfs.name()};
  world.submit();
  Intent row = world.start({1}).front();
  vfs.fail({.fault = Fault::disk_full, .suffix = "-wal"});
  world.writer().push(world.ended(row, E::unstart));
  world.clock.advance(data::kOutcomeDelay);
  CHECK(world.run() == Instant::max());
  vfs.heal();
  vfs.kill();
  world.restart();
  REQUIRE(world.life->settled == 1);
  REQUIRE(world.state_of(row) == S::waiting);

  row.fresh = false;
  row.from = S::waiting;
  REQUIRE(world.life->ready.reserve({{owner_of(row), 1}}));
  world.write(data::SendAgain{{row}});
  vfs.kill();
  world.restart();
  CHECK(world.life->settled == 0);
  CHECK(world.life->recovered == 1);
  CHECK(world.state_of(row) == S::in_doubt);
}

TEST_CASE("ledger_writer: what a failed commit wrote all the same is not settled twice") {
  WriterWorld world;
  world.submit();
  const auto out = world.start({1, 2});
  // As if the commit had reached the disk although it said otherwise: in the ledger and the spool.
  const data::AttemptsEnded ended{{sample_end(out[0], E::confirm, world.clock.wall_now()),
                                   sample_end(out[1], E::defer, world.clock.wall_now())}};
  world.write(ended);
  REQUIRE(world.life->spool.append(ended.ends));
  world.restart();
  CHECK(world.life->settled == 0);
  CHECK(world.state_of(out[0]) == S::issued);
  CHECK(world.state_of(out[1]) == S::waiting);
  CHECK(events_of(world.life->durable, out[0]).size() == 1);
  CHECK(events_of(world.life->durable, out[1]).size() == 1);
  CHECK(wrong_totals(world.life->durable) == 0);
}

TEST_CASE("ledger_writer: a call that was out at three faults of the program in a row is held") {
  WriterWorld world;
  world.submit();
  Intent suspect = world.start({1}).front();
  const auto again = [&] {
    suspect.fresh = false;
    suspect.from = S::in_doubt;
    REQUIRE(world.life->ready.reserve({{owner_of(suspect), 1}}));
    world.write(data::SendAgain{{suspect}});
    REQUIRE(world.state_of(suspect) == S::sending);
  };
  world.restart(true);
  again();
  world.restart(true);
  again();
  world.restart(false);  // a kill from outside says nothing of the row
  CHECK(world.state_of(suspect) == S::in_doubt);
  again();
  SUBCASE("the third") {
    world.restart(true);
    CHECK(world.state_of(suspect) == S::held);
    CHECK(world.job_state() == JobState::running);  // its list is not planned to the end
    const SeenEvent event = events_of(world.life->durable, suspect).back();
    CHECK(event.kind == EventKind::held);
    CHECK(event.detail == "vouchd died of a fault each time that this call was out");
    CHECK(wrong_totals(world.life->durable) == 0);
  }
  SUBCASE("an end of a call in between") {
    world.write(world.ended(suspect, E::lose));
    again();
    world.restart(true);
    CHECK(world.state_of(suspect) == S::in_doubt);
  }
}

TEST_CASE("ledger_writer: the first failure of the store ends writing for good") {
  struct Case {
    const char* name;
    Fault fault;
  };
  const Case cases[] = {{"the disk is full", Fault::disk_full},
                        {"a write fails", Fault::write_error},
                        {"a sync fails", Fault::sync_error}};
  for (const Case& c : cases) {
    for (const bool powered : {true, false}) {
      CAPTURE(c.name);
      CAPTURE(powered);
      CrashVfs vfs{1};
      WriterWorld world{vfs.name()};
      world.submit();
      const Intent out = world.start({1}).front();
      const std::uint64_t committed = world.writer().committed();
      vfs.fail({.fault = c.fault, .suffix = "-wal"});
      world.writer().push(world.ended(out, E::confirm));
      world.writer().push(note(7));
      world.writer().push(world.page({2, 3}));
      CHECK(world.run() == Instant::max());
      CHECK_FALSE(world.life->health.store_ok());
      CHECK(world.life->health.error().code == Errc::io);
      CHECK(world.writer().committed() == committed);
      CHECK(world.take_ready().empty());  // not one of these calls may start
      CHECK(world.writer().take_answers().empty());

      vfs.heal();  // that the disk works again changes nothing: SQLite would carry on, we do not
      const std::int64_t writes = vfs.counts().writes;
      world.writer().push(world.page({4}));
      world.clock.advance(1h);
      CHECK(world.run() == Instant::max());
      CHECK(world.writer().committed() == committed);
      CHECK(world.take_ready().empty());
      CHECK(vfs.counts().writes == writes);

      if (powered) {
        vfs.kill();
      } else {
        vfs.crash(Survival::none);
      }
      world.restart();
      CHECK(world.count(kSending) == 0);
      CHECK(world.count(kJobs) == 1);
      CHECK(wrong_totals(world.life->durable) == 0);
      CHECK(world.state_of(out) == S::issued);  // the spool knows
      if (!powered) CHECK(world.count(kRows) == 1);
      CHECK(world.start({5}).size() == 1);
    }
  }
}

TEST_CASE("ledger_writer: a failed checkpoint ends writing too, after what was committed") {
  CrashVfs vfs{1};
  WriterWorld world{vfs.name()};
  world.submit();
  std::vector<int> recipients(data::kCheckpointRows);
  std::iota(recipients.begin(), recipients.end(), 1);
  const std::uint64_t ticket = world.writer().push(world.page(recipients));
  vfs.fail({.fault = Fault::write_error, .suffix = "ledger.db"});
  CHECK(world.run() == Instant::max());
  CHECK_FALSE(world.life->health.store_ok());
  CHECK(world.writer().committed() == ticket);
  CHECK(world.count(kRows) == data::kCheckpointRows);
  world.writer().push(note());
  world.clock.advance(1s);
  CHECK(world.run() == Instant::max());
  CHECK(world.writer().committed() == ticket);
}
