// model_service.hpp: a coupon or balance service as its own journal knows it, with every fault we
// have met or feared.
//
// Under contract `key` it honours idempotency keys: one execution and one stored answer a key, for
// as long as keys are kept.  Under `query` and `none` it knows no keys: every call that arrives is
// carried out.  Where it can be asked, it tells of an execution only after a delay of its own.
// What becomes of a call is drawn when it leaves the caller; whether it executes is decided
// when it arrives, which may be long after the caller has given up, or died.
//
// Several issuances may come in one call: see model_batch.hpp.
//
// The service watches its callers: another body under a known key, what was carried out called
// again in a batch, or no longer in one, one key from two callers, one
// code for two issuances, a second effect of an issuance, a call before Retry-After is over, more
// calls or queries in a second than the limit, and where it knows no keys a second call that is
// carried out, or that leaves while the first may still arrive, are kept as violations.
//
// Threads: the simulation's only one.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/plan/downstream.hpp"
#include "common/random.hpp"
#include "common/wire/http_client.hpp"
#include "tests/simulation/ending.hpp"
#include "tests/simulation/model_batch.hpp"

namespace vouch::test {

// What may become of a call.
enum class Fate : std::uint8_t {
  answered,      // as a healthy service does
  answer_lost,   // arrives, is carried out, and no answer ever comes
  swallowed,     // never arrives, no answer
  late,          // arrives only after the caller has given up
  died_after,    // carried out; the caller is told that the call was refused, after its send
  gone_after,    // carried out; the caller is told "unreachable", after its send
  reset_before,  // connection reset, nothing was carried out
  half_answer,   // carried out, the answer breaks off
  refused,       // no connection
  connect_slow,  // no connection within the time
  tls_failed,
  too_many,      // 429, with or without Retry-After
  error,         // 5xx, carried out or not, never the same bytes twice
  same_error,    // 5xx, carried out or not, always the same bytes
  wrong_answer,  // carried out; the reply is malformed, about another id or another amount
  redirected,    // carried out or not, and a 302
  unauthorised,  // 401
  wrong_url,     // 404
  count,
};
inline constexpr std::size_t kFates = static_cast<std::size_t>(Fate::count);

// What may become of a query.
enum class QueryFate : std::uint8_t {
  answered,
  lost,          // no answer
  error,         // 5xx
  other_id,      // about another call
  wrong_amount,  // of one that was executed
  html,          // a page with status 200
  pending,       // "I know it, and am not done", said of one that was executed
  count,
};
inline constexpr std::size_t kQueryFates = static_cast<std::size_t>(QueryFate::count);

// What ails the service as a whole, for a while.
enum class Outage : std::uint8_t { refused, bad_gateway, silence, resets, unauthorised };

struct Execution {
  std::string request_id;
  std::string recipient_id;
  std::optional<std::int64_t> amount_minor;
  std::string code;  // empty: none
  std::string reference;
  Instant at;
};

// Who calls: an instance, in one of its lives.
struct Caller {
  std::size_t instance = 0;
  int life = 0;
  bool operator==(const Caller&) const = default;
};

// What the call is known by: its Idempotency-Key; of a query the end of its URL.
[[nodiscard]] std::string key_of(const wire::HttpCall& call);

// Recipients whose id begins so are never declined, exhausted or broken.
inline constexpr std::string_view kHealthy = "healthy-";

class ModelService {
 public:
  ModelService(std::string name, std::uint64_t seed) : name_{std::move(name)}, random_{seed} {}

  // --- how it behaves; may be changed at any moment.
  plan::Contract contract = plan::Contract::key;
  bool can_be_asked = false;
  Millis visible_after{0};                            // from the execution until a query finds it
  double query_share = plan::QueryForm{}.rate_share;  // of the limit, for queries
  std::array<double, kQueryFates> query_faults{};
  double& fault(QueryFate fate) { return query_faults[static_cast<std::size_t>(fate)]; }
  std::array<double, kFates> faults{};  // probabilities; what is left is `answered`
  double& fault(Fate fate) { return faults[static_cast<std::size_t>(fate)]; }
  Millis latency_min{2};
  Millis latency_max{60};
  double slow_share = 0;  // of the calls that are carried out, how many take seconds
  Millis key_lifetime{std::chrono::hours{1}};
  double decline_share = 0;    // of the recipients: refused, for ever the same ones
  double exhaust_share = 0;    // of the recipients: always 429
  double broken_share = 0;     // of the recipients: always the same 500, never carried out
  double unknown_share = 0;    // of the recipients: always 404
  double silent_share = 0;     // of the recipients: a call with one never arrives
  std::string url;             // where it is; calls to elsewhere are answered 404; empty: anywhere
  std::int64_t long_wait = 0;  // seconds: a 429 that says so is the next answer, once
  double vague_share = 0;      // of the calls: queries about them are always answered `pending`
  double limit = 1e9;          // calls per second that nobody may exceed, all together
  int callers = 1;             // that share the limit
  bool has_copies = false;     // callers with one ledger: a key may come from more than one
  void begin_outage(Outage kind, Instant until);

  // --- what the world asks of it.
  // A call leaves its caller.  The ending is complete once advance() has come to its time.
  [[nodiscard]] std::shared_ptr<const Ending> call(const wire::HttpCall& call, Instant now,
                                                   Caller caller);
  // One with several issuances.
  [[nodiscard]] CallEnding call_batch(const std::vector<wire::HttpCall>& parts, Instant now,
                                      Caller caller);
  [[nodiscard]] std::shared_ptr<const Ending> query(const wire::HttpCall& call, Instant now);
  void advance(Instant now);
  [[nodiscard]] Instant next_event() const;

  // --- its journal.
  [[nodiscard]] const std::map<std::string, Execution>& journal() const { return journal_; }
  [[nodiscard]] bool executed(const std::string& request_id) const {
    return journal_.contains(request_id);
  }
  [[nodiscard]] std::int64_t calls() const { return calls_; }
  [[nodiscard]] std::int64_t queries() const { return queries_; }
  [[nodiscard]] std::int64_t batches() const { return batches_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  // A call or query that is on its way to the service.
  struct Visit {
    Instant arrives;
    Fate fate = Fate::answered;
    std::optional<QueryFate> asks{};
    std::string key;
    std::string body;
    Caller caller{};
    std::shared_ptr<Ending> ending;
  };
  // A caller that was told to wait: from when it knows, until when.
  struct Hold {
    Caller caller;
    Instant read;
    Instant until;
  };
  struct Answer {
    int status = 0;
    std::string body;
    Instant made;
    Instant busy_until;  // until then the execution is still going on
  };

  [[nodiscard]] Fate draw_fate(Instant now);
  [[nodiscard]] Fate fate_of(const std::vector<wire::HttpCall>& parts, Instant now);
  [[nodiscard]] std::shared_ptr<const Ending> send(const wire::HttpCall& call, Fate fate,
                                                   Instant now, Caller caller);
  void watch_call(Instant now, Caller caller);
  void watch(const wire::HttpCall& call, const std::string& key, bool in_batch, Caller caller);
  void watch_code(const std::string& key, const std::string& code);
  void watch_effect(const std::string& key);
  void fail_to_arrive(Fate fate, const wire::HttpCall& call, Instant now, Ending& ending);
  void arrive(Visit& visit);
  void answer_query(const Visit& visit);
  [[nodiscard]] QueryFate draw_query_fate(Instant now);
  void watch_rate(std::deque<Instant>& starts, double most, const char* what, Instant now);
  [[nodiscard]] Answer carry_out(const Visit& visit);
  void spoil(const Visit& visit, wire::HttpEnd& end);
  [[nodiscard]] bool is_one_of(double share, std::string_view what,
                               const std::string& recipient_id) const;
  void violation(std::string words);

  std::string name_;
  SeededRandom random_;
  std::optional<Outage> outage_;
  Instant outage_until_{};
  std::vector<Visit> visits_;
  std::map<std::string, Answer> answers_;           // by key
  std::map<std::string, std::string> bodies_;       // by key: the first one's
  std::map<std::string, bool> forms_;               // by key: whether the last came in a batch
  std::map<std::string, Execution> journal_;        // by request id
  std::deque<Instant> starts_;                      // of the last second, queries too
  std::deque<Instant> query_starts_;                // likewise, queries alone
  std::map<std::string, std::size_t> instances_;    // by key: who has called under it
  std::map<std::string, std::string> code_owners_;  // by code: the issuance
  std::map<std::string, std::string> effects_;      // by issuance: the request id
  std::vector<Hold> holds_;
  std::int64_t calls_ = 0;
  std::int64_t queries_ = 0;
  std::int64_t batches_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace vouch::test
