// intent.hpp: a call that is wanted, and how it ended; what travels between the threads.
//
//   intake -> Intent -> ledger writer (durable as `sending`) -> ready queue -> engine
//   engine -> AttemptEnd -> ledger writer (state, evidence and one event in one transaction)
//
// Threads: values; each belongs to one thread at a time and is moved on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/campaign.hpp"
#include "common/plan/downstream.hpp"
#include "common/store/pool_row.hpp"
#include "common/wire/transport.hpp"
#include "daemon/data/lease.hpp"

namespace vouch::data {

// All that is needed to make one call durable, to send it and to judge its answer.
struct Intent {
  IssuanceKey key;
  std::uint8_t round = 0;
  std::int64_t campaign_number = 0;  // of this ledger
  std::int64_t job_number = 0;
  std::int32_t range = 0;
  int campaign_version = 0;
  int downstream_version = 0;
  ObjectId downstream = 0;
  std::shared_ptr<const plan::Campaign> campaign;
  std::shared_ptr<const plan::Downstream> definition;  // of downstream_version
  std::optional<std::int64_t> amount_minor;
  std::string request_id;
  std::string url;                   // empty: the definition's
  std::vector<std::string> headers;  // those the definition asks for: "Name: value"
  std::string body;
  Digest128 call_digest{};  // of method, URL, key and body
  LeasePtr lease;           // under which it is called; kept until its end is recorded

  std::shared_ptr<const store::PoolRow> pool;  // of an item of kind code, else null
  std::optional<std::int64_t> ordinal;         // of its code in the pool, once it has one
  std::string code;                            // a secret: into the call, and nowhere else

  bool by_export = false;  // nobody is called: the row waits for an export, which gives it a code
  bool fresh = false;      // a row to insert; else one to take from `from`
  bool single = false;     // before bulk
  bool probe = false;      // sent although its job is paused for setup
  bool asks = false;       // a query about a call that is in doubt; it stays in doubt meanwhile
  IssuanceState from = IssuanceState::planned;
  // When the row became `sending`; of a row in doubt, when its latest call began at the latest.
  WallTime intent_at;
  std::optional<WallTime> doubt_since;  // intent of the earliest attempt that may have acted
  int attempts = 0;
  int strikes = 0;
  std::optional<std::int64_t> last_event;
  std::optional<WallTime> last_attempt_at;  // of the attempt before, when there was one
  int last_status = 0;
  Digest128 last_reply{};
  bool was_asked = false;                 // the last event is the end of a query
  int unanswered_with = 0;                // issuances in its latest call, if nobody answered that
  int asked = 0;                          // queries answered without a result
  std::optional<WallTime> missing_since;  // first settled "not found"
  bool known = false;                     // a query was answered: the downstream knows the call

  [[nodiscard]] const plan::Item& item() const { return campaign->items[key.item]; }
};

// Whether the next call of a row is made anew, under the present definitions: nothing of this round
// can have been executed.  What may have been executed is repeated byte by byte, or not at all.
[[nodiscard]] constexpr bool makes_new_call(IssuanceState state,
                                            const std::optional<WallTime>& doubt_since) {
  return state == IssuanceState::planned || (state == IssuanceState::waiting && !doubt_since);
}

// How an attempt or a query ended, and what the policy made of it.
struct AttemptEnd {
  Intent intent;
  EventKind kind = EventKind::attempt;
  Outcome outcome = Outcome::unknown;
  IssuanceEvent step = IssuanceEvent::lose;  // from `sending`; of a query from `in_doubt`
  bool gives_up = false;                     // after `clear`: nor is it called again
  std::optional<WallTime> next_at;           // set when the step leads to waiting or in_doubt
  std::optional<WallTime> doubt_since;       // as it stands after this attempt
  int attempts = 0;
  int strikes = 0;
  int asked = 0;
  std::optional<WallTime> missing_since;
  bool known = false;
  WallTime started_at;  // of the call or query; `at` is when it ended
  WallTime at;
  int http_status = 0;
  wire::Transport transport = wire::Transport::complete;
  int sends = 0;
  int shared_by = 1;  // issuances that the call held; of a query the intent's unanswered_with
  std::int64_t duration_us = 0;
  std::string reference;
  std::string detail;
  std::optional<Digest128> reply_digest;
};

}  // namespace vouch::data
