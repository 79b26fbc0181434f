// Jobs: what was asked for.  How far a job is stands in the ledger.
#include "common/json.hpp"
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT id, campaign, campaign_version, client, list, rerun_of, submit_key, content_digest,
         options, instance, submitted_ms, submitted_by
    FROM job ORDER BY submitted_ms, id
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT id, campaign, campaign_version, client, list, rerun_of, submit_key, content_digest,
         options, instance, submitted_ms, submitted_by
    FROM job WHERE id = :id
)sql";
constexpr std::string_view kByKey = R"sql(
  SELECT id, campaign, campaign_version, client, list, rerun_of, submit_key, content_digest,
         options, instance, submitted_ms, submitted_by
    FROM job WHERE submit_key = :submit_key
)sql";
constexpr std::string_view kIdsAndKeys = "SELECT submit_key FROM job WHERE submit_key IS NOT NULL";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO job (id, campaign, campaign_version, client, list, rerun_of, submit_key,
                   content_digest, options, instance, submitted_ms, submitted_by)
  VALUES (:id, :campaign, :campaign_version, :client, :list, :rerun_of, :submit_key,
          :content_digest, :options, :instance, :submitted_ms, :submitted_by)
)sql";
constexpr std::string_view kInsertCommand = R"sql(
  INSERT INTO command (nonce, kind, job, arguments, instance, operator, created_ms, expires_ms)
  VALUES (:nonce, 'submit', :job, '{}', :instance, :operator, :created_ms, :expires_ms)
)sql";
constexpr std::string_view kUpdateOptions = "UPDATE job SET options = :options WHERE id = :id";
constexpr std::string_view kLastId = "SELECT last_insert_rowid()";

constexpr std::size_t kSubmitKeyBytesMax = 200;

struct StoredJob {
  JobRow row;
  std::string options;
};

StoredJob read_job(const Statement& row) {
  StoredJob out;
  out.row.id = object_id(row, 0);
  out.row.campaign = object_id(row, 1);
  out.row.campaign_version = static_cast<int>(row.integer(2));
  out.row.client = object_id(row, 3);
  out.row.list = object_id(row, 4);
  out.row.rerun_of = object_id(row, 5);
  out.row.submit_key = row.string(6);
  out.row.content_digest = row.string(7);
  out.options = row.string(8);
  out.row.instance = row.string(9);
  out.row.submitted = row.wall(10);
  out.row.submitted_by = row.string(11);
  return out;
}

Result<JobRow> decode(StoredJob stored_row) {
  auto options = parse_job_options(stored_row.options);
  if (!options) {
    return within("stored " + format_id(ObjectKind::job, stored_row.row.id), options.error());
  }
  stored_row.row.options = std::move(*options);
  return std::move(stored_row.row);
}

Result<std::optional<JobRow>> find_by_key(Database& database, std::string_view submit_key) {
  VOUCH_TRY(auto found,
            first_row(database.prepared(kByKey).bind(":submit_key", submit_key), read_job));
  if (!found) return std::optional<JobRow>{};
  VOUCH_TRY(JobRow row, decode(std::move(*found)));
  return std::optional<JobRow>{std::move(row)};
}

Result<std::vector<std::string>> read_words(JsonReader& reader, const char* key) {
  std::vector<std::string> words;
  const Json* value = reader.optional(key);
  if (value == nullptr) return words;
  if (!value->is_array()) return reader.refuse(key, "must be an array");
  for (const Json& word : *value) {
    if (!word.is_string()) return reader.refuse(key, "must hold text");
    words.push_back(word.get<std::string>());
  }
  return words;
}

Result<std::optional<WallTime>> read_ms(JsonReader& reader, const char* key) {
  VOUCH_TRY(const auto ms, reader.optional_integer(key, 0, INT64_MAX));
  if (!ms) return std::optional<WallTime>{};
  return std::optional{from_ms(*ms)};
}

Result<void> insert_job(Database& database, const JobRow& row) {
  return database.prepared(kInsert)
      .bind(":id", stored(row.id))
      .bind(":campaign", stored(row.campaign))
      .bind(":campaign_version", std::int64_t{row.campaign_version})
      .bind(":client", stored(row.client))
      .bind(":list", stored_or_null(row.list))
      .bind(":rerun_of", stored_or_null(row.rerun_of))
      .bind(":submit_key", row.submit_key.empty() ? std::nullopt : std::optional{row.submit_key})
      .bind(":content_digest", row.content_digest)
      .bind(":options", to_json(row.options))
      .bind(":instance", row.instance)
      .bind(":submitted_ms", row.submitted)
      .bind(":submitted_by", row.submitted_by)
      .run();
}

// Returns its number.  A submission does not expire: the job is known from here on, and with it its
// key.
Result<std::int64_t> insert_submission(Database& database, const JobRow& row, Random& random) {
  VOUCH_CHECK(database.prepared(kInsertCommand)
                  .bind(":nonce", new_nonce(random))
                  .bind(":job", stored(row.id))
                  .bind(":instance", row.instance)
                  .bind(":operator", row.submitted_by)
                  .bind(":created_ms", row.submitted)
                  .bind(":expires_ms", kNeverMs)
                  .run());
  VOUCH_TRY(const auto number, first_row(database.prepared(kLastId),
                                         [](const Statement& id) { return id.integer(0); }));
  return number.value_or(0);
}

// The job that has the key already: the one that is submitted again, or none.
Result<std::optional<JobRow>> submitted_before(Database& database, const JobRow& row) {
  if (row.submit_key.empty()) return std::nullopt;
  VOUCH_TRY(auto there, find_by_key(database, row.submit_key));
  if (!there || there->content_digest == row.content_digest) return there;
  return fail(Errc::conflict,
              "the submit key \"" + row.submit_key + "\" belongs to " +
                  format_id(ObjectKind::job, there->id) + ", which asked for something else",
              "submit the same content again, or take another key");
}

}  // namespace

std::string to_json(const JobOptions& options) {
  Json out = Json::object();
  if (options.rate) out["rate"] = *options.rate;
  if (options.start_at) out["start_at_ms"] = to_ms(*options.start_at);
  if (options.finish_by) out["finish_by_ms"] = to_ms(*options.finish_by);
  if (options.pilot) out["pilot"] = *options.pilot;
  if (options.failures_percent_max) out["failures_percent_max"] = *options.failures_percent_max;
  out["occurrence"] = options.occurrence;
  if (!options.for_date.empty()) out["for_date"] = options.for_date;
  if (!options.rerun_states.empty()) out["rerun_states"] = options.rerun_states;
  if (!options.tolerate.empty()) out["tolerate"] = options.tolerate;
  if (options.accept_uncertain) out["accept_uncertain"] = true;
  return out.dump();
}

Result<JobOptions> parse_job_options(std::string_view json_text) {
  VOUCH_TRY(const Json json, parse_json(json_text));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  JobOptions out;
  if (const Json* rate = reader.optional("rate")) {
    if (!rate->is_number()) return reader.refuse("rate", "must be a number");
    out.rate = rate->get<double>();
  }
  VOUCH_TRY(out.start_at, read_ms(reader, "start_at_ms"));
  VOUCH_TRY(out.finish_by, read_ms(reader, "finish_by_ms"));
  VOUCH_TRY(out.pilot, reader.optional_integer("pilot", 0, INT64_MAX));
  VOUCH_TRY(out.failures_percent_max, reader.optional_integer("failures_percent_max", 1, 100));
  VOUCH_TRY(const auto occurrence, reader.optional_integer("occurrence", 0, INT64_MAX));
  out.occurrence = static_cast<std::uint64_t>(occurrence.value_or(0));
  VOUCH_TRY(const auto for_date, reader.optional_text("for_date"));
  out.for_date = for_date.value_or("");
  VOUCH_TRY(out.rerun_states, read_words(reader, "rerun_states"));
  VOUCH_TRY(out.tolerate, read_words(reader, "tolerate"));
  VOUCH_TRY(out.accept_uncertain, reader.boolean_or("accept_uncertain", false));
  VOUCH_CHECK(reader.finish());
  return out;
}

Result<ControlStore::Submission> ControlStore::submit_job(const Actor& actor, JobRow row,
                                                          Random& random) {
  if (row.submit_key.size() > kSubmitKeyBytesMax || has_control_bytes(row.submit_key)) {
    return fail(Errc::invalid, "submit key: must be at most " + std::to_string(kSubmitKeyBytesMax) +
                                   " bytes without control characters");
  }
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(auto there, submitted_before(database_, row));
  if (there) return Submission{std::move(*there), 0, true};
  VOUCH_CHECK(bind_campaign(row.campaign, row.instance, row.id_type));
  if (row.id == 0) row.id = new_object_id(random);
  row.submitted = actor.now;
  row.submitted_by = actor.operator_name;
  VOUCH_CHECK(insert_job(database_, row));
  VOUCH_TRY(const std::int64_t command, insert_submission(database_, row, random));
  const std::string detail = Detail{}
                                 .set("submit_key", row.submit_key)
                                 .set("content_digest", row.content_digest)
                                 .set("campaign", format_id(ObjectKind::campaign, row.campaign))
                                 .set_json("options", to_json(row.options))
                                 .text();
  VOUCH_CHECK(change.commit("job submit", format_id(ObjectKind::job, row.id), detail));
  return Submission{std::move(row), command, false};
}

Result<std::vector<JobRow>> ControlStore::jobs() {
  VOUCH_TRY(auto stored_rows, all_rows(database_.prepared(kAll), read_job));
  std::vector<JobRow> rows;
  for (StoredJob& stored_row : stored_rows) {
    VOUCH_TRY(rows.emplace_back(), decode(std::move(stored_row)));
  }
  return rows;
}

Result<JobRow> ControlStore::job(std::string_view id_or_submit_key) {
  VOUCH_TRY(auto by_key, find_by_key(database_, id_or_submit_key));
  if (by_key) return std::move(*by_key);
  if (const auto id = parse_id(ObjectKind::job, id_or_submit_key)) return job_by_id(*id);
  return not_found(database_, kIdsAndKeys, "job", id_or_submit_key);
}

Result<JobRow> ControlStore::job_by_id(ObjectId id) {
  VOUCH_TRY(auto found, first_row(database_.prepared(kOne).bind(":id", stored(id)), read_job));
  if (found) return decode(std::move(*found));
  return fail(Errc::not_found, "there is no job " + format_id(ObjectKind::job, id),
              "list them: vouchctl job list");
}

Result<void> ControlStore::update_job_options(const Actor& actor, ObjectId id,
                                              const JobOptions& options) {
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(const JobRow before, job_by_id(id));
  VOUCH_CHECK(database_.prepared(kUpdateOptions)
                  .bind(":id", stored(id))
                  .bind(":options", to_json(options))
                  .run());
  const std::string detail = Detail{}
                                 .set_json("before", to_json(before.options))
                                 .set_json("after", to_json(options))
                                 .text();
  return change.commit("job update", format_id(ObjectKind::job, id), detail);
}

}  // namespace vouch::store
