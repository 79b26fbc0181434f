// Goal: no code of a pool ever has two owners, and none is handed out but in the transaction that
// makes its issuance `sending`.  Method: the real ledger writer over a real pool of few codes, at
// its end, through repeats and through power cuts.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "common/store/code_generator.hpp"
#include "tests/support/crash_vfs.hpp"
#include "tests/unit/ledger_writer_world.hpp"

using namespace vouch;
using namespace vouch::test;
using data::Intent;
using E = IssuanceEvent;
using S = IssuanceState;

namespace {

constexpr std::string_view kRows = "SELECT count(*) FROM issuance";
constexpr std::string_view kCodes = "SELECT count(*) FROM code";
constexpr std::string_view kCursor = "SELECT ifnull(max(next_ordinal), 0) FROM pool";
constexpr std::string_view kReplans = "SELECT replans FROM job";
constexpr std::string_view kPausedForPool = "SELECT count(*) FROM job WHERE pause_reason = 8";
// Rows whose code is not theirs in the table of codes, the other way round, and gaps.
constexpr std::string_view kWrongCodes = R"sql(
  SELECT (SELECT count(*) FROM issuance AS i LEFT JOIN code USING (ordinal)
           WHERE i.ordinal IS NOT NULL
             AND (code.recipient_key IS NOT i.recipient_key OR code.item IS NOT i.item))
       + (SELECT count(*) FROM code LEFT JOIN issuance AS i USING (ordinal)
           WHERE i.ordinal IS NULL)
       + (SELECT count(*) FROM issuance WHERE state = 1 AND ordinal IS NULL)
       + (SELECT ifnull(max(next_ordinal), 0) <> (SELECT count(*) FROM code) FROM pool)
)sql";

struct World : WriterWorld {
  explicit World(std::int64_t codes, std::string vfs = {}) : WriterWorld{std::move(vfs)} {
    pools_folder = folder / "pools";
    pool_key = folder / "pool.key";
    std::filesystem::create_directory(pools_folder);
    row.id = 0x77;
    row.name = "vip";
    row.fingerprint = store::PoolKey::create(pool_key, random)->fingerprint();
    add_codes(codes);
    restart();
  }

  void add_codes(std::int64_t codes) {
    const store::PoolKey key = store::PoolKey::read(pool_key).value();
    const auto meta = store::generate_codes({.folder = pools_folder,
                                             .pool = row,
                                             .key = key,
                                             .random = random,
                                             .clock = clock,
                                             .observe = {}},
                                            store::CodeForm::make({}).value(), codes);
    REQUIRE(meta);
    row.segments.push_back({.digest = meta->digest, .first = row.codes(), .codes = codes});
    pool = std::make_shared<const store::PoolRow>(row);
  }
  Intent with_pool(Intent intent) {
    intent.pool = pool;
    intent.ordinal.reset();
    intent.code.clear();
    return intent;
  }
  // As intake plans where codes are handed out.
  data::PlanPage code_page(const std::vector<int>& recipients, std::int64_t replans = 0) {
    data::PlanPage made = page(recipients);
    made.replans = replans;
    for (Intent& intent : made.intents) {
      intent = with_pool(std::move(intent));
      made.cursors.push_back(store::RowKey{intent.key.recipient, ""}.to_bytes());
    }
    return made;
  }
  std::vector<Intent> start_codes(const std::vector<int>& recipients, std::int64_t replans = 0) {
    write(code_page(recipients, replans));
    return take_ready();
  }
  void check_codes() {
    CHECK(count(kWrongCodes) == 0);
    CHECK(count(kCursor) == count(kCodes));
  }

  store::PoolRow row;
  std::shared_ptr<const store::PoolRow> pool;
};

}  // namespace

TEST_CASE("pool ledger: each row has a code of its own, and the call's digest knows which") {
  World world{1000};
  world.submit();
  std::set<std::string> codes;
  for (int page = 0; page < 3; ++page) {
    for (const Intent& intent : world.start_codes({page * 3 + 1, page * 3 + 2, page * 3 + 3})) {
      CHECK(intent.code.size() == 12);
      CHECK(codes.insert(intent.code).second);
      CHECK(intent.call_digest != sha256_128(intent.request_id));
      CHECK(row_of(world.life->durable, intent)->call_digest == intent.call_digest);
    }
  }
  CHECK(codes.size() == 9);
  world.check_codes();
}

TEST_CASE("pool ledger: at the pool's end the page is cut, the job waits, and then goes on") {
  World world{5};
  world.submit();
  const auto first = world.start_codes({1, 2, 3});
  CHECK(first.size() == 3);
  const auto second = world.start_codes({4, 5, 6, 7});
  CHECK(second.size() == 2);  // those who got the last two
  CHECK(world.job_state() == JobState::paused);
  CHECK(world.count(kPausedForPool) == 1);
  CHECK(world.count(kReplans) == 1);
  // What intake had planned behind it meanwhile comes too early.
  CHECK(world.start_codes({8, 9}).empty());
  CHECK(world.count(kRows) == 5);
  world.check_codes();
  CHECK(world.life->ready.depth() == 5);  // the places of the others are free again

  world.add_codes(10);
  world.write(World::change(data::JobAction::resume, 2));
  const auto rest = world.start_codes({6, 7, 8, 9}, 1);
  REQUIRE(rest.size() == 4);
  CHECK(rest.front().ordinal == 5);
  CHECK(world.count(kRows) == 9);
  world.check_codes();
}

TEST_CASE(
    "pool ledger: a probe that finds no code left turns the pause for setup into the pool's") {
  World world{1};
  world.submit();
  CHECK(world.start_codes({1}).size() == 1);
  data::ChangeJob pause;
  pause.number = 1;
  pause.action = data::JobAction::pause;
  pause.reason = PauseReason::setup;
  pause.words = "401";
  world.write(std::move(pause));
  REQUIRE(world.job_state() == JobState::paused);
  CHECK(world.count(kPausedForPool) == 0);
  CHECK(world.start_codes({2}).empty());
  CHECK(world.count(kPausedForPool) == 1);
  // One that people have paused stays theirs.
  world.write(World::change(data::JobAction::resume, 2));
  world.write(World::change(data::JobAction::pause, 3));
  CHECK(world.start_codes({2}, 1).empty());
  CHECK(world.count(kPausedForPool) == 0);
  world.check_codes();
}

TEST_CASE("pool ledger: a row keeps its code through repeats, and repeats take none") {
  World world{10};
  world.submit();
  Intent intent = world.start_codes({1}).front();
  const std::string code = intent.code;
  for (int i = 0; i < 3; ++i) {
    world.write(world.ended(intent, i == 1 ? E::lose : E::defer));
    Intent again = world.with_pool(sample_intent(1));
    again.fresh = false;
    again.from = i == 1 ? S::in_doubt : S::waiting;
    data::CodeShelf shelf{world.pools_folder, world.pool_key};
    REQUIRE(shelf.fill(again, *intent.ordinal));
    CHECK(again.code == code);
    CHECK(again.call_digest == intent.call_digest);
    REQUIRE(world.life->ready.reserve({{data::owner_of(again), 1}}));
    world.write(data::SendAgain{{again}});
    REQUIRE(world.state_of(again) == S::sending);
    intent = world.take_ready().front();
    CHECK(intent.code == code);
  }
  CHECK(world.count(kCodes) == 1);
  // The same recipient again is a repeat, and costs nothing.
  CHECK(world.start_codes({1}).empty());
  CHECK(world.count(kCodes) == 1);
  CHECK(world.start_codes({2}).front().ordinal == 1);
  world.check_codes();
}

// Goal: an older copy of the ledger does not know which codes went out since, and hands out none of
// those that were there.
TEST_CASE("pool ledger: what is passed over is never handed out") {
  World world{10};
  world.submit();
  REQUIRE(world.start_codes({1, 2}).size() == 2);
  REQUIRE(data::pass_over_codes(world.life->database, world.pool->id, world.pool->codes()));
  world.restart();
  CHECK(world.start_codes({3}).empty());
  CHECK(world.count(kPausedForPool) == 1);

  world.add_codes(5);
  world.write(World::change(data::JobAction::resume, 2));
  const auto after = world.start_codes({3}, 1);
  REQUIRE(after.size() == 1);
  CHECK(after.front().ordinal == 10);
  // Passing over fewer than are out already gives none of them back.
  REQUIRE(data::pass_over_codes(world.life->database, world.pool->id, 4));
  CHECK(data::codes_out(world.life->durable, world.pool->id).value() == 11);
}

TEST_CASE("pool ledger: a single without a code left is refused, and nothing is born") {
  World world{1};
  world.submit();
  CHECK(world.start_codes({1}).size() == 1);
  data::IssueSingle message = world.single(2, 5);
  message.intents.front() = world.with_pool(std::move(message.intents.front()));
  const auto answers = world.write(std::move(message));
  REQUIRE(answers.size() == 1);
  CHECK(answers.front().find("has no code left") != std::string::npos);
  CHECK(world.count(kRows) == 1);
  CHECK(world.take_ready().empty());
  world.check_codes();
}

TEST_CASE("pool ledger: without its key nothing is handed out, and the pause says why") {
  World world{10};
  std::filesystem::rename(world.pool_key, world.pool_key + ".kept");
  world.submit();
  CHECK(world.start_codes({1, 2}).empty());
  CHECK(world.job_state() == JobState::paused);
  CHECK(world.count(kRows) == 0);
  CHECK(world.count(kCodes) == 0);
  // Put back while vouchd runs, it is found.
  std::filesystem::rename(world.pool_key + ".kept", world.pool_key);
  world.write(World::change(data::JobAction::resume, 2));
  CHECK(world.start_codes({1, 2}, 1).size() == 2);
  world.check_codes();
}

TEST_CASE("pool ledger: no power cut gives one code to two, or a code to nobody") {
  for (int cut = 0; cut < 60; ++cut) {
    CAPTURE(cut);
    CrashVfs vfs{static_cast<std::uint64_t>(cut) + 1};
    World world{40, vfs.name()};
    world.submit();
    int next = 1;
    vfs.power_cut_after(cut);
    for (int page = 0; page < 6 && !vfs.is_off(); ++page, next += 3) {
      world.writer().push(world.code_page({next, next + 1, next + 2}));
      world.run();
    }
    vfs.crash();
    world.restart();
    CHECK(world.count(kWrongCodes) == 0);
    CHECK(world.start_codes({100, 101}).size() == 2);
    world.check_codes();
  }
}
