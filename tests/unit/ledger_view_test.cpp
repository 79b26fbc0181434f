#include "common/store/ledger_view.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "common/files.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;

namespace {

constexpr ObjectId kCampaign = 0x1234567890;
constexpr ObjectId kJob = 0x9876543210;
constexpr std::int64_t kInFlightMs = 253'402'300'799'000;

constexpr std::string_view kInsert = R"sql(
  INSERT INTO issuance (campaign, recipient_key, occurrence, item, state, round, job, range,
                        campaign_version, downstream_version, amount_minor, call_digest, intent_ms,
                        doubt_ms, next_at_ms, last_event)
  VALUES (1, :recipient, :occurrence, 0, :state, 0, 1, 0, 1, 1, 500, x'00', 1000, :doubt_ms,
          :next_at_ms, :last_event)
)sql";

RecipientKey recipient(std::uint8_t number) {
  RecipientKey key{};
  key[0] = number;
  return key;
}

// A ledger as its vouchd leaves it: WAL, kept at close.
struct World {
  World() : paths{folder / "store"} {
    REQUIRE(make_folder(paths.ledger_folder("main"), 0750));
    ledger.emplace(
        Database::open(paths.ledger_db("main"), {.mode = OpenMode::create, .vfs = {}}).value());
    REQUIRE(ledger->exec("PRAGMA journal_mode = WAL"));
    ledger->keep_wal_at_close();
    REQUIRE(migrate(*ledger, embedded::ledger_migrations, from_ms(1)));
    REQUIRE(ledger->exec(R"sql(
      INSERT INTO campaign (number, id) VALUES (1, 0x1234567890);
      INSERT INTO job (number, id, campaign, kind, state, ranges, start_range, rows_accepted,
                       items, submitted_ms)
        VALUES (1, 0x9876543210, 1, 0, 1, 2, 0, 30, 2, 900);
      INSERT INTO job_range (job, range, rows_planned, repeats, issued, declined, sending,
                             issued_minor)
        VALUES (1, 0, 10, 3, 12, 4, 1, 6000), (1, 1, 5, 0, 10, 0, 0, 5000);
      INSERT INTO ledger_meta VALUES ('ledger_id', 'abc');
    )sql"));
  }
  void insert(std::uint8_t number, IssuanceState state,
              std::optional<std::int64_t> next_at_ms = std::nullopt,
              std::optional<std::int64_t> last_event = std::nullopt, int occurrence = 0) {
    const bool doubt = state == IssuanceState::in_doubt;
    REQUIRE(ledger->prepared(kInsert)
                .bind(":recipient", as_blob(recipient(number)))
                .bind(":occurrence", std::int64_t{occurrence})
                .bind(":state", static_cast<std::int64_t>(state))
                .bind(":doubt_ms", doubt ? std::optional<std::int64_t>{1000} : std::nullopt)
                .bind(":next_at_ms", next_at_ms)
                .bind(":last_event", last_event)
                .run());
  }
  LedgerView view() { return LedgerView::open(paths, "main").value(); }

  test::TemporaryFolder folder;
  StorePaths paths;
  std::optional<Database> ledger;
};

}  // namespace

TEST_CASE("ledger view: a job's totals are the sums of its ranges, and they balance") {
  World world;
  LedgerView view = world.view();
  const auto job = view.job(kJob).value();
  REQUIRE(job);
  CHECK(job->state == JobState::running);
  CHECK(job->rows_planned == 15);
  CHECK(job->by_state[static_cast<std::size_t>(IssuanceState::issued)] == 22);
  CHECK(job->issued_minor == 11'000);
  CHECK(job->not_planned() == 30);
  CHECK(job->balanced());
  CHECK_FALSE(job->started);
  CHECK_FALSE(view.job(7).value());
  CHECK(view.jobs().value().size() == 1);
  CHECK(view.meta("ledger_id").value() == "abc");
  CHECK(view.meta("nothing").value().empty());

  REQUIRE(world.ledger->exec("UPDATE job_range SET issued = issued - 1 WHERE range = 1"));
  CHECK_FALSE(view.job(kJob).value()->balanced());
}

// Goal: no row is hidden by being in some state.  Method: another number of rows in each.
TEST_CASE("ledger view: a job's totals have every state") {
  World world;
  REQUIRE(world.ledger->exec(R"sql(
    UPDATE job_range SET planned = 1, sending = 2, waiting = 4, in_doubt = 8, held = 16,
                         issued = 32, declined = 64, failed = 128, cancelled = 256, expired = 512,
                         skipped = 1024
  )sql"));
  LedgerView view = world.view();
  for (const JobProgress& job : {*view.job(kJob).value(), view.jobs().value().front()}) {
    for (std::size_t i = 0; i < job.by_state.size(); ++i) {
      CAPTURE(name_of(static_cast<IssuanceState>(i)));
      CHECK(job.by_state[i] == std::int64_t{2} << i);  // of both ranges
    }
  }
}

TEST_CASE("ledger view: pages walk a campaign in key order, whatever the filter leaves") {
  World world;
  for (std::uint8_t n = 0; n < 25; ++n) {
    world.insert(n, n % 5 == 0 ? IssuanceState::declined : IssuanceState::issued, {}, 1);
  }
  LedgerView view = world.view();
  std::optional<IssuanceKey> after;
  int pages = 0;
  std::vector<std::uint8_t> seen;
  do {
    const auto page =
        view.page(kCampaign, after, {.job = kJob, .state = IssuanceState::declined}, 10).value();
    for (const IssuanceRow& row : page.rows) seen.push_back(row.key.recipient[0]);
    after = page.next_after;
    ++pages;
  } while (after);
  CHECK(pages == 3);
  CHECK(seen == std::vector<std::uint8_t>{0, 5, 10, 15, 20});
  CHECK(view.page(kCampaign, {}, {.job = 99, .state = {}}, 10).value().rows.empty());
  CHECK(view.page(99, {}, {}, 10).value().rows.empty());

  const auto first = view.unissued(kJob, IssuanceState::declined, {}, 3).value();
  REQUIRE(first.size() == 3);
  const auto rest = view.unissued(kJob, IssuanceState::declined, first.back().key, 3).value();
  REQUIRE(rest.size() == 2);
  CHECK(rest[0].key.recipient[0] == 15);
  CHECK(rest[0].key.campaign == kCampaign);
  CHECK(rest[0].job == kJob);
}

TEST_CASE("ledger view: one issuance, one recipient, and what is due") {
  World world;
  world.insert(1, IssuanceState::issued, {}, 1, 2026);
  world.insert(1, IssuanceState::waiting, 5000, 2, 2027);
  world.insert(2, IssuanceState::in_doubt, 4000, 3);
  world.insert(3, IssuanceState::sending, kInFlightMs, 4);
  LedgerView view = world.view();
  const auto row = view.issuance({kCampaign, recipient(1), 2027, 0}).value();
  REQUIRE(row);
  CHECK(row->state == IssuanceState::waiting);
  CHECK(row->next_at == from_ms(5000));
  CHECK(row->amount_minor == 500);
  CHECK_FALSE(view.issuance({kCampaign, recipient(9), 0, 0}).value());
  CHECK(view.of_recipient(kCampaign, recipient(1)).value().size() == 2);
  // While a resent call is out, nothing is due.
  CHECK_FALSE(view.issuance({kCampaign, recipient(3), 0, 0}).value()->next_at);
  const auto due = view.due(kJob).value();
  REQUIRE(due.size() == 2);
  CHECK(due[0].state == IssuanceState::in_doubt);
  CHECK(due[0].doubt == from_ms(1000));
}

TEST_CASE("ledger view: the history of an issuance follows its events backwards") {
  World world;
  REQUIRE(world.ledger->exec(R"sql(
    INSERT INTO event (seq, at_ms, kind, job, campaign, recipient_key, occurrence, item, round,
                       from_state, to_state, outcome, http_status, sends, reply_digest, prev_seq)
      VALUES (1, 10, 1, 1, 1, x'01000000000000000000000000000000', 0, 0, 0, 1, 2, 2, 429, 0, NULL,
              NULL),
             (2, 20, 1, 1, 1, x'02000000000000000000000000000000', 0, 0, 0, 1, 5, 0, 201, 1, x'ab',
              NULL),
             (3, 30, 1, 1, 1, x'01000000000000000000000000000000', 0, 0, 0, 1, 5, 0, 201, 1, x'cd',
              1);
    INSERT INTO event (seq, at_ms, kind, detail) VALUES (4, 40, 22, 'stopped');
  )sql"));
  world.insert(1, IssuanceState::issued, {}, 3);
  LedgerView view = world.view();
  const auto row = view.issuance({kCampaign, recipient(1), 0, 0}).value();
  const auto history = view.history(*row).value();
  REQUIRE(history.size() == 2);
  CHECK(history[0].seq == 3);
  CHECK(history[0].reply_digest == "cd");
  CHECK(history[0].key == row->key);
  CHECK(history[1].http_status == 429);
  CHECK(view.history(*row, 1).value().size() == 1);

  const auto events = view.events(1, 2).value();
  REQUIRE(events.size() == 2);
  CHECK(events[1].seq == 3);
  const auto last = view.event(4).value();
  CHECK(last->kind == EventKind::daemon);
  CHECK_FALSE(last->key);
  CHECK(last->job == 0);
  CHECK(view.last_event().value() == 4);

  // Damage must not become an endless loop.
  REQUIRE(world.ledger->exec("UPDATE event SET prev_seq = 3 WHERE seq = 1"));
  CHECK(view.history(*row).value().size() == 2);
}

TEST_CASE("ledger view: readable while vouchd writes, and after it has stopped") {
  World world;
  LedgerView during = world.view();
  CHECK(during.last_event().value() == 0);
  REQUIRE(world.ledger->exec("INSERT INTO event (seq, at_ms, kind) VALUES (1, 1, 22)"));
  CHECK(during.last_event().value() == 1);
  world.ledger.reset();
  CHECK(world.view().last_event().value() == 1);
}

TEST_CASE("ledger view: a reader between two pages keeps nothing open") {
  World world;
  for (std::uint8_t n = 0; n < 50; ++n) world.insert(n, IssuanceState::issued, {}, 1);
  LedgerView view = world.view();
  REQUIRE(view.page(kCampaign, {}, {}, 10));
  REQUIRE(view.events(0, 10));
  REQUIRE(world.ledger->exec("INSERT INTO event (seq, at_ms, kind) VALUES (9, 1, 22)"));
  // Every frame can go back into the database: no read lock holds them.
  CHECK(world.ledger->checkpoint().value() == 0);
  const auto restart = world.ledger->pragma("PRAGMA wal_checkpoint(TRUNCATE)");
  CHECK(restart.value() == 0);
}

TEST_CASE("ledger view: an instance without a ledger is said") {
  World world;
  const auto none = LedgerView::open(world.paths, "other");
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::store);
  CHECK(none.error().message == "the instance \"other\" has no ledger yet");
}

TEST_CASE("ledger view: the queries of people's pages use their indexes") {
  // As in ledger_view_issuances.cpp; EXPLAIN shows that no page scans or sorts a whole campaign.
  struct Row {
    const char* sql;
    std::string_view index;
  };
  const Row rows[] = {
      {"EXPLAIN QUERY PLAN SELECT i.state FROM issuance AS i LEFT JOIN job AS j "
       "ON j.number = i.job WHERE i.campaign = (SELECT number FROM campaign WHERE id = 5) AND "
       "(i.recipient_key, i.occurrence, i.item) > (x'', -1, -1) "
       "ORDER BY i.recipient_key, i.occurrence, i.item LIMIT 10",
       "SEARCH i USING PRIMARY KEY (campaign=? AND (recipient_key,occurrence,item)>(?,?,?))"},
      {"EXPLAIN QUERY PLAN SELECT i.round FROM issuance AS i WHERE i.job = 1 AND i.campaign = 1 "
       "AND i.state = 6 AND (i.state = 4 OR i.state > 5) AND "
       "(i.recipient_key, i.occurrence, i.item) > (x'', -1, -1) "
       "ORDER BY i.recipient_key, i.occurrence, i.item LIMIT 10",
       "SEARCH i USING INDEX issuance_unissued"},
      {"EXPLAIN QUERY PLAN SELECT i.round FROM issuance AS i WHERE i.job = 1 AND "
       "i.next_at_ms IS NOT NULL AND i.state IN (0, 2, 3) ORDER BY i.next_at_ms LIMIT 10",
       "SEARCH i USING INDEX issuance_due"},
      {"EXPLAIN QUERY PLAN SELECT i.recipient_key, i.occurrence, i.item FROM issuance AS i WHERE "
       "i.job = (SELECT number FROM job WHERE id = 5) AND i.next_at_ms = 253402300000000 AND "
       "i.campaign = (SELECT campaign FROM job WHERE id = 5) AND "
       "(i.recipient_key, i.occurrence, i.item) > (x'', -1, -1) "
       "ORDER BY i.recipient_key, i.occurrence, i.item LIMIT 10",
       "SEARCH i USING COVERING INDEX issuance_due "
       "(job=? AND next_at_ms=? AND campaign=? AND (recipient_key,occurrence,item)>(?,?,?))"},
  };
  World world;
  for (const Row& row : rows) {
    std::string plan;
    Statement& statement = world.ledger->prepared(row.sql);
    while (statement.step().value()) plan += statement.string(3) + "\n";
    CAPTURE(plan);
    CHECK(plan.find(row.index) != std::string::npos);
    CHECK(plan.find("TEMP B-TREE") == std::string::npos);
  }
}
