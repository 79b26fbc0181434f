// intent_maker.hpp: from a recipient to the calls that are owed to him.
//
// The same code makes an intent the first time and again for a repeat, from the same inputs, so
// that the bytes are the same; whoever repeats compares the digests.
//
// Threads: pure but for the list that is read.
// Errors:  invalid when list and campaign do not fit.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/plan/planner.hpp"
#include "common/result.hpp"
#include "common/store/sealed_list.hpp"
#include "daemon/data/intent.hpp"
#include "daemon/data/ledger_reader.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::strategy {

// What an intent says of its recipient.
struct Recipient {
  RecipientKey key{};
  std::uint64_t occurrence = 0;
  std::string_view recipient_id;
  std::span<const std::int64_t> amounts;
  // The attributes, by the place of their column: of a list's row, or else of a single's input.
  store::PartnerFields fields = {};
  std::span<const std::string> values = {};
};

class IntentMaker {
 public:
  // Columns of the list, or of a single's input; the further ones by their place.
  [[nodiscard]] static Result<IntentMaker> make(const data::JobNow& job,
                                                std::span<const std::string> amount_columns,
                                                std::vector<std::string> attribute_columns);

  // Errc::invalid when calls under the downstreams' present versions would hold attributes that
  // are not there.
  [[nodiscard]] Result<void> check_attributes(const data::JobNow& job,
                                              const data::Snapshot& snapshot) const;

  // Appends the recipient's intents, each under its downstream's present version; those of items
  // that are delivered by export have none.
  // With `called` false without body and digest, for rows that will not be called.
  void make_fresh(const data::JobNow& job, const data::Snapshot& snapshot,
                  const Recipient& recipient, std::int32_t range, bool called,
                  std::vector<data::Intent>& out);

  // The intent of a row that is due.  Nothing when the snapshot lacks its downstream's version.
  [[nodiscard]] std::optional<data::Intent> make_again(const data::JobNow& job,
                                                       const data::Snapshot& snapshot,
                                                       const Recipient& recipient,
                                                       const data::DueRow& row);

 private:
  IntentMaker(plan::AmountPlaces places, std::vector<std::string> columns)
      : places_{std::move(places)}, columns_{std::move(columns)} {}
  void complete(const data::JobNow& job, const Recipient& recipient, data::Intent& intent);
  [[nodiscard]] std::string_view attribute(const Recipient& recipient,
                                           const std::string& column) const;

  plan::AmountPlaces places_;
  std::vector<std::string> columns_;  // of attributes
  // Kept from call to call, so that they need no memory of their own.
  std::vector<plan::PlannedItem> items_;
  std::vector<plan::AttributeValue> attributes_;
};

// A query about a row in doubt: needs neither list nor recipient.  Nothing when the snapshot lacks
// its downstream's version.
[[nodiscard]] std::optional<data::Intent> make_query_intent(const data::JobNow& job,
                                                            const data::Snapshot& snapshot,
                                                            const data::DueRow& row);

// The occurrence of a list's row under the campaign's once_per.
[[nodiscard]] std::uint64_t occurrence_of(const data::JobNow& job,
                                          std::string_view occurrence_value);

}  // namespace vouch::strategy
