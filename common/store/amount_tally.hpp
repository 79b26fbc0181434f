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
#include "common/store/file_io.hpp"
#include "common/store/sealed_list.hpp"

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
  // How many of the spilled amounts have each value of `bits` bits above `shift`, looking only
  // at those which equal `prefix` above these.
  [[nodiscard]] Result<std::vector<std::uint64_t>> count(int shift, std::uint64_t prefix) const;
  [[nodiscard]] Result<std::int64_t> median_of_spilled() const;

  std::string folder_;
  std::vector<std::int64_t> amounts_;  // not spilled yet
  std::optional<SpoolFile> spilled_;
  std::uint64_t count_ = 0;
  AmountTotals totals_;
};

}  // namespace vouch::store
