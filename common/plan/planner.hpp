// planner.hpp: campaign + recipient -> the issuances that are owed, purely.
//
// Used by vouchd's intake and by vouchctl's dry runs.  Today every recipient gets every item;
// packages, alternatives and weights will be decided here.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/plan/campaign.hpp"
#include "common/plan/downstream.hpp"
#include "common/result.hpp"

namespace vouch::plan {

struct PlannedItem {
  std::uint8_t item = 0;  // its number in the campaign
  std::optional<std::int64_t> amount_minor;
};

// Where the attributes of a call come from: a list's columns, or what was said of a single
// issuance.
enum class AttributesOf : std::uint8_t { list, single };
// Errc::invalid naming column, item and downstream when a call of the item would hold an attribute
// that is not among `columns`.
[[nodiscard]] Result<void> check_attributes(const Item& item, const Downstream& downstream,
                                            std::span<const std::string> columns, AttributesOf of);

// Where each item's amount stands among a list's amount columns.
class AmountPlaces {
 public:
  // Errc::invalid naming the column when the list has none of that name.
  [[nodiscard]] static Result<AmountPlaces> find(const Campaign& campaign,
                                                 std::span<const std::string> amount_columns);

  // The items of a recipient whose amounts are `amounts`, in the order of `amount_columns`.
  void plan(const Campaign& campaign, std::span<const std::int64_t> amounts,
            std::vector<PlannedItem>& out) const;

 private:
  std::vector<int> places_;  // by item; -1: fixed, or none
};

}  // namespace vouch::plan
