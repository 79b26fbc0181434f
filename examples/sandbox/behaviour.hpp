// behaviour.hpp: how a service of the sandbox behaves and misbehaves, as data.
//
// The same document is given as JSON (PUT /faults, --faults FILE) and, piece by piece, on the
// command line (--fault coupons:lost=0.1%); vouch-sandbox(1) describes it.  What happens to a call
// is drawn from a seeded generator, one after another in the order in which calls arrive.
//
// Threads: one owner.
// Errors:  decoding gives Errc::invalid with a JSON pointer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "daemon/access/http_server.hpp"
#include "examples/sandbox/journal.hpp"

namespace vouch::sandbox {

enum class FaultKind : std::uint8_t {
  throttled,
  error,
  lost,
  closed,
  reset,
  cut,
  slow,
  malformed,
  truncated,
  wrong_type,
  swapped,
  wrong_amount,
  wrong_currency,
  unauthorized,
  forbidden,
  redirect,
  partial,
  halfway,
};
inline constexpr std::size_t kFaultKindCount = static_cast<std::size_t>(FaultKind::halfway) + 1;

struct FaultKindTraits {
  FaultKind kind;
  std::string_view name;
  bool executes;     // unless told otherwise
  bool reused_only;  // unless told otherwise
  bool batch_only;   // strikes no single call
  int status;        // unless told otherwise; 0 where there is none to choose
  std::string_view words;
};

[[nodiscard]] std::span<const FaultKindTraits> fault_kinds();
[[nodiscard]] const FaultKindTraits& traits_of(FaultKind kind);

enum class AppliesTo : std::uint8_t { calls, queries, all };

// One thing that goes wrong.  Of several the first that is drawn happens.
struct FaultRule {
  FaultKind kind = FaultKind::error;
  double probability = 1;
  std::uint64_t after = 0;             // so many calls are spared first
  std::optional<std::uint64_t> count;  // then it happens so often and not again
  AppliesTo applies_to = AppliesTo::calls;
  bool executes = false;
  bool reused_only = false;  // only on a connection that has had an answer before
  int status = 500;
  bool sticky = false;      // error: the key gets this answer from now on
  bool fixed_body = false;  // error: no trace id that varies
  std::string retry_after = "1";
  std::uint64_t bytes = 40;                                  // cut: so much of the answer arrives
  access::ConnectionEnd end = access::ConnectionEnd::reset;  // cut: and then
  Millis byte_gap{50};                                       // slow: between two bytes
  Millis listener_closed{0};  // closed, reset: nobody can connect for so long

  std::uint64_t seen = 0;  // calls it applied to
  std::uint64_t fired = 0;
};

struct LatencyModel {
  enum class Kind : std::uint8_t { none, fixed, uniform, lognormal };
  Kind kind = Kind::none;
  double first_ms = 0;   // fixed: all; uniform: least; lognormal: median
  double second_ms = 0;  // uniform: most; lognormal: 99th percentile
  [[nodiscard]] Nanos draw(Random& random) const;
};

// More calls than this are turned away without being executed.
struct Capacity {
  double calls_per_second = 0;
  double burst = 1;  // calls at once after a rest
  int status = 429;
  std::string retry_after = "1";
};

// Recipients who are refused for a business reason: always the same ones.
struct RefusalRule {
  double probability = 0;                 // share of recipients, by hash of the id
  std::vector<std::string> recipients{};  // and these
  Refusal refusal{422, "RECIPIENT_BLOCKED", "the recipient is blocked"};
  [[nodiscard]] bool hits(std::string_view recipient_id) const;
};

struct ServiceBehaviour {
  LatencyModel latency;
  std::optional<Capacity> capacity;
  std::vector<RefusalRule> refusals;
  std::vector<FaultRule> faults;
  Millis visible_after{0};  // queries and statements do not show what is younger
  bool paused = false;      // calls are taken and wait, unexecuted, until it is over

  [[nodiscard]] std::optional<Refusal> refusal_of(std::string_view recipient_id) const;
  struct Struck {
    bool is_query = false;
    bool is_batch = false;
    bool reused_connection = false;
  };
  // The rule that strikes this call, counted; nullptr for none.
  [[nodiscard]] const FaultRule* draw_fault(Random& random, const Struck& call);
};

// Lets `calls_per_second` through, `burst` of them at once (GCRA).
class CapacityMeter {
 public:
  [[nodiscard]] bool admit(const Capacity& capacity, Instant now);

 private:
  Instant theoretical_{};
};

inline constexpr std::size_t kFaultRulesMax = 64;

// The JSON of one service's behaviour.
[[nodiscard]] Result<ServiceBehaviour> decode_behaviour(std::string_view json,
                                                        const std::string& pointer = "");
[[nodiscard]] std::string encode_behaviour(const ServiceBehaviour& behaviour);

// A document {"coupons": {...}, "balances": {...}, "others": {...}}; a service that is not named
// behaves well.  In the order of kServiceKinds.
[[nodiscard]] Result<std::vector<ServiceBehaviour>> decode_behaviours(std::string_view json);

// The command line's form, [SERVICE:]KIND[=PROBABILITY][,name=value]..., as a part of such a
// document.  `option` is fault, latency, capacity or refusals.
struct BehaviourOption {
  std::string_view option;
  std::string_view text;
};
[[nodiscard]] Result<std::string> document_from_options(std::span<const BehaviourOption> options,
                                                        std::string_view base_document);

}  // namespace vouch::sandbox
