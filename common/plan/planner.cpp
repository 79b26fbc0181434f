#include "common/plan/planner.hpp"

#include <algorithm>
#include <string>

namespace vouch::plan {

Result<void> check_attributes(const Item& item, const Downstream& downstream,
                              std::span<const std::string> columns, AttributesOf of) {
  if (!downstream.request) return {};
  for (const std::string& wanted : downstream.request->attributes) {
    if (std::ranges::find(columns, wanted) != columns.end()) continue;
    const bool list = of == AttributesOf::list;
    return fail(
        Errc::invalid,
        std::string{list ? "the list has no column \"" : "there is no attribute \""} + wanted +
            "\", which calls of " + downstream.name + " for item \"" + item.name + "\" hold",
        list ? "import a file that has it, or name the one that is meant: --map THEIRS=" + wanted
             : "add --attribute " + wanted + "=VALUE");
  }
  return {};
}

Result<AmountPlaces> AmountPlaces::find(const Campaign& campaign,
                                        std::span<const std::string> amount_columns) {
  AmountPlaces places;
  for (const Item& item : campaign.items) {
    if (item.amount.column.empty()) {
      places.places_.push_back(-1);
      continue;
    }
    const auto found = std::find(amount_columns.begin(), amount_columns.end(), item.amount.column);
    if (found == amount_columns.end()) {
      return fail(Errc::invalid,
                  "the list has no amounts in a column \"" + item.amount.column +
                      "\", which item \"" + item.name + "\" of campaign \"" + campaign.name +
                      "\" asks for",
                  "import it with --campaign " + campaign.name);
    }
    places.places_.push_back(static_cast<int>(found - amount_columns.begin()));
  }
  return places;
}

void AmountPlaces::plan(const Campaign& campaign, std::span<const std::int64_t> amounts,
                        std::vector<PlannedItem>& out) const {
  out.clear();
  for (std::size_t i = 0; i < campaign.items.size(); ++i) {
    const Item& item = campaign.items[i];
    PlannedItem planned{.item = item.number, .amount_minor = item.amount.fixed_minor};
    if (places_[i] >= 0) planned.amount_minor = amounts[static_cast<std::size_t>(places_[i])];
    out.push_back(planned);
  }
}

}  // namespace vouch::plan
