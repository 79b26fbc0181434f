// metrics_text.hpp: what the admin listener shows: Prometheus text and readiness.
//
// Exposition format 0.0.4; names begin with vouch_, base units, labels bounded by the number of
// downstreams.
//
// Threads: pure functions over values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "daemon/data/snapshot.hpp"
#include "daemon/service/coordination.hpp"
#include "daemon/service/lane.hpp"

namespace vouch::access {

struct Gauges {
  std::vector<service::LaneView> lanes;
  service::CoordinationView coordination;
  std::uint64_t commits = 0;
  Nanos slowest_commit{0};
  std::size_t writer_queue = 0;
  int ready_rows = 0;
  bool store_ok = true;
  bool ready = false;
  Nanos cpu_time{0};
  std::int64_t started_at_ms = 0;
};

[[nodiscard]] std::string metrics_text(const Gauges& gauges, const data::Snapshot& snapshot);

}  // namespace vouch::access
