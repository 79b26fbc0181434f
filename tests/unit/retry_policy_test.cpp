#include "daemon/service/retry_policy.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using service::Judgement;
using service::LaneHealth;
using service::RetrySettings;
using E = IssuanceEvent;

namespace {

const WallTime kNow = from_ms(1'893'456'000'000);  // 2030-01-01
const WallTime kIntentAt = kNow - 2s;
const WallTime kAttemptBefore = kNow - 60s;

// The extreme draws: nothing, and all but nothing.
class FixedRandom final : public Random {
 public:
  explicit FixedRandom(std::uint8_t byte) : byte_{byte} {}
  void fill(std::span<std::byte> bytes) override { std::ranges::fill(bytes, std::byte{byte_}); }

 private:
  std::uint8_t byte_;
};

struct Sample {
  RetrySettings settings;
  Judgement judged;
  LaneHealth health;
  data::AttemptEnd end;

  // A first attempt of a fresh row, answered while all is well.
  explicit Sample(Outcome outcome, int status = 500) {
    judged.outcome = outcome;
    judged.answered = true;
    judged.reply_digest = sha256_128("reply");
    judged.detail = "words";
    end.at = kNow;
    end.http_status = status;
    end.intent = sample_intent(1);
    end.intent.intent_at = kIntentAt;
  }
  // A later attempt: the one before was `kAttemptBefore`, and others have succeeded since.
  Sample& again(int attempts, int strikes) {
    end.intent.attempts = attempts;
    end.intent.strikes = strikes;
    end.intent.last_attempt_at = kAttemptBefore;
    health.last_success = kAttemptBefore + 1s;
    return *this;
  }
  Sample& same_answer_as_before() {
    end.intent.last_status = end.http_status;
    end.intent.last_reply = *judged.reply_digest;
    return *this;
  }
  Sample& no_answer() {
    judged.answered = false;
    judged.reply_digest.reset();
    end.http_status = 0;
    return *this;
  }
  Sample& in_doubt(WallTime since = kAttemptBefore) {
    end.intent.doubt_since = since;
    return *this;
  }
  data::AttemptEnd& decide(std::uint8_t draw = 0) {
    FixedRandom random{draw};
    service::decide(settings, judged, health, random, end);
    return end;
  }
};

}  // namespace

TEST_CASE("retry_policy: each outcome leads to its step, without and with doubt from before") {
  struct Case {
    Outcome outcome;
    E want;
    E want_in_doubt;
  };
  const Case cases[] = {
      {Outcome::issued, E::confirm, E::confirm},
      {Outcome::declined, E::decline, E::decline},  // under a key it settles earlier attempts too
      {Outcome::not_executed, E::defer, E::lose},
      {Outcome::unknown, E::lose, E::lose},
      {Outcome::setup, E::defer, E::lose},
      {Outcome::unknown_setup, E::lose, E::lose},
      {Outcome::hold, E::hold, E::hold},
  };
  for (const Case& c : cases) {
    CAPTURE(name_of(c.outcome));
    Sample first{c.outcome};
    CHECK(first.decide().step == c.want);
    CHECK(first.end.outcome == c.outcome);
    CHECK(first.end.detail == "words");
    CHECK(first.end.reply_digest == sha256_128("reply"));
    Sample doubtful{c.outcome};
    CHECK(doubtful.again(0, 0).in_doubt().decide().step == c.want_in_doubt);
    CHECK(doubtful.end.doubt_since == kAttemptBefore);  // the earliest that may have acted
  }
}

TEST_CASE("retry_policy: doubt begins with the intent of the attempt that may have acted") {
  for (const Outcome outcome : {Outcome::unknown, Outcome::unknown_setup, Outcome::hold}) {
    CAPTURE(name_of(outcome));
    CHECK(Sample{outcome}.decide().doubt_since == kIntentAt);
  }
  for (const Outcome outcome : {Outcome::not_executed, Outcome::setup, Outcome::declined}) {
    CAPTURE(name_of(outcome));
    CHECK_FALSE(Sample{outcome}.decide().doubt_since);
  }
}

TEST_CASE("retry_policy: only what goes on has a next time, and a reference is passed on") {
  Sample issued{Outcome::issued};
  issued.judged.reference = "C-1";
  CHECK(issued.decide().reference == "C-1");
  for (const Outcome outcome : {Outcome::issued, Outcome::declined, Outcome::hold}) {
    CAPTURE(name_of(outcome));
    CHECK_FALSE(Sample{outcome}.decide().next_at);
  }
  for (const Outcome outcome : {Outcome::not_executed, Outcome::unknown, Outcome::setup}) {
    CAPTURE(name_of(outcome));
    CHECK(Sample{outcome}.decide().next_at.has_value());
  }
}

// What is counted against a row, and what is not.
TEST_CASE("retry_policy: attempts grow only from answers while the downstream is well") {
  struct Case {
    const char* name;
    bool answered, breaker_closed, first_attempt;
    std::optional<Nanos> last_success;  // start of the latest call that succeeded, after the
                                        // row's attempt before
    int want;
  };
  const Case cases[] = {
      {"a first attempt, answered", true, true, true, {}, 1},
      {"no answer", false, true, true, {}, 0},
      {"the breaker is open: a probe", true, false, true, {}, 0},
      {"others have succeeded since", true, true, false, 1s, 1},
      {"none has ever succeeded", true, true, false, {}, 0},
      {"the last success is older than the attempt before", true, true, false, -1s, 0},
      {"it is of that very moment", true, true, false, 0s, 0},
      {"others succeed, but this was not answered", false, true, false, 1s, 0},
      {"others succeed, but the breaker is open", true, false, false, 1s, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::not_executed, 429};
    if (!c.first_attempt) sample.again(0, 0);
    if (!c.answered) sample.no_answer();
    sample.health.breaker_closed = c.breaker_closed;
    sample.health.last_success.reset();
    if (c.last_success) {
      sample.health.last_success =
          kAttemptBefore + std::chrono::duration_cast<Millis>(*c.last_success);
    }
    CHECK(sample.decide().attempts == c.want);
  }
}

TEST_CASE("retry_policy: the last counted attempt gives up; an uncounted one never does") {
  struct Case {
    const char* name;
    int attempts;
    bool answered;
    E want;
    int want_attempts;
  };
  const Case cases[] = {
      {"one left", 6, true, E::defer, 7},
      {"the last", 7, true, E::give_up, 8},
      {"an outage at the last", 7, false, E::defer, 7},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::not_executed, 429};
    sample.again(c.attempts, 0);
    if (!c.answered) sample.no_answer();
    CHECK(sample.decide().step == c.want);
    CHECK(sample.end.attempts == c.want_attempts);
  }
}

TEST_CASE("retry_policy: with doubt from before nothing is ever given up") {
  for (const bool is_well : {true, false}) {
    Sample sample{Outcome::not_executed, 429};
    sample.health.breaker_closed = is_well;
    CHECK(sample.again(7, 0).in_doubt().decide().step == E::lose);
    CHECK(sample.end.attempts == 7);
  }
}

TEST_CASE("retry_policy: a wrong set-up that all rows meet counts against none") {
  Sample sample{Outcome::setup, 401};
  sample.again(7, 2).same_answer_as_before();
  sample.health.last_success = kAttemptBefore - 1s;
  sample.decide();
  CHECK(sample.end.step == E::defer);
  CHECK(sample.end.attempts == 7);
  CHECK(sample.end.strikes == 2);
}

TEST_CASE("retry_policy: strikes count the same answer again while the downstream is well") {
  struct Case {
    const char* name;
    int status;
    int strikes;
    bool same, answered, breaker_closed;
    int want;
    E step;
  };
  const Case cases[] = {
      {"the first", 500, 0, false, true, true, 1, E::lose},
      {"the same again", 500, 1, true, true, true, 2, E::lose},
      {"three times: people decide", 500, 2, true, true, true, 3, E::hold},
      {"another answer begins anew", 500, 2, false, true, true, 1, E::lose},
      {"the same while the breaker is open", 500, 2, true, true, false, 2, E::lose},
      {"no answer says nothing of the row", 500, 2, false, false, true, 2, E::lose},
      {"408 asks for patience", 408, 2, true, true, true, 2, E::lose},
      {"409 in progress asks for patience", 409, 2, true, true, true, 2, E::lose},
      {"425 asks for patience", 425, 2, true, true, true, 2, E::lose},
      {"200 with unusable evidence counts", 200, 2, true, true, true, 3, E::hold},
      {"503 counts", 503, 2, true, true, true, 3, E::hold},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::unknown, c.status};
    sample.again(0, c.strikes).in_doubt();
    if (c.same) sample.same_answer_as_before();
    if (!c.answered) sample.no_answer();
    sample.health.breaker_closed = c.breaker_closed;
    CHECK(sample.decide().strikes == c.want);
    CHECK(sample.end.step == c.step);
    CHECK(sample.end.attempts == 0);
  }
}

TEST_CASE("retry_policy: the same answer means the same status and the same bytes") {
  Sample other_status{Outcome::unknown, 500};
  other_status.again(0, 1).same_answer_as_before();
  other_status.end.intent.last_status = 502;
  CHECK(other_status.decide().strikes == 1);
  Sample other_bytes{Outcome::unknown, 500};
  other_bytes.again(0, 1).same_answer_as_before();
  other_bytes.end.intent.last_reply = sha256_128("another");
  CHECK(other_bytes.decide().strikes == 1);
}

TEST_CASE("retry_policy: a wrong set-up holds a row only when it is wrong for that row alone") {
  struct Case {
    const char* name;
    int strikes;      // before
    int last_status;  // 0: taken back since
    bool others_succeed;
    int want;
    E step;
  };
  const Case cases[] = {
      {"first", 0, 0, true, 1, E::defer},
      {"again, while others succeed", 1, 404, true, 2, E::defer},
      {"again, and nobody succeeds", 2, 404, false, 2, E::defer},
      {"taken back in between", 1, 0, true, 2, E::defer},
      {"another answer", 2, 401, true, 1, E::defer},
      {"three times: people decide", 2, 404, true, 3, E::hold},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::setup, 404};
    sample.again(0, c.strikes);
    sample.end.intent.last_status = c.last_status;
    if (!c.others_succeed) sample.health.last_success.reset();
    CHECK(sample.decide().strikes == c.want);
    CHECK(sample.end.step == c.step);
    CHECK(sample.end.attempts == 0);
    CHECK_FALSE(sample.end.doubt_since);
  }
  Sample held{Outcome::setup, 404};
  held.again(0, 2).end.intent.last_status = 404;
  CHECK(held.decide().detail == "answered HTTP 404 3 times while others succeeded: words");
  Sample certificate{Outcome::setup};
  CHECK(certificate.again(0, 2).no_answer().decide().strikes == 2);
  CHECK(certificate.end.step == E::defer);
}

TEST_CASE("retry_policy: six hours of outage neither fail nor hold a row") {
  for (const Outcome outcome : {Outcome::not_executed, Outcome::unknown}) {
    CAPTURE(name_of(outcome));
    SeededRandom random{5};
    const RetrySettings settings;
    data::Intent intent = sample_intent(1);
    intent.intent_at = kNow;
    WallTime now = kNow;
    int calls = 0;
    while (now < kNow + 6h) {
      Sample sample{outcome};
      sample.no_answer().health.breaker_closed = calls < 20;
      sample.end.intent = intent;
      sample.end.at = now + 1s;
      service::decide(settings, sample.judged, sample.health, random, sample.end);
      const auto to = next_state(IssuanceState::sending, sample.end.step);
      REQUIRE((to == IssuanceState::waiting || to == IssuanceState::in_doubt));
      intent.attempts = sample.end.attempts;
      intent.strikes = sample.end.strikes;
      intent.doubt_since = sample.end.doubt_since;
      intent.last_attempt_at = sample.end.at;
      now = *sample.end.next_at;
      intent.intent_at = now;
      ++calls;
    }
    CHECK(calls > 300);  // it went on trying
    CHECK(intent.attempts == 0);
    CHECK(intent.strikes == 0);
  }
}

TEST_CASE("retry_policy: full jitter, from nothing to a bound that doubles with the attempts") {
  struct Case {
    int attempts;  // before this one
    Millis want_most;
  };
  const Case cases[] = {{0, 500ms},    {1, 1'000ms},  {2, 2'000ms},  {3, 4'000ms},
                        {6, 32'000ms}, {7, 60'000ms}, {40, 60'000ms}};
  for (const Case& c : cases) {
    CAPTURE(c.attempts);
    Sample sample{Outcome::not_executed, 429};
    sample.settings.attempts_max = 100;
    sample.again(c.attempts, 0);
    CHECK(sample.decide(0x00).next_at == kNow);
    CHECK(sample.decide(0xff).next_at == kNow + c.want_most - 1ms);
  }
}

TEST_CASE("retry_policy: a row in doubt waits by the age of its doubt, which an outage feeds") {
  struct Case {
    const char* name;
    Millis age;
    Millis want_most;
  };
  const Case cases[] = {
      {"young: the first delay", 10ms, 500ms},
      {"as long again as it has waited", 8s, 8s},
      {"never more than the longest delay", 5h, 60s},
      {"the wall clock was set back", -1h, 500ms},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::unknown};
    sample.no_answer().again(0, 0).in_doubt(kNow - c.age);
    CHECK(sample.decide(0x00).next_at == kNow);
    CHECK(sample.decide(0xff).next_at == kNow + c.want_most - 1ms);
  }
}

TEST_CASE("retry_policy: jitter spreads evenly over its whole range") {
  SeededRandom random{9};
  int quarters[4] = {};
  for (int i = 0; i < 4'000; ++i) {
    Sample sample{Outcome::not_executed, 429};
    service::decide(sample.settings, sample.judged, sample.health, random, sample.end);
    const Millis wait = *sample.end.next_at - kNow;
    REQUIRE(wait >= 0ms);
    REQUIRE(wait < 500ms);
    ++quarters[wait / 125ms];
  }
  for (const int share : quarters) CHECK(std::abs(share - 1'000) < 120);
}

TEST_CASE("retry_policy: Retry-After comes before the jitter, not instead of it") {
  Sample sample{Outcome::not_executed, 429};
  sample.judged.retry_after = 30s;
  CHECK(sample.decide(0x00).next_at == kNow + 30s);
  CHECK(sample.decide(0xff).next_at == kNow + 30s + 499ms);
}

TEST_CASE("retry_policy: taken back before any byte, a row is as it was, but for a moment's rest") {
  for (const bool doubtful : {false, true}) {
    CAPTURE(doubtful);
    data::Intent intent = sample_intent(1);
    intent.attempts = 3;
    intent.strikes = 2;
    if (doubtful) intent.doubt_since = kAttemptBefore;
    const data::AttemptEnd end = service::take_back(intent, "the job is paused", kNow);
    CHECK(end.kind == EventKind::unstarted);
    CHECK(end.outcome == Outcome::unstarted);
    CHECK(end.step == (doubtful ? E::lose : E::unstart));
    CHECK(end.doubt_since == intent.doubt_since);
    CHECK(end.attempts == 3);
    CHECK(end.strikes == 2);
    CHECK(end.at == kNow);
    CHECK(end.next_at == kNow + 1s);
    CHECK(end.detail == "the job is paused");
    CHECK(end.sends == 0);
    CHECK(end.intent.request_id == intent.request_id);
  }
}

TEST_CASE("retry_policy: nothing is repeated past four fifths of the key's lifetime") {
  plan::Downstream downstream = sample_downstream();
  downstream.key_lifetime = 10min;
  CHECK_FALSE(service::key_may_be_forgotten(downstream, std::nullopt, kNow));
  CHECK_FALSE(service::key_may_be_forgotten(downstream, kNow - 8min + 1ms, kNow));
  CHECK(service::key_may_be_forgotten(downstream, kNow - 8min, kNow));
  CHECK(service::key_may_be_forgotten(downstream, kNow - 24h, kNow));
  // The wall clock was set back; a step of ntp's is none.
  CHECK(service::key_may_be_forgotten(downstream, kNow + 1001ms, kNow));
  CHECK(service::key_may_be_forgotten(downstream, kNow + 1h, kNow));
  CHECK_FALSE(service::key_may_be_forgotten(downstream, kNow + 1s, kNow));
}

TEST_CASE("retry_policy: what is lost is asked about under query, and held under none") {
  struct Case {
    plan::Contract contract;
    Outcome outcome;
    E want;
  };
  using plan::Contract;
  const Case cases[] = {
      {Contract::query, Outcome::unknown, E::lose},
      {Contract::query, Outcome::unknown_setup, E::lose},
      {Contract::query, Outcome::not_executed, E::defer},
      {Contract::query, Outcome::setup, E::defer},
      {Contract::none, Outcome::unknown, E::hold},
      {Contract::none, Outcome::unknown_setup, E::hold},
      {Contract::none, Outcome::not_executed, E::defer},
      {Contract::none, Outcome::setup, E::defer},
      {Contract::none, Outcome::declined, E::decline},
  };
  for (const Case& c : cases) {
    CAPTURE(plan::name_of(c.contract));
    CAPTURE(name_of(c.outcome));
    Sample sample{c.outcome};
    sample.end.intent.definition = sample_downstream_of(c.contract);
    CHECK(sample.decide().step == c.want);
    CHECK(sample.end.doubt_since.has_value() == (c.want == E::lose || c.want == E::hold));
  }
  Sample held{Outcome::unknown};
  held.end.intent.definition = sample_downstream_of(plan::Contract::none);
  CHECK(held.decide().detail == "nobody can ask or repeat under contract none: words");
  CHECK_FALSE(held.end.next_at);
}

TEST_CASE("retry_policy: with a query in between, every unusable answer is a strike") {
  using plan::Contract;
  struct Case {
    const char* name;
    Contract contract;
    int strikes;
    bool others_succeed;
    int want;
    E step;
  };
  const Case cases[] = {
      {"under query it is asked about first", Contract::query, 2, true, 3, E::lose},
      {"an outage counts against no row", Contract::query, 2, false, 2, E::lose},
      {"under key, asked and called again", Contract::key, 1, true, 2, E::lose},
      {"under key, the last", Contract::key, 2, true, 3, E::hold},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample{Outcome::unknown};
    sample.again(0, c.strikes);
    sample.end.intent.was_asked = true;
    sample.end.intent.definition = sample_downstream_of(c.contract);
    if (!c.others_succeed) sample.health.last_success.reset();
    CHECK(sample.decide().strikes == c.want);
    CHECK(sample.end.step == c.step);
  }
  Sample first{Outcome::unknown};
  first.end.intent.definition = sample_downstream_of(Contract::query);
  CHECK(first.decide().strikes == 1);
}
