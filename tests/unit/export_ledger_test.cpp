// Goal: a code that goes out by an export has one owner for ever, is given before a file can have
// it, and is issued only when a file has it; whatever stops in between.  Method: the real ledger
// writer, with rows that wait for an export, through two exports at once, stops and power cuts.
#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "common/export_mark.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/unit/ledger_world.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using data::Intent;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr std::string_view kCodes = "SELECT count(*) FROM code";
constexpr std::string_view kIssued = "SELECT count(*) FROM issuance WHERE state = 5";
constexpr std::string_view kExported =
    "SELECT count(*) FROM event WHERE kind = 12 AND to_state = 5";
constexpr std::string_view kMarked = R"sql(
  SELECT count(*) FROM issuance WHERE next_at_ms >= 253402300000000
     AND next_at_ms < 253402300003000
)sql";
// Codes whose owner is another, rows without theirs, rows whose mark is not that of their state,
// and issued ones without evidence.
constexpr std::string_view kWrong = R"sql(
  SELECT (SELECT count(*) FROM code LEFT JOIN issuance AS i USING (campaign, recipient_key, item)
           WHERE i.ordinal IS NOT code.ordinal)
       + (SELECT count(*) FROM issuance WHERE state IN (1, 5) AND ordinal IS NULL)
       + (SELECT count(*) FROM issuance
           WHERE next_at_ms IS NOT CASE WHEN state IN (0, 2) THEN 253402300000000 + item
                                        WHEN state = 1 THEN 253402300001000 + item
                                        WHEN state = 3 THEN 253402300002000 + item END)
       + (SELECT count(*) FROM issuance AS i LEFT JOIN event AS e ON e.seq = i.last_event
           WHERE i.state = 5 AND e.reference IS NOT 'exp_1/segment/' || i.ordinal
                             AND e.reference IS NOT 'exp_2/segment/' || i.ordinal)
)sql";

Intent exported_intent(int recipient, std::uint8_t item = 0) {
  Intent intent = sample_intent(recipient, item);
  intent.by_export = true;
  intent.downstream_version = 0;
  intent.downstream = 0;
  intent.definition = nullptr;
  intent.call_digest = {};
  intent.fresh = false;
  return intent;
}

std::shared_ptr<const store::PoolRow> pool_of(std::int64_t codes) {
  store::PoolRow row;
  row.id = 0x77;
  row.name = "vip";
  row.segments.push_back({.digest = "segment", .first = 0, .codes = codes});
  return std::make_shared<const store::PoolRow>(std::move(row));
}

struct World : WriterWorld {
  explicit World(std::int64_t codes = 1000, std::string vfs = {})
      : WriterWorld{std::move(vfs)}, pool{pool_of(codes)} {
    submit();
  }

  data::PlanPage waiting_page(const std::vector<int>& recipients) {
    data::PlanPage page = sample_page(recipients);
    page.intents.clear();
    for (const int recipient : recipients) page.intents.push_back(exported_intent(recipient));
    return page;
  }
  void plan(const std::vector<int>& recipients) {
    write(waiting_page(recipients));
    CHECK(take_ready().empty());
  }
  data::TakeForExport take_message(plan::ItemSet items = {0}) {
    return {.job_number = 1,
            .items = items,
            .pool = pool,
            .words = "the export exp_1 by jo",
            .done = std::make_shared<data::ExportStep>()};
  }
  data::ExportStep take(plan::ItemSet items = {0}) {
    data::TakeForExport message = take_message(items);
    const auto done = message.done;
    write(std::move(message));
    return *done;
  }
  data::ConfirmExport confirm_message(std::vector<data::ConfirmExport::Run> runs,
                                      const std::string& id = "exp_1") {
    return {.pool = pool,
            .export_id = id,
            .words = "the export " + id + " by jo",
            .runs = std::move(runs),
            .done = std::make_shared<data::ExportStep>()};
  }
  std::int64_t confirm(std::vector<data::ConfirmExport::Run> runs,
                       const std::string& id = "exp_1") {
    data::ConfirmExport message = confirm_message(std::move(runs), id);
    const auto done = message.done;
    write(std::move(message));
    return done->rows;
  }
  S state(int recipient) { return state_of(exported_intent(recipient)); }
  void check() { CHECK(count(kWrong) == 0); }

  std::shared_ptr<const store::PoolRow> pool;
};

}  // namespace

TEST_CASE("export ledger: rows wait without a code, take one each, and are issued when confirmed") {
  World world;
  world.plan({1, 2, 3});
  CHECK(world.state(2) == S::planned);
  CHECK(world.count(kCodes) == 0);
  world.check();
  CHECK(world.take().rows == 3);
  CHECK(world.take().rows == 0);
  CHECK(world.state(2) == S::sending);
  CHECK(world.count(kCodes) == 3);
  world.check();
  CHECK(world.confirm({{0, 2}}) == 2);
  CHECK(world.state(3) == S::sending);
  CHECK(world.confirm({{2, 1}}) == 1);
  CHECK(world.count(kIssued) == 3);
  CHECK(world.count(kExported) == 3);
  CHECK(world.count(kMarked) == 0);
  world.check();
}

TEST_CASE("export ledger: what waits is never due, hides nothing that is, and can be counted") {
  World world;
  data::LedgerReader reader{data::open_ledger_reader(world.folder / "ledger.db").value()};
  world.plan({1, 2});
  CHECK_FALSE(reader.next_due(1).value());
  CHECK_FALSE(reader.has_taken(1).value());
  const Intent called = world.row_in(3, E::defer, S::waiting);
  world.take();
  world.plan({4});
  const auto due = reader.due(1, world.clock.wall_now() + 24h * 366 * 10, {.rows_max = 10}).value();
  REQUIRE(due.size() == 1);
  CHECK(due.front().key.recipient == called.key.recipient);
  CHECK(reader.next_due(1).value() < world.clock.wall_now() + 24h);
  CHECK(reader.has_taken(1).value());
  CHECK(reader.has_startable(1).value());
}

TEST_CASE("export ledger: an export that was stopped half-way leaves the same codes to the next") {
  World world;
  world.plan({1, 2, 3});
  world.take();
  const std::string codes =
      "SELECT sum(ordinal * (1 + recipient_key = x'00010000000000000000000000000000')) FROM code";
  const std::int64_t before = world.count(codes);
  world.confirm({{1, 1}});
  for (int stop = 0; stop < data::kFaultsMax + 1; ++stop) {
    world.restart(true);  // whatever vouchd died of, it was no call
    CHECK(world.life->recovered == (stop == 0 ? 2 : 0));
    CHECK(world.state(1) == S::in_doubt);
    CHECK(world.state(2) == S::issued);
    world.check();
  }
  CHECK(world.job_state() == JobState::running);
  CHECK(world.take().rows == 0);
  CHECK(world.confirm({{0, 3}}, "exp_2") == 3);
  CHECK(world.count(kExported) == 3);  // the one that was issued is not issued again
  CHECK(world.count(codes) == before);
  world.check();
}

TEST_CASE("export ledger: two exports at once take different rows, and confirm what they have") {
  constexpr int kRows = data::kExportRowsPage + 500;
  World world{kRows};
  std::vector<int> recipients(kRows);
  std::iota(recipients.begin(), recipients.end(), 1);
  world.plan(recipients);
  // Both ask at the same moment, and are written in one group: the first fills its page, the
  // second has what is left.
  std::vector<std::shared_ptr<data::ExportStep>> steps;
  for (int i = 0; i < 2; ++i) {
    data::TakeForExport message = world.take_message();
    steps.push_back(message.done);
    world.writer().push(std::move(message));
  }
  world.run();
  CHECK(steps[0]->rows == data::kExportRowsPage);
  CHECK(steps[1]->rows == 500);
  CHECK(world.count(kCodes) == kRows);
  // Each file has all codes that were out when it was written; each issues what none has issued.
  CHECK(world.confirm({{0, data::kExportRowsPage}}, "exp_1") == data::kExportRowsPage);
  CHECK(world.count(kIssued) == data::kExportRowsPage);
  CHECK(world.confirm({{500, data::kExportRowsPage}}, "exp_2") == data::kExportRowsPage);
  CHECK(world.count(kIssued) == kRows);
  CHECK(world.count(kExported) == kRows);
  world.check();
}

TEST_CASE("export ledger: at the pool's end nobody gets a code that is not there") {
  World world{2};
  world.plan({1, 2, 3});
  const data::ExportStep step = world.take();
  CHECK(step.rows == 2);
  REQUIRE(step.refusal);
  CHECK(step.refusal->message == "the pool vip has no code left");
  CHECK(world.count(kCodes) == 2);
  CHECK(world.count("SELECT count(*) FROM issuance WHERE state = 0") == 1);
  world.check();
  world.pool = pool_of(10);
  CHECK(world.take().rows == 1);
  CHECK(world.count("SELECT next_ordinal FROM pool") == 3);
}

TEST_CASE("export ledger: only a job that runs gives codes, and only for the items asked for") {
  World world;
  world.plan({1});
  world.write(World::change(data::JobAction::pause, 2));
  CHECK(world.take().refusal);
  CHECK(world.count(kCodes) == 0);
  world.write(World::change(data::JobAction::resume, 3));
  CHECK(world.take({1}).rows == 0);
  CHECK(world.take({0}).rows == 1);
}

TEST_CASE("export ledger: cancelling burns no code, and what was taken can still be confirmed") {
  World world;
  world.plan({1, 2});
  world.take();
  world.plan({3, 4});
  world.write(World::change(data::JobAction::cancel, 2));
  CHECK(world.take().refusal);
  world.write(data::EndOpenRows{.job_number = 1, .to = S::cancelled});
  CHECK(world.state(3) == S::cancelled);
  CHECK(world.state(1) == S::in_doubt);
  CHECK(world.count(kCodes) == 2);
  CHECK(world.job_state() == JobState::unsettled);
  world.check();
  CHECK(world.confirm({{0, 2}}) == 2);
  CHECK(world.job_state() == JobState::cancelled);
  world.check();
}

TEST_CASE("export ledger: late evidence is recorded, and moves nothing that people settled") {
  World world;
  world.plan({1});
  world.take();
  world.write(World::change(data::JobAction::cancel, 2));
  world.write(data::EndOpenRows{.job_number = 1, .to = S::cancelled});
  data::Proposal proposal;
  proposal.id = 0x55;
  proposal.job = kSampleJob;
  proposal.to = S::failed;
  world.write(data::DraftProposal{proposal});
  world.write(data::AddProposedRows{
      proposal.id,
      {{.request_id = format_request_id(exported_intent(1).key, 0),
        .state = S::in_doubt,
        .last_event = row_of(world.life->durable, exported_intent(1))->last_event,
        .reference = {}}}});
  world.write(data::OpenProposal{proposal.id});
  const auto stored = data::read_proposal(world.life->database, proposal.id).value();
  world.write(data::DecideProposal{{.id = proposal.id, .grant = {}, .digest = stored->digest}});
  world.write(data::ProposalPage{proposal.id});
  REQUIRE(world.state(1) == S::failed);
  CHECK(world.confirm({{0, 1}}) == 0);
  CHECK(world.state(1) == S::failed);
  CHECK(world.count(kExported) == 1);
}

TEST_CASE("export ledger: a deadline ends what waits, and leaves alone what was taken") {
  World world;
  world.plan({1});
  world.take();
  world.plan({2});
  world.write(data::EndOpenRows{.job_number = 1, .to = S::expired});
  CHECK(world.state(1) == S::sending);
  CHECK(world.state(2) == S::expired);
  world.check();
}

TEST_CASE("export ledger: no power cut gives a code to two, or issues what has none") {
  for (int cut = 0; cut < 60; ++cut) {
    CAPTURE(cut);
    CrashVfs vfs{static_cast<std::uint64_t>(cut) + 1};
    World world{1000, vfs.name()};
    int next = 1;
    vfs.power_cut_after(cut);
    for (int page = 0; page < 5 && !vfs.is_off(); ++page, next += 2) {
      world.writer().push(world.waiting_page({next, next + 1}));
      world.run();
      world.writer().push(world.take_message());
      world.run();
      world.writer().push(world.confirm_message({{page * 2, 1}}));
      world.run();
    }
    vfs.crash();
    world.restart();
    world.check();
    world.plan({100, 101});
    CHECK(world.take().rows >= 2);
    world.check();
    const std::int64_t out = world.count(kCodes);
    CHECK(world.confirm({{0, out}}, "exp_2") == out);
    CHECK(world.count(kMarked) == 0);
    world.check();
  }
}

TEST_CASE("export ledger: in an older copy no row takes a code that it may have had already") {
  LedgerWorld world;
  data::PlanPage page = sample_page({1, 2});
  page.intents = {exported_intent(1), exported_intent(2)};
  CHECK(world.plan(std::move(page)).empty());
  const auto pool = pool_of(10);
  const auto take = [&] {
    return world.step([&] {
      auto taken = world.ledger.take_for_export(
          {.job_number = 1, .items = {0}, .pool = *pool, .rows_max = 10}, world.now());
      REQUIRE(world.pools.flush());
      return taken;
    });
  };
  CHECK(world.step([&] { return world.ledger.doubt_open_rows(1, world.now(), world.now()); }) == 2);
  CHECK(world.state_of(exported_intent(1)) == S::in_doubt);
  CHECK(take().rows == 0);
  CHECK(world.row_of(exported_intent(1))->next_at_ms == export_mark(ExportStage::in_doubt, 0));

  // No statement has it; people who find it in no file let it wait again.
  data::IssuanceLedger::Statement statement{};
  statement.key = exported_intent(1).key;
  CHECK_FALSE(world.step([&] { return world.ledger.settle_by_statement(statement, world.now()); }));
  data::IssuanceLedger::Resolution resolution{};
  resolution.key = exported_intent(1).key;
  resolution.job_number = 1;
  resolution.from = S::in_doubt;
  resolution.to = S::waiting;
  resolution.by_statement = true;
  CHECK_FALSE(world.step([&] { return world.ledger.resolve(resolution, world.now()); }));
  resolution.by_statement = false;
  CHECK(world.step([&] { return world.ledger.resolve(resolution, world.now()); }));
  CHECK(world.row_of(exported_intent(1))->next_at_ms == export_mark(ExportStage::waits, 0));
  CHECK(take().rows == 1);
  CHECK(world.state_of(exported_intent(2)) == S::in_doubt);
}

TEST_CASE("export ledger: a rerun waits for an export again, with the code that it has") {
  LedgerWorld world;
  data::PlanPage page = sample_page({1, 2});
  page.intents = {exported_intent(1), exported_intent(2)};
  CHECK(world.plan(std::move(page)).empty());
  const auto pool = pool_of(10);
  const auto take = [&](std::int64_t job, int rows_max) {
    return world.step([&] {
      auto taken = world.ledger.take_for_export(
          {.job_number = job, .items = {0}, .pool = *pool, .rows_max = rows_max}, world.now());
      REQUIRE(world.pools.flush());
      return taken;
    });
  };
  CHECK(take(1, 1).rows == 1);
  CHECK(world.step([&] { return world.ledger.end_open_rows(1, S::cancelled, 10, world.now()); }) ==
        2);
  data::IssuanceLedger::Resolution failed{};
  failed.key = exported_intent(1).key;
  failed.job_number = 1;
  failed.from = S::in_doubt;
  failed.last_event = world.row_of(exported_intent(1))->last_event;
  failed.to = S::failed;
  CHECK(world.step([&] { return world.ledger.resolve(failed, world.now()); }));
  for (const S state : {S::failed, S::cancelled}) {
    CHECK(world.step([&] {
      return world.ledger.rerun({.to_job = 2, .from_job = 1, .exports = {0}}, state, 10,
                                world.now());
    }) == 1);
  }
  CHECK(world.row_of(exported_intent(2))->next_at_ms == export_mark(ExportStage::waits, 0));
  CHECK(take(2, 10).rows == 2);
  CHECK(world.count(kCodes) == 2);
  CHECK(world.count("SELECT count(DISTINCT ordinal) FROM issuance") == 2);
}
