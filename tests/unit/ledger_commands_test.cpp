// Commands, as the ledger writer carries them out (daemon/data/ledger_commands.cpp).
#include <doctest/doctest.h>

#include <numeric>

#include "daemon/data/ledger_writer.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Intent;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr std::string_view kEvents = "SELECT count(*) FROM event";
constexpr std::string_view kRows = "SELECT count(*) FROM issuance";
constexpr std::string_view kJobs = "SELECT count(*) FROM job";
constexpr std::string_view kApplied = "SELECT count(*) FROM applied_command";
constexpr std::string_view kPauseReason = "SELECT pause_reason FROM job WHERE number = 1";
constexpr std::string_view kRerunRows = "SELECT rows_accepted FROM job WHERE number = 2";
constexpr std::string_view kRerunPlanned = "SELECT ranges_planned FROM job WHERE number = 2";
constexpr std::string_view kEpoch = "SELECT epoch FROM job_range WHERE job = 1 AND range = 3";
constexpr std::string_view kOwned =
    "SELECT count(*) FROM job_range WHERE job = 1 AND range = 3 AND owner = 'north'";
constexpr std::string_view kRowsAccepted = "SELECT rows_accepted FROM job WHERE number = 1";

}  // namespace

TEST_CASE("ledger_commands: a command given twice has one effect and twice the same answer") {
  struct Case {
    const char* name;
    data::LedgerMessage (*make)(WriterWorld&);
  };
  const Case cases[] = {
      {"submit", [](WriterWorld&) -> data::LedgerMessage { return WriterWorld::submission(7); }},
      {"pause",
       [](WriterWorld&) -> data::LedgerMessage {
         return WriterWorld::change(data::JobAction::pause, 7);
       }},
      {"cancel",
       [](WriterWorld&) -> data::LedgerMessage {
         return WriterWorld::change(data::JobAction::cancel, 7);
       }},
      {"refused",
       [](WriterWorld&) -> data::LedgerMessage {
         return WriterWorld::change(data::JobAction::resume, 7);
       }},
      {"single", [](WriterWorld& world) -> data::LedgerMessage { return world.single(1, 7); }},
      {"note", [](WriterWorld&) -> data::LedgerMessage { return note(7); }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    WriterWorld world;
    if (std::string_view{c.name} != "submit") {
      world.submit();
      world.start({9});  // a row that is out keeps the job open
    }
    const auto first = world.write(c.make(world));
    REQUIRE(first.size() == 1);
    const std::int64_t events = world.count(kEvents);
    const std::int64_t rows = world.count(kRows);
    const int depth = world.life->ready.depth();
    CHECK(world.write(c.make(world)) == first);
    CHECK(world.life->ready.depth() == depth);

    // Twice in one group, as when the control thread asks again before it is answered.
    world.writer().push(c.make(world));
    CHECK(world.write(c.make(world)) == std::vector{first[0], first[0]});

    world.restart();
    const std::int64_t after_recovery = world.count(kEvents);
    CHECK(world.write(c.make(world)) == first);
    CHECK(world.count(kEvents) == after_recovery);
    CHECK(after_recovery <= events + 2);  // recovery's own, of the rows that were out
    CHECK(world.count(kRows) == rows);
    CHECK(world.count(kJobs) <= 2);
    CHECK(world.count(kApplied) == 1);
  }
}

// In an older copy of the control store ids begin again.
TEST_CASE("ledger_commands: another nonce under a known id is another command") {
  WriterWorld world;
  data::SubmitJob first = WriterWorld::submission(0);
  first.command = {7, 111};
  CHECK(world.write(first).size() == 1);
  data::ChangeJob pause = WriterWorld::change(data::JobAction::pause, 0);
  pause.command = {7, 222};
  const auto answers = world.write(pause);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0] == R"({"ok":true,"state":"paused"})");
  CHECK(world.write(pause) == answers);
}

TEST_CASE("ledger_commands: answers are given once, when their effect is durable") {
  WriterWorld world;
  world.writer().push(WriterWorld::submission(7));
  CHECK(world.writer().take_answers().empty());
  world.run();
  const auto answers = world.writer().take_answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].command == 7);
  CHECK(answers[0].answer == R"({"ok":true,"state":"running"})");
  CHECK(world.writer().take_answers().empty());
}

TEST_CASE("ledger_commands: what each command may do to a job in each state") {
  using A = data::JobAction;
  struct Case {
    const char* before;
    A action;
    const char* want;  // the state, or a word of the refusal
  };
  const Case cases[] = {
      {"scheduled", A::start, "running"},      {"scheduled", A::pause, "paused"},
      {"scheduled", A::resume, "not paused"},  {"scheduled", A::cancel, "cancelling"},
      {"running", A::start, "has started"},    {"running", A::pause, "paused"},
      {"running", A::resume, "not paused"},    {"running", A::cancel, "cancelling"},
      {"running", A::note, "running"},         {"paused", A::start, "has started"},
      {"paused", A::pause, "paused"},          {"paused", A::resume, "running"},
      {"paused", A::cancel, "cancelling"},     {"cancelling", A::start, "has started"},
      {"cancelling", A::pause, "cancelled"},   {"cancelling", A::resume, "not paused"},
      {"cancelling", A::cancel, "cancelling"}, {"unsettled", A::pause, "is over"},
      {"unsettled", A::resume, "not paused"},  {"unsettled", A::start, "has started"},
      {"done", A::pause, "the job is over"},   {"done", A::resume, "the job is over"},
      {"done", A::cancel, "the job is over"},  {"done", A::start, "the job is over"},
      {"done", A::note, "the job is over"},    {"scheduled, paused", A::resume, "scheduled"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.before);
    CAPTURE(static_cast<int>(c.action));
    const std::string_view before = c.before;
    WriterWorld world;
    world.submit(before.starts_with("scheduled"), before == "done" ? 0 : 1);
    if (before == "unsettled") {
      data::PlanPage last = world.page({1});
      last.range_done = true;
      world.write(std::move(last));
      world.write(world.ended(world.take_ready().front(), E::hold));
    } else if (!before.starts_with("scheduled") && before != "done") {
      world.start({1});  // out, so that the job is not over at once
    }
    if (before.ends_with("paused")) world.write(WriterWorld::change(A::pause, 5));
    if (before == "cancelling") world.write(WriterWorld::change(A::cancel, 5));
    const JobState was = world.job_state();
    if (before != "scheduled, paused") REQUIRE(name_of(was) == before);

    const auto answers = world.write(WriterWorld::change(c.action, 7));
    REQUIRE(answers.size() == 1);
    const bool ok = answers[0].starts_with(R"({"ok":true)");
    CHECK(answers[0].find(c.want) != std::string::npos);
    CHECK(ok == (answers[0].find("\"state\"") != std::string::npos));
    // A cancelled job that never started has nothing out: it is over in the same commit.
    if (ok && before == "scheduled" && c.action == A::cancel) {
      CHECK(world.job_state() == JobState::cancelled);
    } else {
      CHECK(name_of(world.job_state()) == (ok ? std::string_view{c.want} : name_of(was)));
    }
  }
}

TEST_CASE("ledger_commands: from inside, only the reason that paused a job lets it go on") {
  WriterWorld world;
  world.submit();
  world.start({1});
  data::ChangeJob pause = WriterWorld::change(data::JobAction::pause, 0);
  pause.reason = PauseReason::setup;
  data::ChangeJob resume = WriterWorld::change(data::JobAction::resume, 0);
  resume.reason = PauseReason::setup;

  world.write(WriterWorld::change(data::JobAction::pause, 5));  // an operator
  world.write(pause);                                           // does not become the reason
  CHECK(world.count(kPauseReason) == static_cast<std::int64_t>(PauseReason::operator_request));
  world.write(resume);
  CHECK(world.job_state() == JobState::paused);
  world.write(WriterWorld::change(data::JobAction::resume, 6));
  CHECK(world.job_state() == JobState::running);
  world.write(pause);
  CHECK(world.count(kPauseReason) == static_cast<std::int64_t>(PauseReason::setup));
  world.write(resume);
  CHECK(world.job_state() == JobState::running);
}

TEST_CASE("ledger_commands: a job that waits for its time waits, even without a row to send") {
  WriterWorld world;
  world.submit(true, 0);
  CHECK(world.job_state() == JobState::scheduled);
  world.write(WriterWorld::change(data::JobAction::start, 7));
  CHECK(world.job_state() == JobState::done);
}

TEST_CASE("ledger_commands: cancelled with doubt, a job is unsettled or settles by repeating") {
  for (const bool settle : {false, true}) {
    CAPTURE(settle);
    WriterWorld world;
    world.submit();
    const Intent doubtful = world.row_in(1, E::lose, S::in_doubt);
    data::ChangeJob cancel = WriterWorld::change(data::JobAction::cancel, 7);
    cancel.settle_by_repeat = settle;
    world.write(cancel);
    CHECK(world.job_state() == (settle ? JobState::cancelling : JobState::unsettled));
    if (!settle) continue;
    REQUIRE(world.life->ready.reserve({{owner_of(doubtful), 1}}));
    world.write(data::SendAgain{{doubtful}});
    world.write(world.ended(world.take_ready().at(0), E::confirm));
    CHECK(world.job_state() == JobState::cancelled);
  }
}

TEST_CASE("ledger_commands: only a job at rest is rerun, and only in the states named") {
  WriterWorld world;
  world.submit(false, 2);
  const Intent declined = world.row_in(1, E::decline, S::declined);
  const Intent issued = world.row_in(2, E::confirm, S::issued);
  data::SubmitJob rerun = WriterWorld::submission(7);
  rerun.id = 0xa2;
  rerun.kind = data::JobKind::rerun;
  rerun.rerun_of = kSampleJob;
  rerun.rows_accepted = 0;
  CHECK(world.write(rerun).at(0).find("still running") != std::string::npos);
  CHECK(world.count(kJobs) == 1);
  world.write(WriterWorld::change(data::JobAction::cancel, 8));
  REQUIRE(world.job_state() == JobState::cancelled);
  rerun.command = 9;
  CHECK(world.write(rerun).at(0).starts_with(R"({"ok":true)"));
  world.write(data::GatherRerun{.job_number = 2, .from_job = kSampleJob, .states = {S::declined}});
  CHECK(world.state_of(declined) == S::planned);
  CHECK(world.state_of(issued) == S::issued);
}

TEST_CASE("ledger_commands: singles share a job that never ends, and a second one says so") {
  WriterWorld world;
  const auto first = world.write(world.single(1, 7));
  REQUIRE(first.size() == 1);
  CHECK(first[0] ==
        R"({"ok":true,"existed":false,"issuances":[")" + sample_intent(1).request_id + "\"]}");
  CHECK(world.life->ready.depth({kSampleDownstream, 1, false}) == 1);  // handed over to the job
  CHECK(world.life->ready.depth() == 1);
  const Intent row = world.take_ready().at(0);
  CHECK(row.job_number == 1);
  const auto second = world.write(world.single(1, 8));
  CHECK(second.at(0).find(R"("existed":true)") != std::string::npos);
  CHECK(world.life->ready.depth() == 1);
  CHECK(world.take_ready().empty());
  world.life->ready.release(owner_of(row), 1);
  world.write(world.ended(row, E::confirm));
  CHECK(world.job_state() == JobState::running);
  world.write(world.single(2, 9));
  CHECK(world.count(kJobs) == 1);
  CHECK(world.count(kRowsAccepted) == 2);
}

TEST_CASE("ledger_commands: a rerun gathers page by page until nothing is left") {
  WriterWorld world;
  world.submit();
  std::vector<int> recipients(data::kEndRowsPage + 2);
  std::iota(recipients.begin(), recipients.end(), 1);
  data::PlanPage page = world.page(recipients);
  page.range_done = true;
  world.write(std::move(page));
  data::AttemptsEnded ends;
  for (const Intent& intent : world.take_ready()) {
    const E step = ends.ends.size() < 2 ? E::decline : E::give_up;
    ends.ends.push_back(sample_end(intent, step, world.clock.wall_now()));
  }
  world.write(std::move(ends));
  REQUIRE(world.job_state() == JobState::done);

  data::SubmitJob rerun = WriterWorld::submission(9);
  rerun.id = 0xa2;
  rerun.kind = data::JobKind::rerun;
  rerun.rerun_of = kSampleJob;
  rerun.rows_accepted = 0;
  world.write(rerun);
  const data::GatherRerun gather{
      .job_number = 2, .from_job = kSampleJob, .states = {S::declined, S::failed}};
  world.write(gather);
  CHECK(world.count(kRerunRows) == data::kEndRowsPage);
  CHECK(world.count(kRerunPlanned) == 0);
  world.write(gather);
  CHECK(world.count(kRerunRows) == data::kEndRowsPage + 2);
  CHECK(world.count(kRerunPlanned) == 1);
  world.write(gather);
  CHECK(world.count(kRerunRows) == data::kEndRowsPage + 2);
}

TEST_CASE("ledger_commands: a statement settles what is in doubt or held, and nothing else") {
  struct Case {
    const char* name;
    E step;  // how the row's call ended
    bool executed;
    std::int64_t amount_minor;  // 500 is right
    std::uint8_t round;
    S want;
    bool changed = false;  // another event of the row since it was compared
  };
  const Case cases[] = {
      {"in doubt, executed", E::lose, true, 500, 0, S::issued},
      {"in doubt, executed, repeated since", E::lose, true, 500, 0, S::issued, true},
      {"in doubt, not executed", E::lose, false, 0, 0, S::waiting},
      {"in doubt, not executed, repeated since", E::lose, false, 0, 0, S::in_doubt, true},
      {"held, executed", E::hold, true, 500, 0, S::issued},
      {"held, not executed", E::hold, false, 0, 0, S::waiting},
      {"another amount", E::lose, true, 501, 0, S::in_doubt},
      {"another round", E::hold, true, 500, 1, S::held},
      {"issued already", E::confirm, true, 500, 0, S::issued},
      {"declined", E::decline, true, 500, 0, S::declined},
      {"proven before", E::defer, true, 500, 0, S::waiting},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    WriterWorld world;
    world.submit();
    world.start({9});  // a row that is out keeps the job open
    Intent intent = world.start({1}).front();
    world.write(world.ended(intent, c.step));
    const S before = world.state_of(intent);
    const std::int64_t events = world.count(kEvents);
    const std::int64_t last = *row_of(world.life->durable, intent)->last_event;
    const std::int64_t seen = c.changed ? last - 1 : last;
    const data::SettleByStatement message{.command = 7,
                                          .words = "statement june.csv",
                                          .rows = {{.key = intent.key,
                                                    .round = c.round,
                                                    .was_executed = c.executed,
                                                    .amount_minor = c.amount_minor,
                                                    .reference = "c-17",
                                                    .last_event = seen}}};
    const auto answers = world.write(message);
    REQUIRE(answers.size() == 1);
    CHECK(world.state_of(intent) == c.want);
    const bool settled = before != c.want;
    CHECK(answers[0] == (settled ? R"({"ok":true,"settled":1,"passed_over":[]})"
                                 : R"({"ok":true,"settled":0,"passed_over":[0]})"));
    CHECK(world.count(kEvents) == events + (settled ? 1 : 0));
    if (settled) {
      const auto history = events_of(world.life->durable, intent);
      CHECK(history.back().kind == EventKind::statement);
      CHECK(history.back().reference == "c-17");
      CHECK(history.back().detail == "statement june.csv");
      CHECK(history.back().from == before);
      const auto row = row_of(world.life->durable, intent);
      CHECK(row->next_at_ms.has_value() == (c.want == S::waiting));
      if (c.want == S::waiting) CHECK_FALSE(row->doubt_ms);
    }
    // Given twice it has one effect.
    CHECK(world.write(message) == answers);
    CHECK(world.count(kEvents) == events + (settled ? 1 : 0));
  }
}

TEST_CASE("ledger_commands: a statement ends an unsettled job, one way or the other") {
  for (const bool executed : {true, false}) {
    CAPTURE(executed);
    WriterWorld world;
    world.submit();
    data::PlanPage last = world.page({1});
    last.range_done = true;
    world.write(std::move(last));
    const Intent intent = world.take_ready().front();
    world.write(world.ended(intent, E::hold));
    REQUIRE(world.job_state() == JobState::unsettled);
    world.write(data::SettleByStatement{
        .command = 7,
        .words = "",
        .rows = {{.key = intent.key,
                  .was_executed = executed,
                  .amount_minor = {},
                  .reference = {},
                  .last_event = row_of(world.life->durable, intent)->last_event}}});
    // Nobody would send what waits in a job that is over.
    CHECK(world.state_of(intent) == (executed ? S::issued : S::failed));
    CHECK(world.job_state() == JobState::done);
  }
}

// Goal: what was proved is what is closed.  A row that was settled between the proof and the
// command is in no proof.
TEST_CASE("ledger_commands: a job is closed when it is over, with as many issued as were proved") {
  WriterWorld world;
  world.submit();
  std::int64_t command = 10;
  const auto close = [&](std::int64_t issued) {
    return world
        .write(data::CloseJob{
            .command = ++command, .id = kSampleJob, .issued = issued, .words = "proved"})
        .at(0);
  };
  data::PlanPage last = world.page({1, 2});
  last.range_done = true;
  world.write(std::move(last));
  const auto out = world.take_ready();
  world.write(world.ended(out[0], E::confirm));
  CHECK(close(1).find("the job is not over") != std::string::npos);
  world.write(world.ended(out[1], E::hold));
  REQUIRE(world.job_state() == JobState::unsettled);
  CHECK(close(1).find("the job is not over") != std::string::npos);
  world.write(data::SettleByStatement{
      .command = 7,
      .words = "",
      .rows = {{.key = out[1].key, .was_executed = true, .amount_minor = {}, .reference = {}}}});
  REQUIRE(world.job_state() == JobState::done);

  for (const std::int64_t issued : {0, 1, 3}) {
    CAPTURE(issued);
    CHECK(close(issued).find("the job has changed since") != std::string::npos);
    CHECK(world.job_state() == JobState::done);
  }
  CHECK(close(2).find("\"ok\":true") != std::string::npos);
  CHECK(world.job_state() == JobState::closed);
  CHECK(close(2).find("\"ok\":true") != std::string::npos);
}

TEST_CASE("ledger_commands: a range's epoch and owner are durable, and change nothing else") {
  WriterWorld world;
  world.submit();
  world.start({9});
  const std::int64_t rows = world.count(kRows);
  world.write(data::ClaimRange{.job_number = 1, .range = 3, .epoch = 5, .owner = "south"});
  CHECK(world.count(kEpoch) == 5);
  world.write(data::ClaimRange{.job_number = 1, .range = 3, .epoch = 9, .owner = "north"});
  world.restart();
  CHECK(world.count(kEpoch) == 9);
  CHECK(world.count(kOwned) == 1);
  CHECK(world.count(kRows) == rows);
}
