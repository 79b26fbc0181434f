// downstream_condition.hpp: how downstreams fare at this moment, by the word of the vouchd that
// calls them.
//
// Threads: main's.   Errors: those of the ledger.
#pragma once

#include <map>
#include <string>

#include "cli/daemon_state.hpp"
#include "cli/output.hpp"
#include "common/downstream_state.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

class Session;

// By id; those that were never in trouble are absent.  Empty when no vouchd runs or there is no
// ledger: then nobody knows.
using Conditions = std::map<ObjectId, DownstreamState>;
[[nodiscard]] Result<Conditions> conditions_of(store::LedgerView* ledger,
                                               const DaemonState& daemon);

// "downstream coupons does not answer since ...: HTTP 503; calls are held back, ..."; empty where
// nothing is wrong.  Of one that `is_halted`, by a stop or a pause, no call is announced.
[[nodiscard]] std::string words_of(const DownstreamState& state, const std::string& name,
                                   WallTime now, bool is_halted);

// What `downstream list` and `show` say of it: the fields condition, condition_since and so on.
// Without a vouchd that runs they hold nothing.
struct ConditionSource {
  DaemonState daemon;
  Conditions known;
  bool for_people = false;

  [[nodiscard]] static Result<ConditionSource> open(Session& session);
  void add_to(Record& record, ObjectId downstream) const;
};

}  // namespace vouch::cli
