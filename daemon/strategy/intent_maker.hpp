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
};

class IntentMaker {
 public:
  // `amount_columns`: of the list, or of a single's input.
  [[nodiscard]] static Result<IntentMaker> make(const data::JobNow& job,
                                                std::span<const std::string> amount_columns);

  // Appends the recipient's intents, each under its downstream's present version.
  // With `complete` false without body and digest, for rows that will not be called.
  void make_fresh(const data::JobNow& job, const data::Snapshot& snapshot,
                  const Recipient& recipient, std::int32_t range, bool complete,
                  std::vector<data::Intent>& out);

  // The intent of a row that is due.  Nothing when the snapshot lacks its downstream's version.
  [[nodiscard]] std::optional<data::Intent> make_again(const data::JobNow& job,
                                                       const data::Snapshot& snapshot,
                                                       const Recipient& recipient,
                                                       const data::DueRow& row);

 private:
  explicit IntentMaker(plan::AmountPlaces places) : places_{std::move(places)} {}
  plan::AmountPlaces places_;
  std::vector<plan::PlannedItem> items_;
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
