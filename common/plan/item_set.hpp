// item_set.hpp: some of a campaign's items, by their numbers.
//
// Threads: plain values.   Units: numbers of items, from 0 to below kItemsMax.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "common/plan/campaign.hpp"

namespace vouch::plan {

class ItemSet {
 public:
  constexpr ItemSet() = default;
  constexpr ItemSet(std::initializer_list<std::size_t> items) {
    for (const std::size_t item : items) add(item);
  }
  // Every item that a campaign may have.
  [[nodiscard]] static constexpr ItemSet all() {
    ItemSet out;
    out.bits_ = ~std::uint32_t{0};
    return out;
  }

  constexpr void add(std::size_t item) { bits_ |= std::uint32_t{1} << item; }
  [[nodiscard]] constexpr bool contains(std::size_t item) const {
    return ((bits_ >> item) & 1) != 0;
  }
  [[nodiscard]] constexpr bool is_empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr int size() const { return std::popcount(bits_); }
  // As queries take it: item n is the bit of value 2^n.
  [[nodiscard]] constexpr std::int64_t bits() const { return bits_; }

 private:
  static_assert(kItemsMax <= 32);
  std::uint32_t bits_ = 0;
};

}  // namespace vouch::plan
