// Downstreams: HTTP services that issue.  The definition is an immutable version; rates and the
// pause belong to the row, since operators change them at any moment.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT d.id, d.version, d.rate_limit, d.warning_rate, d.paused, d.pause_reason, d.created_ms,
         v.definition
    FROM downstream AS d JOIN downstream_version AS v
      ON v.downstream = d.id AND v.version = d.version
   ORDER BY d.name
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT d.id, d.version, d.rate_limit, d.warning_rate, d.paused, d.pause_reason, d.created_ms,
         v.definition
    FROM downstream AS d JOIN downstream_version AS v
      ON v.downstream = d.id AND v.version = d.version
   WHERE d.name = :name OR d.id = :id ORDER BY d.name = :name DESC LIMIT 1
)sql";
constexpr std::string_view kVersion =
    "SELECT definition FROM downstream_version WHERE downstream = :id AND version = :version";
constexpr std::string_view kNames = "SELECT name FROM downstream";
constexpr std::string_view kTaken = "SELECT 1 FROM downstream WHERE name = :name";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO downstream (id, name, version, rate_limit, warning_rate, paused, pause_reason,
                          created_ms)
  VALUES (:id, :name, :version, :rate_limit, :warning_rate, :paused, :pause_reason, :created_ms)
)sql";
constexpr std::string_view kUpdate = R"sql(
  UPDATE downstream
     SET version = :version, rate_limit = :rate_limit, warning_rate = :warning_rate,
         paused = :paused, pause_reason = :pause_reason
   WHERE id = :id
)sql";
constexpr std::string_view kInsertVersion = R"sql(
  INSERT INTO downstream_version (downstream, version, definition, created_ms, created_by)
  VALUES (:id, :version, :definition, :created_ms, :created_by)
)sql";

constexpr double kRateMax = 1e6;

// A row whose definition is still JSON: reading comes before decoding, so that no error leaves a
// SELECT open.
struct StoredDownstream {
  DownstreamRow row;
  std::string definition;
};

StoredDownstream read_downstream(const Statement& row) {
  StoredDownstream out;
  out.row.id = object_id(row, 0);
  out.row.version = static_cast<int>(row.integer(1));
  out.row.rate_limit = row.real(2);
  out.row.warning_rate = row.real(3);
  out.row.paused = row.integer(4) != 0;
  out.row.pause_reason = row.string(5);
  out.row.created = row.wall(6);
  out.definition = row.string(7);
  return out;
}

Result<DownstreamRow> decode(StoredDownstream stored_row) {
  auto definition = plan::parse_downstream(stored_row.definition);
  if (!definition) {
    return within("stored downstream " + format_id(ObjectKind::downstream, stored_row.row.id),
                  definition.error());
  }
  stored_row.row.definition = std::move(*definition);
  return std::move(stored_row.row);
}

Result<void> check_downstream(const DownstreamRow& row) {
  if (!(row.rate_limit > 0 && row.rate_limit <= kRateMax)) {
    return fail(Errc::invalid, "limit: must be above 0 and at most 1000000/s");
  }
  if (!(row.warning_rate > 0 && row.warning_rate <= row.rate_limit)) {
    return fail(Errc::invalid,
                "warning: must be above 0 and at most the limit of " + format_rate(row.rate_limit));
  }
  if (has_control_bytes(row.pause_reason)) {
    return fail(Errc::invalid, "reason: must not hold control characters");
  }
  // What was put together from flags is held to the same rules as a file.
  if (const auto parsed = plan::parse_downstream(plan::to_json(row.definition)); !parsed) {
    return tl::unexpected<Error>(parsed.error());
  }
  return {};
}

Statement& bind_what_changes(Statement& statement, const DownstreamRow& row) {
  return statement.bind(":id", stored(row.id))
      .bind(":version", std::int64_t{row.version})
      .bind_real(":rate_limit", row.rate_limit)
      .bind_real(":warning_rate", row.warning_rate)
      .bind(":paused", std::int64_t{row.paused})
      .bind(":pause_reason", row.pause_reason);
}

Result<void> insert_version(Database& database, const DownstreamRow& row,
                            const std::string& definition, const Actor& actor) {
  return database.prepared(kInsertVersion)
      .bind(":id", stored(row.id))
      .bind(":version", std::int64_t{row.version})
      .bind(":definition", definition)
      .bind(":created_ms", actor.now)
      .bind(":created_by", actor.operator_name)
      .run();
}

std::string detail_of(const DownstreamRow& row, const std::string& definition) {
  return Detail{}
      .set("version", std::int64_t{row.version})
      .set_real("limit_per_second", row.rate_limit)
      .set_real("warning_per_second", row.warning_rate)
      .set_flag("paused", row.paused)
      .set("reason", row.pause_reason)
      .set("definition_sha256", hex(sha256(definition)))
      .text();
}

}  // namespace

Result<DownstreamRow> ControlStore::create_downstream(const Actor& actor, DownstreamRow row,
                                                      Random& random) {
  VOUCH_CHECK(check_downstream(row));
  const std::string& name = row.definition.name;
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  Statement& taken = database_.prepared(kTaken).bind(":name", name);
  VOUCH_TRY(const bool exists, taken.step());
  if (exists) {
    return fail(Errc::conflict, "a downstream called \"" + name + "\" is there already",
                "change it with: vouchctl downstream update " + name);
  }
  row.id = new_object_id(random);
  row.version = 1;
  row.created = actor.now;
  const std::string definition = plan::to_json(row.definition);
  VOUCH_CHECK(bind_what_changes(database_.prepared(kInsert), row)
                  .bind(":name", name)
                  .bind(":created_ms", row.created)
                  .run());
  VOUCH_CHECK(insert_version(database_, row, definition, actor));
  VOUCH_CHECK(change.commit("downstream create", name, detail_of(row, definition)));
  return row;
}

Result<DownstreamRow> ControlStore::update_downstream(const Actor& actor, const DownstreamRow& row,
                                                      std::string_view action) {
  VOUCH_CHECK(check_downstream(row));
  const std::string& name = row.definition.name;
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(const DownstreamRow before, downstream(name));
  if (before.definition.kind != row.definition.kind) {
    return fail(Errc::conflict, "the kind of \"" + name + "\" cannot change",
                "create another downstream: campaigns rely on the kind");
  }
  DownstreamRow after = row;
  after.id = before.id;
  after.version = before.version;
  after.created = before.created;
  const std::string definition = plan::to_json(after.definition);
  if (definition != plan::to_json(before.definition)) {
    ++after.version;
    VOUCH_CHECK(insert_version(database_, after, definition, actor));
  }
  VOUCH_CHECK(bind_what_changes(database_.prepared(kUpdate), after).run());
  VOUCH_CHECK(change.commit(action, name, detail_of(after, definition)));
  return after;
}

Result<std::vector<DownstreamRow>> ControlStore::downstreams() {
  VOUCH_TRY(auto stored_rows, all_rows(database_.prepared(kAll), read_downstream));
  std::vector<DownstreamRow> rows;
  for (StoredDownstream& stored_row : stored_rows) {
    VOUCH_TRY(rows.emplace_back(), decode(std::move(stored_row)));
  }
  return rows;
}

Result<DownstreamRow> ControlStore::downstream(std::string_view name_or_id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne)
                                    .bind(":name", name_or_id)
                                    .bind(":id", id_in(ObjectKind::downstream, name_or_id)),
                                read_downstream));
  if (row) return decode(std::move(*row));
  return not_found(database_, kNames, "downstream", name_or_id);
}

Result<plan::Downstream> ControlStore::downstream_version(ObjectId id, int version) {
  VOUCH_TRY(const auto definition, first_row(database_.prepared(kVersion)
                                                 .bind(":id", stored(id))
                                                 .bind(":version", std::int64_t{version}),
                                             [](const Statement& row) { return row.string(0); }));
  if (definition) return plan::parse_downstream(*definition);
  return fail(Errc::not_found,
              format_id(ObjectKind::downstream, id) + " has no version " + std::to_string(version));
}

}  // namespace vouch::store
