#include "cli/issuance_words.hpp"

#include <algorithm>

#include "cli/open_exports.hpp"
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

// Whether the downstream can have seen anything of a call that was not answered.
std::string_view bytes_words(const store::EventRow& event) {
  if (!event.sends || event.http_status) return "";
  return *event.sends == 0 ? ", not one byte had left" : ", bytes had left";
}

std::string count_words(std::int64_t count, std::string_view one, std::string_view many) {
  if (count == 1) return "one " + std::string{one};
  return std::to_string(count) + " " + std::string{many};
}

std::string attempt_words(const store::EventRow& event) {
  std::string text = event.http_status ? "HTTP " + std::to_string(*event.http_status) : "no answer";
  if (!event.http_status && event.transport && *event.transport != 0) {
    text += " (" + std::string{wire::transport_name(*event.transport)} + ")";
  }
  if (event.duration_us) text += " after " + duration_text(*event.duration_us);
  if (event.kind == EventKind::attempt && event.shared_by) {
    text += ", in a call with " + count_words(*event.shared_by - 1, "other", "others");
  }
  text += bytes_words(event);
  if (event.outcome)
    text += ", " + std::string{outcome_words(static_cast<Outcome>(*event.outcome))};
  if (!event.reference.empty()) text += ", reference " + event.reference;
  if (!event.detail.empty()) text += ": " + event.detail;
  return text;
}

std::string when(WallTime at) {
  return format_time_local(at);
}

bool is_call(const store::EventRow& event) {
  return event.kind == EventKind::attempt || event.kind == EventKind::recovered;
}

std::string tried_words(const store::IssuanceRow& row,
                        const std::vector<store::EventRow>& history) {
  const auto calls = std::count_if(history.begin(), history.end(), is_call);
  const auto queries = std::count_if(history.begin(), history.end(), [](const auto& event) {
    return event.kind == EventKind::asked;
  });
  if (row.by_export && calls + queries == 0) {
    return "nobody is called about it: its code goes out by an export";
  }
  if (calls + queries == 0) return "no call is on record";
  const auto last = std::find_if(history.begin(), history.end(), is_try);
  std::string text = count_words(calls, "call", "calls");
  if (queries > 0) text += " and " + count_words(queries, "query", "queries");
  text += calls + queries == 1 ? ", at " : ", the last at ";
  text += when(last->at) + ": ";
  text += last->kind == EventKind::attempt ? attempt_words(*last) : std::string{words_of(*last)};
  if (!last->reply_digest.empty()) text += " (reply digest " + last->reply_digest + ")";
  return text;
}

std::string why_words(const store::IssuanceRow& row, const std::vector<store::EventRow>& history) {
  if (row.state == IssuanceState::sending && row.by_export) {
    return "it has had its code since " + when(row.intent) +
           ", and that a file has it is not confirmed yet";
  }
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

// When the downstream may have forgotten the key of a call; empty where that is no matter.
std::string key_words(const store::IssuanceRow& row, const IssuanceFacts& facts) {
  if (!row.doubt || facts.key_lifetime <= Millis{0}) return "";
  return ", but not after " + when(*row.doubt + facts.key_lifetime / 5 * 4) + ", when " +
         facts.downstream + " may have forgotten the key: then it is held";
}

// Under contract `query`, and first where both can be done, the downstream is asked.
std::string asking_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now) {
  std::string text = due_words(row, now, facts.downstream + " is asked what became of it");
  if (facts.contract == plan::Contract::key) {
    return text + ", then the same call is repeated under the same key" + key_words(row, facts);
  }
  return text + "; when two answers, both later than " + when(row.intent + facts.settled_after) +
         ", know nothing of it, it is called again under the same request id; after a day of "
         "asking for nothing it is held";
}

std::string doubt_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now) {
  const std::string kept = kept_by(facts);
  if (!facts.blocks.empty()) return "it waits: " + kept;
  if (facts.contract == plan::Contract::none) {
    return "nobody can ask or repeat under contract none: it is held as soon as vouchd looks at it";
  }
  if (facts.contract == plan::Contract::query) return asking_words(row, facts, now);
  // A paused job is asked about, and repeats nothing.
  if (!kept.empty() && !facts.can_be_asked) return "it waits: " + kept;
  if (!kept.empty()) return "it is asked about and not repeated: " + kept;
  if (facts.can_be_asked) return asking_words(row, facts, now);
  return due_words(row, now, "the same call is repeated under the same key") +
         key_words(row, facts);
}

std::string start_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now,
                        std::string_view what) {
  if (facts.job_state == "cancelling") return "it is cancelled with its job";
  if (facts.finish_by && now >= *facts.finish_by) {
    return "it expires: its job was to finish by " + when(*facts.finish_by);
  }
  const std::string kept = kept_by(facts);
  if (!kept.empty()) return "it waits: " + kept;
  std::string text = due_words(row, now, what);
  if (facts.finish_by) text += "; if it has not by " + when(*facts.finish_by) + ", it expires";
  return text;
}

// Whether its code is known: to an older copy of the ledger it is not.
bool has_code(const std::vector<store::EventRow>& history) {
  return !history.empty() && history.front().kind == EventKind::exported;
}

std::string export_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now,
                         const std::vector<store::EventRow>& history) {
  const std::string kept = kept_by(facts);
  switch (row.state) {
    case IssuanceState::planned:
    case IssuanceState::waiting:
      if (facts.job_state == "cancelling") return "it is cancelled with its job";
      if (facts.finish_by && now >= *facts.finish_by) {
        return "it expires: its job was to finish by " + when(*facts.finish_by);
      }
      if (!kept.empty()) return "no export can take it: " + kept;
      return "nothing by itself: an export of the pool " + facts.pool + " gives it its code" +
             (facts.finish_by ? "; if none has by " + when(*facts.finish_by) + ", it expires" : "");
    case IssuanceState::sending:
      return "it is issued when the export has its file on the disk; after a stop of vouchd it "
             "counts as in doubt, and the next export writes the same code";
    case IssuanceState::in_doubt:
      if (!has_code(history)) return "nothing, until people decide";
      return "the next export of its job writes the same code, and confirms it";
    default:
      return row.state == IssuanceState::issued ? "nothing: it is given" : "nothing by itself";
  }
}

std::string next_words(const store::IssuanceRow& row, const IssuanceFacts& facts, WallTime now) {
  switch (row.state) {
    case IssuanceState::planned:
      return start_words(row, facts, now, "its call starts");
    case IssuanceState::sending:
      return "the call's outcome is recorded; after a stop of vouchd it counts as in doubt" +
             std::string{facts.contract == plan::Contract::none ? ", and is held" : ""};
    case IssuanceState::waiting:
      return start_words(row, facts, now, "it is tried again");
    case IssuanceState::in_doubt:
      return doubt_words(row, facts, now);
    case IssuanceState::held:
      return "nothing, until people decide";
    case IssuanceState::issued:
      return "nothing: it is given";
    default:
      return "nothing by itself";
  }
}

// How people settle it, with the whole commands.
std::string resolve_words(const store::IssuanceRow& row, const IssuanceFacts& facts) {
  const std::string id = format_request_id(row.key, row.round);
  const std::string resolve = "vouchctl issuance resolve " + id + " --reason WHY --as ";
  return "find out at " + facts.downstream + " whether it knows the request id " + id +
         ".  If it was executed: " + resolve + "issued --reference REF; if it is proven that it " +
         "was not, and it is to be called again: " + resolve +
         "waiting; if it is not to be given any more: " + resolve +
         "failed.  A statement settles it as well: vouchctl reconcile " + facts.downstream +
         " --statement FILE --resolve";
}

std::string doubt_advice(const store::IssuanceRow& row, const IssuanceFacts& facts) {
  const bool repeats = facts.contract == plan::Contract::key;
  if (repeats && (facts.job_state == "unsettled" || facts.job_state == "cancelling")) {
    return "repeat it under its key: vouchctl job cancel " + facts.job +
           " --settle-by-repeat; or " + resolve_words(row, facts);
  }
  return "nothing need be done; if it cannot wait, " + resolve_words(row, facts);
}

std::string export_doubt_advice(const store::IssuanceRow& row, const IssuanceFacts& facts,
                                const std::vector<store::EventRow>& history) {
  const std::string id = format_request_id(row.key, row.round);
  const std::string resolve = "vouchctl issuance resolve " + id + " --reason WHY --as ";
  if (!has_code(history)) {
    return "this copy of the ledger does not know whether it was exported: look for " + id +
           " in the exported files.  If it is there: " + resolve +
           "issued --reference FILE; if it is in none: " + resolve + "waiting";
  }
  return "export again, the code stays the same: " + export_command(facts.pool, facts.job) +
         ".  If the file was destroyed and the recipient is to get nothing: " + resolve + "failed";
}

std::string rerun_words(const store::IssuanceRow& row, const IssuanceFacts& facts) {
  if (facts.job.empty()) return "a single issuance is not called again";
  return "vouchctl job rerun " + facts.job + " --state " + std::string{name_of(row.state)};
}

std::string advice_words(const store::IssuanceRow& row, const IssuanceFacts& facts,
                         const std::vector<store::EventRow>& history) {
  if (row.by_export && row.state == IssuanceState::in_doubt) {
    return export_doubt_advice(row, facts, history);
  }
  const bool open = !is_final(row.state) && row.state != IssuanceState::held;
  if (open && !facts.block_advice.empty()) return facts.block_advice;
  if (open && !facts.blocks.empty())
    return "resume or start what keeps it, when its reason is gone";
  const bool settles_itself = row.state == IssuanceState::in_doubt && facts.job_state != "paused";
  if (open && !settles_itself && !kept_by(facts).empty()) return facts.job_advice;
  if (row.by_export && (open || row.state == IssuanceState::issued)) {
    const std::string again = row.state == IssuanceState::issued
                                  ? "if the recipient has not got it, export the code again: "
                                  : "as an administrator: ";
    return again + export_command(facts.pool, facts.job);
  }
  switch (row.state) {
    case IssuanceState::held:
      return resolve_words(row, facts);
    case IssuanceState::in_doubt:
      return doubt_advice(row, facts);
    case IssuanceState::declined:
      return "if the cause is mended: " + rerun_words(row, facts);
    case IssuanceState::failed:
    case IssuanceState::cancelled:
    case IssuanceState::expired:
    case IssuanceState::skipped:
      return rerun_words(row, facts);
    case IssuanceState::issued:
      return "if the recipient has not got it, hold it against the downstream's statement: "
             "vouchctl reconcile " +
             facts.downstream + " --statement FILE";
    default:
      return "";
  }
}

}  // namespace

bool is_try(const store::EventRow& event) {
  return event.kind == EventKind::attempt || event.kind == EventKind::recovered ||
         event.kind == EventKind::asked;
}

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

std::string_view words_of(const store::IssuanceRow& row) {
  if (!row.by_export) return words_of(row.state);
  switch (row.state) {
    case IssuanceState::planned:
    case IssuanceState::waiting:
      return "waits until people export its code";
    case IssuanceState::sending:
      return "its code is being exported";
    case IssuanceState::in_doubt:
      return "its code may stand in a file; an export settles it";
    case IssuanceState::issued:
      return "given: its code was exported";
    case IssuanceState::cancelled:
      return "stopped before an export took a code for it";
    case IssuanceState::expired:
      return "its time was over before an export took a code for it";
    default:
      return words_of(row.state);
  }
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
    case EventKind::exported:
      if (event.to_state == static_cast<int>(IssuanceState::issued)) {
        return "its code was exported, reference " + event.reference;
      }
      return "an export that took it is not confirmed" + detail;
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
  out.where =
      facts.item + " of " + facts.campaign + " is " + state + ": " + std::string{words_of(row)};
  out.why = why_words(row, history);
  out.tried = tried_words(row, history);
  out.next = row.by_export ? export_words(row, facts, now, history) : next_words(row, facts, now);
  out.advice = advice_words(row, facts, history);
  return out;
}

}  // namespace vouch::cli
