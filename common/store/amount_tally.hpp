// amount_tally.hpp: sum, least, median and most of any number of amounts, exact, in flat memory.
//
// A median needs all values; beyond a few they wait in a temporary file and are counted by their
// upper and then their lower bits, in two passes.
//
// Threads: one at a time.
// Units:   minor units, 1 to kAmountMinorMax.
// Errors:  io; invalid when the sum is too large for 63 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "common/store/sealed_list.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::store {

class AmountTally {
 public:
  // `folder` is for the temporary file.
  explicit AmountTally(std::string folder) : folder_{std::move(folder)} {}

  [[nodiscard]] Result<void> add(std::int64_t amount);
  // The totals, without the column's name and digits.  Ends adding.
  [[nodiscard]] Result<AmountTotals> finish();

 private:
  [[nodiscard]] Result<void> spill();
  // Sorts the spilled amounts that have `prefix` in the bits above by the kHalfBits bits at
  // `shift`, and tells the value of these bits at `rank` (from 0), and the rank within it.
  struct Place {
    std::uint64_t value = 0;
    std::uint64_t rank = 0;
  };
  [[nodiscard]] Result<Place> find_rank(int shift, std::uint64_t prefix, std::uint64_t rank) const;
  [[nodiscard]] Result<std::int64_t> median_of_spilled() const;

  std::string folder_;
  std::vector<std::int64_t> amounts_;  // not spilled yet
  std::optional<SpoolFile> spilled_;
  std::uint64_t count_ = 0;
  AmountTotals totals_;
};

}  // namespace vouch::store
