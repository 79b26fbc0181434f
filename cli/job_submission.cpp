#include "cli/job_submission.hpp"

#include <algorithm>

#include "cli/job_verdict.hpp"
#include "cli/uncertain_contract.hpp"
#include "common/crypto.hpp"
#include "common/json.hpp"
#include "common/plan/planner.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

Result<store::ClientRow> find_client(store::ControlStore& control, const std::string& name) {
  if (!name.empty()) return control.client(name);
  VOUCH_TRY(auto all, control.clients());
  if (all.size() == 1) return std::move(all.front());
  if (all.empty()) {
    return fail(Errc::invalid, "there is no client to submit for",
                "make one: vouchctl client create NAME");
  }
  return fail(Errc::usage, "there are several clients: for which is the job?",
              "add --client " + all.front().name);
}

Result<store::JobOptions> job_options(Session& session, const SubmitOptions& options,
                                      const plan::Campaign& campaign, ObjectId job) {
  store::JobOptions out;
  out.rate = options.rate;
  if (!options.start_at.empty()) {
    VOUCH_TRY(out.start_at, session.time("--start-at", options.start_at));
  }
  if (!options.finish_by.empty()) {
    VOUCH_TRY(out.finish_by, session.time("--finish-by", options.finish_by));
  }
  out.pilot = options.pilot;
  out.failures_percent_max = options.failures_percent_max;
  VOUCH_CHECK(Tolerance::parse(options.tolerate).map([](const Tolerance&) {}));
  out.tolerate = options.tolerate;
  out.accept_uncertain = options.accept_uncertain;
  plan::CivilDate date;
  if (!options.for_date.empty()) {
    auto parsed = plan::parse_date(options.for_date);
    if (!parsed) return usage("--for-date", parsed.error());
    date = *parsed;
  } else {
    const WallTime start = std::max(session.now(), out.start_at.value_or(session.now()));
    VOUCH_TRY(date, plan::date_in_zone(start, campaign.time_zone));
  }
  char text[24];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", date.year, date.month, date.day);
  out.for_date = text;
  if (campaign.once_per != plan::OncePer::column) {
    out.occurrence = plan::occurrence_of(campaign.once_per, date, job);
  }
  return out;
}

// What the line asked for, so that the same line is the same job however often and whenever it is
// run: texts as they were given, not what they mean today.
std::string content_digest(const SubmitOptions& options, const Submission& submission) {
  const Json content{{"campaign", submission.campaign.id},
                     {"client", submission.client.id},
                     {"list", submission.imported.list.digest},
                     {"rate", options.rate ? Json(*options.rate) : Json(nullptr)},
                     {"start_at", options.start_at},
                     {"finish_by", options.finish_by},
                     {"for_date", options.for_date},
                     {"pilot", options.pilot ? Json(*options.pilot) : Json(nullptr)},
                     {"failures_percent_max", options.failures_percent_max.value_or(0)},
                     {"tolerate", options.tolerate}};
  return hex(sha256(content.dump()));
}

Result<std::optional<store::JobRow>> job_of_key(store::ControlStore& control,
                                                const std::string& submit_key) {
  if (submit_key.empty()) return std::optional<store::JobRow>{};
  auto there = control.job(submit_key);
  if (there && there->submit_key == submit_key) return std::optional{std::move(*there)};
  if (!there && there.error().code != Errc::not_found) {
    return tl::unexpected<Error>(there.error());
  }
  return std::optional<store::JobRow>{};
}

Result<ImportedList> seal_file(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(ImportedList imported, seal_list(session, options.import, DryRunSeals::in_scratch));
  tell_findings(session, imported);
  if (imported.summary.refusal) return tl::unexpected<Error>(*imported.summary.refusal);
  return imported;
}

Result<ImportedList> find_list(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  ImportedList found;
  VOUCH_TRY(found.list, control->list(options.list));
  if (found.list.deleted) {
    return fail(Errc::invalid, "the list " + found.list.name + " was deleted",
                "import the file again");
  }
  if (found.list.accepted < options.import.rows_min.value_or(0)) {
    return fail(Errc::invalid, "the list " + found.list.name + " has " +
                                   format_count(found.list.accepted) + " rows, but at least " +
                                   format_count(*options.import.rows_min) +
                                   " are wanted (--min-rows)");
  }
  found.sealed_file = session.paths().list_file(found.list.digest);
  return found;
}

}  // namespace

Result<Submission> prepare_submission(Session& session, const SubmitOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  Submission out;
  VOUCH_TRY(out.campaign, control->campaign(options.import.campaign));
  VOUCH_TRY(out.client, find_client(*control, options.client));
  VOUCH_CHECK(check_uncertain(*control, out.campaign.definition, options.accept_uncertain));
  out.job.id = new_object_id(session.random());
  // Before the file is read: a mistyped time should not cost minutes.
  VOUCH_TRY(out.job.options, job_options(session, options, out.campaign.definition, out.job.id));
  VOUCH_TRY(out.imported,
            options.list.empty() ? seal_file(session, options) : find_list(session, options));
  out.job.campaign = out.campaign.id;
  out.job.campaign_version = out.campaign.version;
  out.job.client = out.client.id;
  out.job.submit_key = options.submit_key;
  out.job.content_digest = content_digest(options, out);
  out.job.instance = session.instance();
  return out;
}

Result<bool> is_there_already(Session& session, const Submission& submission) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  const std::string& key = submission.job.submit_key;
  VOUCH_TRY(const auto there, job_of_key(*control, key));
  if (!there) return false;
  if (there->content_digest == submission.job.content_digest) return true;
  return fail(Errc::conflict,
              "the submit key \"" + key + "\" belongs to " + format_id(ObjectKind::job, there->id) +
                  ", which asked for something else",
              "another file, list, client, rate or time needs another --submit-key");
}

}  // namespace vouch::cli
