#include "cli/job_results.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "cli/job_forecast.hpp"
#include "cli/ledger_walk.hpp"
#include "common/files.hpp"
#include "common/store/list_importer.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::cli;
using namespace vouch::store;

namespace {

constexpr ObjectId kCampaign = 0x1234567890;
constexpr ObjectId kJob = 0x9876543210;
constexpr ObjectId kOtherJob = 0x1111111111;
constexpr ObjectId kRerun = 0x2222222222;
constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

constexpr std::string_view kInsert = R"sql(
  INSERT INTO issuance (campaign, recipient_key, occurrence, item, state, round, job, range,
                        campaign_version, downstream_version, amount_minor, call_digest, intent_ms,
                        last_event)
  VALUES (1, :recipient, :occurrence, :item, :state, 0, :job, 0, 1, 1, :amount, x'00', 1000,
          :last_event)
)sql";

constexpr const char* kJobs = R"sql(
  INSERT INTO campaign (number, id) VALUES (1, 0x1234567890);
  INSERT INTO job (number, id, campaign, kind, state, ranges, start_range, rows_accepted, items,
                   submitted_ms)
    VALUES (1, 0x9876543210, 1, 0, 6, 1, 0, 5, 2, 900), (2, 0x1111111111, 1, 0, 6, 1, 0, 5, 2, 800),
           (3, 0x2222222222, 1, 1, 6, 1, 0, 1, 1, 950);
  INSERT INTO event (seq, at_ms, kind, reference) VALUES (1, 5000, 1, 'c-1');
  INSERT INTO event (seq, at_ms, kind, detail) VALUES (2, 6000, 1, 'LIMIT');
)sql";

plan::Campaign campaign() {
  return plan::parse_campaign(R"({"name": "spring", "items": [
    {"name": "coupon", "kind": "coupon", "downstream": "c"},
    {"name": "credit", "kind": "balance", "downstream": "b",
     "amount": {"column": "amount", "currency": "EUR"}}]})")
      .value();
}

struct World {
  World() : paths{folder / "store"} {
    REQUIRE(make_folder(paths.ledger_folder("main"), 0750));
    REQUIRE(make_folder(paths.recipients(), 0750));
    ledger.emplace(
        Database::open(paths.ledger_db("main"), {.mode = OpenMode::create, .vfs = {}}).value());
    REQUIRE(ledger->exec("PRAGMA journal_mode = WAL"));
    REQUIRE(migrate(*ledger, embedded::ledger_migrations, from_ms(1)));
    REQUIRE(ledger->exec(kJobs));
  }

  SealedList import(const std::string& csv) {
    std::ofstream{folder / "f.csv"} << csv;
    ImportRequest request;
    request.input = folder / "f.csv";
    request.recipients_folder = paths.recipients();
    request.secret = kSecret;
    request.amount_columns = {{"amount", 2}};
    request.amount_unit = AmountUnit::minor;
    request.on_error = OnError::skip;
    return SealedList::open(import_recipients(request, clock).value().path).value();
  }

  void issue(const std::string& recipient, std::uint8_t item, IssuanceState state, int job,
             std::optional<std::int64_t> last_event, int occurrence = 0) {
    REQUIRE(ledger->prepared(kInsert)
                .bind(":recipient", as_blob(RecipientKeys{kSecret}.of(recipient)))
                .bind(":occurrence", std::int64_t{occurrence})
                .bind(":item", std::int64_t{item})
                .bind(":state", static_cast<std::int64_t>(state))
                .bind(":job", std::int64_t{job})
                .bind(":amount", item == 1 ? std::optional<std::int64_t>{150} : std::nullopt)
                .bind(":last_event", last_event)
                .run());
  }

  // Every result as "line item result code".
  std::vector<std::string> results(SealedList& list, LedgerView* view, std::set<ObjectId> own,
                                   bool whole_file = true) {
    const plan::Campaign of = campaign();
    const ResultsRequest request{.campaign = of,
                                 .campaign_id = kCampaign,
                                 .occurrence = 0,
                                 .own = std::move(own),
                                 .whole_file = whole_file,
                                 .not_planned = "later",
                                 .folder = folder.path().string(),
                                 .run_bytes = 4096};
    std::vector<std::string> out;
    REQUIRE(job_results(
        request, list, view, [](std::int64_t) {},
        [&](const LineResult& line) {
          std::string text = std::to_string(line.line) + " " + std::string{line.item} + " " +
                             std::string{line.result} + " " + std::string{line.code};
          if (!line.reference.empty()) text += " " + std::string{line.reference};
          if (line.amount_minor) text += " " + std::to_string(*line.amount_minor);
          out.push_back(std::move(text));
        }));
    return out;
  }

  LedgerView view() { return LedgerView::open(paths, "main").value(); }

  test::TemporaryFolder folder;
  StorePaths paths;
  test::ManualClock clock;
  std::optional<Database> ledger;
};

const std::string kFile =
    "recipient_id,amount,name\n"
    "anna,100,A\n"
    "bert,1e3,B\n"
    "cleo,200,C\n"
    "anna,300,A again\n"
    "dora,400,D\n"
    "emil,500,E\n";

}  // namespace

TEST_CASE("job results: every line of the file in its order, with what became of it") {
  World world;
  SealedList list = world.import(kFile);
  world.issue("anna", 0, IssuanceState::issued, 1, 1);
  world.issue("anna", 1, IssuanceState::declined, 1, 2);
  world.issue("cleo", 0, IssuanceState::issued, 2, 1);
  world.issue("cleo", 1, IssuanceState::issued, 2, 1);
  world.issue("dora", 0, IssuanceState::sending, 1, {});
  world.issue("dora", 1, IssuanceState::issued, 3, 1);
  world.issue("dora", 0, IssuanceState::issued, 1, 1, 7);  // of another occurrence
  LedgerView view = world.view();
  CHECK(world.results(list, &view, {kJob, kRerun}) ==
        std::vector<std::string>{"2 coupon issued  c-1", "2 credit declined LIMIT 150",
                                 "3  rejected amount_exponent", "4 coupon repeat issued",
                                 "4 credit repeat issued", "5  duplicate conflicting",
                                 "6 coupon sending ", "6 credit issued  c-1 150",
                                 "7 coupon not_planned ", "7 credit not_planned "});
  // Of a rerun only what it took over.
  CHECK(world.results(list, &view, {kRerun}, false) ==
        std::vector<std::string>{"6 credit issued  c-1 150"});
  CHECK(world.results(list, nullptr, {kJob}).front() == "2 coupon not_planned ");
}

TEST_CASE("job results: a list without accepted rows still gives its refused ones") {
  World world;
  SealedList list = world.import("recipient_id,amount\nbert,1e3\ncleo,1e3\n");
  LedgerView view = world.view();
  CHECK(world.results(list, &view, {kJob}) ==
        std::vector<std::string>{"2  rejected amount_exponent", "3  rejected amount_exponent"});
  SealedList empty = world.import("recipient_id,amount\n");
  CHECK(world.results(empty, &view, {kJob}).empty());
}

TEST_CASE("job results: lines come in order although the list and the sort are not") {
  World world;
  std::string csv = "recipient_id,amount,name\n";
  for (int i = 0; i < 5'000; ++i) {
    csv += "r" + std::to_string(i) + (i % 7 == 0 ? ",x,n\n" : ",100,n\n");
  }
  SealedList list = world.import(csv);
  REQUIRE(world.ledger->exec("BEGIN"));
  for (int i = 1; i < 5'000; i += 3) {
    world.issue("r" + std::to_string(i), 0, IssuanceState::issued, 1, 1);
  }
  REQUIRE(world.ledger->exec("COMMIT"));
  LedgerView view = world.view();
  std::int64_t last = 0;
  std::size_t issued = 0;
  for (const std::string& text : world.results(list, &view, {kJob})) {
    const std::int64_t line = std::stoll(text);
    REQUIRE(line >= last);
    last = line;
    issued += text.find(" issued ") != std::string::npos ? 1 : 0;
  }
  CHECK(last == 5'001);
  CHECK(issued == 1'429);  // of 1,667 those that were not refused
}

TEST_CASE("ledger walk: finds every recipient's issuances, reading on or jumping") {
  World world;
  std::vector<RecipientKey> keys;
  REQUIRE(world.ledger->exec("BEGIN"));
  for (int i = 0; i < 3'000; ++i) {
    const std::string id = "w" + std::to_string(i);
    keys.push_back(RecipientKeys{kSecret}.of(id));
    for (int occurrence = 0; occurrence < 1 + i % 3; ++occurrence) {
      world.issue(id, 0, IssuanceState::issued, 1, 1, occurrence);
      world.issue(id, 1, IssuanceState::issued, 1, 1, occurrence);
    }
  }
  REQUIRE(world.ledger->exec("COMMIT"));
  std::sort(keys.begin(), keys.end());
  LedgerView view = world.view();

  LedgerWalk all{view, kCampaign};
  std::size_t rows = 0;
  for (const RecipientKey& key : keys) {
    const auto found = all.of(key).value();
    REQUIRE(found.size() >= 2);
    for (const IssuanceRow& row : found) REQUIRE(row.key.recipient == key);
    rows += found.size();
  }
  CHECK(rows == 12'000);
  CHECK(all.pages_read() < 30);  // 1,000 rows at a time

  LedgerWalk few{view, kCampaign};
  for (std::size_t i = 0; i < keys.size(); i += 300) CHECK(few.of(keys[i]).value().size() >= 2);
  CHECK(few.pages_read() == 10);

  // Strangers between, before and behind.
  LedgerWalk strangers{view, kCampaign};
  CHECK(strangers.of(RecipientKey{}).value().empty());
  RecipientKey between = keys[10];
  ++between.back();
  CHECK(strangers.of(between).value().empty());
  CHECK(strangers.of(keys[11]).value().size() >= 2);
  RecipientKey last;
  last.fill(0xff);
  CHECK(strangers.of(last).value().empty());
  CHECK(LedgerWalk{view, 99}.of(keys[0]).value().empty());
}

TEST_CASE("job plan: what is new, what is a repeat, and what it costs") {
  World world;
  SealedList list = world.import(kFile);
  const plan::Campaign of = campaign();
  const auto nothing = [](std::int64_t) {};
  const JobPlan fresh = plan_job(of, kCampaign, 0, list, nullptr, nothing).value();
  CHECK(fresh.rows == 4);
  CHECK(fresh.issuances == 8);
  CHECK(fresh.repeats == 0);
  CHECK(fresh.money.at("EUR") == 1'200);
  world.issue("cleo", 0, IssuanceState::declined, 2, 2);
  LedgerView view = world.view();
  const JobPlan later = plan_job(of, kCampaign, 0, list, &view, nothing).value();
  CHECK(later.repeats == 2);  // a recipient is planned once, with all items
  CHECK(later.fresh() == 6);
  CHECK(later.money.at("EUR") == 1'000);
  CHECK(later.by_item.at(0) == 3);
  CHECK(plan_job(of, kCampaign, 2027, list, &view, nothing).value().repeats == 0);
  CHECK(check_list_fits(of, list.meta()));
  plan::Campaign stricter = of;
  stricter.amount_max_minor = 499;
  CHECK(check_list_fits(stricter, list.meta()).error().code == Errc::invalid);
  stricter = of;
  stricter.once_per = plan::OncePer::column;
  stricter.once_per_column = "name";
  CHECK(check_list_fits(stricter, list.meta()).error().hint ==
        "import the file again with --campaign spring");
}
