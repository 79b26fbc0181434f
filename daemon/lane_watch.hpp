// lane_watch.hpp: what should be told outside of how downstreams fare.
//
// Compares what the engine shows from round to round.  A change of condition makes an event; while
// a condition lasts, only what readers see of it (the last failure, the next call) is renewed.
//
// Threads: the control thread's.   Errors: none.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/downstream_state.hpp"
#include "daemon/service/lane.hpp"

namespace vouch::daemon {

class LaneWatch {
 public:
  // `words` are for the history; empty: the state alone.
  using Tell = std::function<void(const DownstreamState& state, const std::string& words)>;
  explicit LaneWatch(Tell tell) : tell_{std::move(tell)} {}

  // What an earlier run left: breakers begin closed, whatever they were.
  void begin(const std::vector<DownstreamState>& left, const std::map<ObjectId, std::string>& names,
             WallTime wall);
  void look(const std::vector<service::LaneView>& lanes, Instant now, WallTime wall);

 private:
  struct Known {
    DownstreamState state{};
    Instant renew_at{};
    Instant next_hold_event{};
    bool is_quiet = false;  // the present condition was not told
  };
  void change(const service::LaneView& lane, Known& known, DownstreamState state, Instant now,
              WallTime wall);

  Tell tell_;
  std::map<ObjectId, Known> known_;
};

}  // namespace vouch::daemon
