#include "cli/outcome_words.hpp"

#include "common/text.hpp"

namespace vouch::cli {
namespace {

std::string table_name(bool asks) {
  return asks ? "the queries' outcome table" : "the outcome table";
}

std::string rule_text(const plan::OutcomeRule& rule, std::size_t row, bool asks) {
  std::string text = "rule " + std::to_string(row + 1) + " of " + table_name(asks) + ": status " +
                     status_text(rule);
  if (rule.pointer.empty()) return text;
  return text + ", " + rule.pointer + (rule.value ? " is " + *rule.value : " is there");
}

std::string doubt_consequence(const plan::Downstream& downstream) {
  const std::string repeat =
      "the same call is repeated until its key is " +
      format_duration(downstream.key_lifetime / 5 * 4) +
      " old (0.8 of the key lifetime), then the row is held; three times the same 5xx or other "
      "answer that cannot be used hold it sooner";
  switch (downstream.contract) {
    case plan::Contract::key:
      return downstream.query ? "in doubt: the downstream is asked first; then " + repeat
                              : "in doubt: " + repeat;
    case plan::Contract::query:
      return "in doubt: the downstream is asked, " +
             format_duration(downstream.timeout + downstream.settle_time) +
             " after the call at the earliest where it knows nothing; the call is made again only "
             "after two such answers a minute apart";
    case plan::Contract::none:
      break;
  }
  return "held at once: under contract none nobody can ask or repeat";
}

std::string call_consequence(const plan::Downstream& downstream, Outcome outcome) {
  switch (outcome) {
    case Outcome::issued:
      return "issued, for ever, with this reference as evidence";
    case Outcome::declined:
      return "declined, which is final; `job rerun --state declined` would call again under a new "
             "request id";
    case Outcome::not_executed:
      return "waiting: called again after a growing delay, or after Retry-After; failed once its "
             "attempts are used up";
    case Outcome::setup:
      return "waiting, and the attempt is not counted; its job pauses for setup and goes on by "
             "itself once a probe a minute succeeds";
    case Outcome::unknown_setup:
      return doubt_consequence(downstream) + "; and the job pauses for setup";
    case Outcome::hold:
      return "held: people decide about this row";
    case Outcome::unknown:
    case Outcome::unstarted:
    case Outcome::not_found:
      break;
  }
  return doubt_consequence(downstream);
}

std::string query_consequence(const plan::Downstream& downstream, Outcome outcome) {
  switch (outcome) {
    case Outcome::issued:
      return "issued, for ever, with this reference as evidence";
    case Outcome::declined:
      return "declined, which is final";
    case Outcome::hold:
      return "held: people decide about this row";
    case Outcome::not_found:
      return "believed at the second time: both at least " +
             format_duration(downstream.timeout + downstream.settle_time) +
             " after the call, and a minute apart; then the call is made again";
    default:
      break;
  }
  return "still in doubt: asked again later; eight such answers hold the row";
}

}  // namespace

std::string status_text(const plan::OutcomeRule& rule) {
  if (rule.status_min == rule.status_max) return std::to_string(rule.status_min);
  return std::to_string(rule.status_min) + "-" + std::to_string(rule.status_max);
}

std::string decided_by(const plan::Downstream& downstream, const plan::ReplyReading& reading,
                       int status, bool asks) {
  const std::string by_protocol = "the protocol's rule for HTTP " + std::to_string(status) +
                                  ", since no rule of " + table_name(asks) + " fits";
  const std::string by_rule =
      reading.row ? rule_text(plan::table_of(downstream, asks)[*reading.row], *reading.row, asks)
                  : by_protocol;
  switch (reading.rule) {
    case plan::ReplyRule::evidence:
      return "the evidence: " + reading.detail + "; else issued by " + by_rule;
    case plan::ReplyRule::another_id:
      return "the evidence: " + reading.detail + "; else " + by_rule;
    case plan::ReplyRule::no_result:
      return "the batch: " + reading.detail;
    case plan::ReplyRule::table:
    case plan::ReplyRule::status:
      break;
  }
  return by_rule;
}

std::string consequence(const plan::Downstream& downstream, Outcome outcome, bool asks) {
  return asks ? query_consequence(downstream, outcome) : call_consequence(downstream, outcome);
}

}  // namespace vouch::cli
