#include "daemon/strategy/intent_maker.hpp"

#include <algorithm>
#include <utility>

#include "daemon/service/call_form.hpp"

namespace vouch::strategy {
namespace {

using data::Intent;
using data::JobNow;

// What the ledger knows of a row that is due; the call itself is not made yet.
std::optional<Intent> of_row(const JobNow& job, const data::Snapshot& snapshot,
                             const data::DueRow& row) {
  if (row.key.item >= job.item_downstreams.size()) return std::nullopt;
  const data::DownstreamNow* downstream = snapshot.downstream(job.item_downstreams[row.key.item]);
  if (downstream == nullptr) return std::nullopt;
  const bool new_call = data::makes_new_call(row.state, row.doubt_since);
  const int version = new_call ? downstream->version : row.downstream_version;
  const auto definition = downstream->versions.find(version);
  if (definition == downstream->versions.end()) return std::nullopt;

  Intent intent;
  intent.key = row.key;
  intent.key.campaign = job.campaign_id;
  intent.round = row.round;
  intent.campaign_number = job.campaign_number;
  intent.job_number = job.number;
  intent.range = row.range;
  intent.campaign_version = new_call ? job.campaign_version : row.campaign_version;
  intent.downstream_version = version;
  intent.downstream = downstream->id;
  intent.campaign = job.campaign;
  intent.definition = definition->second;
  intent.pool = job.item_pools[row.key.item];
  intent.amount_minor = row.amount_minor;
  intent.single = job.kind == data::JobKind::single;
  intent.from = row.state;
  intent.doubt_since = row.doubt_since;
  intent.attempts = row.attempts;
  intent.strikes = row.strikes;
  intent.last_event = row.last_event;
  intent.last_attempt_at = row.last_attempt_at;
  intent.last_status = row.last_status;
  intent.last_reply = row.last_reply;
  intent.intent_at = row.intent_at;
  intent.asked = row.asked;
  intent.missing_since = row.missing_since;
  intent.known = row.known;
  intent.was_asked = row.last_kind == EventKind::asked;
  intent.unanswered_with = row.unanswered_with();
  return intent;
}

}  // namespace

std::uint64_t occurrence_of(const JobNow& job, std::string_view occurrence_value) {
  return job.campaign->once_per == plan::OncePer::column
             ? plan::occurrence_of_value(occurrence_value)
             : job.occurrence;
}

Result<IntentMaker> IntentMaker::make(const JobNow& job,
                                      std::span<const std::string> amount_columns,
                                      std::vector<std::string> attribute_columns) {
  VOUCH_TRY(plan::AmountPlaces places, plan::AmountPlaces::find(*job.campaign, amount_columns));
  return IntentMaker{std::move(places), std::move(attribute_columns)};
}

Result<void> IntentMaker::check_attributes(const JobNow& job,
                                           const data::Snapshot& snapshot) const {
  const auto of =
      job.kind == data::JobKind::single ? plan::AttributesOf::single : plan::AttributesOf::list;
  for (const plan::Item& item : job.campaign->items) {
    if (item.number >= job.item_downstreams.size()) continue;
    const data::DownstreamNow* downstream = snapshot.downstream(job.item_downstreams[item.number]);
    if (downstream == nullptr) continue;  // told elsewhere
    VOUCH_CHECK(
        plan::check_attributes(item, *downstream->versions.at(downstream->version), columns_, of));
  }
  return {};
}

std::string_view IntentMaker::attribute(const Recipient& recipient,
                                        const std::string& column) const {
  const auto found = std::ranges::find(columns_, column);
  if (found == columns_.end()) return {};
  const auto place = static_cast<std::size_t>(found - columns_.begin());
  return recipient.values.empty() ? recipient.fields[place] : recipient.values[place];
}

void IntentMaker::complete(const JobNow& job, const Recipient& recipient, Intent& intent) {
  attributes_.clear();
  if (const auto& form = intent.definition->request) {
    for (const std::string& column : form->attributes) {
      attributes_.push_back({column, attribute(recipient, column)});
    }
  }
  service::fill_call(intent, format_id(ObjectKind::campaign, job.campaign_id),
                     recipient.recipient_id, attributes_);
}

void IntentMaker::make_fresh(const JobNow& job, const data::Snapshot& snapshot,
                             const Recipient& recipient, std::int32_t range, bool called,
                             std::vector<Intent>& out) {
  places_.plan(*job.campaign, recipient.amounts, items_);
  for (const plan::PlannedItem& planned : items_) {
    Intent& intent = out.emplace_back();
    intent.key = {.campaign = job.campaign_id,
                  .recipient = recipient.key,
                  .occurrence = recipient.occurrence,
                  .item = planned.item};
    intent.campaign_number = job.campaign_number;
    intent.job_number = job.number;
    intent.range = range;
    intent.campaign_version = job.campaign_version;
    intent.campaign = job.campaign;
    intent.amount_minor = planned.amount_minor;
    if (job.by_export(planned.item)) {
      intent.by_export = true;
      intent.request_id = format_request_id(intent.key, 0);
      continue;
    }
    const data::DownstreamNow& downstream =
        snapshot.downstreams.at(job.item_downstreams[planned.item]);
    intent.downstream_version = downstream.version;
    intent.downstream = downstream.id;
    intent.definition = downstream.versions.at(downstream.version);
    intent.pool = job.item_pools[planned.item];
    intent.fresh = true;
    if (called) complete(job, recipient, intent);
  }
}

std::optional<Intent> IntentMaker::make_again(const JobNow& job, const data::Snapshot& snapshot,
                                              const Recipient& recipient, const data::DueRow& row) {
  std::optional<Intent> intent = of_row(job, snapshot, row);
  if (!intent) return intent;
  // The attempt before was a call; what was asked since then is none.
  if (intent->was_asked) intent->last_attempt_at = row.intent_at;
  complete(job, recipient, *intent);
  return intent;
}

std::optional<Intent> make_query_intent(const JobNow& job, const data::Snapshot& snapshot,
                                        const data::DueRow& row) {
  std::optional<Intent> intent = of_row(job, snapshot, row);
  if (!intent || !intent->definition->query) return std::nullopt;
  intent->asks = true;
  intent->request_id = format_request_id(intent->key, intent->round);
  return intent;
}

}  // namespace vouch::strategy
