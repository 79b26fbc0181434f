// downstream.hpp: what an HTTP service that issues is, and what its answers mean.
//
// A definition is an immutable version: URL, contract, time limits, outcome table.  Rates are not
// part of it, since operators change them at any moment (common/store/control_store.hpp).
//
// The outcome table maps (status, JSON pointer, value) to an outcome; the first row that matches
// decides, then the protocol's own rules for statuses.  What no row and no rule knows is unknown.
//
// Threads: values.   Errors: decoding names the place as a JSON pointer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/batch_form.hpp"
#include "common/plan/campaign.hpp"
#include "common/plan/request_form.hpp"
#include "common/result.hpp"

namespace vouch::plan {

// What the downstream promises about a call whose answer was lost.  No default: somebody must know.
enum class Contract : std::uint8_t {
  key,    // honours an idempotency key: the same call again has no second effect
  query,  // can be asked by request id what became of a call
  none,   // neither: what is in doubt is held for people
};
[[nodiscard]] std::string_view name_of(Contract contract);

// What the outcome table can say.  `retry` is Outcome::not_executed.
struct OutcomeRule {
  int status_min = 0;  // 200..200 or 400..499
  int status_max = 0;
  std::string pointer;               // JSON pointer into the reply; empty: the status decides
  std::optional<std::string> value;  // as JSON text without quotes; none: the pointer exists
  Outcome outcome = Outcome::unknown;
};
inline constexpr std::size_t kOutcomeRulesMax = 200;
// The table's word for an outcome: "retry", "in_doubt".
[[nodiscard]] std::string_view word_of(Outcome outcome);

// How to ask what became of a call: GET, with the id in the place of {request_id}.
struct QueryForm {
  std::string url;
  double rate_share = 0.2;            // of the target rate: the pace of asking
  std::vector<OutcomeRule> outcomes;  // also `not_found`; a 2xx with the evidence is `issued`
};
inline constexpr std::string_view kRequestIdPlace = "{request_id}";

// Where the downstream tells what it did, page by page: GET, with the place to go on from and the
// size of a page as parameters.  The pointers lead from the document to its entries and to the
// next place (null on the last page), the others from an entry to what it says.
struct StatementForm {
  std::string url;
  int page_entries = 1000;
  std::string after_parameter = "after";
  std::string limit_parameter = "limit";
  std::string entries_pointer = "/entries";
  std::string next_pointer = "/next_after";
  std::string request_id_pointer = "/request_id";
  std::string reference_pointer = "/reference";
  std::string recipient_pointer = "/recipient_id";
  std::string amount_pointer = "/amount_minor";
  bool amount_is_minor = true;  // 1250; else 12.50
  std::string currency_pointer = "/currency";
  std::string time_pointer = "/time_ms";
  std::string status_pointer;         // empty: every entry was executed
  std::vector<std::string> executed;  // the statuses that mean it; empty: "issued"
};
inline constexpr int kStatementPageMax = 10'000;
inline constexpr std::size_t kStatementWordsMax = 20;

// With contract `none` more than this in flight would be too much to clear up by hand.
inline constexpr int kInFlightMaxUncertain = 16;

struct Downstream {
  std::string name;
  VoucherKind kind = VoucherKind::coupon;
  std::string url;          // of the issuing call, POST, unless `request` says so
  bool allow_http = false;  // a plain http:// URL is refused unless this says so
  Contract contract = Contract::key;
  Millis timeout{10'000};  // of a whole call
  Millis connect_timeout{2'000};
  Millis key_lifetime{86'400'000};      // how long the downstream remembers a key
  Millis settle_time{60'000};           // after a call's timeout: until then it may still act
  std::optional<QueryForm> query;       // required with contract `query`, possible with `key`
  int in_flight_max = 64;               // calls sent and not yet answered, 1..1024
  bool sheds_before_executing = false;  // 503 then proves that nothing was executed
  std::string bearer_file;             // file with a token for "Authorization: Bearer"; empty: none
  std::string code_pointer = "/code";  // the business code in a refusal
  std::string reference_pointer = "/reference";  // in a success
  std::string id_pointer = "/request_id";
  std::string amount_pointer = "/amount_minor";
  bool amount_is_minor = true;  // in replies: 1250; else 12.50
  std::string currency_pointer = "/currency";
  std::string address_allow;  // CIDR that the peer must be in; empty: any
  std::vector<OutcomeRule> outcomes;
  std::optional<StatementForm> statement;  // none: statements come as files
  std::optional<RequestForm> request;      // none: POST to `url` with the usual body
  std::optional<SigningForm> signing;
  std::optional<BatchForm> batch;  // none: a call for each issuance

  // How many issuances a call may hold.
  [[nodiscard]] int issuances_per_call() const { return batch ? batch->issuances_max : 1; }
};

[[nodiscard]] Result<Downstream> parse_downstream(std::string_view json_text);
[[nodiscard]] std::string to_json(const Downstream& downstream);
// An outcome table from a file of its own: a JSON array of rules.
[[nodiscard]] Result<std::vector<OutcomeRule>> parse_outcomes(std::string_view json_text);
[[nodiscard]] Result<std::vector<OutcomeRule>> parse_query_outcomes(std::string_view json_text);
// A rule a line, for people to edit.
[[nodiscard]] std::string to_json_lines(const std::vector<OutcomeRule>& rules);

// Rates shown: limit L, warning W, and the target T = 0.95 W that is kept.
[[nodiscard]] constexpr double target_rate(double warning_rate) {
  return 0.95 * warning_rate;
}
[[nodiscard]] constexpr double default_warning_rate(double limit) {
  return 0.90 * limit;
}

// A URL that may be called: http or https, a host, no user part, no control bytes.
[[nodiscard]] Result<void> check_url(std::string_view url);

}  // namespace vouch::plan
