#include "cli/issuance_words.hpp"

#include <algorithm>

#include "common/text.hpp"
#include "common/wire/transport.hpp"

namespace vouch::cli {
namespace {

std::string duration_text(std::int64_t duration_us) {
  return duration_us < 1000 ? std::to_string(duration_us) + "us"
                            : format_duration(Millis{duration_us / 1000});
}

std::string_view outcome_words(Outcome outcome) {
  switch (outcome) {
    case Outcome::issued:
      return "issued, with evidence";
    case Outcome::declined:
      return "declined";
    case Outcome::not_executed:
      return "not executed";
    case Outcome::unknown:
      return "may have been executed";
    case Outcome::setup:
      return "not executed: credentials, URL or contract are wrong";
    case Outcome::unknown_setup:
      return "may have been executed, and the setup is wrong";
    case Outcome::unstarted:
      return "never started";
    case Outcome::hold:
      return "the outcome table says that people decide";
    case Outcome::not_found:
      return "the downstream knows of no such call";
  }
  return "";
}

std::string attempt_words(const store::EventRow& event) {
  std::string text = event.http_status ? "HTTP " + std::to_string(*event.http_status) : "no answer";
  if (!event.http_status && event.transport && *event.transport != 0) {
    text += " (" + std::string{wire::transport_name(*event.transport)} + ")";
  }
  if (event.duration_us) text += " after " + duration_text(*event.duration_us);
  if (event.outcome)
    text += ", " + std::string{outcome_words(static_cast<Outcome>(*event.outcome))};
  if (!event.reference.empty()) text += ", reference " + event.reference;
  if (!event.detail.empty()) text += ": " + event.detail;
  return text;
}

std::string when(WallTime at) {
  return format_time_local(at);
}

bool is_attempt(const store::EventRow& event) {
  return event.kind == EventKind::attempt || event.kind == EventKind::recovered;
}

std::string tried_words(const std::vector<store::EventRow>& history) {
  const auto attempts = std::count_if(history.begin(), history.end(), is_attempt);
  if (attempts == 0) return "no call is on record";
  const auto last = std::find_if(history.begin(), history.end(), is_attempt);
  std::string text = attempts == 1 ? "one call" : std::to_string(attempts) + " calls";
  text += attempts == 1 ? ", at " : ", the last at ";
  text += when(last->at) + ": ";
  text += last->kind == EventKind::attempt ? attempt_words(*last) : std::string{words_of(*last)};
  if (!last->reply_digest.empty()) text += " (reply digest " + last->reply_digest + ")";
  return text;
}

std::string why_words(const store::IssuanceRow& row, const std::vector<store::EventRow>& history) {
  if (row.state == IssuanceState::sending) {
    return "its intent is durable since " + when(row.intent) +
           ", and the outcome of that call is not recorded yet";
  }
  return history.empty() ? "nothing has happened to it yet" : words_of(history.front());
}

// What keeps the job from moving this issuance on; empty when nothing does.
std::string kept_by(const IssuanceFacts& facts) {
  if (!facts.blocks.empty()) return join(facts.blocks, "; ");
  if (facts.job_state == "paused" || facts.job_state == "unsettled") {
    return "the job " + facts.job + " is " + facts.job_state + ": " + facts.job_obstacle;
  }
  if (facts.job_state == "scheduled") return "the job " + facts.job + " has not started yet";
  return {};
}

std::string due_words(const store::IssuanceRow& row, WallTime now, std::string_view what) {
  if (!row.next_at || *row.next_at <= now) return std::string{what} + " as soon as there is room";
  return std::string{what} + " at " + when(*row.next_at);
}

std::string doubt_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now) {
  std::string text = due_words(row, now, "the same call is repeated under the same key");
  if (row.doubt && facts.key_lifetime > Millis{0}) {
    text += ", but not after " + when(*row.doubt + facts.key_lifetime / 5 * 4) + ", when " +
            facts.downstream + " may have forgotten the key";
  }
  return text;
}

std::string next_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now) {
  const std::string kept = kept_by(facts);
  switch (row.state) {
    case IssuanceState::planned:
      return kept.empty() ? due_words(row, now, "its call starts") : "it waits: " + kept;
    case IssuanceState::sending:
      return "the call's outcome is recorded; after a stop of vouchd it counts as in doubt";
    case IssuanceState::waiting:
      return kept.empty() ? due_words(row, now, "it is tried again") : "it waits: " + kept;
    case IssuanceState::in_doubt:
      return kept.empty() ? doubt_words(row, facts, now) : "it waits: " + kept;
    case IssuanceState::held:
      return "nothing, until people decide";
    case IssuanceState::issued:
      return "nothing: it is given";
    default:
      return "nothing by itself";
  }
}

std::string advice_words(const store::IssuanceRow& row, const IssuanceFacts& facts) {
  const bool open = !is_final(row.state) && row.state != IssuanceState::held;
  if (open && !facts.block_advice.empty()) return facts.block_advice;
  if (open && !facts.blocks.empty())
    return "resume or start what keeps it, when its reason is gone";
  if (open && !kept_by(facts).empty()) return facts.job_advice;
  switch (row.state) {
    case IssuanceState::held:
      return "ask " + facts.downstream +
             " whether it knows the request id; the row stays as it is until then";
    case IssuanceState::declined:
      return "if the cause is mended: vouchctl job rerun " + facts.job + " --state declined";
    case IssuanceState::failed:
    case IssuanceState::cancelled:
    case IssuanceState::expired:
    case IssuanceState::skipped:
      return "vouchctl job rerun " + facts.job + " --state " + std::string{name_of(row.state)};
    case IssuanceState::issued:
      return "";
    default:
      return "";
  }
}

}  // namespace

std::string_view words_of(IssuanceState state) {
  switch (state) {
    case IssuanceState::planned:
      return "waits for its turn";
    case IssuanceState::sending:
      return "a call is on its way";
    case IssuanceState::waiting:
      return "was not executed; it is tried again";
    case IssuanceState::in_doubt:
      return "may have been executed; it is settled by asking or by a repeat";
    case IssuanceState::held:
      return "people must decide";
    case IssuanceState::issued:
      return "given";
    case IssuanceState::declined:
      return "the downstream refused it";
    case IssuanceState::failed:
      return "every attempt failed, none was executed";
    case IssuanceState::cancelled:
      return "stopped before any call could act";
    case IssuanceState::expired:
      return "its time was over before any call could act";
    case IssuanceState::skipped:
      return "the campaign's rules said no";
  }
  return "";
}

std::string reason_of(const store::IssuanceRow& row, const std::optional<store::EventRow>& last) {
  if (!last || row.state == IssuanceState::issued || row.state == IssuanceState::sending) return {};
  return last->detail;
}

std::string words_of(const store::EventRow& event) {
  const std::string detail = event.detail.empty() ? "" : ": " + event.detail;
  switch (event.kind) {
    case EventKind::attempt:
      return attempt_words(event);
    case EventKind::recovered:
      return "vouchd stopped while the call may have been out" + detail;
    case EventKind::unstarted:
      return "taken back before any byte left" + detail;
    case EventKind::cancelled:
      return "the job was cancelled" + detail;
    case EventKind::expired:
      return "its time was over" + detail;
    case EventKind::held:
      return "held" + detail;
    case EventKind::gave_up:
      return "its attempts are used up" + detail;
    case EventKind::rerun:
      return "taken over by a rerun" + detail;
    case EventKind::statement:
      return "settled by the downstream's " + event.detail;
    case EventKind::resolved:
      return "settled by people: " + event.detail +
             (event.reference.empty() ? "" : ", reference " + event.reference);
    case EventKind::asked:
      return "asked: " + attempt_words(event);
    case EventKind::job:
    case EventKind::downstream:
    case EventKind::daemon:
      return event.detail;
  }
  return event.detail;
}

Explanation explain(const store::IssuanceRow& row, const std::vector<store::EventRow>& history,
                    const IssuanceFacts& facts, WallTime now) {
  Explanation out;
  std::string state{name_of(row.state)};
  std::replace(state.begin(), state.end(), '_', ' ');
  out.where = facts.item + " of " + facts.campaign + " is " + state + ": " +
              std::string{words_of(row.state)};
  out.why = why_words(row, history);
  out.tried = tried_words(history);
  out.next = next_words(row, facts, now);
  out.advice = advice_words(row, facts);
  return out;
}

}  // namespace vouch::cli
