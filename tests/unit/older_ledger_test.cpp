// Goal: what an older copy of a ledger held for certain is certain no more: nothing that may have
// been called since is called as if it had not been.  Method: a ledger with a row in every state,
// accepted as an older copy.
#include "daemon/data/older_ledger.hpp"

#include <doctest/doctest.h>

#include "daemon/data/snapshot.hpp"
#include "tests/unit/ledger_world.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Intent;
using S = IssuanceState;

namespace {

constexpr std::string_view kLastWords =
    "SELECT detail LIKE '%2 rows at once; 2 jobs are paused' FROM event WHERE seq "
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
      data::accept_older_ledger(world.database, {kSampleCampaign}, {}, since, world.now());
  REQUIRE(rows);
  CHECK(rows->rows_in_doubt == 2);
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
  REQUIRE(data::accept_older_ledger(world.database, {kSampleCampaign}, {}, since, world.now()));
  // A second older copy: what is unknown begins with the older one.
  REQUIRE(data::accept_older_ledger(world.database, {kSampleCampaign}, {}, since + Millis{60'000},
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
  REQUIRE(data::accept_older_ledger(world.life->database, {kSampleCampaign}, {}, since,
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

namespace {

constexpr std::string_view kPausedForCopy =
    "SELECT count(*) FROM job WHERE state = 2 AND pause_reason = 6 AND pause_detail LIKE "
    "'the ledger is an older copy: what was cancelled or paused since is not known to it%'";

void accept(WriterWorld& world, const std::set<ObjectId>& rerun_since = {}) {
  const WallTime now = world.clock.wall_now();
  const auto accepted = data::accept_older_ledger(world.life->database, {kSampleCampaign},
                                                  rerun_since, now - Millis{1}, now);
  REQUIRE(accepted);
  REQUIRE(accepted->jobs_paused == 1);
  world.restart();
}

}  // namespace

// It may have been cancelled since, or paused.
TEST_CASE("older ledger: whatever its job did, it waits for people and goes on from there") {
  struct Case {
    bool start_later;
    std::optional<data::JobAction> action;
    JobState resumed;
  };
  for (const Case& c : {Case{false, {}, JobState::running}, Case{true, {}, JobState::scheduled},
                        Case{false, data::JobAction::pause, JobState::running},
                        Case{false, data::JobAction::cancel, JobState::cancelling}}) {
    WriterWorld world;
    world.submit(c.start_later);
    // A call of it is out, and to be repeated: the job is not over.
    if (c.action == data::JobAction::cancel) world.start({1});
    if (c.action) {
      data::ChangeJob change = WriterWorld::change(*c.action, 7);
      change.settle_by_repeat = true;
      world.write(change);
    }
    accept(world);
    CHECK(world.count(kPausedForCopy) == 1);
    CHECK(world.count("SELECT pause_detail LIKE '%paused before (operator): because' FROM job") ==
          (c.action == data::JobAction::pause ? 1 : 0));
    world.write(WriterWorld::change(data::JobAction::resume, 8));
    CHECK(world.job_state() == c.resumed);
  }
}

TEST_CASE("older ledger: of a rerun of declined rows that it does not know the job's words tell") {
  WriterWorld world;
  world.submit();
  accept(world, {kSampleJob});
  CHECK(world.count("SELECT pause_detail LIKE '%a rerun of its declined rows is not known to this "
                    "ledger: resuming may give those a second voucher%' FROM job") == 1);
}

TEST_CASE("older ledger: what was lost is marked until it is back, and comes back paused") {
  WriterWorld world;
  world.submit();
  accept(world);
  const auto marked = [&] { return data::lost_before(world.life->durable).value(); };
  CHECK(marked() == world.clock.wall_now());
  data::SubmitJob lost = WriterWorld::submission(0);
  lost.id = 0xa2;
  lost.is_lost = true;
  world.write(lost);
  CHECK(world.count(kPausedForCopy) == 2);
  CHECK(world.count("SELECT count(*) FROM job WHERE started_ms IS NULL AND number = 2") == 1);
  // Its own command, unanswered before the ledger was lost.
  lost.command = 9;
  CHECK(world.write(lost) == std::vector<std::string>{R"({"ok":true,"state":"paused"})"});
  world.restart();
  CHECK(marked().has_value());
  world.write(data::LostJobsBack{});
  CHECK_FALSE(marked().has_value());
}

// The call might be the row's first: what a deadline or the campaign's end had stopped.
TEST_CASE("older ledger: a row that it has not called is not called late, another one is") {
  data::JobNow job;
  job.restored_at = from_ms(5'000);
  job.finish_by = from_ms(9'000);
  CHECK(job.is_too_late(from_ms(5'000), from_ms(9'000)));
  CHECK_FALSE(job.is_too_late(from_ms(5'000), from_ms(8'999)));
  CHECK_FALSE(job.is_too_late(from_ms(6'000), from_ms(9'000)));  // of a call of its own
  CHECK_FALSE(job.is_too_late(std::nullopt, from_ms(9'000)));
  job.finish_by.reset();
  CHECK_FALSE(job.is_too_late(from_ms(5'000), from_ms(9'000)));
  job.ended = "the campaign has ended";
  CHECK(job.is_too_late(from_ms(5'000), from_ms(9'000)));
  job.restored_at.reset();
  CHECK_FALSE(job.is_too_late(std::nullopt, from_ms(9'000)));
}
