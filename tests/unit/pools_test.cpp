#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "common/files.hpp"
#include "common/random.hpp"
#include "common/store/code_importer.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;
namespace fs = std::filesystem;

namespace {

std::string read_all(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

// A pools folder, a key outside it and one pool.
struct World {
  World() : key{PoolKey::create(folder / "pool.key", random).value()} {
    fs::create_directory(folder / "pools");
    pool.id = 42;
    pool.name = "vip";
    pool.fingerprint = key.fingerprint();
  }

  [[nodiscard]] PoolPlace place() {
    return {.folder = folder / "pools",
            .pool = pool,
            .key = key,
            .random = random,
            .clock = clock,
            .observe = {},
            .run_bytes = 4096};
  }
  void know(const SegmentMeta& meta, const std::string& content = "") {
    pool.segments.push_back({.digest = meta.digest,
                             .first = pool.codes(),
                             .codes = meta.codes,
                             .origin = meta.origin,
                             .content = content});
  }
  SegmentMeta generate(const CodeForm& form, std::int64_t count) {
    auto meta = generate_codes(place(), form, count);
    if (!meta) FAIL(meta.error().message);
    know(*meta);
    return *meta;
  }
  [[nodiscard]] std::string path_of(const SegmentMeta& meta) const {
    return folder / ("pools/" + meta.digest + ".db");
  }
  [[nodiscard]] std::vector<std::string> codes_of(const SegmentMeta& meta) const {
    CodeSegment segment = CodeSegment::open(path_of(meta)).value();
    REQUIRE(segment.unlock(key));
    std::vector<std::string> codes;
    for (std::int64_t i = 0; i < meta.codes; ++i) codes.emplace_back(segment.code(i).value());
    return codes;
  }
  [[nodiscard]] CodeImportSummary import(const std::string& content,
                                         OnError on_error = OnError::all_or_nothing) {
    std::ofstream{folder / "codes.csv", std::ios::binary} << content;
    auto summary = import_codes(place(), {.input = folder / "codes.csv",
                                          .on_error = on_error,
                                          .rejects_file = folder / "rejects.csv"});
    if (!summary) FAIL(summary.error().message);
    return std::move(*summary);
  }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator{folder / "pools"}, fs::directory_iterator{}));
  }

  test::TemporaryFolder folder;
  test::ManualClock clock;
  SeededRandom random{7};
  PoolKey key;
  PoolRow pool;
};

CodeForm form_of(const CodeForm::Options& options) {
  auto form = CodeForm::make(options);
  if (!form) FAIL(form.error().message);
  return *form;
}

}  // namespace

TEST_CASE("secret box: what was sealed comes back, and nothing else does") {
  Digest256 key{};
  key[3] = 9;
  SecretBox box{key};
  std::string sealed;
  std::string plain;
  for (const std::string text : {"", "K", "a longer text that takes more than one block of it"}) {
    CAPTURE(text);
    box.seal(5, text, sealed);
    CHECK(sealed.size() == text.size() + 16);
    REQUIRE(box.open(5, sealed, plain));
    CHECK(plain == text);
    CHECK_FALSE(box.open(6, sealed, plain));
    CHECK(plain.empty());
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      std::string other = sealed;
      other[i] = static_cast<char>(other[i] ^ 1);
      CHECK_FALSE(box.open(5, other, plain));
    }
  }
  CHECK_FALSE(box.open(5, "short", plain));
  key[3] = 8;
  CHECK_FALSE(SecretBox{key}.open(5, sealed, plain));
}

TEST_CASE("pool key: a file for few eyes, known by its fingerprint") {
  World world;
  const std::string path = world.folder / "pool.key";
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  CHECK(PoolKey::read(path)->fingerprint() == world.key.fingerprint());
  CHECK(PoolKey::create(path, world.random).error().code == Errc::conflict);

  const PoolKey other = PoolKey::create(world.folder / "other.key", world.random).value();
  CHECK(other.fingerprint() != world.key.fingerprint());
  const auto wrong = other.check(world.key.fingerprint(), "the pool vip");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().message.find(world.key.fingerprint()) != std::string::npos);
  CHECK(wrong.error().message.find("the pool vip") != std::string::npos);

  CHECK(PoolKey::read(world.folder / "none").error().code == Errc::not_found);
  ::chmod(path.c_str(), 0644);
  CHECK(PoolKey::read(path).error().code == Errc::not_permitted);
  std::ofstream{path} << "not a key";
  ::chmod(path.c_str(), 0600);
  CHECK(PoolKey::read(path).error().code == Errc::corrupt);
}

TEST_CASE("code form: look-alikes never, the pattern always, check characters right") {
  SeededRandom random{3};
  const CodeForm form = form_of({.prefix = "V-", .pattern = "####-####-####", .check = true});
  CodeDraw draw{form, random};
  std::string letters;
  int swaps_missed = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string code{draw.next()};
    REQUIRE(code.size() == 17);
    REQUIRE(code.substr(0, 2) == "V-");
    REQUIRE(code[6] == '-');
    REQUIRE(code[11] == '-');
    REQUIRE(form.is_checked(code));
    letters += code.substr(2);
    std::string mistyped = code;
    mistyped[3] = mistyped[3] == 'A' ? 'B' : 'A';
    REQUIRE_FALSE(form.is_checked(mistyped));
    std::string swapped = code;
    std::swap(swapped[2], swapped[3]);
    if (swapped != code && form.is_checked(swapped)) ++swaps_missed;
  }
  CHECK(swaps_missed < 40);  // the system finds nearly all
  CHECK(letters.find_first_of("01ILOUilou") == std::string::npos);
  for (const char c : kPlainCharset) {
    CAPTURE(c);  // 30 letters of 26,000: each about 870 times
    CHECK(std::ranges::count(letters, c) > 650);
    CHECK(std::ranges::count(letters, c) < 1100);
  }
}

// The standard's own alphabet: a Global Release Identifier ends with such a character.
TEST_CASE("code form: over 0-9A-Z the check character is that of MOD 37,36") {
  const CodeForm form =
      form_of({.charset = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", .letters = 17, .check = true});
  CHECK(form.is_checked("A12425GABC1234002M"));
  CHECK_FALSE(form.is_checked("A12425GABC1234003M"));
  CHECK_FALSE(form.is_checked("A1242G5ABC1234002M"));
}

TEST_CASE("code form: what would be guessed is refused, with what would do") {
  const CodeForm form = form_of({.letters = 8});
  CHECK(form.check_density(6'000));  // 30^8 / 6,000 = 1.09e8
  const auto dense = form.check_density(5'000'000);
  REQUIRE_FALSE(dense);
  CHECK(dense.error().code == Errc::invalid);
  CHECK(dense.error().message.find("8 letters of 30") != std::string::npos);
  CHECK(dense.error().message.find("one guess in 131,220") != std::string::npos);
  CHECK(dense.error().hint.find("--length 10") != std::string::npos);
  CHECK(form_of({.letters = 10}).check_density(5'000'000));

  CHECK(CodeForm::make({.charset = "AAB"}).error().code == Errc::usage);
  CHECK(CodeForm::make({.charset = "ABCDEFGHIJK", .check = true}).error().code == Errc::usage);
  CHECK(CodeForm::make({.prefix = "a b"}).error().code == Errc::usage);
  CHECK(CodeForm::make({.pattern = "none"}).error().code == Errc::usage);
  CHECK(CodeForm::make({.letters = 129}).error().code == Errc::usage);
}

TEST_CASE("pool: generated codes are all different, in no order, and sealed") {
  World world;
  const SegmentMeta meta = world.generate(form_of({.prefix = "QQ"}), 5000);
  CHECK(meta.codes == 5000);
  const auto codes = world.codes_of(meta);
  CHECK(std::set<std::string>{codes.begin(), codes.end()}.size() == 5000);
  CHECK_FALSE(std::ranges::is_sorted(codes));
  struct stat status {};
  REQUIRE(::stat(world.path_of(meta).c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0440);
  const std::string bytes = read_all(world.path_of(meta));
  for (const std::string& code : codes) REQUIRE(bytes.find(code) == std::string::npos);
  CHECK(world.files() == 1);  // nothing is left of the making
}

TEST_CASE("pool: a second segment has no code of the first") {
  World world;
  const SegmentMeta first = world.generate(form_of({.letters = 9}), 3000);
  const auto known = world.codes_of(first);
  std::string csv = "code\n";
  for (std::size_t i = 0; i < known.size(); i += 3) csv += known[i] + "\n";
  csv += "FRESH-1\n";
  const CodeImportSummary summary = world.import(csv, OnError::skip);
  CHECK(summary.refused == 1000);
  CHECK(summary.accepted == 1);
  CHECK(summary.first_refused.front().code == "in_pool");
  CHECK(summary.first_refused.front().line == 2);
  REQUIRE(summary.segment);
  CHECK(world.codes_of(*summary.segment) == std::vector<std::string>{"FRESH-1"});
}

TEST_CASE("code merge: known codes and later lines are told from new ones") {
  World world;
  CodeMerge merge{world.folder.path().string(), world.random, 4096};
  for (int i = 0; i < 500; ++i) REQUIRE(merge.add_known("C" + std::to_string(i)));
  for (std::uint64_t n = 1; n <= 2000; ++n) {
    REQUIRE(merge.add("C" + std::to_string(n % 1000), n));
  }
  REQUIRE(merge.finish());
  std::set<std::string> fresh;
  int seen = 0;
  while (merge.next().value()) {
    ++seen;
    const CodeMerge::Item& item = merge.item();
    const std::uint64_t value = item.number % 1000;
    REQUIRE(item.code == "C" + std::to_string(value));
    if (value < 500) {
      REQUIRE(item.first == 0);
    } else {
      REQUIRE(item.first == value);
      if (item.is_new()) REQUIRE(fresh.emplace(item.code).second);
    }
  }
  CHECK(seen == 2000);
  CHECK(fresh.size() == 500);
}

TEST_CASE("code segment: another key, a changed byte and a missing page are found") {
  World world;
  const SegmentMeta meta = world.generate(form_of({}), 2000);
  const std::string path = world.path_of(meta);
  {
    CodeSegment segment = CodeSegment::open(path).value();
    CHECK(segment.verify());
    const PoolKey other = PoolKey::create(world.folder / "other.key", world.random).value();
    CHECK(segment.unlock(other).error().code == Errc::conflict);
  }
  fs::permissions(path, fs::perms::owner_write | fs::perms::owner_read);
  {
    Database database = Database::open(path, {.vfs = {}}).value();
    REQUIRE(database.exec("UPDATE page SET codes = zeroblob(length(codes)) WHERE page = 1"));
  }
  {
    CodeSegment segment = CodeSegment::open(path).value();
    REQUIRE(segment.unlock(world.key));
    CHECK(segment.code(511));
    CHECK(segment.code(512).error().code == Errc::corrupt);
    CHECK(segment.code(1024));
    CHECK(segment.verify().error().code == Errc::corrupt);
  }
  {
    Database database = Database::open(path, {.vfs = {}}).value();
    REQUIRE(database.exec("DELETE FROM page WHERE page = 3"));
  }
  CodeSegment segment = CodeSegment::open(path).value();
  REQUIRE(segment.unlock(world.key));
  CHECK(segment.code(1999).error().code == Errc::corrupt);
  CHECK(segment.verify().error().code == Errc::corrupt);
  CHECK(CodeSegment::open(path + "x").error().code == Errc::not_found);
}

TEST_CASE("pool: what a killed run left behind is removed by the next") {
  World world;
  const auto lost = generate_codes(world.place(), form_of({}), 10);  // and nobody was told of it
  REQUIRE(lost);
  fs::create_directory(world.folder / "pools/.tmp-abcdef");
  std::ofstream{world.folder / "pools/.tmp-abcdef/segment.db"} << "half a segment";
  const SegmentMeta kept = world.generate(form_of({}), 10);
  CHECK(world.files() == 1);
  CHECK(fs::exists(world.path_of(kept)));
}

TEST_CASE("pool import: each refused row is told by its line, and nothing is sealed") {
  World world;
  const CodeImportSummary summary =
      world.import("no,code\n1,AAA-1\n2,BBB-2\n3,AAA-1\n4,\n5,two words\n6\n7,CCC-3\n");
  REQUIRE(summary.refusal);
  CHECK(summary.refusal->code == Errc::invalid);
  CHECK_FALSE(summary.segment);
  CHECK(world.files() == 0);
  CHECK(summary.rows == 7);
  CHECK(summary.accepted == 3);
  CHECK(summary.refused == 4);
  struct Want {
    std::int64_t line;
    const char* code;
  };
  const Want wanted[] = {
      {4, "duplicate"}, {5, "code_empty"}, {6, "code_letters"}, {7, "column_count"}};
  REQUIRE(summary.first_refused.size() == std::size(wanted));
  for (std::size_t i = 0; i < std::size(wanted); ++i) {
    CAPTURE(i);
    CHECK(summary.first_refused[i].line == wanted[i].line);
    CHECK(summary.first_refused[i].code == wanted[i].code);
  }
  CHECK(summary.first_refused[0].message.find("line 2") != std::string::npos);
  CHECK(read_all(world.folder / "rejects.csv").find("two words") != std::string::npos);
}

TEST_CASE("pool import: the same file again is known, and read by its column's name") {
  World world;
  const std::string content = "code\nAAA-1\nBBB-2\n";
  const CodeImportSummary first = world.import(content);
  REQUIRE(first.segment);
  world.know(*first.segment, first.content);
  const CodeImportSummary again = world.import(content);
  CHECK(again.was_imported == first.segment->digest);
  CHECK_FALSE(again.segment);
  CHECK(again.accepted == 2);
  CHECK(world.files() == 1);

  std::ofstream{world.folder / "theirs.csv"} << "Gutschein;x\nDDD-4;1\n";
  const auto theirs = import_codes(
      world.place(),
      {.input = world.folder / "theirs.csv", .delimiter = ';', .code_column = "Gutschein"});
  REQUIRE(theirs);
  CHECK(theirs->accepted == 1);
  const auto none = import_codes(world.place(), {.input = world.folder / "theirs.csv"});
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::invalid);
}
