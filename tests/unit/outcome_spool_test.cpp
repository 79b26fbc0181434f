#include <doctest/doctest.h>

#include <filesystem>

#include "common/files.hpp"
#include "daemon/data/outcome_spool.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/ledger_samples.hpp"

namespace vouch::test {
namespace {

using data::AttemptEnd;
using data::OutcomeSpool;

// One with nothing left at its default.
AttemptEnd full_end() {
  const WallTime at{Millis{1'700'000'000'000}};
  data::Intent intent = sample_intent(1);
  intent.round = 3;
  intent.amount_minor = 1'250;
  intent.fresh = false;
  intent.single = true;
  intent.asks = true;
  intent.last_event = 77;
  intent.intent_at = at;
  AttemptEnd end = sample_end(intent, IssuanceEvent::lose, at + Millis{5});
  end.kind = EventKind::asked;
  end.outcome = Outcome::unknown_setup;
  end.gives_up = true;
  end.attempts = 4;
  end.strikes = 2;
  end.asked = 6;
  end.missing_since = at + Millis{2};
  end.known = true;
  end.started_at = at + Millis{1};
  end.transport = wire::Transport::broken;
  end.reference = "C-1 \xe2\x82\xac";
  end.detail = "words \"of\" a downstream\nin two lines";
  return end;
}

void check_same(const AttemptEnd& a, const AttemptEnd& b) {
  CHECK(a.intent.key == b.intent.key);
  CHECK(a.intent.round == b.intent.round);
  CHECK(a.intent.campaign_number == b.intent.campaign_number);
  CHECK(a.intent.job_number == b.intent.job_number);
  CHECK(a.intent.range == b.intent.range);
  CHECK(a.intent.amount_minor == b.intent.amount_minor);
  CHECK(a.intent.fresh == b.intent.fresh);
  CHECK(a.intent.single == b.intent.single);
  CHECK(a.intent.asks == b.intent.asks);
  CHECK(a.intent.last_event == b.intent.last_event);
  CHECK(a.intent.intent_at == b.intent.intent_at);
  CHECK(a.kind == b.kind);
  CHECK(a.outcome == b.outcome);
  CHECK(a.step == b.step);
  CHECK(a.gives_up == b.gives_up);
  CHECK(a.next_at == b.next_at);
  CHECK(a.doubt_since == b.doubt_since);
  CHECK(a.attempts == b.attempts);
  CHECK(a.strikes == b.strikes);
  CHECK(a.asked == b.asked);
  CHECK(a.missing_since == b.missing_since);
  CHECK(a.known == b.known);
  CHECK(a.started_at == b.started_at);
  CHECK(a.at == b.at);
  CHECK(a.http_status == b.http_status);
  CHECK(a.transport == b.transport);
  CHECK(a.sends == b.sends);
  CHECK(a.duration_us == b.duration_us);
  CHECK(a.reference == b.reference);
  CHECK(a.detail == b.detail);
  CHECK(a.reply_digest == b.reply_digest);
}

AttemptEnd plain_end(int recipient) {
  return sample_end(sample_intent(recipient), IssuanceEvent::confirm, WallTime{Millis{5}});
}

TEST_CASE("outcome_spool: what settling needs comes back as it was") {
  TemporaryFolder folder;
  const std::vector<AttemptEnd> ends = {full_end(), plain_end(2)};
  {
    auto spool = OutcomeSpool::open(folder / "spool");
    REQUIRE(spool);
    CHECK(spool->read()->empty());
    REQUIRE(spool->append({ends[0]}));
    REQUIRE(spool->append({ends[1]}));
  }
  CHECK(std::filesystem::file_size(folder / "spool") == data::kSpoolBytes);
  auto spool = OutcomeSpool::open(folder / "spool");
  const auto read = spool->read();
  REQUIRE(read);
  REQUIRE(read->size() == 2);
  for (std::size_t i = 0; i < 2; ++i) check_same((*read)[i], ends[i]);
  REQUIRE(spool->clear());
  CHECK(spool->read()->empty());
  REQUIRE(spool->append({ends[1]}));
  CHECK(spool->read()->size() == 1);
}

TEST_CASE("outcome_spool: a torn record ends the reading, and clearing leaves nothing behind it") {
  TemporaryFolder folder;
  auto spool = OutcomeSpool::open(folder / "spool");
  REQUIRE(spool);
  REQUIRE(spool->append({plain_end(1)}));
  REQUIRE(spool->append({plain_end(2)}));
  REQUIRE(spool->append({plain_end(3)}));
  std::string bytes = read_file(folder / "spool", data::kSpoolBytes).value();
  const auto second = bytes.find('\n') + 1;
  bytes[second + 60] ^= 1;
  {
    auto file = open_to_write(folder / "spool");
    REQUIRE(write_all(*file, bytes, "spool"));
  }
  auto torn = OutcomeSpool::open(folder / "spool");
  CHECK(torn->read()->size() == 1);
  REQUIRE(torn->clear());
  // A record as long as the first one: what stood behind it must not be read again.
  REQUIRE(torn->append({plain_end(4)}));
  CHECK(torn->read()->size() == 1);
}

TEST_CASE("outcome_spool: thousands of ends, and one too many") {
  TemporaryFolder folder;
  auto spool = OutcomeSpool::open(folder / "spool");
  REQUIRE(spool);
  const std::vector<AttemptEnd> thousand(1'000, plain_end(1));
  std::size_t kept = 0;
  while (spool->append(thousand)) kept += thousand.size();
  CHECK(kept >= 40'000);  // more than can be out, in batches too, ready and waiting to be written
  // Of those that did not fit as a whole, what did is kept.
  const std::size_t all = spool->read()->size();
  CHECK(all > kept);
  CHECK(all < kept + thousand.size());
  CHECK(spool->append(thousand).error().code == Errc::io);
  CHECK(spool->read()->size() == all);
}

}  // namespace
}  // namespace vouch::test
