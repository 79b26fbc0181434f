#include "daemon/export_desk.hpp"

#include <utility>

#include "common/failpoint.hpp"
#include "common/json.hpp"

namespace vouch::daemon {
namespace {

// The runs of one page: at most one for each of its codes.
Result<std::vector<data::ConfirmExport::Run>> read_runs(JsonReader& reader, std::int64_t codes) {
  VOUCH_TRY(const Json* runs, reader.required("runs"));
  if (!runs->is_array()) return reader.refuse("runs", "must be an array");
  std::vector<data::ConfirmExport::Run> out;
  std::int64_t sum = 0;
  for (const Json& run : *runs) {
    const bool is_pair = run.is_array() && run.size() == 2 && run[0].is_number_integer() &&
                         run[1].is_number_integer();
    if (!is_pair) return reader.refuse("runs", "must hold pairs of an ordinal and a count");
    const auto first = run[0].get<std::int64_t>();
    const auto count = run[1].get<std::int64_t>();
    const bool is_of_pool = first >= 0 && count > 0 && first < codes && count <= codes - first;
    if (!is_of_pool) return reader.refuse("runs", "the pool has no such codes");
    sum += count;
    if (sum > data::kExportRowsPage) return reader.refuse("runs", "are of more than 1000 codes");
    out.push_back({first, count});
  }
  return out;
}

Result<std::string> answer_of(const data::ExportStep& step) {
  if (step.refusal) return tl::unexpected<Error>(*step.refusal);
  return Json{{"ok", true}, {"rows", step.rows}, {"more", step.rows == data::kExportRowsPage}}
      .dump();
}

}  // namespace

Result<std::string> ExportDesk::carry_out(store::ControlStore& control, const data::Authority& by,
                                          std::string_view verb, std::string_view body) {
  VOUCH_TRY(const store::OperatorRow who, control.operator_of_account(by.account));
  if (who.role != "administrator") {
    return fail(Errc::not_permitted, "only administrators may take codes out of Vouch",
                "you are a " + who.role);
  }
  if (verb == "take") return take(control, by, body);
  if (verb == "confirm") return confirm(control, by, body);
  return fail(Errc::not_found, "nothing like this can be done with an export");
}

Result<data::JobNow> ExportDesk::job_that_starts(std::string_view id) const {
  // Single issuances share a job that has their campaign's own id.
  auto object = parse_id(ObjectKind::job, id);
  if (!object) object = parse_id(ObjectKind::campaign, id);
  if (!object) return tl::unexpected<Error>(object.error());
  const auto snapshot = board_.read();
  for (const auto& [number, job] : snapshot->jobs) {
    if (job.id != *object) continue;
    const std::string why = !job.blocked.empty() ? job.blocked : job.ended;
    if (!why.empty()) return fail(Errc::conflict, "it may start nothing: " + why);
    if (job.is_late(clock_.wall_now())) {
      return fail(Errc::conflict, "it is late: what has not started expires");
    }
    return job;
  }
  return fail(Errc::conflict, "the job is over, or not known here");
}

Result<std::string> ExportDesk::take(store::ControlStore& control, const data::Authority& by,
                                     std::string_view body) {
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string id, reader.text("export"));
  VOUCH_CHECK(parse_id(ObjectKind::code_export, id).map([](ObjectId) {}));
  VOUCH_TRY(const std::string pool_id, reader.text("pool"));
  VOUCH_TRY(const std::string job_id, reader.text("job"));
  VOUCH_CHECK(reader.finish());
  VOUCH_TRY(const data::JobNow job, job_that_starts(job_id));
  // As it is now: codes may have been added a moment ago.
  VOUCH_TRY(auto pool, control.pool(pool_id));
  data::TakeForExport message{.job_number = job.number,
                              .items = {},
                              .pool = std::make_shared<const store::PoolRow>(std::move(pool)),
                              .words = "the export " + id + " by " + by.operator_name,
                              .done = std::make_shared<data::ExportStep>()};
  for (const plan::Item& item : job.campaign->items) {
    const bool is_here = item.by_export() && item.pool == message.pool->name;
    if (is_here) message.items.add(item.number);
  }
  const auto done = message.done;
  VOUCH_CHECK(write_(std::move(message)));
  reach_failpoint("export-take-not-answered");
  return answer_of(*done);
}

// Evidence is always recorded, whatever has become of the job.
Result<std::string> ExportDesk::confirm(store::ControlStore& control, const data::Authority& by,
                                        std::string_view body) {
  VOUCH_TRY(const Json json, parse_json(body));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  data::ConfirmExport message;
  VOUCH_TRY(message.export_id, reader.text("export"));
  VOUCH_CHECK(parse_id(ObjectKind::code_export, message.export_id).map([](ObjectId) {}));
  message.words = "the export " + message.export_id + " by " + by.operator_name;
  VOUCH_TRY(const std::string pool_id, reader.text("pool"));
  VOUCH_TRY(auto pool, control.pool(pool_id));
  VOUCH_TRY(message.runs, read_runs(reader, pool.codes()));
  VOUCH_CHECK(reader.finish());
  message.pool = std::make_shared<const store::PoolRow>(std::move(pool));
  message.done = std::make_shared<data::ExportStep>();
  const auto done = message.done;
  VOUCH_CHECK(write_(std::move(message)));
  reach_failpoint("export-confirm-not-answered");
  return answer_of(*done);
}

}  // namespace vouch::daemon
