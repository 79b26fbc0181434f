// stop_file.hpp: what is stopped, in <store>/control/stop.json.
//
// A file and no table, so that a stop works with vouchd hung or down and with the control store
// held by somebody: vouchd looks at it five times a second and at its start.
//
// Threads: main's.   Errors: invalid for a file that is damaged; locked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

struct StopEntry {
  std::string scope;  // all, downstream, client, campaign
  std::string name;   // empty for all
  std::string reason;
  std::string by;
  std::string at;  // UTC, ISO 8601
  // Under four eyes: who wants it taken back, and since when; empty until somebody does.
  std::string start_by{};
  std::string start_at{};
};

// Empty when there is no file.
[[nodiscard]] Result<std::vector<StopEntry>> read_stops(const store::StorePaths& paths);

// Puts the entry in place of one with the same scope and name, atomically and durably.  False when
// the disk had no room for it: then everything is stopped, whatever the entry says.
[[nodiscard]] Result<bool> add_stop(const store::StorePaths& paths, const StopEntry& entry);

// Takes the entry away and returns it; nothing when there was none.
[[nodiscard]] Result<std::optional<StopEntry>> remove_stop(const store::StorePaths& paths,
                                                           std::string_view scope,
                                                           std::string_view name);

// "everything", "downstream coupons"
[[nodiscard]] std::string describe(const StopEntry& entry);

}  // namespace vouch::cli
