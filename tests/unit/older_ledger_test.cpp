// Goal: what an older copy of a ledger held for certain is certain no more: nothing that may have
// been called since is called as if it had not been.  Method: a ledger with a row in every state,
// accepted as an older copy.
#include "daemon/data/older_ledger.hpp"

#include <doctest/doctest.h>

#include "tests/unit/ledger_world.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Intent;
using S = IssuanceState;

namespace {

constexpr std::string_view kLastWords =
    "SELECT detail LIKE '%2 rows at once' FROM event WHERE seq "
    "= (SELECT max(seq) FROM event)";

}  // namespace

TEST_CASE("older ledger: what was still to be called is in doubt, the rest stays as it is") {
  LedgerWorld world;
  std::vector<Intent> others;
  int recipient = 1;
  for (const S state : {S::sending, S::in_doubt, S::held, S::issued, S::declined}) {
    others.push_back(world.row_in(recipient++, state));
  }
  const Intent waiting = world.row_in(recipient++, S::waiting);
  const Intent planned = world.row_in(recipient++, S::failed);
  REQUIRE(world.step([&] {
    return world.ledger.rerun({.to_job = 2, .from_job = 1}, S::failed, 10, world.now());
  }) == 1);
  REQUIRE(world.state_of(planned) == S::planned);
  std::vector<SeenRow> before;
  for (const Intent& intent : others) before.push_back(*world.row_of(intent));

  const WallTime since = world.now();
  world.clock.advance(std::chrono::hours{1});
  const auto rows =
      data::accept_older_ledger(world.database, {kSampleCampaign}, since, world.now());
  REQUIRE(rows);
  CHECK(*rows == 2);
  CHECK(wrong_totals(world.database) == 0);
  CHECK(world.count(kLastWords) == 1);
  for (const Intent& intent : {waiting, planned}) {
    const auto row = world.row_of(intent);
    CHECK(row->state == S::in_doubt);
    CHECK(row->doubt_ms == to_ms(since));
    CHECK(row->next_at_ms == to_ms(world.now()));
  }
  for (std::size_t i = 0; i < others.size(); ++i) CHECK(world.row_of(others[i]) == before[i]);
}

TEST_CASE("older ledger: its campaigns' jobs know since when, also those to come") {
  LedgerWorld world;
  const WallTime since = world.now();
  world.clock.advance(std::chrono::hours{1});
  REQUIRE(data::accept_older_ledger(world.database, {kSampleCampaign}, since, world.now()));
  // A second older copy: what is unknown begins with the older one.
  REQUIRE(data::accept_older_ledger(world.database, {kSampleCampaign}, since + Millis{60'000},
                                    world.now()));
  REQUIRE(world.events.load());
  data::JobBook jobs{world.database, world.events};
  REQUIRE(jobs.load());
  CHECK(jobs.find(1)->restored_at == since);
  data::JobRecord job;
  job.id = 0xa3;
  job.campaign_number = 1;
  job.ranges = 1;
  job.items = 1;
  const auto made = jobs.create(job, world.now());
  REQUIRE(made);
  CHECK((*made)->restored_at == since);
}

// It may have been run again since, and have been executed then.
TEST_CASE("older ledger: what is run again begins in doubt") {
  WriterWorld world;
  world.submit();
  const Intent failed = world.row_in(1, IssuanceEvent::give_up, S::failed);
  const Intent declined = world.row_in(2, IssuanceEvent::decline, S::declined);
  world.write(WriterWorld::change(data::JobAction::cancel, 7));
  REQUIRE(world.job_state() == JobState::cancelled);
  const WallTime since = world.clock.wall_now();
  world.clock.advance(std::chrono::hours{1});
  REQUIRE(data::accept_older_ledger(world.life->database, {kSampleCampaign}, since,
                                    world.clock.wall_now()));
  world.restart();
  data::SubmitJob rerun = WriterWorld::submission(8);
  rerun.id = 0xa2;
  rerun.kind = data::JobKind::rerun;
  rerun.rerun_of = kSampleJob;
  rerun.rows_accepted = 0;
  world.write(rerun);
  world.write(data::GatherRerun{
      .job_number = 2, .from_job = kSampleJob, .states = {S::declined, S::failed}});
  for (const Intent& intent : {failed, declined}) {
    const auto row = row_of(world.life->durable, intent);
    CHECK(row->job == 2);
    CHECK(row->state == S::in_doubt);
    CHECK(row->doubt_ms == to_ms(since));
  }
}
