// Recipient lists: which sealed imports are known, by name and by digest.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT id, name, digest, campaign, accepted, rejected, duplicates, summary, imported_ms,
         imported_by, deleted_ms
    FROM list ORDER BY imported_ms, id
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT id, name, digest, campaign, accepted, rejected, duplicates, summary, imported_ms,
         imported_by, deleted_ms
    FROM list WHERE name = :name OR id = :id ORDER BY name = :name DESC LIMIT 1
)sql";
// Uses list_by_digest.
constexpr std::string_view kByDigest = R"sql(
  SELECT id, name, digest, campaign, accepted, rejected, duplicates, summary, imported_ms,
         imported_by, deleted_ms
    FROM list WHERE digest = :digest AND deleted_ms IS NULL ORDER BY imported_ms, id LIMIT 1
)sql";
constexpr std::string_view kNames = "SELECT name FROM list";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO list (id, name, digest, campaign, accepted, rejected, duplicates, summary,
                    imported_ms, imported_by)
  VALUES (:id, :name, :digest, :campaign, :accepted, :rejected, :duplicates, :summary,
          :imported_ms, :imported_by)
)sql";
constexpr std::string_view kRevive = "UPDATE list SET deleted_ms = NULL WHERE id = :id";
constexpr std::string_view kDelete =
    "UPDATE list SET deleted_ms = :now_ms WHERE id = :id AND deleted_ms IS NULL";

ListRow read_list(const Statement& row) {
  ListRow list;
  list.id = object_id(row, 0);
  list.name = row.string(1);
  list.digest = row.string(2);
  list.campaign = object_id(row, 3);
  list.accepted = row.integer(4);
  list.rejected = row.integer(5);
  list.duplicates = row.integer(6);
  list.summary_json = row.string(7);
  list.imported = row.wall(8);
  list.imported_by = row.string(9);
  if (!row.is_null(10)) list.deleted = row.wall(10);
  return list;
}

std::string detail_of(const ListRow& row) {
  return Detail{}
      .set("digest", row.digest)
      .set("accepted", row.accepted)
      .set("rejected", row.rejected)
      .set("duplicates", row.duplicates)
      .text();
}

}  // namespace

Result<ListRow> ControlStore::register_list(const Actor& actor, ListRow row, bool again,
                                            Random& random) {
  VOUCH_CHECK(plan::check_name("list", row.name));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(
      auto same_name,
      first_row(database_.prepared(kOne).bind(":name", row.name).bind(":id", nullptr), read_list));
  if (same_name && same_name->digest != row.digest) {
    return fail(Errc::conflict,
                "a list called \"" + row.name + "\" with other content is there already",
                "give this one another --name");
  }
  if (same_name && !same_name->deleted) return std::move(*same_name);
  if (same_name) {
    // Deleted, and now the same content is here again: it is the same list.
    VOUCH_CHECK(database_.prepared(kRevive).bind(":id", stored(same_name->id)).run());
    VOUCH_CHECK(change.commit("recipients import", row.name, detail_of(row)));
    same_name->deleted.reset();
    return std::move(*same_name);
  }
  VOUCH_TRY(const auto same_content, list_by_digest(row.digest));
  if (same_content && !again) {
    return fail(Errc::conflict,
                "this content was imported already as \"" + same_content->name + "\" on " +
                    format_time_utc(same_content->imported),
                "use that list, or add --again to import it once more as " + row.name);
  }
  row.id = new_object_id(random);
  row.imported = actor.now;
  row.imported_by = actor.operator_name;
  row.deleted.reset();
  VOUCH_CHECK(database_.prepared(kInsert)
                  .bind(":id", stored(row.id))
                  .bind(":name", row.name)
                  .bind(":digest", row.digest)
                  .bind(":campaign", stored_or_null(row.campaign))
                  .bind(":accepted", row.accepted)
                  .bind(":rejected", row.rejected)
                  .bind(":duplicates", row.duplicates)
                  .bind(":summary", row.summary_json)
                  .bind(":imported_ms", row.imported)
                  .bind(":imported_by", row.imported_by)
                  .run());
  VOUCH_CHECK(change.commit("recipients import", row.name, detail_of(row)));
  return row;
}

Result<std::vector<ListRow>> ControlStore::lists() {
  return all_rows(database_.prepared(kAll), read_list);
}

Result<ListRow> ControlStore::list(std::string_view name_or_id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne)
                                    .bind(":name", name_or_id)
                                    .bind(":id", id_in(ObjectKind::list, name_or_id)),
                                read_list));
  if (row) return std::move(*row);
  auto error = not_found(database_, kNames, "list", name_or_id);
  if (error.value().hint.starts_with("list them")) {
    error.value().hint = "list them: vouchctl recipients list";
  }
  return error;
}

Result<std::optional<ListRow>> ControlStore::list_by_digest(std::string_view digest) {
  return first_row(database_.prepared(kByDigest).bind(":digest", digest), read_list);
}

Result<void> ControlStore::mark_list_deleted(const Actor& actor, ObjectId id) {
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(const ListRow row, list(format_id(ObjectKind::list, id)));
  VOUCH_CHECK(database_.prepared(kDelete).bind(":id", stored(id)).bind(":now_ms", actor.now).run());
  if (database_.changes() == 0) return {};  // gone already
  return change.commit("recipients delete", row.name, detail_of(row));
}

}  // namespace vouch::store
