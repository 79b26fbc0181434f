#include "cli/downstream_condition.hpp"

#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

// Scripts get the stable word.
Value condition_value(DownstreamCondition condition, bool for_people) {
  if (!for_people) return name_of(condition);
  switch (condition) {
    case DownstreamCondition::away:
      return Value{"does not answer"}.tone(Tone::bad);
    case DownstreamCondition::holds:
      return Value{"asks to wait"}.tone(Tone::warn);
    case DownstreamCondition::mute:
      return Value{"answers no query"}.tone(Tone::bad);
    case DownstreamCondition::answers:
      break;
  }
  return name_of(condition);
}

}  // namespace

Result<Conditions> conditions_of(store::LedgerView* ledger, const DaemonState& daemon) {
  Conditions conditions;
  if (ledger == nullptr || daemon.is_trouble()) return conditions;
  VOUCH_TRY(const auto states, ledger->downstreams());
  for (const DownstreamState& state : states) conditions.emplace(state.downstream, state);
  return conditions;
}

std::string words_of(const DownstreamState& state, const std::string& name, WallTime now,
                     bool is_halted) {
  const std::string since = " since " + format_time_local(state.since);
  const std::string detail = state.detail.empty() ? "" : ": " + state.detail;
  const bool later = state.next && *state.next > now && !is_halted;
  const std::string next = later ? ", the next at " + format_time_local(*state.next) : "";
  const auto tried = [&](const char* words) { return is_halted ? "" : words + next; };
  switch (state.condition) {
    case DownstreamCondition::away:
      return "downstream " + name + " does not answer" + since + detail +
             tried("; calls are held back and single ones try");
    case DownstreamCondition::holds:
      return "downstream " + name + " asks to wait (" + state.detail + ")" + since +
             (later ? ": no call before " + format_time_local(*state.next) : "");
    case DownstreamCondition::mute:
      return "downstream " + name + " does not answer queries" + since + detail +
             tried("; rows in doubt wait and single queries try");
    case DownstreamCondition::answers:
      break;
  }
  return {};
}

Result<ConditionSource> ConditionSource::open(Session& session) {
  ConditionSource source{.daemon = session.daemon(session.instance()),
                         .known = {},
                         .for_people = session.out().is_for_people()};
  const bool runs = source.daemon.kind == DaemonState::Kind::running;
  if (!runs || !path_exists(session.paths().ledger_db(session.instance()))) return source;
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(source.known, conditions_of(ledger, source.daemon));
  return source;
}

void ConditionSource::add_to(Record& record, ObjectId downstream) const {
  record.push_back({"condition", "Condition", Value{}});
  record.push_back({"condition_since", "Since", Value{}, Shown::wide});
  record.push_back({"condition_detail", "Last failure", Value{}, Shown::wide});
  record.push_back({"next_call_at", "Next call", Value{}, Shown::wide});
  if (daemon.kind != DaemonState::Kind::running) return;
  const auto found = known.find(downstream);
  const DownstreamState state = found == known.end() ? DownstreamState{} : found->second;
  const std::size_t first = record.size() - 4;
  record[first].value = condition_value(state.condition, for_people);
  if (state.condition == DownstreamCondition::answers) return;
  record[first + 1].value = state.since;
  record[first + 2].value = state.detail;
  record[first + 3].value = Value{state.next};
}

}  // namespace vouch::cli
