// sample_pool.hpp: a pool of redemption codes in sealed segments, made once and shared by all
// seeds.
//
// A world begins with the first segment, and fills its pool up with the others.
//
// Threads: made by the first caller; immutable afterwards.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/store/pool_row.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

inline constexpr const char* kPoolName = "vip";

class SamplePool {
 public:
  [[nodiscard]] static const SamplePool& shared();

  [[nodiscard]] std::string folder() const { return folder_ / "pools"; }
  [[nodiscard]] std::string key_file() const { return folder_ / "pool.key"; }
  [[nodiscard]] std::size_t segments() const { return whole_.segments.size(); }
  // As the control store has it after so many segments.
  [[nodiscard]] std::shared_ptr<const store::PoolRow> with(std::size_t segments) const;
  [[nodiscard]] const std::string& code(std::int64_t ordinal) const {
    return codes_.at(static_cast<std::size_t>(ordinal));
  }
  // The segment that holds the ordinal.
  [[nodiscard]] const store::PoolSegmentRow& segment_of(std::int64_t ordinal) const;

 private:
  SamplePool();
  void add_segment(std::int64_t codes, std::uint64_t seed);

  TemporaryFolder folder_;
  store::PoolRow whole_;
  std::vector<std::string> codes_;  // by ordinal
};

}  // namespace vouch::test
