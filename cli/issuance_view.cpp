#include "cli/issuance_view.hpp"

#include "cli/issuance_words.hpp"
#include "cli/job_forecast.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

Tone tone_of(IssuanceState state) {
  if (state == IssuanceState::issued) return Tone::good;
  if (state == IssuanceState::held || state == IssuanceState::failed) return Tone::bad;
  return is_final(state) || state == IssuanceState::in_doubt ? Tone::warn : Tone::plain;
}

}  // namespace

Result<IssuanceBook> IssuanceBook::open(Session& session, RecipientDisplay display) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(JobBoard jobs, JobBoard::open(session));
  return IssuanceBook{session, *control, *ledger, std::move(jobs), std::move(display)};
}

Result<plan::Campaign> IssuanceBook::campaign_of(const store::IssuanceRow& row) {
  const std::pair key{row.key.campaign, row.campaign_version};
  const auto known = campaigns_.find(key);
  if (known != campaigns_.end()) return known->second;
  VOUCH_TRY(plan::Campaign campaign, control_->campaign_version(key.first, key.second));
  return campaigns_.emplace(key, std::move(campaign)).first->second;
}

Result<std::optional<JobView>> IssuanceBook::job_of(const store::IssuanceRow& row) {
  // Singles share a job that has the campaign's own id; the control store knows none such.
  if (row.job == row.key.campaign) return std::optional<JobView>{};
  VOUCH_TRY(JobView view, jobs_.find(format_id(ObjectKind::job, row.job)));
  return std::optional{std::move(view)};
}

// Null where there is none, or none any more.
Result<store::SealedList*> IssuanceBook::list_of(ObjectId job) {
  const auto known = lists_.find(job);
  if (known != lists_.end()) return known->second ? &*known->second : nullptr;
  std::optional<store::SealedList>& list = lists_[job];
  VOUCH_TRY(const JobView view, jobs_.find(format_id(ObjectKind::job, job)));
  if (view.list_id == 0) return nullptr;
  VOUCH_TRY(const store::ListRow row, control_->list(format_id(ObjectKind::list, view.list_id)));
  if (row.deleted) return nullptr;
  auto opened = store::SealedList::open(session_->paths().list_file(row.digest));
  if (!opened) return tl::unexpected<Error>(opened.error());
  list.emplace(std::move(*opened));
  return &*list;
}

Result<void> IssuanceBook::add_recipient(IssuanceView& view) {
  if (view.row.job == view.row.key.campaign) return {};
  VOUCH_TRY(store::SealedList * list, list_of(view.row.job));
  if (list == nullptr) return {};
  VOUCH_TRY(const plan::Campaign campaign, campaign_of(view.row));
  VOUCH_TRY(const auto rows, list->find(view.row.key.recipient));
  for (const store::SealedRow& row : rows) {
    const std::uint64_t occurrence =
        occurrence_of_row(campaign, view.row.key.occurrence, row.occurrence);
    if (occurrence != view.row.key.occurrence) continue;
    view.recipient = display_.of(row.recipient_id);
    view.line = row.line;
    return {};
  }
  return {};
}

Result<IssuanceView> IssuanceBook::view_of(store::IssuanceRow row) {
  IssuanceView view;
  view.row = std::move(row);
  VOUCH_TRY(const plan::Campaign campaign, campaign_of(view.row));
  view.campaign = campaign.name;
  if (view.row.key.item < campaign.items.size()) {
    const plan::Item& item = campaign.items[view.row.key.item];
    view.item = item.name;
    view.downstream = item.downstream;
    view.pool = item.pool;
    view.currency = item.amount.currency;
  }
  if (view.row.last_event) {
    VOUCH_TRY(view.last, ledger_->event(*view.row.last_event));
  }
  VOUCH_CHECK(add_recipient(view));
  return view;
}

Result<RequestId> parse_issuance_id(std::string_view id) {
  auto parsed = parse_request_id(id);
  if (parsed) return parsed;
  return fail(Errc::usage, "\"" + std::string{id} + "\" is no issuance id",
              "ids have 40 letters; find one by its recipient: vouchctl explain RECIPIENT");
}

Result<IssuanceView> IssuanceBook::find(std::string_view id) {
  VOUCH_TRY(const RequestId parsed, parse_issuance_id(id));
  VOUCH_TRY(auto row, ledger_->issuance(parsed.key));
  if (!row) {
    return fail(Errc::not_found,
                "there is no issuance " + std::string{id} + " in the ledger of the instance \"" +
                    session_->instance() + "\"",
                "it may not have been planned yet; see `vouchctl job show`");
  }
  if (parsed.round != row->round) {
    session_->out().note("this is the id of round " + std::to_string(parsed.round) +
                         "; a rerun has led to round " + std::to_string(row->round));
  }
  return view_of(std::move(*row));
}

Record summary_of(const IssuanceView& view) {
  const bool single = view.row.job == view.row.key.campaign;
  return {{"id", "Id", view.id()},
          {"state", "State", Value{name_of(view.row.state)}.tone(tone_of(view.row.state))},
          {"reason", "Reason", reason_of(view.row, view.last)},
          {"campaign", "Campaign", view.campaign},
          {"item", "Item", view.item},
          {"recipient", "Recipient", view.recipient},
          {"line", "Line", view.line == 0 ? Value{} : Value{view.line}, Shown::wide},
          {"amount_minor", "Amount", Value::amount(view.row.amount_minor, view.currency)},
          {"currency", "Currency", view.currency, Shown::wide},
          {"attempts", "Attempts", view.row.attempts, Shown::wide},
          {"reference", "Reference", view.last ? Value{view.last->reference} : Value{}},
          {"job", "Job", single ? Value{} : Value{format_id(ObjectKind::job, view.row.job)}},
          {"next_at", "Next", Value{view.row.next_at}, Shown::wide},
          {"updated_at", "Updated", view.last ? Value{view.last->at} : Value{view.row.intent}}};
}

}  // namespace vouch::cli
