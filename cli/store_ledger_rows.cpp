#include "cli/store_ledger_rows.hpp"

#include <algorithm>
#include <set>

namespace vouch::cli {

using Scope = ReconcileOptions::Scope;

Result<StoreLedgerRows> StoreLedgerRows::open(store::ControlStore& control,
                                              store::LedgerView& ledger, LedgerScope scope) {
  StoreLedgerRows rows{control, ledger, std::move(scope)};
  VOUCH_CHECK(rows.find_campaigns());
  return rows;
}

Result<void> StoreLedgerRows::find_campaigns() {
  VOUCH_TRY(const auto campaigns, control_->campaigns());
  VOUCH_TRY(const auto jobs, control_->jobs());
  std::set<ObjectId> drained_here;
  std::set<ObjectId> drained_elsewhere;
  for (const store::JobRow& job : jobs) {
    (job.instance == scope_.instance ? drained_here : drained_elsewhere).insert(job.campaign);
  }
  for (const store::CampaignRow& row : campaigns) {
    const bool other_ledger = drained_elsewhere.contains(row.id) && !drained_here.contains(row.id);
    const bool wanted = scope_.campaign == 0 || scope_.campaign == row.id;
    scopes_[row.id] = !wanted        ? Scope::other_campaign
                      : other_ledger ? Scope::other_ledger
                                     : Scope::here;
    if (!wanted) continue;
    VOUCH_TRY(const bool uses, uses_downstream(row));
    if (uses) campaigns_.push_back(row.id);
  }
  std::ranges::sort(campaigns_);
  return {};
}

Result<bool> StoreLedgerRows::uses_downstream(const store::CampaignRow& campaign) {
  for (int version = campaign.version; version >= 1; --version) {
    VOUCH_TRY(const Items* items, items_of(campaign.id, version));
    if (std::ranges::any_of(*items, &ItemFacts::is_here)) return true;
  }
  return false;
}

Result<const StoreLedgerRows::Items*> StoreLedgerRows::items_of(ObjectId campaign, int version) {
  const auto key = std::pair{campaign, version};
  const auto known = items_.find(key);
  if (known != items_.end()) return &known->second;
  VOUCH_TRY(const plan::Campaign definition, control_->campaign_version(campaign, version));
  Items items(plan::kItemsMax);
  for (const plan::Item& item : definition.items) {
    if (item.number >= items.size()) items.resize(std::size_t{item.number} + 1);
    items[item.number] = {.is_here = item.downstream == scope_.downstream,
                          .currency = item.amount.currency};
  }
  return &items_.emplace(key, std::move(items)).first->second;
}

ReconcileOptions::Scope StoreLedgerRows::scope_of(ObjectId campaign) const {
  const auto known = scopes_.find(campaign);
  return known == scopes_.end() ? Scope::other_store : known->second;
}

Result<void> StoreLedgerRows::read_page() {
  VOUCH_TRY(page_, ledger_->evidence(campaigns_[at_campaign_], after_));
  at_ = 0;
  page_is_last_ = page_.size() < std::size_t{store::kPageRows};
  if (!page_.empty()) after_ = page_.back().row.key;
  return {};
}

Result<bool> StoreLedgerRows::next() {
  while (at_ == page_.size()) {
    if (page_is_last_) {
      ++at_campaign_;
      after_.reset();
      page_is_last_ = false;
    }
    if (at_campaign_ >= campaigns_.size()) return false;
    VOUCH_CHECK(read_page());
  }
  VOUCH_CHECK(make_entry(page_[at_++]));
  return true;
}

Result<void> StoreLedgerRows::make_entry(const store::EvidenceRow& from) {
  const store::IssuanceRow& row = from.row;
  VOUCH_TRY(const Items* items, items_of(row.key.campaign, row.campaign_version));
  const ItemFacts* item = row.key.item < items->size() ? &(*items)[row.key.item] : nullptr;
  entry_.key = row.key;
  entry_.place = LedgerEntry::Place::here;
  if (scope_.job != 0 && row.job != scope_.job) entry_.place = LedgerEntry::Place::other_job;
  if (item == nullptr || !item->is_here) entry_.place = LedgerEntry::Place::other_downstream;
  entry_.state = row.state;
  entry_.round = row.round;
  entry_.last_event = row.last_event;
  entry_.job = row.job;
  entry_.amount_minor = row.amount_minor;
  entry_.currency.clear();
  if (item != nullptr && row.amount_minor) entry_.currency = item->currency;
  const bool issued = row.state == IssuanceState::issued;
  entry_.reference = issued ? from.reference : std::string{};
  entry_.last_sent = row.intent;
  entry_.first_sent = std::min(row.doubt.value_or(row.intent), row.intent);
  entry_.ended = std::max(from.event_at.value_or(row.intent), row.intent);
  return {};
}

}  // namespace vouch::cli
