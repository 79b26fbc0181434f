#include "common/store/amount_tally.hpp"

#include <algorithm>
#include <cstring>

#include "common/store/amount_text.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kInMemoryMax = std::size_t{64} * 1024;
// Two halves of 20 bits hold every amount.
constexpr int kHalfBits = 20;
constexpr std::uint64_t kHalfMask = (1U << kHalfBits) - 1;
static_assert(kAmountMinorMax < std::int64_t{1} << (2 * kHalfBits));

}  // namespace

Result<void> AmountTally::add(std::int64_t amount) {
  VOUCH_ASSERT(amount > 0 && amount <= kAmountMinorMax);
  if (__builtin_add_overflow(totals_.sum, amount, &totals_.sum)) {
    return fail(Errc::invalid, "the amounts add up to more than can be counted",
                "is --amount-unit right?");
  }
  totals_.least = count_ == 0 ? amount : std::min(totals_.least, amount);
  totals_.most = std::max(totals_.most, amount);
  ++count_;
  amounts_.push_back(amount);
  return amounts_.size() == kInMemoryMax ? spill() : Result<void>{};
}

Result<void> AmountTally::spill() {
  if (!spilled_) {
    VOUCH_TRY(spilled_, SpoolFile::create(folder_));
  }
  const std::size_t bytes = amounts_.size() * sizeof(std::int64_t);
  VOUCH_CHECK(spilled_->append({reinterpret_cast<const char*>(amounts_.data()), bytes}));
  amounts_.clear();
  return {};
}

Result<AmountTotals> AmountTally::finish() {
  if (count_ == 0) return totals_;
  if (spilled_) {
    VOUCH_CHECK(spill());
    VOUCH_CHECK(spilled_->flush());
    VOUCH_TRY(totals_.median, median_of_spilled());
  } else {
    const auto middle = amounts_.begin() + static_cast<std::ptrdiff_t>((count_ - 1) / 2);
    std::nth_element(amounts_.begin(), middle, amounts_.end());
    totals_.median = *middle;
  }
  return totals_;
}

Result<AmountTally::Place> AmountTally::find_rank(int shift, std::uint64_t prefix,
                                                  std::uint64_t rank) const {
  std::vector<std::uint64_t> counts(std::size_t{1} << kHalfBits);
  SpoolReader reader{*spilled_};
  while (true) {
    VOUCH_TRY(const std::string_view bytes, reader.view(sizeof(std::uint64_t)));
    if (bytes.empty()) break;
    const std::size_t whole = bytes.size() / sizeof(std::uint64_t) * sizeof(std::uint64_t);
    for (std::size_t at = 0; at < whole; at += sizeof(std::uint64_t)) {
      std::uint64_t amount;
      std::memcpy(&amount, bytes.data() + at, sizeof amount);
      if (amount >> (shift + kHalfBits) == prefix) ++counts[(amount >> shift) & kHalfMask];
    }
    reader.skip(whole);
  }
  Place place{.value = 0, .rank = rank};
  while (counts[place.value] <= place.rank) place.rank -= counts[place.value++];
  return place;
}

Result<std::int64_t> AmountTally::median_of_spilled() const {
  VOUCH_TRY(const Place upper, find_rank(kHalfBits, 0, (count_ - 1) / 2));
  VOUCH_TRY(const Place lower, find_rank(0, upper.value, upper.rank));
  return static_cast<std::int64_t>(upper.value << kHalfBits | lower.value);
}

}  // namespace vouch::store
