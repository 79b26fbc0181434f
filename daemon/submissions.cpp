#include "daemon/submissions.hpp"

#include <algorithm>
#include <utility>

#include "common/json.hpp"
#include "common/log.hpp"
#include "common/store/sealed_list.hpp"
#include "daemon/data/older_ledger.hpp"

namespace vouch::daemon {
namespace {

constexpr Millis kLostJobsEvery{1'000};

}  // namespace

Result<void> check_uncertain(const Definitions& definitions, const plan::Campaign& campaign,
                             bool accepted) {
  if (accepted) return {};
  for (const plan::Item& item : campaign.items) {
    const data::DownstreamNow* to = definitions.downstream(item.downstream);
    if (to == nullptr || to->versions.at(to->version)->contract != plan::Contract::none) continue;
    return fail(Errc::conflict, "downstream " + to->name + " has the contract none",
                "submit again with --accept-uncertain");
  }
  return {};
}

Result<void> Submissions::begin() {
  VOUCH_TRY(lost_before_, data::lost_before(reader_.database()));
  return {};
}

Result<void> Submissions::submit(ObjectId job, const data::CommandName& command) {
  const store::JobRow* row = definitions_.job(job);
  if (row == nullptr) {
    VOUCH_CHECK(definitions_.load(control_));
    row = definitions_.job(job);
  }
  if (row == nullptr) return fail(Errc::not_found, "the submitted job is not in the store");
  return hand_over(*row, command);
}

Result<void> Submissions::hand_over(const store::JobRow& row, const data::CommandName& command) {
  VOUCH_ASSERT(definitions_.campaign(row.campaign) != nullptr);  // a foreign key
  VOUCH_TRY(const plan::Campaign version,
            control_.campaign_version(row.campaign, row.campaign_version));
  VOUCH_CHECK(check_uncertain(definitions_, version, row.options.accept_uncertain));
  data::SubmitJob submit{
      .command = command,
      .id = row.id,
      .campaign = row.campaign,
      .kind = data::JobKind::rerun,
      .ranges = 1,
      .rows_accepted = 0,
      .items = 1,
      .pilot = row.options.pilot,
      .start_later = row.options.start_at.has_value() || version.not_before.has_value(),
      .rerun_of = row.rerun_of,
      .is_lost = lost_before_ && row.submitted < *lost_before_};
  if (row.rerun_of == 0) {
    const store::ListRow* list = definitions_.list(row.list);
    if (list == nullptr) return fail(Errc::not_found, "the job's list is not in the store");
    VOUCH_TRY(store::SealedList sealed, store::SealedList::open(paths_.list_file(list->digest)));
    VOUCH_TRY(const auto ranges, sealed.ranges());
    submit.kind = data::JobKind::list;
    submit.ranges = static_cast<std::int32_t>(ranges.size());
    submit.rows_accepted = sealed.meta().accepted;
    submit.items = static_cast<int>(version.items.size());
  }
  writer_.push(submit);
  return {};
}

Result<void> Submissions::bring_lost_jobs_back(Instant now,
                                               const std::vector<data::JobRecord>& open_jobs) {
  if (!lost_before_ || now < next_lost_) return {};
  next_lost_ = now + kLostJobsEvery;
  VOUCH_TRY(const auto jobs, control_.jobs());
  bool all_are_back = true;
  for (const store::JobRow& row : jobs) {
    VOUCH_TRY(const bool lost, is_lost(row));
    if (!lost) continue;
    all_are_back = false;
    bring_back(row, open_jobs);
  }
  if (!all_are_back) return {};
  writer_.push(data::LostJobsBack{});
  lost_before_.reset();
  return {};
}

// What was refused then is not wanted back.
Result<bool> Submissions::is_lost(const store::JobRow& row) {
  if (row.instance != instance_ || row.submitted >= *lost_before_) return false;
  VOUCH_TRY(const bool known, reader_.has_job(row.id));
  if (known) return false;
  VOUCH_TRY(const store::CommandRow submission, control_.submission_of(row.id));
  const Json answer = Json::parse(submission.answer_json, nullptr, false);
  return !answer.is_object() || answer.value("ok", false);
}

void Submissions::bring_back(const store::JobRow& row,
                             const std::vector<data::JobRecord>& open_jobs) {
  const bool is_news = lost_told_.insert(row.id).second;
  const std::string id = format_id(ObjectKind::job, row.id);
  const auto source = std::ranges::find(open_jobs, row.rerun_of, &data::JobRecord::id);
  if (row.rerun_of != 0 && source != open_jobs.end() && source->state != JobState::unsettled) {
    if (!is_news) return;
    return log::warn(
        "a rerun that the older ledger does not know is submitted again when its source is over",
        {{"job", id}, {"source", format_id(ObjectKind::job, row.rerun_of)}});
  }
  if (const auto again = hand_over(row, 0); !again) {
    if (!is_news) return;
    return log::warn("a job that the older ledger does not know cannot be submitted again",
                     {{"job", id}, {"why", again.error().message}});
  }
  if (!is_news) return;
  log::warn("a job that the older ledger does not know is submitted again, and paused",
            {{"job", id}, {"resume", "vouchctl job resume " + id}});
}

}  // namespace vouch::daemon
