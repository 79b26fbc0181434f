#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/random.hpp"
#include "common/store/list_importer.hpp"
#include "common/text.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;
namespace fs = std::filesystem;

namespace {

constexpr const char* kSecret = "a secret of thirty-two bytes, more or less";

// A store's recipients folder and a partner's file beside it.
struct World {
  World() {
    fs::create_directory(folder / "recipients");
    request.input = folder / "in.csv";
    request.recipients_folder = folder / "recipients";
    request.secret = kSecret;
    request.importer = "jo";
  }

  void write(const std::string& content) const {
    std::ofstream{request.input, std::ios::binary} << content;
  }
  [[nodiscard]] ImportSummary import() const {
    auto summary = import_recipients(request, clock);
    if (!summary) FAIL(summary.error().message);
    return std::move(*summary);
  }
  [[nodiscard]] ImportSummary import(const std::string& content) const {
    write(content);
    return import();
  }
  [[nodiscard]] Error failure() const {
    const auto summary = import_recipients(request, clock);
    REQUIRE_FALSE(summary);
    return summary.error();
  }
  [[nodiscard]] Error failure(const std::string& content) const {
    write(content);
    return failure();
  }
  // Names of all that is in the recipients folder.
  [[nodiscard]] std::vector<std::string> sealed() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator{request.recipients_folder}) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  test::TemporaryFolder folder;
  test::ManualClock clock;
  ImportRequest request;
};

std::string read_all(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream{path}.rdbuf();
  return out.str();
}

SealedList open_list(const ImportSummary& summary) {
  auto list = SealedList::open(summary.path);
  if (!list) FAIL(list.error().message);
  return std::move(*list);
}

// All rows, by pages of `rows_max`, as "line:id:amounts:fields".
std::vector<std::string> all_rows(SealedList& list, int rows_max) {
  std::vector<std::string> rows;
  std::optional<RowKey> after;
  while (true) {
    const auto page = list.page({.from = {}, .after = after, .upto = {}}, rows_max);
    REQUIRE(page);
    if (page->empty()) return rows;
    for (const SealedRow& row : *page) {
      std::string text = std::to_string(row.line) + ":" + std::string{row.recipient_id};
      for (const std::int64_t amount : row.amounts) text += ":" + std::to_string(amount);
      for (const std::string_view field : row.fields) text += ":" + std::string{field};
      rows.push_back(text);
    }
    after = page->back().key();
  }
}

std::string many_rows(int count) {
  std::string text = "recipient_id,amount\n";
  for (int i = 0; i < count; ++i) text += "u" + std::to_string(i) + "," + "500\n";
  return text;
}

}  // namespace

TEST_CASE("list_importer: a file becomes a sealed list with all that was in it") {
  World world;
  world.request.amount_columns = {{"amount", 2}, {"credit", 0}};
  world.request.amount_unit = AmountUnit::major;
  const ImportSummary summary = world.import(
      "recipient_id,amount,name,credit\n"
      "u1,12.50,\"Anna, \"\"A\"\"\",7\n"
      " u2 ,1,\"Bert\nB\",8\n"
      "u3,0.01,,9\n");
  CHECK(summary.meta.rows == 3);
  CHECK(summary.meta.accepted == 3);
  CHECK_FALSE(summary.refusal);
  CHECK_FALSE(summary.was_sealed_before);
  CHECK(summary.path == world.request.recipients_folder + "/" + summary.meta.digest + ".db");
  CHECK(world.sealed() == std::vector<std::string>{summary.meta.digest + ".db"});

  SealedList list = open_list(summary);
  const ListMeta& meta = list.meta();
  CHECK(meta.digest == summary.meta.digest);
  CHECK(meta.accepted == 3);
  CHECK(meta.source_name == "in.csv");
  CHECK(meta.importer == "jo");
  CHECK(meta.imported_at == world.clock.wall_now());
  CHECK(meta.amount_unit == "major");
  REQUIRE(meta.columns.size() == 4);
  CHECK(meta.columns[2].name == "name");
  CHECK(meta.find_column("credit") == 3);
  CHECK_FALSE(meta.find_column("debit"));
  REQUIRE(meta.amounts.size() == 2);
  CHECK(meta.amounts[0].sum == 1351);
  CHECK(meta.amounts[0].least == 1);
  CHECK(meta.amounts[0].median == 100);
  CHECK(meta.amounts[0].most == 1250);
  CHECK(meta.amounts[1].sum == 24);

  auto rows = all_rows(list, 2);
  std::sort(rows.begin(), rows.end());
  CHECK(rows == std::vector<std::string>{"2:u1:1250:7:u1:12.50:Anna, \"A\":7",
                                         "3:u2:100:8: u2 :1:Bert\nB:8", "5:u3:1:9:u3:0.01::9"});
  const RecipientKey key = RecipientKeys{kSecret}.of("u2");
  const auto found = list.find(key);
  REQUIRE(found->size() == 1);
  CHECK((*found)[0].recipient_key == key);
  CHECK((*found)[0].fields[2] == "Bert\nB");
  CHECK(list.find(RecipientKeys{kSecret}.of("u9"))->empty());
}

TEST_CASE("list_importer: a sealed list is read-only, and whole when it has its name") {
  World world;
  const ImportSummary summary = world.import("recipient_id\nu1\n");
  struct stat status {};
  REQUIRE(::stat(summary.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0440);
  CHECK(SealedList::open(world.folder / "recipients/none.db").error().code == Errc::not_found);
  std::ofstream{world.folder / "recipients/bad.db"} << std::string(40'000, 'x');
  CHECK(SealedList::open(world.folder / "recipients/bad.db").error().code == Errc::corrupt);
}

TEST_CASE("list_importer: a header alone is a list of no rows, and nothing is no list") {
  World world;
  const ImportSummary summary = world.import("recipient_id,name\n");
  CHECK(summary.meta.rows == 0);
  SealedList list = open_list(summary);
  CHECK(list.ranges()->empty());
  CHECK(list.page({}, 10)->empty());
  for (const char* nothing : {"", "\n\n", "\xef\xbb\xbf"}) {
    CHECK(world.failure(nothing).code == Errc::invalid);
  }
  world.request.accepted_min = 1;
  const ImportSummary few = world.import("recipient_id,name\n");
  REQUIRE(few.refusal);
  CHECK(few.refusal->code == Errc::invalid);
  CHECK(few.path.empty());
}

TEST_CASE("list_importer: too few rows leave nothing behind") {
  World world;
  world.request.accepted_min = 3;
  const ImportSummary summary = world.import("recipient_id\nu1\nu2\nu1\n");
  REQUIRE(summary.refusal);
  CHECK(summary.meta.accepted == 2);
  CHECK(summary.path.empty());
  CHECK(world.sealed().empty());
}

TEST_CASE("list_importer: duplicates are told with the line that won, and whether they conflict") {
  World world;
  world.request.amount_columns = {{"amount", 2}};
  world.request.amount_unit = AmountUnit::major;
  const ImportSummary summary = world.import(
      "recipient_id,amount,name\n"
      "u1,5.00,Anna\n"
      "u2,1,Bert\n"
      " u1 ,5,Anna\n"
      "u1,6,Anna\n"
      "u1,5.0,Berta\n"
      "U1,5,Anna\n");
  CHECK(summary.meta.accepted == 3);
  CHECK(summary.meta.duplicates == 3);
  CHECK(summary.meta.conflicting == 2);
  CHECK(summary.meta.amounts.at(0).sum == 1100);
  REQUIRE(summary.first_duplicates.size() == 3);
  SealedList list = open_list(summary);
  const auto duplicates = list.duplicates(0, 10);
  REQUIRE(duplicates->size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK((*duplicates)[i].line == static_cast<std::int64_t>(4 + i));
    CHECK((*duplicates)[i].first_line == 2);
    CHECK((*duplicates)[i].recipient_id == "u1");
    CHECK((*duplicates)[i].is_conflicting == (i > 0));
    CHECK(summary.first_duplicates[i].line == (*duplicates)[i].line);
  }
  CHECK((*duplicates)[0].fields == std::vector<std::string>{" u1 ", "5", "Anna"});
  CHECK((*duplicates)[1].fields == std::vector<std::string>{"u1", "6", "Anna"});
  CHECK(list.duplicates(5, 10)->size() == 1);
  CHECK(list.duplicates_of(RecipientKeys{kSecret}.of("u1"))->size() == 3);
  CHECK(list.duplicates_of(RecipientKeys{kSecret}.of("u2"))->empty());
}

TEST_CASE("list_importer: with an occurrence column a recipient may stand once for each value") {
  World world;
  world.request.occurrence_column = "month";
  const ImportSummary summary =
      world.import("recipient_id,month\nu1,2026-11\nu2,2026-11\nu1,2026-10\nu1,2026-11\n");
  CHECK(summary.meta.accepted == 3);
  CHECK(summary.meta.duplicates == 1);
  SealedList list = open_list(summary);
  const RecipientKey key = RecipientKeys{kSecret}.of("u1");
  const auto found = list.find(key);
  REQUIRE(found->size() == 2);
  CHECK((*found)[0].occurrence == "2026-10");
  CHECK((*found)[1].occurrence == "2026-11");
  for (const int rows_max : {1, 2, 10}) CHECK(all_rows(list, rows_max).size() == 3);
  const RowKey row_key = (*list.find(key))[1].key();
  CHECK(RowKey::from_bytes(as_blob(row_key.to_bytes())).value() == row_key);
  CHECK_FALSE(RowKey::from_bytes(as_blob(std::string_view{"short"})));
}

TEST_CASE("list_importer: all or nothing is the rule, and says what to do") {
  World world;
  const ImportSummary summary = world.import("recipient_id\nu1\n1.38E+10\nu3\n,\n");
  REQUIRE(summary.refusal);
  CHECK(summary.refusal->code == Errc::invalid);
  CHECK(summary.refusal->message.starts_with("2 of 4 rows refused, the first at line 3: recip"));
  CHECK(summary.refusal->hint.find("--on-error skip") != std::string::npos);
  CHECK(summary.meta.accepted == 2);
  CHECK(summary.meta.rejected == 2);
  CHECK(summary.path.empty());
  CHECK(world.sealed().empty());
}

TEST_CASE("list_importer: the good rows of a bad file are sealed where that was asked for") {
  World world;
  world.request.on_error = OnError::skip;
  const std::string content = "recipient_id,name\nu1,Anna\n,Bert\nu3,a\"b\nu4,Dora\n";
  ImportSummary summary = world.import(content);
  CHECK_FALSE(summary.refusal);
  CHECK(summary.meta.accepted == 2);
  SealedList list = open_list(summary);
  const auto rejects = list.rejects(0, 10);
  REQUIRE(rejects->size() == 2);
  CHECK((*rejects)[0].line == 3);
  CHECK((*rejects)[0].column == "recipient_id");
  CHECK((*rejects)[0].code == "id_empty");
  CHECK((*rejects)[0].fields == std::vector<std::string>{"", "Bert"});
  CHECK((*rejects)[1].code == "quote_stray");
  CHECK(list.rejects(3, 10)->size() == 1);
  CHECK(summary.rejects_by_code.size() == 2);

  world.request.rejects_percent_max = 50;
  CHECK_FALSE(world.import(content).refusal);
  world.request.rejects_percent_max = 49.9;
  const ImportSummary refused = world.import(content);
  REQUIRE(refused.refusal);
  CHECK(refused.path.empty());
}

// Goal: refused rows can be mended in the file that is handed back, and imported with the same
// command.  Method: import, mend with a text replacement, import again.
TEST_CASE("list_importer: the rejects file can be mended and imported again") {
  World world;
  world.request.delimiter = ';';
  world.request.encoding = "gb18030";
  world.request.on_error = OnError::skip;
  world.request.amount_columns = {{"amount", 2}};
  world.request.amount_unit = AmountUnit::minor;
  world.request.rejects_file = world.folder / "rejects.csv";
  const ImportSummary first = world.import(
      "recipient_id;amount;name\nu1;1;\xd6\xd0\nu2;1e3;\xd6\xd0\nu3;5;\"x;\ny\"\nu4;0;\"a\n\"\n"
      "u5;1;a;b\n");
  CHECK(first.meta.accepted == 2);
  CHECK(first.meta.rejected == 3);
  std::string text = read_all(world.request.rejects_file);
  CHECK(text ==
        "\xef\xbb\xbfvouch_line;vouch_error;recipient_id;amount;name\n"
        "3;\"amount: \"\"1e3\"\" has an exponent: write all digits out\";u2;1e3;中\n"
        "6;\"amount: \"\"0\"\" is zero: nothing would be issued\";u4;0;\"a\n\"\n"
        "8;4 fields, but the header has 3;u5;1;a;b\n");
  CHECK_FALSE(fs::exists(world.request.rejects_file + ".partial"));

  text.replace(text.find("1e3;"), 3, "1000");
  text.replace(text.find(";0;"), 3, ";70;");
  text.erase(text.find(";b\n"), 2);
  const ImportSummary second = world.import(text);
  CHECK(second.meta.accepted == 3);
  CHECK(second.meta.rejected == 0);
  CHECK(second.meta.columns.size() == 3);
  SealedList list = open_list(second);
  const auto found = list.find(RecipientKeys{kSecret}.of("u2"));
  REQUIRE(found->size() == 1);
  CHECK((*found)[0].amounts[0] == 1000);
  CHECK((*found)[0].fields[2] == "中");
}

TEST_CASE("list_importer: the same content is recognised in whatever form it comes") {
  World world;
  const ImportSummary first = world.import("recipient_id,name\nu1,中\nu2,\"b\"\n");
  CHECK_FALSE(first.was_sealed_before);
  const auto same = [&](const std::string& content) {
    const ImportSummary summary = world.import(content);
    return summary.was_sealed_before && summary.path == first.path;
  };
  CHECK(same("recipient_id,name\nu1,中\nu2,\"b\"\n"));
  CHECK(same("\xef\xbb\xbfrecipient_id,name\r\nu1,中\r\nu2,b\r\n\r\n"));
  world.request.delimiter = ';';
  world.request.encoding = "gb18030";
  CHECK(same("recipient_id;name\nu1;\xd6\xd0\nu2;b"));
  world.request.delimiter = ',';
  world.request.encoding = "";
  CHECK_FALSE(same("recipient_id,name\nu2,b\nu1,中\n"));
  CHECK_FALSE(same("recipient_id,name\nu1,中\nu2,B\n"));
  CHECK_FALSE(same("recipient_id,names\nu1,中\nu2,b\n"));
  world.request.mappings = {{"recipient_id", "recipient_id"}, {"name", "nick"}};
  CHECK_FALSE(same("recipient_id,name\nu1,中\nu2,b\n"));
}

TEST_CASE("list_importer: a dry run reads and checks everything and seals nothing") {
  World world;
  world.request.dry_run = true;
  const ImportSummary summary = world.import("recipient_id\nu1\nu2\nu1\n");
  CHECK(summary.meta.accepted == 2);
  CHECK(summary.meta.duplicates == 1);
  CHECK(summary.path.empty());
  CHECK_FALSE(summary.refusal);
  CHECK(world.sealed().empty());
}

// Goal: what needs the disk gives the same list as what does not.
TEST_CASE("list_importer: a large file is sorted and cut into ranges whatever the memory") {
  World world;
  SeededRandom random{3};
  std::string content = "recipient_id,n\n";
  std::int64_t duplicates = 0;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 45'000; ++i) {
    const std::uint64_t id = random.below(400'000);
    duplicates += seen.insert(id).second ? 0 : 1;
    content += std::to_string(id) + "," + std::to_string(i) + "\n";
  }
  world.request.run_bytes = 64 * 1024;
  const ImportSummary summary = world.import(content);
  CHECK(summary.meta.duplicates == duplicates);
  CHECK(summary.meta.accepted == static_cast<std::int64_t>(seen.size()));

  SealedList list = open_list(summary);
  const auto ranges = list.ranges().value();
  CHECK(ranges.size() == (seen.size() + kRangeRows - 1) / kRangeRows);
  RecipientKey last{};
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    std::optional<RecipientKey> upto;
    if (i + 1 < ranges.size()) upto = ranges[i + 1].first_key;
    const auto page =
        list.page({.from = ranges[i].first_key, .after = {}, .upto = upto}, kListPageRowsMax);
    REQUIRE(static_cast<std::int64_t>(page->size()) == ranges[i].rows);
    CHECK(page->front().recipient_key == ranges[i].first_key);
    for (const SealedRow& row : *page) {
      CHECK_UNARY(last < row.recipient_key);
      last = row.recipient_key;
      CHECK_UNARY(seen.erase(std::stoull(std::string{row.recipient_id})) == 1);
    }
    rows += ranges[i].rows;
  }
  CHECK(rows == summary.meta.accepted);
  CHECK(seen.empty());
}

TEST_CASE("list_importer: a page walks the primary key") {
  World world;
  const ImportSummary summary = world.import("recipient_id\nu1\n");
  Database database =
      Database::open(summary.path, {.mode = OpenMode::read_only, .vfs = {}}).value();
  constexpr std::string_view kPlan = R"sql(
    EXPLAIN QUERY PLAN SELECT line FROM recipient
     WHERE (recipient_key, occurrence) > (?1, ?2) AND recipient_key < ?3
     ORDER BY recipient_key, occurrence LIMIT ?4
  )sql";
  Statement& plan = database.prepared(kPlan);
  REQUIRE(plan.step().value());
  CHECK(
      plan.string(3) ==
      "SEARCH recipient USING PRIMARY KEY ((recipient_key,occurrence)>(?,?) AND recipient_key<?)");
  CHECK_FALSE(plan.step().value());
}

// Goal: killed at any moment, nothing is half there, and the next import cleans up and works.
// Method: a child that kills itself at its nth report of progress, for every n.
TEST_CASE("list_importer: killed at any moment it leaves no list, and runs again") {
  World world;
  world.request.run_bytes = 256 * 1024;
  world.write(many_rows(50'000));
  int kills = 0;
  while (true) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int left = kills;
      (void)import_recipients(world.request, world.clock, [&](const ImportProgress&) {
        if (left-- == 0) ::raise(SIGKILL);
        return true;
      });
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) break;
    REQUIRE(WIFSIGNALED(status));
    // Only the last one's folder: each import removed the one before it.
    const auto left = world.sealed();
    REQUIRE(left.size() == 1);
    CHECK(left[0].starts_with(".tmp-"));
    ++kills;
  }
  CHECK(kills == 4);
  REQUIRE(world.sealed().size() == 1);
  CHECK(world.sealed()[0].ends_with(".db"));
  CHECK(world.import().was_sealed_before);
}

TEST_CASE("list_importer: stopped by its caller it leaves nothing") {
  World world;
  world.request.rejects_file = world.folder / "rejects.csv";
  world.write(many_rows(50'000));
  for (int stop_at = 0; stop_at < 4; ++stop_at) {
    int seen = 0;
    const auto summary = import_recipients(
        world.request, world.clock, [&](const ImportProgress&) { return seen++ != stop_at; });
    REQUIRE_FALSE(summary);
    CHECK(summary.error().code == Errc::failure);
    CHECK(world.sealed().empty());
  }
  CHECK_FALSE(fs::exists(world.request.rejects_file + ".partial"));
}

TEST_CASE("list_importer: a full disk is an error that leaves nothing") {
  World world;
  world.request.run_bytes = 256 * 1024;
  world.write(many_rows(50'000));
  // A limit on the size of files stands for the full disk: at the sort's file, at the list.
  struct rlimit before {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {rlim_t{300'000}, rlim_t{2'400'000}}) {
    const struct rlimit limit { bytes, before.rlim_max };
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto summary = import_recipients(world.request, world.clock);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    REQUIRE_FALSE(summary);
    CHECK(summary.error().code == Errc::io);
    CHECK(world.sealed().empty());
  }
  std::signal(SIGXFSZ, previous);
  CHECK(world.import().meta.accepted == 50'000);
}

TEST_CASE("list_importer: two imports at a time do not take each other for dead") {
  World world;
  world.write(many_rows(25'000));
  bool nested = false;
  const auto summary = import_recipients(world.request, world.clock, [&](const ImportProgress&) {
    if (!nested) {
      nested = true;
      CHECK(world.import().meta.accepted == 25'000);
    }
    return true;
  });
  REQUIRE(summary);
  CHECK(summary->meta.accepted == 25'000);
  CHECK(world.sealed().size() == 1);
}

TEST_CASE("list_importer: what keeps it from starting is told apart") {
  World world;
  CHECK(world.failure().code == Errc::not_found);
  world.write("recipient_id\nu1\n");
  world.request.recipients_folder = world.folder / "nowhere";
  CHECK(world.failure().code == Errc::store);
  world.request.recipients_folder = world.folder / "recipients";
  world.request.rejects_file = world.folder / "nowhere/rejects.csv";
  CHECK(world.failure().code == Errc::not_found);
  world.request.rejects_file = world.folder / "recipients/../in.csv";
  CHECK(world.failure().code == Errc::usage);
  world.request.rejects_file.clear();
  world.request.encoding = "klingon";
  CHECK(world.failure().code == Errc::usage);
}
