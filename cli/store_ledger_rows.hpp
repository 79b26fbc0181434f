// store_ledger_rows.hpp: the ledger's side of a reconciliation, read page by page.
//
// Campaigns are walked in the order of their ids and each in the order of its key, which together
// is the order of the request ids.  No read lives longer than a page.
//
// Threads: one at a time.
// Errors:  those of the stores.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/reconciliation.hpp"
#include "common/store/control_store.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

// Which rows are looked at.
struct LedgerScope {
  std::string downstream;
  std::string instance;
  ObjectId campaign = 0;  // 0: all that have an item at the downstream
  ObjectId job = 0;       // 0: all; else `campaign` is its campaign
};

class StoreLedgerRows final : public LedgerRows {
 public:
  // Both stores must outlive it.  Finds the campaigns that have, or had in an older version, an
  // item at the downstream.
  [[nodiscard]] static Result<StoreLedgerRows> open(store::ControlStore& control,
                                                    store::LedgerView& ledger, LedgerScope scope);

  [[nodiscard]] Result<bool> next() override;
  [[nodiscard]] const LedgerEntry& row() const override { return entry_; }

  [[nodiscard]] const std::vector<ObjectId>& campaigns() const { return campaigns_; }
  [[nodiscard]] ReconcileOptions::Scope scope_of(ObjectId campaign) const;

 private:
  // What a version of a campaign says of one of its items.
  struct ItemFacts {
    bool is_here = false;  // at the downstream
    std::string currency;
  };
  using Items = std::vector<ItemFacts>;  // by item number

  StoreLedgerRows(store::ControlStore& control, store::LedgerView& ledger, LedgerScope scope)
      : control_{&control}, ledger_{&ledger}, scope_{std::move(scope)} {}
  [[nodiscard]] Result<void> find_campaigns();
  [[nodiscard]] Result<const Items*> items_of(ObjectId campaign, int version);
  [[nodiscard]] Result<bool> uses_downstream(const store::CampaignRow& campaign);
  [[nodiscard]] Result<void> read_page();
  [[nodiscard]] Result<void> make_entry(const store::EvidenceRow& from);

  store::ControlStore* control_;
  store::LedgerView* ledger_;
  LedgerScope scope_;
  std::vector<ObjectId> campaigns_;  // rising; those walked
  std::map<ObjectId, ReconcileOptions::Scope> scopes_;
  std::map<std::pair<ObjectId, int>, Items> items_;

  std::size_t at_campaign_ = 0;
  std::vector<store::EvidenceRow> page_;
  std::size_t at_ = 0;
  bool page_is_last_ = false;
  std::optional<IssuanceKey> after_;
  LedgerEntry entry_;
};

}  // namespace vouch::cli
