#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "common/random.hpp"
#include "common/store/amount_tally.hpp"
#include "common/store/external_sort.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::store;

namespace {

using Item = std::tuple<SortKey, std::string, std::uint64_t, std::string>;

// Few different keys and subkeys, so that all parts of the order are needed.
std::vector<Item> make_items(SeededRandom& random, std::size_t count) {
  std::vector<Item> items;
  for (std::size_t i = 0; i < count; ++i) {
    SortKey key{};
    key[0] = static_cast<std::uint8_t>(random.below(4) * 60);
    key[15] = static_cast<std::uint8_t>(random.below(3));
    items.emplace_back(key, std::string(random.below(3), 's'), i,
                       std::string(random.below(60), static_cast<char>('a' + i % 26)));
  }
  return items;
}

std::vector<Item> sorted(const std::vector<Item>& items, const ExternalSort::Options& options) {
  ExternalSort sort{options};
  for (const auto& [key, subkey, number, payload] : items) {
    REQUIRE(sort.add({key, subkey, number, payload}));
  }
  REQUIRE(sort.size() == items.size());
  REQUIRE(sort.finish());
  std::vector<Item> out;
  while (true) {
    const auto more = sort.next();
    REQUIRE(more);
    if (!*more) return out;
    const SortItem& item = sort.item();
    out.emplace_back(item.key, item.subkey, item.number, item.payload);
  }
}

}  // namespace

// Goal: the same order whether items fit into memory, need runs, or need runs of runs.
TEST_CASE("external_sort: sorts by key, subkey and number at any size") {
  const test::TemporaryFolder folder;
  SeededRandom random{5};
  for (const std::size_t count : {0, 1, 2, 100, 3000}) {
    std::vector<Item> items = make_items(random, count);
    std::vector<Item> want = items;
    std::sort(want.begin(), want.end());
    for (const std::size_t run_bytes : {32 * 1024 * 1024, 4096, 300}) {
      CAPTURE(count);
      CAPTURE(run_bytes);
      CHECK(sorted(items, {.folder = folder.path(), .run_bytes = run_bytes, .fan_in = 4}) == want);
    }
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("external_sort: an item larger than a run, and than a read buffer, goes through") {
  const test::TemporaryFolder folder;
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 5; ++i) {
    items.emplace_back(key_of_number(5 - i), "", i, std::string(100'000, 'x'));
  }
  const auto out = sorted(items, {.folder = folder.path(), .run_bytes = 1000});
  REQUIRE(out.size() == 5);
  CHECK(std::get<2>(out[0]) == 4);
  CHECK(std::get<3>(out[4]).size() == 100'000);
}

TEST_CASE("external_sort: keys of numbers have the numbers' order") {
  CHECK(key_of_number(1) < key_of_number(2));
  CHECK(key_of_number(255) < key_of_number(256));
  CHECK(key_of_number(65'535) < key_of_number(1'000'000'000'000));
}

TEST_CASE("external_sort: a folder that is not there is an error, met at the first spill") {
  ExternalSort sort{{.folder = "/nonexistent", .run_bytes = 100}};
  Result<void> added;
  for (std::uint64_t i = 0; i < 100 && added; ++i) {
    added = sort.add({.key = {}, .subkey = {}, .number = i, .payload = "0123456789"});
  }
  REQUIRE_FALSE(added);
  CHECK(added.error().code == Errc::not_found);
}

TEST_CASE("amount_tally: sum, least, median and most are exact, in memory and spilled") {
  const test::TemporaryFolder folder;
  SeededRandom random{9};
  for (const std::size_t count : {1, 2, 3, 1000, 65'536, 200'001}) {
    for (const std::uint64_t range : {5ULL, 100'000ULL, 1'000'000'000'000ULL}) {
      CAPTURE(count);
      CAPTURE(range);
      AmountTally tally{folder.path()};
      std::vector<std::int64_t> amounts;
      std::int64_t sum = 0;
      for (std::size_t i = 0; i < count; ++i) {
        amounts.push_back(static_cast<std::int64_t>(random.below(range)) + 1);
        sum += amounts.back();
        REQUIRE(tally.add(amounts.back()));
      }
      std::sort(amounts.begin(), amounts.end());
      const auto totals = tally.finish();
      REQUIRE(totals);
      CHECK(totals->sum == sum);
      CHECK(totals->least == amounts.front());
      CHECK(totals->median == amounts[(count - 1) / 2]);
      CHECK(totals->most == amounts.back());
    }
  }
  CHECK(AmountTally{folder.path()}.finish()->median == 0);
}

TEST_CASE("amount_tally: a sum beyond counting is refused, not wrapped") {
  const test::TemporaryFolder folder;
  AmountTally tally{folder.path()};
  Result<void> added;
  std::int64_t count = 0;
  while (added && count < 10'000'000) {
    added = tally.add(1'000'000'000'000);
    ++count;
  }
  REQUIRE_FALSE(added);
  CHECK(added.error().code == Errc::invalid);
  CHECK(count == 9'223'373);
}
