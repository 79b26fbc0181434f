// ledger_walk.hpp: reads a campaign's issuances beside a recipient list, which is in the same
// order.
//
// Where nearly every recipient of the list has issuances it reads page after page; where the list
// is a small part of the campaign it jumps from recipient to recipient.  It finds out by itself.
//
// Threads: one at a time.   Errors: those of the ledger.
#pragma once

#include <span>
#include <vector>

#include "common/store/ledger_view.hpp"

namespace vouch::cli {

class LedgerWalk {
 public:
  // `ledger` must outlive the walk.
  LedgerWalk(store::LedgerView& ledger, ObjectId campaign)
      : ledger_{&ledger}, campaign_{campaign} {}

  // The recipient's issuances by occurrence and item; valid until the next call.  Recipients are
  // asked for in rising order.
  [[nodiscard]] Result<std::span<const store::IssuanceRow>> of(const RecipientKey& recipient);

  // Pages read so far: how well the walk jumps and reads on is tested by it.
  [[nodiscard]] int pages_read() const { return pages_read_; }

 private:
  [[nodiscard]] Result<void> read(const std::optional<IssuanceKey>& after);
  void adapt();

  store::LedgerView* ledger_;
  ObjectId campaign_;
  std::vector<store::IssuanceRow> rows_;
  std::size_t at_ = 0;    // rows before it have been passed
  std::size_t used_ = 0;  // of the present page
  bool at_end_ = false;   // nothing stands behind rows_
  int page_rows_ = 64;
  int pages_read_ = 0;
};

}  // namespace vouch::cli
