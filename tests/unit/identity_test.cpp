#include <doctest/doctest.h>

#include <set>

#include "common/identity.hpp"
#include "common/text.hpp"

using namespace vouch;

TEST_CASE("identity: a request id holds its primary key and round, and notices a wrong letter") {
  SeededRandom random{7};
  for (int i = 0; i < 1000; ++i) {
    IssuanceKey key{.campaign = new_object_id(random),
                    .occurrence = random.below(1ULL << 48),
                    .item = static_cast<std::uint8_t>(random.below(256))};
    random.fill(std::as_writable_bytes(std::span{key.recipient}));
    const auto round = static_cast<std::uint8_t>(random.below(256));
    std::string text = format_request_id(key, round);
    REQUIRE(text.size() == 40);
    CHECK(text.front() != '-');  // or a command line would take it for an option
    const auto back = parse_request_id(text);
    REQUIRE(back);
    CHECK(back->key == key);
    CHECK(back->round == round);
    char& letter = text[random.below(text.size())];
    letter = letter == 'A' ? 'B' : 'A';
    CHECK_FALSE(parse_request_id(text));
  }
}

TEST_CASE("identity: ids of objects are written and read back") {
  SeededRandom random{1};
  const ObjectId id = new_object_id(random);
  const std::string text = format_id(ObjectKind::job, id);
  CHECK(text.starts_with("job_"));
  CHECK(parse_id(ObjectKind::job, text).value() == id);
  CHECK_FALSE(parse_id(ObjectKind::campaign, text));
  CHECK_FALSE(parse_id(ObjectKind::job, "job_"));
}

TEST_CASE("identity: normalisation trims blanks and composes, and folds nothing else") {
  CHECK(normalise_recipient("  u-17\t").value() == "u-17");
  CHECK(normalise_recipient("Ab").value() == "Ab");
  CHECK(normalise_recipient("e\xcc\x81").value() == "\xc3\xa9");  // e + accent -> one letter
  CHECK_FALSE(normalise_recipient("\xff"));
}

TEST_CASE("identity: a recipient key is HMAC-SHA-256 under the store's secret") {
  // RFC 4231, test case 2, first 128 bits.
  const RecipientKeys keys{"Jefe"};
  CHECK(hex(keys.of("what do ya want for nothing?")) == "5bdcc146bf60754e6a042426089575c7");
}
