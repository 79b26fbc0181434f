// Goal: no statement of the daemon's hot paths walks through issuance or event, however large a
// ledger grows.  Method: a small job is run to its end through the ledger writer and the reader,
// with every kind of message; SQLite's own table of prepared statements (sqlite_stmt) then tells
// what was asked, and EXPLAIN QUERY PLAN how it is found.  The texts themselves stay where they
// are, private to their files.
#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <set>
#include <string>
#include <vector>

#include "daemon/data/ledger_file.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/ledger_writer.hpp"
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

constexpr std::string_view kStatements = "SELECT sql FROM sqlite_stmt";

std::set<std::string> statements_of(store::Database& database) {
  std::set<std::string> texts;
  store::Statement& row = database.prepared(kStatements);
  while (row.step().value()) texts.insert(row.string(0));
  return texts;
}

// A connection of its own, so that what it asks is not among the statements it looks at.
class Explainer {
 public:
  explicit Explainer(const std::string& path) : database_{data::open_ledger_reader(path).value()} {}

  std::vector<std::string> plan_of(const std::string& sql) {
    const std::string& text = texts_.emplace_back("EXPLAIN QUERY PLAN " + sql);
    store::Statement& row = database_.prepared(text);
    std::vector<std::string> lines;
    while (row.step().value()) lines.push_back(row.string(3));
    return lines;
  }

 private:
  std::list<std::string> texts_;  // a statement is known by the address of its text
  store::Database database_;
};

// The ledger's threads in one, from a start to a stop.
struct Life {
  Life(const std::string& path, const ManualClock& manual, Random& random)
      : clock{manual},
        database{data::open_ledger(path, clock.wall_now(), random).value()},
        reader{data::open_ledger_reader(path).value()},
        spool{data::OutcomeSpool::open(path + ".spool").value()},
        writer{database, ready, health, clock} {
    REQUIRE(writer.load_and_recover(&spool, false));
  }
  const ManualClock& clock;
  store::Database database;
  data::LedgerReader reader;
  data::ReadyQueue ready{[] {}};
  data::Health health;
  data::OutcomeSpool spool;
  data::LedgerWriter writer;

  void write(data::LedgerMessage message) {
    const std::uint64_t ticket = writer.push(std::move(message));
    writer.push(data::SendAgain{});  // waits for no company, and so nobody else does
    writer.run_once(clock.now());
    REQUIRE(writer.committed() > ticket);
  }
  void reserve(const std::vector<Intent>& intents) {
    for (const Intent& intent : intents) REQUIRE(ready.reserve({{owner_of(intent), 1}}));
  }
  std::vector<Intent> take() {
    std::vector<Intent> rows;
    ready.take_all(rows);
    for (const Intent& intent : rows) ready.release(owner_of(intent), 1);
    return rows;
  }
  std::vector<Intent> start(std::vector<int> recipients) {
    data::PlanPage page = sample_page(std::move(recipients));
    reserve(page.intents);
    write(std::move(page));
    return take();
  }
  void end(const Intent& intent, E step) {
    write(data::AttemptsEnded{{sample_end(intent, step, clock.wall_now())}});
  }
  // The row whose event was the last, in doubt, is asked about without a result.
  void ask(Intent intent) {
    intent.asks = true;
    intent.fresh = false;
    intent.last_event = reader.last_event().value();
    reserve({intent});
    write(data::SendAgain{{intent}});
    REQUIRE(take().size() == 1);
    data::AttemptEnd end = sample_end(intent, E::lose, clock.wall_now());
    end.kind = EventKind::asked;
    end.doubt_since = clock.wall_now();
    write(data::AttemptsEnded{{end}});
  }
  void again(Intent intent, S from) {
    intent.from = from;
    intent.fresh = false;
    reserve({intent});
    write(data::SendAgain{{intent}});
    REQUIRE(take().size() == 1);
  }
};

data::SubmitJob submission(ObjectId id, std::int32_t ranges, ObjectId rerun_of = 0) {
  data::SubmitJob message;
  message.command = static_cast<std::int64_t>(id);
  message.id = id;
  message.campaign = kSampleCampaign;
  message.kind = rerun_of == 0 ? data::JobKind::list : data::JobKind::rerun;
  message.ranges = ranges;
  message.items = 1;
  message.rerun_of = rerun_of;
  return message;
}

// A row in doubt as people saw it.
data::ProposedRow doubtful_row(Life& life, const Intent& intent) {
  return {.request_id = format_request_id(intent.key, 0),
          .state = S::in_doubt,
          .last_event = life.reader.last_event().value(),
          .reference = "c-1"};
}

// What people decide about it.
void decide(Life& life, const data::ProposedRow& row) {
  data::Proposal proposal;
  proposal.id = 0x77;
  proposal.job = 0xa1;
  life.write(data::DraftProposal{proposal});
  life.write(data::AddProposedRows{proposal.id, {row}});
  life.write(data::OpenProposal{proposal.id});
  const auto stored = data::read_proposal(life.database, proposal.id).value();
  life.write(data::DecideProposal{{.id = proposal.id, .grant = {}, .digest = stored->digest}});
  life.write(data::ProposalPage{proposal.id});
}

// Rows that wait for an export; one is taken and confirmed, one taken.
void export_rows(Life& life) {
  data::PlanPage page = sample_page({30, 31});
  for (Intent& intent : page.intents) {
    intent.by_export = true;
    intent.downstream_version = 0;
  }
  life.write(std::move(page));
  store::PoolRow row;
  row.id = 0x78;
  row.segments.push_back({.digest = "segment", .first = 0, .codes = 10});
  const auto pool = std::make_shared<const store::PoolRow>(std::move(row));
  const auto done = std::make_shared<data::ExportStep>();
  life.write(data::TakeForExport{
      .job_number = 1, .items = {0}, .pool = pool, .words = "words", .done = done});
  REQUIRE(done->rows == 2);
  life.write(data::ConfirmExport{
      .pool = pool, .export_id = "exp_1", .words = "words", .runs = {{0, 1}}, .done = done});
}

// A job with every end that a row can have, and a stop while calls are out.
void run_job(Life& life) {
  life.write(submission(0xa1, 1));
  life.write(data::ClaimRange{.job_number = 1, .range = 0, .epoch = 7, .owner = "main"});
  const auto rows = life.start({1, 2, 3, 4, 5, 6});
  life.start({1, 7});  // a repeat among them: the second look
  life.end(rows[0], E::confirm);
  REQUIRE(life.spool.append({sample_end(rows[0], E::confirm, life.clock.wall_now())}));
  life.end(rows[1], E::defer);
  life.end(rows[2], E::lose);
  life.end(rows[3], E::decline);
  life.end(rows[4], E::lose);
  life.ask(rows[4]);
  life.again(rows[1], S::waiting);
  Intent doubtful = rows[2];
  doubtful.from = S::in_doubt;
  doubtful.fresh = false;
  life.write(data::HoldRow{doubtful, "too old"});
  life.write(data::SettleByStatement{
      .command = 12,
      .words = "statement",
      .rows = {{.key = doubtful.key, .was_executed = true, .amount_minor = {}, .reference = {}}}});

  decide(life, doubtful_row(life, rows[4]));

  Intent single = sample_intent(20);
  single.single = true;
  single.job_number = 0;
  life.reserve({single});
  life.write(data::IssueSingle{
      .command = 9, .campaign = kSampleCampaign, .items = 1, .input = "{}", .intents = {single}});
  life.end(life.take().at(0), E::confirm);
  export_rows(life);
  life.write(data::Note{.command = 10, .kind = EventKind::daemon, .words = "words", .answer = ""});
}

// Its cancellation and a rerun, after a start that found calls out.
void end_job(Life& life) {
  data::ChangeJob cancel;
  cancel.command = 11;
  cancel.id = 0xa1;
  cancel.action = data::JobAction::cancel;
  const auto rows = life.start({8});
  life.end(rows[0], E::defer);
  life.write(cancel);
  life.write(data::EndOpenRows{.job_number = 1, .to = S::cancelled});
  life.write(submission(0xa3, 1, 0xa1));
  life.write(data::GatherRerun{
      .job_number = 3, .from_job = 0xa1, .states = {S::declined, S::failed, S::cancelled}});
}

void read_all(Life& life) {
  data::DueWanted wanted;
  wanted.rows_max = 10;
  CHECK(life.reader.due(1, life.clock.wall_now() + 1h, wanted).value().size() > 0);
  for (const data::SetupOrder order : {data::SetupOrder::first, data::SetupOrder::last}) {
    wanted.setup = order;
    CHECK(life.reader.due(1, life.clock.wall_now() + 1h, wanted).value().size() > 0);
  }
  CHECK(life.reader.next_due(1).value());
  CHECK(life.reader.has_startable(1));
  CHECK(life.reader.has_taken(1));
  CHECK(life.reader.single_input(1, sample_intent(20).key));
  CHECK(life.reader.last_event().value() > 0);
  CHECK(life.reader.ranges(1).value().size() == 1);
  CHECK(life.reader.range_has_open_rows(1, 0));
}

const std::string kWholeKey =
    "USING PRIMARY KEY (campaign=? AND recipient_key=? AND occurrence=? AND item=?)";
const std::string kPrefix = "USING PRIMARY KEY (campaign=? AND recipient_key=? AND occurrence=?)";

// How each statement that touches issuance or event finds its rows: a part of its text, and every
// line of its plan that is not about a small table.  An INSERT looks for nothing, and sorting is
// a line of its own.
struct Path {
  const char* text;
  std::vector<std::string> want;
};
const Path kPaths[] = {
    {"INSERT INTO issuance (", {}},
    {"SELECT 1 FROM issuance\n   WHERE campaign = ?1 AND recipient_key BETWEEN",
     {"SEARCH issuance USING PRIMARY KEY (campaign=? AND recipient_key>? AND recipient_key<?)"}},
    {"SELECT 1 FROM issuance\n   WHERE campaign = ?1 AND recipient_key = ?2",
     {"SEARCH issuance " + kPrefix}},
    {"UPDATE issuance SET state = 1, intent_ms = ?1, next_at_ms = ?2, asked",
     {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET state = ?1, last_event = ?2\n", {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET state = ?1, last_event = ?2, attempts", {"SEARCH issuance " + kWholeKey}},
    {"DELETE FROM issuance_input", {"SEARCH issuance_input " + kPrefix, "SEARCH open " + kPrefix}},
    {"UPDATE issuance SET state = 4", {"SEARCH issuance " + kWholeKey}},
    {"last_event,\n         job, downstream_version\n    FROM issuance",
     {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET last_event = ?1", {"SEARCH issuance " + kWholeKey}},
    {"state IN (0, 2)\n   LIMIT :rows_max",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms<?)"}},
    {"state = :state AND (state = 4 OR state > 5)",
     {"SEARCH issuance USING INDEX issuance_unissued (job=? AND state=?)"}},
    {"UPDATE issuance SET state = ?1, last_event = ?2, next_at_ms = NULL",
     {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET state = ?9, round", {"SEARCH issuance " + kWholeKey}},
    {"next_at_ms = 253402300799000 AND state = 1",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms=?)"}},
    {"recipient_key BETWEEN planned_from AND planned_to",
     {"SEARCH issuance USING PRIMARY KEY (campaign=? AND recipient_key>? AND recipient_key<?)"}},
    {"UPDATE issuance SET state = ?7, last_event", {"SEARCH issuance " + kWholeKey}},
    {"SELECT issuance.state, event.at_ms",
     {"SEARCH issuance " + kWholeKey,
      "SEARCH event USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN"}},
    {"UPDATE issuance SET next_at_ms = ?1", {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET state = ?1, last_event = ?2, doubt_ms", {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET next_at_ms = :now_ms",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms=?)"}},
    {"INSERT OR IGNORE INTO issuance_input", {}},
    {"SELECT input FROM issuance_input", {"SEARCH issuance_input " + kPrefix}},
    {"max(seq), 0) FROM event", {"SEARCH event"}},
    {"INSERT INTO proposal_row", {}},
    {"FROM proposal_row\n   WHERE proposal = :id ORDER BY place",
     {"SEARCH proposal_row USING PRIMARY KEY (proposal=?)"}},
    {"DELETE FROM proposal_row",
     {"SEARCH proposal_row USING PRIMARY KEY (proposal=? AND place<?)"}},
    {"from_state, to_state, outcome", {}},
    {"from_state, to_state, detail", {}},
    {"INSERT INTO event (seq, at_ms, kind, job, detail)", {}},
    {":items) >> i.item) & 1\n   ORDER BY i.next_at_ms",
     {"SEARCH i USING INDEX issuance_due (job=? AND next_at_ms<?)",
      "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN"}},
    {"ORDER BY ifnull(e.outcome IN (4, 5), 0)",
     {"SEARCH i USING INDEX issuance_due (job=? AND next_at_ms<?)",
      "SEARCH e USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN", "USE TEMP B-TREE FOR ORDER BY"}},
    {"SELECT min(next_at_ms) FROM (",
     {"CO-ROUTINE (subquery-2)", "COMPOUND QUERY",
      "SEARCH issuance USING COVERING INDEX issuance_due (job=? AND next_at_ms<?)", "UNION ALL",
      "SEARCH issuance USING COVERING INDEX issuance_due (job=? AND next_at_ms>?)",
      "SEARCH (subquery-2)"}},
    {"state IN (0, 2) LIMIT 1",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms<?)"}},
    {"WHERE job = ?1 AND next_at_ms = ?2\n   LIMIT ?3",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms=?)"}},
    {"next_at_ms < 253402300002000\n   LIMIT ?2",
     {"SEARCH issuance USING INDEX issuance_due (job=? AND next_at_ms>? AND next_at_ms<?)"}},
    {"next_at_ms < 253402300002000 LIMIT 1",
     {"SEARCH issuance USING COVERING INDEX issuance_due (job=? AND next_at_ms>? AND "
      "next_at_ms<?)"}},
    {"UPDATE issuance SET state = 1, intent_ms = ?1, next_at_ms = ?2, ordinal",
     {"SEARCH issuance " + kWholeKey}},
    {"UPDATE issuance SET state = 3, last_event", {"SEARCH issuance " + kWholeKey}},
    {"FROM code JOIN issuance AS i",
     {"SEARCH code USING PRIMARY KEY (pool=? AND ordinal>? AND ordinal<?)",
      "SEARCH pool USING COVERING INDEX sqlite_autoindex_pool_1 (id=?)", "SEARCH i " + kWholeKey}},
};

bool is_about_the_large_tables(const std::string& text) {
  return text.find("issuance") != std::string::npos || text.find("event") != std::string::npos ||
         text.find("proposal_row") != std::string::npos;
}

// Tables with one row for a job, a range or a campaign may be walked.
bool is_about_a_small_table(const std::string& line) {
  for (const char* small : {" job", " job_range", " campaign"}) {
    const auto at = line.find(small);
    const auto end = at + std::string{small}.size();
    if (at != std::string::npos && (end == line.size() || line[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("query_plan: every statement on issuance and event finds its rows by an index") {
  TemporaryFolder folder;
  const std::string path = folder / "ledger.db";
  ManualClock clock;
  SeededRandom random{1};
  std::set<std::string> asked;
  for (int i = 0; i < 2; ++i) {
    Life life{path, clock, random};
    if (i == 0) {
      run_job(life);
    } else {
      read_all(life);
      end_job(life);
    }
    asked.merge(statements_of(life.database));
    asked.merge(statements_of(life.reader.database()));
  }

  Explainer explainer{path};
  std::set<const Path*> met;
  for (const std::string& sql : asked) {
    if (!is_about_the_large_tables(sql)) continue;
    CAPTURE(sql);
    std::vector<const Path*> paths;
    for (const Path& row : kPaths) {
      if (sql.find(row.text) != std::string::npos) paths.push_back(&row);
    }
    REQUIRE(paths.size() == 1);  // a new statement needs a row in the table
    met.insert(paths.front());
    std::vector<std::string> found;
    for (const std::string& line : explainer.plan_of(sql)) {
      CHECK((!line.starts_with("SCAN") || is_about_a_small_table(line)));
      if (line.find("SUBQUERY") != std::string::npos || is_about_a_small_table(line)) continue;
      found.push_back(line);
    }
    CHECK(found == paths.front()->want);
  }
  for (const Path& row : kPaths) {
    CAPTURE(row.text);
    CHECK(met.contains(&row));  // what is not asked is not tested
  }
}

TEST_CASE("query_plan: a walk through issuance or event would be seen") {
  TemporaryFolder folder;
  const std::string path = folder / "ledger.db";
  SeededRandom random{1};
  const ManualClock clock;
  const store::Database ledger = data::open_ledger(path, clock.wall_now(), random).value();
  Explainer explainer{path};
  for (const char* walk : {"SELECT 1 FROM issuance WHERE state = 1",
                           "SELECT 1 FROM event WHERE job = 1", "SELECT count(*) FROM issuance"}) {
    CAPTURE(walk);
    const auto lines = explainer.plan_of(walk);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("SCAN"));
    CHECK_FALSE(is_about_a_small_table(lines[0]));
  }
}
