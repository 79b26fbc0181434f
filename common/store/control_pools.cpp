// Pools of redemption codes: their names and the sealed segments they consist of.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT id, name, low_water, fingerprint, instance, created_ms, created_by FROM pool ORDER BY name
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT id, name, low_water, fingerprint, instance, created_ms, created_by
    FROM pool WHERE name = :name OR id = :id ORDER BY name = :name DESC LIMIT 1
)sql";
constexpr std::string_view kNames = "SELECT name FROM pool";
constexpr std::string_view kSegments = R"sql(
  SELECT digest, first_ordinal, codes, origin, content, source, created_ms, created_by
    FROM pool_segment WHERE pool = :pool ORDER BY first_ordinal
)sql";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO pool (id, name, low_water, fingerprint, created_ms, created_by)
  VALUES (:id, :name, :low_water, :fingerprint, :created_ms, :created_by)
)sql";
constexpr std::string_view kInsertSegment = R"sql(
  INSERT INTO pool_segment (pool, first_ordinal, digest, codes, origin, content, source,
                            created_ms, created_by)
  VALUES (:pool, :first_ordinal, :digest, :codes, :origin, :content, :source,
          :created_ms, :created_by)
)sql";
constexpr std::string_view kBind = "UPDATE pool SET instance = :instance WHERE id = :id";

PoolRow read_pool(const Statement& row) {
  return {.id = object_id(row, 0),
          .name = row.string(1),
          .low_water = row.integer(2),
          .fingerprint = row.string(3),
          .instance = row.string(4),
          .created = row.wall(5),
          .created_by = row.string(6)};
}

PoolSegmentRow read_segment(const Statement& row) {
  return {.digest = row.string(0),
          .first = row.integer(1),
          .codes = row.integer(2),
          .origin = row.string(3),
          .content = row.string(4),
          .source = row.string(5),
          .created = row.wall(6),
          .created_by = row.string(7)};
}

Result<void> read_segments(Database& database, PoolRow& pool) {
  VOUCH_TRY(pool.segments,
            all_rows(database.prepared(kSegments).bind(":pool", stored(pool.id)), read_segment));
  return {};
}

}  // namespace

Result<PoolRow> ControlStore::create_pool(const Actor& actor, PoolRow row, Random& random) {
  VOUCH_CHECK(plan::check_name("pool", row.name));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(
      const auto there,
      first_row(database_.prepared(kOne).bind(":name", row.name).bind(":id", nullptr), read_pool));
  if (there) {
    return fail(Errc::conflict, "a pool called \"" + row.name + "\" is there already",
                "see it with `vouchctl pool show " + row.name + "`");
  }
  row.id = new_object_id(random);
  row.created = actor.now;
  row.created_by = actor.operator_name;
  VOUCH_CHECK(database_.prepared(kInsert)
                  .bind(":id", stored(row.id))
                  .bind(":name", row.name)
                  .bind(":low_water", row.low_water)
                  .bind(":fingerprint", row.fingerprint)
                  .bind(":created_ms", row.created)
                  .bind(":created_by", row.created_by)
                  .run());
  const std::string detail =
      Detail{}.set("low_water", row.low_water).set("key", row.fingerprint).text();
  VOUCH_CHECK(change.commit("pool create", row.name, detail));
  return row;
}

Result<PoolRow> ControlStore::add_segment(const Actor& actor, ObjectId pool_id,
                                          PoolSegmentRow segment) {
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(PoolRow row, pool(format_id(ObjectKind::pool, pool_id)));
  segment.first = row.codes();
  segment.created = actor.now;
  segment.created_by = actor.operator_name;
  VOUCH_CHECK(database_.prepared(kInsertSegment)
                  .bind(":pool", stored(pool_id))
                  .bind(":first_ordinal", segment.first)
                  .bind(":digest", segment.digest)
                  .bind(":codes", segment.codes)
                  .bind(":origin", segment.origin)
                  .bind(":content", segment.content)
                  .bind(":source", segment.source)
                  .bind(":created_ms", segment.created)
                  .bind(":created_by", segment.created_by)
                  .run());
  const std::string detail = Detail{}
                                 .set("digest", segment.digest)
                                 .set("codes", segment.codes)
                                 .set("source", segment.source)
                                 .text();
  const char* action = segment.origin == "imported" ? "pool import" : "pool generate";
  row.segments.push_back(std::move(segment));
  VOUCH_CHECK(change.commit(action, row.name, detail));
  return row;
}

Result<std::vector<PoolRow>> ControlStore::pools() {
  VOUCH_TRY(auto rows, all_rows(database_.prepared(kAll), read_pool));
  for (PoolRow& row : rows) VOUCH_CHECK(read_segments(database_, row));
  return rows;
}

Result<PoolRow> ControlStore::pool(std::string_view name_or_id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne)
                                    .bind(":name", name_or_id)
                                    .bind(":id", id_in(ObjectKind::pool, name_or_id)),
                                read_pool));
  if (!row) return not_found(database_, kNames, "pool", name_or_id);
  VOUCH_CHECK(read_segments(database_, *row));
  return std::move(*row);
}

Result<void> ControlStore::check_pool_instance(const PoolRow& row, std::string_view instance) {
  if (row.instance.empty() || row.instance == instance) return {};
  return fail(Errc::conflict,
              "the pool \"" + row.name + "\" belongs to the instance \"" + row.instance +
                  "\", whose ledger knows which codes have been handed out",
              "add --instance " + row.instance + ", or fill another pool");
}

Result<void> ControlStore::bind_pool(ObjectId id, std::string_view instance) {
  VOUCH_TRY(const PoolRow row, pool(format_id(ObjectKind::pool, id)));
  VOUCH_CHECK(check_pool_instance(row, instance));
  return database_.prepared(kBind).bind(":id", stored(id)).bind(":instance", instance).run();
}

}  // namespace vouch::store
