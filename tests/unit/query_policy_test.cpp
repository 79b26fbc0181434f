// Goal: an answer to a query never frees a row for a second call unless it proves that there was
// no first.  Method: tables over the pure policy; times are those of the sample below.
#include "daemon/service/query_policy.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using plan::Contract;
using service::Judgement;
using service::LaneHealth;
using service::RetrySettings;
using E = IssuanceEvent;

namespace {

const WallTime kCalledAt = from_ms(1'893'456'000'000);  // 2030-01-01
// Timeout 10 s, settle time 60 s.
const WallTime kSettled = kCalledAt + 70s;
const WallTime kAskedBefore = kSettled + 1s;

class FixedRandom final : public Random {
 public:
  explicit FixedRandom(std::uint8_t byte) : byte_{byte} {}
  void fill(std::span<std::byte> bytes) override { std::ranges::fill(bytes, std::byte{byte_}); }

 private:
  std::uint8_t byte_;
};

// A query that was answered at once, long after the call, while all is well.
struct Sample {
  RetrySettings settings;
  Judgement judged;
  LaneHealth health;
  data::AttemptEnd end;

  explicit Sample(Outcome outcome, Contract contract = Contract::query) {
    judged.outcome = outcome;
    judged.answered = true;
    judged.reply_digest = sha256_128("reply");
    judged.detail = "words";
    end.intent = sample_intent(1);
    end.intent.asks = true;
    end.intent.fresh = false;
    end.intent.from = IssuanceState::in_doubt;
    end.intent.definition = sample_downstream_of(contract);
    end.intent.intent_at = kCalledAt;
    end.intent.doubt_since = kCalledAt;
    end.intent.last_attempt_at = kCalledAt + 10s;
    health.last_success = kCalledAt + 11s;
    at(kSettled + 1h);
  }
  Sample& at(WallTime started, Millis took = 0ms) {
    end.started_at = started;
    end.at = started + took;
    return *this;
  }
  Sample& missing_since(WallTime since) {
    end.intent.missing_since = since;
    return *this;
  }
  Sample& no_answer() {
    judged.answered = false;
    judged.reply_digest.reset();
    return *this;
  }
  data::AttemptEnd& decide(std::uint8_t draw = 0) {
    FixedRandom random{draw};
    service::decide_query(settings, judged, health, random, end);
    return end;
  }
};

}  // namespace

TEST_CASE("query_policy: the query is a GET with the id in its place, and without a key") {
  data::Intent intent = sample_intent(1);
  intent.definition = sample_downstream_of(Contract::query);
  const wire::HttpCall call = service::make_query(intent, "a token");
  CHECK(call.get);
  CHECK(call.url == "https://coupons.example/coupons/" + intent.request_id);
  CHECK(call.body.empty());
  CHECK(call.headers ==
        std::vector<std::string>{"Accept: application/json", "Authorization: Bearer a token"});
  CHECK(call.timeout == intent.definition->timeout);
}

TEST_CASE("query_policy: each outcome leads to its step") {
  struct Case {
    Outcome outcome;
    E want;
  };
  const Case cases[] = {
      {Outcome::issued, E::confirm},    {Outcome::declined, E::decline},
      {Outcome::hold, E::hold},         {Outcome::unknown, E::lose},
      {Outcome::not_executed, E::lose},  // of the query; it says nothing of the call
      {Outcome::setup, E::lose},        {Outcome::unknown_setup, E::lose},
      {Outcome::not_found, E::lose},  // the first one
  };
  for (const Contract contract : {Contract::query, Contract::key}) {
    for (const Case& c : cases) {
      CAPTURE(name_of(c.outcome));
      Sample sample{c.outcome, contract};
      sample.judged.reference = "C-1";
      CHECK(sample.decide().step == c.want);
      CHECK(sample.end.kind == EventKind::asked);
      CHECK(sample.end.outcome == c.outcome);
      CHECK(sample.end.reference == "C-1");
      CHECK(sample.end.reply_digest == sha256_128("reply"));
      CHECK(sample.end.doubt_since == kCalledAt);
      CHECK(sample.end.next_at.has_value() == (c.want == E::lose));
    }
  }
}

TEST_CASE("query_policy: only the second of two settled, spaced not-founds is believed") {
  struct Case {
    const char* name;
    WallTime started;
    Millis took;
    std::optional<WallTime> before;  // the first settled one's answer
    E want;
    std::optional<WallTime> missing_since;
    WallTime next_at;
  };
  const Case cases[] = {
      {"it may still act", kSettled - 1ms, 0ms, {}, E::lose, {}, kSettled},
      {"asked before, answered after it was settled: an old answer",
       kSettled - 1s,
       5s,
       {},
       E::lose,
       {},
       kSettled + 4s},
      {"the first settled one", kSettled, 1s, {}, E::lose, kSettled + 1s, kSettled + 61s},
      {"the second, too soon", kAskedBefore + 60s - 1ms, 0ms, kAskedBefore, E::lose, kAskedBefore,
       kAskedBefore + 60s},
      {"the second, asked too soon and answered late", kAskedBefore + 59s, 9s, kAskedBefore,
       E::lose, kAskedBefore, kAskedBefore + 68s},
      {"the second", kAskedBefore + 60s, 1s, kAskedBefore, E::clear, {}, kAskedBefore + 61s},
      {"the second, long after",
       kAskedBefore + 24h,
       0ms,
       kAskedBefore,
       E::clear,
       {},
       kAskedBefore + 24h},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::not_found};
    sample.at(c.started, c.took);
    sample.end.intent.missing_since = c.before;
    sample.decide();
    CHECK(sample.end.step == c.want);
    CHECK(sample.end.missing_since == c.missing_since);
    CHECK(sample.end.next_at == c.next_at);
    CHECK(sample.end.doubt_since.has_value() == (c.want != E::clear));
    CHECK(sample.end.asked == 0);
  }
}

TEST_CASE("query_policy: since a jump of the clock a call may be younger than it looks") {
  const WallTime jump = kSettled + 1h;
  struct Case {
    const char* name;
    WallTime started;
    E want;
  };
  for (const Case& c : {Case{"before the settle time since the jump", jump + 69s, E::lose},
                        Case{"after it", jump + 70s, E::clear}}) {
    CAPTURE(c.name);
    Sample sample{Outcome::not_found};
    sample.health.clock_good_since = jump;
    const data::AttemptEnd& end = sample.missing_since(kAskedBefore).at(c.started).decide();
    CHECK(end.step == c.want);
    if (c.want == E::lose) CHECK(end.missing_since == kAskedBefore);
  }
  // Nor is it asked again before that could be believed.
  Sample first{Outcome::not_found};
  first.health.clock_good_since = jump;
  CHECK(first.at(jump + 1s).decide().next_at == jump + 70s);
}

TEST_CASE("query_policy: who was called in vain three times, without effect, has failed") {
  for (const int strikes : {0, 2, 3, 4}) {
    CAPTURE(strikes);
    Sample sample{Outcome::not_found};
    sample.end.intent.strikes = strikes;
    sample.missing_since(kAskedBefore).decide();
    CHECK(sample.end.step == E::clear);
    CHECK(sample.end.gives_up == (strikes >= 3));
  }
}

TEST_CASE("query_policy: the distance of two not-founds is a setting") {
  Sample sample{Outcome::not_found};
  sample.settings.query_apart = 2s;
  sample.at(kAskedBefore + 2s).missing_since(kAskedBefore);
  CHECK(sample.decide().step == E::clear);
}

TEST_CASE("query_policy: an answer in between makes the next not-found a first one again") {
  Sample answered{Outcome::unknown};
  CHECK_FALSE(answered.missing_since(kAskedBefore).decide().missing_since);
  Sample lost{Outcome::unknown};
  CHECK(lost.no_answer().missing_since(kAskedBefore).decide().missing_since == kAskedBefore);
}

TEST_CASE("query_policy: what was known before and is not found now is for people") {
  Sample pending{Outcome::unknown};
  pending.judged.known = true;
  CHECK(pending.decide().known);
  CHECK(pending.end.step == E::lose);

  for (const Contract contract : {Contract::query, Contract::key}) {
    Sample gone{Outcome::not_found, contract};
    gone.end.intent.known = true;  // though queries in between may have told nothing
    gone.at(kCalledAt + 11s);      // and long before anything is settled
    CHECK(gone.decide().step == E::hold);
    CHECK(gone.end.detail == "the downstream knew the call before, and now does not");
  }
  Sample silent{Outcome::unknown};
  silent.end.intent.known = true;
  CHECK(silent.no_answer().decide().known);
}

TEST_CASE("query_policy: eight answers that tell nothing are enough; only answers count") {
  struct Case {
    const char* name;
    int asked;
    bool answered, breaker_closed, others_succeed;
    int want;
    E step;
  };
  const Case cases[] = {
      {"the first", 0, true, true, true, 1, E::lose},
      {"the last but one", 6, true, true, true, 7, E::lose},
      {"the last", 7, true, true, true, 8, E::hold},
      {"no answer", 7, false, true, true, 7, E::lose},
      {"the breaker is open: a probe", 7, true, false, true, 7, E::lose},
      {"nobody else's query was answered", 7, true, true, false, 7, E::lose},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::unknown};
    sample.end.intent.asked = c.asked;
    if (!c.answered) sample.no_answer();
    sample.health.breaker_closed = c.breaker_closed;
    if (!c.others_succeed) sample.health.last_success = kCalledAt + 10s;
    sample.decide();
    CHECK(sample.end.asked == c.want);
    CHECK(sample.end.step == c.step);
    if (c.step == E::hold) CHECK(sample.end.detail == "asked 8 times, at last: words");
  }
}

TEST_CASE("query_policy: asked again after a part of the doubt's age; who honours keys at once") {
  struct Case {
    const char* name;
    Contract contract;
    WallTime at;
    std::optional<Millis> retry_after;
    Millis least, most;
  };
  const Case cases[] = {
      {"young doubt", Contract::query, kCalledAt + 10s, {}, 0ms, 10s - 1ms},
      {"never longer than the longest delay", Contract::query, kCalledAt + 5h, {}, 0ms, 60s - 1ms},
      {"Retry-After comes first", Contract::query, kCalledAt + 5h, 30s, 30s, 90s - 1ms},
      {"its key is known: called again now", Contract::key, kCalledAt + 10s, {}, 0ms, 0ms},
      {"its key is known, Retry-After", Contract::key, kCalledAt + 10s, 30s, 30s, 30s},
      {"its key may be forgotten", Contract::key, kCalledAt + 23h, {}, 0ms, 60s - 1ms},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::unknown, c.contract};
    sample.judged.retry_after = c.retry_after;
    sample.at(c.at);
    CHECK(sample.decide(0x00).next_at == c.at + c.least);
    CHECK(sample.decide(0xff).next_at == c.at + c.most);
  }
}

TEST_CASE("query_policy: a query that is taken back leaves everything as it was") {
  data::Intent intent = Sample{Outcome::unknown}.end.intent;
  intent.attempts = 3;
  intent.strikes = 2;
  intent.asked = 4;
  intent.known = true;
  intent.missing_since = kAskedBefore;
  const data::AttemptEnd end = service::take_query_back(intent, kSettled);
  CHECK(end.kind == EventKind::unstarted);
  CHECK(end.step == E::lose);
  CHECK(end.next_at == kSettled + 1s);
  CHECK(end.doubt_since == kCalledAt);
  CHECK(end.attempts == 3);
  CHECK(end.strikes == 2);
  CHECK(end.asked == 4);
  CHECK(end.known);
  CHECK(end.missing_since == kAskedBefore);
}
