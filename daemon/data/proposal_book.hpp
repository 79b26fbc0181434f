// proposal_book.hpp: proposals, their rows and the grants, in the ledger.
//
// A yes is written in one transaction with the first page of its effect; the other pages follow,
// each in a transaction of its own, from the place that is stored: a stop in between loses nothing
// and applies nothing twice.
//
// Threads: the ledger writer alone, inside its transaction; the free functions read on any.
// Errors:  those of the database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/store/database.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/job_book.hpp"
#include "daemon/data/proposal.hpp"

namespace vouch::data {

// Nothing when there is none.
[[nodiscard]] Result<std::optional<Proposal>> read_proposal(store::Database& ledger, ObjectId id);
// The newest first: those that wait or are being carried out, then those that are over.
[[nodiscard]] Result<std::vector<Proposal>> read_proposals(store::Database& ledger, int max);
// One with rows to be gone through: granted and not done, or refused; 0: none.
[[nodiscard]] Result<ObjectId> unfinished_proposal(store::Database& ledger);

class ProposalBook {
 public:
  ProposalBook(store::Database& database, JobBook& jobs, IssuanceLedger& ledger)
      : database_{database}, jobs_{jobs}, ledger_{ledger} {}

  // What was not complete when the daemon stopped is given up.  Once.
  [[nodiscard]] Result<void> load(WallTime now);

  // A draft, without rows.  Its job must be in the ledger, or nothing happens.
  [[nodiscard]] Result<void> draft(const Proposal& proposal);
  // At most kProposalRowsPage.  Rows that are none of the job's are left out, so that count and
  // digest tell.  Nothing happens unless it is a draft.
  [[nodiscard]] Result<void> add_rows(ObjectId id, const std::vector<ProposedRow>& rows);
  // draft -> open.
  [[nodiscard]] Result<void> open(ObjectId id);

  struct Decision {
    ObjectId id = 0;
    Grant grant;
    Digest128 digest{};      // must be the proposal's
    bool four_eyes = false;  // then a yes must come from somebody else
  };
  // open -> granted, with the first page, or refused.  A draft may be refused as well.  Nothing
  // happens when it is in another state, or when it may not be.
  [[nodiscard]] Result<void> decide(const Decision& decision, WallTime now);
  // Goes through the next rows: settles them, or of a refused proposal drops them.  Returns how
  // many.
  [[nodiscard]] Result<int> page(ObjectId id, WallTime now);

 private:
  struct Page {
    std::vector<ProposedRow> rows;
    std::int64_t last = 0;  // place of the last of them
  };
  [[nodiscard]] Result<Page> read_page(ObjectId id);
  [[nodiscard]] Result<std::int64_t> job_number(ObjectId job);
  // False when the row has changed.
  [[nodiscard]] Result<bool> apply_row(const Proposal& proposal, std::int64_t job,
                                       const ProposedRow& row, const std::string& words,
                                       WallTime now);

  store::Database& database_;
  JobBook& jobs_;
  IssuanceLedger& ledger_;
};

}  // namespace vouch::data
