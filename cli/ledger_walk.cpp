#include "cli/ledger_walk.hpp"

#include <algorithm>

namespace vouch::cli {
namespace {

constexpr int kPageRowsMin = 16;

// The last key that could stand before the recipient's first.
std::optional<IssuanceKey> key_before(ObjectId campaign, RecipientKey recipient) {
  for (std::size_t i = recipient.size(); i-- > 0;) {
    if (recipient[i]-- != 0) {
      return IssuanceKey{campaign, recipient, (std::uint64_t{1} << 48) - 1, UINT8_MAX};
    }
  }
  return std::nullopt;
}

}  // namespace

void LedgerWalk::adapt() {
  const bool is_dense = used_ * 2 >= rows_.size();
  page_rows_ = is_dense ? std::min(store::kPageRows, page_rows_ * 2)
                        : std::max(kPageRowsMin, page_rows_ / 2);
}

Result<void> LedgerWalk::read(const std::optional<IssuanceKey>& after) {
  if (!rows_.empty()) adapt();
  VOUCH_TRY(store::LedgerView::Page page, ledger_->page(campaign_, after, {}, page_rows_));
  ++pages_read_;
  rows_ = std::move(page.rows);
  at_end_ = !page.next_after;
  at_ = 0;
  used_ = 0;
  return {};
}

Result<std::span<const store::IssuanceRow>> LedgerWalk::of(const RecipientKey& recipient) {
  while (at_ < rows_.size() && rows_[at_].key.recipient < recipient) ++at_;
  if (at_ == rows_.size() && !at_end_) VOUCH_CHECK(read(key_before(campaign_, recipient)));
  std::size_t end = at_;
  while (true) {
    while (end < rows_.size() && rows_[end].key.recipient == recipient) ++end;
    if (end < rows_.size() || at_end_ || end == at_) break;
    // The page ends within this recipient: what is here of it goes before the next page.
    std::vector<store::IssuanceRow> begun{rows_.begin() + static_cast<std::ptrdiff_t>(at_),
                                          rows_.end()};
    const IssuanceKey last = begun.back().key;
    used_ += begun.size();
    VOUCH_CHECK(read(last));
    rows_.insert(rows_.begin(), begun.begin(), begun.end());
    end = begun.size();
  }
  const std::span<const store::IssuanceRow> found{rows_.data() + at_, end - at_};
  used_ += found.size();
  at_ = end;
  return found;
}

}  // namespace vouch::cli
