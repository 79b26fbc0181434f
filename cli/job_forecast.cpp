#include "cli/job_forecast.hpp"

#include <algorithm>
#include <cmath>

#include "cli/ledger_walk.hpp"
#include "common/plan/planner.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr int kPageRows = 1000;
// A year: longer than anybody plans, and no overflow.
constexpr double kSecondsMax = 366.0 * 86'400;

std::vector<std::string> column_names(const store::ListMeta& meta) {
  std::vector<std::string> names;
  for (const store::AmountTotals& amount : meta.amounts) names.push_back(amount.column);
  return names;
}

// Counts one campaign's rows; the recipient's rows come one after another.
class Counting {
 public:
  Counting(const plan::Campaign& campaign, plan::AmountPlaces places, std::uint64_t occurrence)
      : campaign_{campaign}, places_{std::move(places)}, occurrence_{occurrence} {}

  void take(const store::SealedRow& row, std::span<const store::IssuanceRow> issuances) {
    const auto items = static_cast<std::int64_t>(campaign_.items.size());
    ++out.rows;
    out.issuances += items;
    const std::uint64_t occurrence = occurrence_of_row(campaign_, occurrence_, row.occurrence);
    if (!is_new(row, occurrence, issuances)) {
      out.repeats += items;
      return;
    }
    places_.plan(campaign_, row.amounts, planned_);
    for (const plan::PlannedItem& item : planned_) {
      ++out.by_item[item.item];
      if (!item.amount_minor) continue;
      std::int64_t& sum = out.money[campaign_.items[item.item].amount.currency];
      if (__builtin_add_overflow(sum, *item.amount_minor, &sum)) sum = INT64_MAX;
    }
  }

  JobPlan out;

 private:
  // A recipient is planned once for each occurrence, by whichever job or line came first.
  bool is_new(const store::SealedRow& row, std::uint64_t occurrence,
              std::span<const store::IssuanceRow> issuances) {
    if (row.recipient_key != recipient_) {
      recipient_ = row.recipient_key;
      taken_.clear();
    }
    const bool held = std::any_of(issuances.begin(), issuances.end(), [&](const auto& issuance) {
      return issuance.key.occurrence == occurrence;
    });
    const bool repeated = std::find(taken_.begin(), taken_.end(), occurrence) != taken_.end();
    taken_.push_back(occurrence);
    return !held && !repeated;
  }

  const plan::Campaign& campaign_;
  plan::AmountPlaces places_;
  std::uint64_t occurrence_;
  RecipientKey recipient_{};
  std::vector<std::uint64_t> taken_;  // occurrences of this recipient seen so far
  std::vector<plan::PlannedItem> planned_;
};

}  // namespace

LaneLoad load_of(const store::DownstreamRow& downstream, std::int64_t issuances,
                 std::span<const std::int64_t> others) {
  const std::int64_t per_call = downstream.definition.issuances_per_call();
  const auto calls_for = [&](std::int64_t rows) { return (rows + per_call - 1) / per_call; };
  LaneLoad load{.downstream = downstream.definition.name,
                .target = plan::target_rate(downstream.warning_rate),
                .calls = calls_for(issuances),
                .others = {}};
  for (const std::int64_t other : others) load.others.push_back(calls_for(other));
  return load;
}

Millis time_needed(std::span<const LaneLoad> loads, std::optional<double> job_rate) {
  double longest = 0;
  for (const LaneLoad& load : loads) {
    if (load.calls == 0 || load.target <= 0) continue;
    // With equal shares a job of C calls ends when C calls of its own and min(C, theirs) of each
    // other job have gone.
    std::int64_t all = load.calls;
    for (const std::int64_t other : load.others) all += std::min(load.calls, other);
    double seconds = static_cast<double>(all) / load.target;
    if (job_rate) seconds = std::max(seconds, static_cast<double>(load.calls) / *job_rate);
    longest = std::max(longest, seconds);
  }
  return Millis{static_cast<std::int64_t>(std::ceil(std::min(longest, kSecondsMax) * 1000))};
}

std::uint64_t occurrence_of_row(const plan::Campaign& campaign, std::uint64_t of_job,
                                std::string_view of_row) {
  return campaign.once_per == plan::OncePer::column ? plan::occurrence_of_value(of_row) : of_job;
}

Result<void> check_list_fits(const plan::Campaign& campaign, const store::ListMeta& list) {
  const std::string hint = "import the file again with --campaign " + campaign.name;
  for (const plan::AmountColumn& wanted : plan::amount_columns(campaign)) {
    const auto found =
        std::find_if(list.amounts.begin(), list.amounts.end(),
                     [&](const auto& totals) { return totals.column == wanted.column; });
    if (found == list.amounts.end()) {
      return fail(Errc::invalid,
                  "the list has no amounts in a column \"" + wanted.column +
                      "\", which the campaign " + campaign.name + " takes them from",
                  hint);
    }
    if (found->digits != wanted.digits) {
      return fail(Errc::invalid,
                  "the list's amounts in " + wanted.column + " have " +
                      std::to_string(found->digits) + " digits behind the point, but " +
                      wanted.currency + " has " + std::to_string(wanted.digits),
                  hint);
    }
    if (campaign.amount_max_minor && found->most > *campaign.amount_max_minor) {
      return fail(Errc::invalid, "the list's largest amount in " + wanted.column + ", " +
                                     format_amount(found->most, wanted.currency) +
                                     ", is above the campaign's maximum of " +
                                     format_amount(*campaign.amount_max_minor, wanted.currency));
    }
  }
  if (campaign.once_per != plan::OncePer::column) return {};
  const bool told_apart =
      std::any_of(list.columns.begin(), list.columns.end(), [&](const store::ListColumn& column) {
        return column.called == campaign.once_per_column &&
               column.role == store::ColumnRole::occurrence;
      });
  if (told_apart) return {};
  return fail(Errc::invalid,
              "the list was not imported by the column \"" + campaign.once_per_column +
                  "\", by which the campaign " + campaign.name + " tells occurrences apart",
              hint);
}

Result<JobPlan> plan_job(const plan::Campaign& campaign, ObjectId campaign_id,
                         std::uint64_t occurrence, store::SealedList& list,
                         store::LedgerView* ledger,
                         const std::function<void(std::int64_t)>& observe) {
  const std::vector<std::string> columns = column_names(list.meta());
  VOUCH_TRY(plan::AmountPlaces places, plan::AmountPlaces::find(campaign, columns));
  Counting counting{campaign, std::move(places), occurrence};
  std::optional<LedgerWalk> walk;
  if (ledger != nullptr) walk.emplace(*ledger, campaign_id);
  store::SealedList::PageBounds bounds;
  // Kept from row to row: a recipient may have several, one for each occurrence.
  std::span<const store::IssuanceRow> issuances;
  std::optional<RecipientKey> looked_at;
  while (true) {
    VOUCH_TRY(const auto page, list.page(bounds, kPageRows));
    if (page.empty()) return std::move(counting.out);
    for (const store::SealedRow& row : page) {
      if (walk && looked_at != row.recipient_key) {
        VOUCH_TRY(issuances, walk->of(row.recipient_key));
        looked_at = row.recipient_key;
      }
      counting.take(row, issuances);
    }
    bounds.after = page.back().key();
    observe(counting.out.rows);
  }
}

}  // namespace vouch::cli
