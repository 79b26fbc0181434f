#include "daemon/data/ledger_writer.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <numeric>

#include "daemon/data/ledger_file.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/ledger_samples.hpp"

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
constexpr std::string_view kApplied = "SELECT count(*) FROM applied_command";
constexpr std::string_view kSending = "SELECT count(*) FROM issuance WHERE state = 1";
constexpr std::string_view kJobState = "SELECT state FROM job WHERE number = 1";
constexpr std::string_view kPauseReason = "SELECT pause_reason FROM job WHERE number = 1";
constexpr std::string_view kRowsAccepted = "SELECT rows_accepted FROM job WHERE number = 1";

constexpr ObjectId kJob = 0xa1;

// The writer and what stands around it, from a start to a stop.
struct Life {
  Life(const std::string& path, const std::string& vfs, const Clock& clock, Random& random)
      : database{data::open_ledger(path, clock.wall_now(), random, vfs).value()},
        durable{data::open_ledger_reader(path, vfs).value()},
        writer{database, ready, health, clock} {
    // What a sync is for is tested on crash_vfs; real ones only cost time here.
    if (vfs.empty()) REQUIRE(database.exec("PRAGMA synchronous = OFF"));
    auto recovery = writer.load_and_recover();
    REQUIRE(recovery);
    recovered = *recovery;
  }
  store::Database database;
  store::Database durable;  // a reader: what has been committed
  data::Health health;
  data::ReadyQueue ready{[] {}};
  data::LedgerWriter writer;
  int recovered = 0;
};

struct World {
  explicit World(std::string vfs = {})
      : vfs_{std::move(vfs)}, path_{vfs_.empty() ? folder / "ledger.db" : "/ledger/ledger.db"} {
    restart();
  }
  TemporaryFolder folder;
  ManualClock clock;
  SeededRandom random{1};
  std::unique_ptr<Life> life;

  void restart() {
    life.reset();
    life = std::make_unique<Life>(path_, vfs_, clock, random);
  }
  data::LedgerWriter& writer() { return life->writer; }
  Instant run() { return writer().run_once(clock.now()); }
  std::int64_t count(std::string_view sql) { return count_of(life->durable, sql); }
  JobState job_state() { return static_cast<JobState>(count(kJobState)); }
  S state_of(const Intent& intent) { return test::state_of(life->durable, intent); }

  // Writes one message, whatever it waits for; the answers that it caused.
  std::vector<std::string> write(data::LedgerMessage message) {
    const std::uint64_t ticket = writer().push(std::move(message));
    clock.advance(data::kOutcomeDelay);
    run();
    REQUIRE(life->health.store_ok());
    REQUIRE(writer().committed() == ticket);
    REQUIRE(wrong_totals(life->durable) == 0);
    std::vector<std::string> answers;
    for (data::CommandAnswer& answer : writer().take_answers()) answers.push_back(answer.answer);
    return answers;
  }
  // Job 1, running, of one range.
  void submit(bool start_later = false, std::int32_t ranges = 1) {
    write(submission(0, start_later, ranges));
  }
  static data::SubmitJob submission(std::int64_t command, bool start_later = false,
                                    std::int32_t ranges = 1) {
    data::SubmitJob message;
    message.command = command;
    message.id = kJob;
    message.campaign = kSampleCampaign;
    message.ranges = ranges;
    message.rows_accepted = 10;
    message.items = 1;
    message.start_later = start_later;
    return message;
  }
  static data::ChangeJob change(data::JobAction action, std::int64_t command) {
    data::ChangeJob message;
    message.command = command;
    message.id = kJob;
    message.action = action;
    message.words = "because";
    return message;
  }
  // As intake does: room first, then the page.
  data::PlanPage page(std::vector<int> recipients) {
    data::PlanPage made = sample_page(std::move(recipients));
    for (const Intent& intent : made.intents) {
      REQUIRE(life->ready.reserve({{owner_of(intent), 1}}));
    }
    return made;
  }
  std::vector<Intent> take_ready() {
    std::vector<Intent> rows;
    life->ready.take_all(rows);
    return rows;
  }
  std::vector<Intent> start(std::vector<int> recipients) {
    write(page(std::move(recipients)));
    return take_ready();
  }
  data::AttemptsEnded ended(const Intent& intent, E step) {
    return {{sample_end(intent, step, clock.wall_now())}};
  }
  // A row that has ended in this state, as intake finds it.
  Intent row_in(int recipient, E step, S state) {
    Intent intent = start({recipient}).front();
    life->ready.release(owner_of(intent), 1);
    write(ended(intent, step));
    intent.fresh = false;
    intent.from = state;
    return intent;
  }
  data::IssueSingle single(int recipient, std::int64_t command) {
    Intent intent = sample_intent(recipient);
    intent.single = true;
    intent.job_number = 0;
    REQUIRE(life->ready.reserve({{owner_of(intent), 1}}));
    return {.command = command,
            .campaign = kSampleCampaign,
            .items = 1,
            .input = "{}",
            .intents = {intent}};
  }

 private:
  std::string vfs_;
  std::string path_;
};

data::Note note(std::int64_t command = 0) {
  return {.command = command, .kind = EventKind::daemon, .words = "words", .answer = ""};
}

}  // namespace

// --- groups --------------------------------------------------------------------------------------

TEST_CASE("ledger_writer: an intent commits at once, and only then reaches the ready queue") {
  World world;
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
  World world;
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
  World world{vfs.name()};
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
  World world;
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
  World world;
  for (std::size_t i = 0; i < data::kGroupMessagesMax; ++i) world.writer().push(note());
  const std::uint64_t over = world.writer().push(World::submission(0));
  world.run();
  CHECK(world.writer().committed() == over - 1);
  world.run();
  CHECK(world.writer().committed() == over);
}

TEST_CASE("ledger_writer: the WAL is copied into the database after five thousand rows") {
  CrashVfs vfs{1};
  World world{vfs.name()};
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
    World world;
    world.submit();
    world.start({1, 2});
    world.write(world.page({1, 2, 3}));
    CHECK(world.life->ready.depth() == 3);
    CHECK(world.take_ready().size() == 1);
  }
  SUBCASE("a page of a job that is being cancelled") {
    World world;
    world.submit();
    const auto rows = world.start({1});
    world.write(World::change(data::JobAction::cancel, 7));
    REQUIRE(world.job_state() == JobState::cancelling);
    world.write(world.page({2, 3}));
    CHECK(world.life->ready.depth() == 1);
    CHECK(world.count(kRows) == 1);
    CHECK(world.take_ready().empty());
  }
  SUBCASE("a page of a job that is not there") {
    World world;
    world.write(world.page({2, 3}));
    CHECK(world.life->ready.depth() == 0);
    CHECK(world.count(kRows) == 0);
  }
  SUBCASE("a row that is elsewhere meanwhile") {
    World world;
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
    World world;
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
    World world;
    world.submit();
    const Intent doubtful = world.row_in(1, E::lose, S::in_doubt);
    world.start({2});  // still out: the job is not over yet
    data::ChangeJob cancel = World::change(data::JobAction::cancel, 7);
    cancel.settle_by_repeat = settle;
    world.write(cancel);
    REQUIRE(world.life->ready.reserve({{owner_of(doubtful), 1}}));
    world.write(data::SendAgain{{doubtful}});
    CHECK(world.take_ready().size() == (settle ? 1 : 0));
    CHECK(world.state_of(doubtful) == (settle ? S::sending : S::in_doubt));
  }
}

// --- commands ------------------------------------------------------------------------------------

TEST_CASE("ledger_writer: a command given twice has one effect and twice the same answer") {
  struct Case {
    const char* name;
    data::LedgerMessage (*make)(World&);
  };
  const Case cases[] = {
      {"submit", [](World&) -> data::LedgerMessage { return World::submission(7); }},
      {"pause",
       [](World&) -> data::LedgerMessage { return World::change(data::JobAction::pause, 7); }},
      {"cancel",
       [](World&) -> data::LedgerMessage { return World::change(data::JobAction::cancel, 7); }},
      {"refused",
       [](World&) -> data::LedgerMessage { return World::change(data::JobAction::resume, 7); }},
      {"single", [](World& world) -> data::LedgerMessage { return world.single(1, 7); }},
      {"note", [](World&) -> data::LedgerMessage { return note(7); }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    World world;
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

TEST_CASE("ledger_writer: answers are given once, when their effect is durable") {
  World world;
  world.writer().push(World::submission(7));
  CHECK(world.writer().take_answers().empty());
  world.run();
  const auto answers = world.writer().take_answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].command == 7);
  CHECK(answers[0].answer == R"({"ok":true,"state":"running"})");
  CHECK(world.writer().take_answers().empty());
}

TEST_CASE("ledger_writer: what each command may do to a job in each state") {
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
    World world;
    world.submit(before.starts_with("scheduled"), before == "done" ? 0 : 1);
    if (before == "unsettled") {
      data::PlanPage last = world.page({1});
      last.range_done = true;
      world.write(std::move(last));
      world.write(world.ended(world.take_ready().front(), E::hold));
    } else if (!before.starts_with("scheduled") && before != "done") {
      world.start({1});  // out, so that the job is not over at once
    }
    if (before.ends_with("paused")) world.write(World::change(A::pause, 5));
    if (before == "cancelling") world.write(World::change(A::cancel, 5));
    const JobState was = world.job_state();
    if (before != "scheduled, paused") REQUIRE(name_of(was) == before);

    const auto answers = world.write(World::change(c.action, 7));
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

TEST_CASE("ledger_writer: from inside, only the reason that paused a job lets it go on") {
  World world;
  world.submit();
  world.start({1});
  data::ChangeJob pause = World::change(data::JobAction::pause, 0);
  pause.reason = PauseReason::setup;
  data::ChangeJob resume = World::change(data::JobAction::resume, 0);
  resume.reason = PauseReason::setup;

  world.write(World::change(data::JobAction::pause, 5));  // an operator
  world.write(pause);                                     // does not become the reason
  CHECK(world.count(kPauseReason) == static_cast<std::int64_t>(PauseReason::operator_request));
  world.write(resume);
  CHECK(world.job_state() == JobState::paused);
  world.write(World::change(data::JobAction::resume, 6));
  CHECK(world.job_state() == JobState::running);
  world.write(pause);
  CHECK(world.count(kPauseReason) == static_cast<std::int64_t>(PauseReason::setup));
  world.write(resume);
  CHECK(world.job_state() == JobState::running);
}

TEST_CASE("ledger_writer: a running job is not rerun, and a rerun gathers every row it is about") {
  World world;
  world.submit(false, 2);
  const Intent declined = world.row_in(1, E::decline, S::declined);
  const Intent issued = world.row_in(2, E::confirm, S::issued);
  data::SubmitJob rerun = World::submission(7);
  rerun.id = 0xa2;
  rerun.kind = data::JobKind::rerun;
  rerun.rerun_of = kJob;
  rerun.rows_accepted = 0;
  CHECK(world.write(rerun).at(0).find("still running") != std::string::npos);
  CHECK(world.count(kJobs) == 1);
  world.write(World::change(data::JobAction::cancel, 8));
  REQUIRE(world.job_state() == JobState::cancelled);
  rerun.command = 9;
  CHECK(world.write(rerun).at(0).starts_with(R"({"ok":true)"));
  world.write(data::GatherRerun{.job_number = 2, .from_job = kJob, .states = {S::declined}});
  CHECK(world.state_of(declined) == S::planned);
  CHECK(world.state_of(issued) == S::issued);
}

TEST_CASE("ledger_writer: singles share a job that never ends, and a second one says so") {
  World world;
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

// --- starts and failures -------------------------------------------------------------------------

TEST_CASE("ledger_writer: a start puts what was out in doubt, and goes on with the jobs") {
  World world;
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
      World world{vfs.name()};
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
      CHECK_FALSE(world.writer().idle());
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
      CHECK(world.state_of(out) != S::sending);
      CHECK(world.count(kSending) == 0);
      CHECK(world.count(kJobs) == 1);
      CHECK(wrong_totals(world.life->durable) == 0);
      if (!powered) CHECK(world.state_of(out) == S::in_doubt);  // what was durable before
      if (!powered) CHECK(world.count(kRows) == 1);
      CHECK(world.start({5}).size() == 1);
    }
  }
}

TEST_CASE("ledger_writer: a failed checkpoint ends writing too, after what was committed") {
  CrashVfs vfs{1};
  World world{vfs.name()};
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
