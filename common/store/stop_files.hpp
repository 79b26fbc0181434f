// stop_files.hpp: where it is written that nothing may be called: by vouchctl, for vouchd.
//
// Threads: constants and pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "common/store/control_store.hpp"

namespace vouch::store {

// An empty file whose mere presence stops everything.  It needs no room on a disk that is full,
// where stop.json cannot be replaced.
[[nodiscard]] inline std::string stop_all_file(const StorePaths& paths) {
  return paths.control() + "/stop-all";
}
inline constexpr std::size_t kStopBytesMax = 1024 * 1024;
inline constexpr const char* kStopAllReason = "stopped while the disk was full";
inline constexpr const char* kStopFileHint =
    "everything is stopped until it is mended; its form stands in vouchctl(1) under stop; to give "
    "up what it stops, remove the file";

}  // namespace vouch::store
