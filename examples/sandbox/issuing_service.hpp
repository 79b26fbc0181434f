// issuing_service.hpp: a coupon or balance service as a business would run it.
//
// It executes a call, unless it remembers the call's Idempotency-Key: then it gives the stored
// first answer, refusals included, and executes nothing.  The journal is its only store: in memory
// it keeps digests of keys and request ids and where their lines begin (about 200 bytes per
// execution), and after a restart it reads them back.
//
// What it answers may leave the house only after sync().
//
// Threads: one owner.
// Errors:  Errc::io when the journal fails: stop.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "examples/sandbox/journal.hpp"

namespace vouch::sandbox {

struct ServiceKind {
  std::string_view name;  // "coupons": path, journal and command line
  char reference_prefix;
  bool amount_required;
  bool code_required;
};
inline constexpr ServiceKind kServiceKinds[] = {
    {"coupons", 'c', false, false},
    {"balances", 'b', true, false},
    {"others", 'o', false, false},
    {"codes", 'k', false, true},
};

// How long an Idempotency-Key is remembered.  Whichever ends first; 0 keys remembers none.
struct KeyMemory {
  Millis age_max = std::chrono::hours{24};
  std::uint64_t keys_max = UINT64_MAX;
};

struct Answer {
  enum class From : std::uint8_t { execution, replay, refusal, mistake };
  int status = 200;
  std::string body;
  From from = From::execution;
};

struct ServiceCounters {
  std::uint64_t executions = 0;
  std::uint64_t replays = 0;   // answers repeated for a known key
  std::uint64_t refusals = 0;  // business refusals given, repeated ones aside
  std::uint64_t doubles = 0;   // executions beyond the first of a request id
};

class IssuingService {
 public:
  // Opens or makes the journal in `folder`, and reads it.
  [[nodiscard]] static Result<IssuingService> open(const ServiceKind& kind,
                                                   const std::string& folder, KeyMemory memory);

  // Carries out a call.  With `refusal` a new call is refused for that reason.
  [[nodiscard]] Result<Answer> perform(const Call& call, WallTime now,
                                       const std::optional<Refusal>& refusal);
  // From now on the key gets this answer, whatever was done for it.
  void remember_failure(const Call& call, WallTime now, const Refusal& failure);

  // The answer to a query by request id: issued, refused, or 404 when nothing is known or what is
  // known is younger than `age_min`.
  [[nodiscard]] Result<Answer> find(std::string_view request_id, WallTime now,
                                    Millis age_min) const;
  // The answer that another call got most lately; nothing was executed for others yet: nullopt.
  [[nodiscard]] Result<std::optional<std::string>> answer_of_another(const Call& call) const;

  [[nodiscard]] Result<void> sync();
  [[nodiscard]] bool is_synced() const;

  // Execution `index`, from 0.
  [[nodiscard]] Result<Execution> execution(std::uint64_t index) const;
  [[nodiscard]] const ServiceCounters& counters() const { return counters_; }
  [[nodiscard]] std::uint64_t execution_count() const { return offsets_.size(); }
  [[nodiscard]] std::uint64_t keys_known() const { return keys_.size(); }
  [[nodiscard]] std::uint64_t torn_bytes() const;
  [[nodiscard]] const ServiceKind& kind() const { return kind_; }

 private:
  struct DigestHash {
    std::size_t operator()(const Digest128& digest) const;
  };
  struct KnownKey {
    std::uint64_t offset = 0;  // of its line
    bool is_refusal = false;   // in the file of refusals
    std::uint64_t generation = 0;
  };
  struct RememberedKey {
    Digest128 key;
    WallTime since;
    std::uint64_t generation;
  };
  struct KnownRequest {
    std::uint64_t first = 0;  // index of its first execution
    std::uint64_t executions = 0;
  };

  IssuingService(const ServiceKind& kind, KeyMemory memory, AppendedFile executions,
                 AppendedFile refusals)
      : kind_{kind},
        memory_{memory},
        executions_{std::move(executions)},
        refusals_{std::move(refusals)} {}
  [[nodiscard]] Result<void> read_back();
  void note_execution(const Call& call, std::uint64_t offset);
  void remember(const Call& call, WallTime now, KnownKey known);
  void forget_old(WallTime now);
  [[nodiscard]] Result<Answer> find_refusal(const Digest128& digest, const Answer& absent) const;
  [[nodiscard]] Result<Answer> replay(const Call& call, const KnownKey& known) const;

  ServiceKind kind_;
  KeyMemory memory_;
  AppendedFile executions_;
  AppendedFile refusals_;
  std::vector<std::uint64_t> offsets_;  // of the line of each execution
  std::unordered_map<Digest128, KnownKey, DigestHash> keys_;
  std::deque<RememberedKey> by_age_;  // oldest first; a key remembered anew has a later entry
  std::unordered_map<Digest128, KnownRequest, DigestHash> requests_;
  std::uint64_t generation_ = 0;
  ServiceCounters counters_;
};

// {"reference":...,"request_id":...,"amount_minor":...,"currency":...,"status":"issued"}
[[nodiscard]] std::string issued_body(const Execution& execution);
// {"code":...,"message":...}
[[nodiscard]] std::string refusal_body(std::string_view code, std::string_view message);

}  // namespace vouch::sandbox
