// pool_row.hpp: what the control store knows of a pool of redemption codes.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"

namespace vouch::store {

// A sealed file of codes.  Its first code has the ordinal `first` in the pool.
struct PoolSegmentRow {
  std::string digest{};
  std::int64_t first = 0;
  std::int64_t codes = 0;
  std::string origin{};   // generated, imported
  std::string content{};  // of an imported file, by which it is known again; else empty
  std::string source{};   // for people: the file's name, or what was asked of the generator
  WallTime created{};
  std::string created_by{};
};

struct PoolRow {
  ObjectId id = 0;
  std::string name{};
  std::int64_t low_water = 0;  // fewer codes left than this are too few
  std::string fingerprint{};   // of the key that its segments are sealed under
  std::string instance{};      // the only vouchd that may hand them out; empty before its first job
  WallTime created{};
  std::string created_by{};
  std::vector<PoolSegmentRow> segments{};  // in the order of their ordinals

  [[nodiscard]] std::int64_t codes() const {
    return segments.empty() ? 0 : segments.back().first + segments.back().codes;
  }
};

}  // namespace vouch::store
