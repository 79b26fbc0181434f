// Clients: business systems that issue, on a lane of their own and with a rate.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT id, name, lane, weight, rate_limit, paused, pause_reason, contact, created_ms
    FROM client ORDER BY name
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT id, name, lane, weight, rate_limit, paused, pause_reason, contact, created_ms
    FROM client WHERE name = :name OR id = :id ORDER BY name = :name DESC LIMIT 1
)sql";
constexpr std::string_view kNames = "SELECT name FROM client";
constexpr std::string_view kTaken = "SELECT 1 FROM client WHERE name = :name";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO client (id, name, lane, weight, rate_limit, paused, pause_reason, contact,
                      created_ms, created_by)
  VALUES (:id, :name, :lane, :weight, :rate_limit, :paused, :pause_reason, :contact,
          :created_ms, :created_by)
)sql";
constexpr std::string_view kUpdate = R"sql(
  UPDATE client
     SET lane = :lane, weight = :weight, rate_limit = :rate_limit, paused = :paused,
         pause_reason = :pause_reason, contact = :contact
   WHERE id = :id
)sql";

constexpr double kRateMax = 1e6;

ClientRow read_client(const Statement& row) {
  ClientRow client;
  client.id = object_id(row, 0);
  client.name = row.string(1);
  client.lane = row.string(2);
  client.weight = static_cast<int>(row.integer(3));
  if (!row.is_null(4)) client.rate_limit = row.real(4);
  client.paused = row.integer(5) != 0;
  client.pause_reason = row.string(6);
  client.contact = row.string(7);
  client.created = row.wall(8);
  return client;
}

Result<void> check_client(const ClientRow& row) {
  VOUCH_CHECK(plan::check_name("client", row.name));
  if (row.lane != "internal" && row.lane != "external") {
    return fail(Errc::invalid, "lane: must be internal or external, not \"" + row.lane + "\"");
  }
  if (row.weight < 1 || row.weight > 100) {
    return fail(Errc::invalid, "weight: must be from 1 to 100");
  }
  if (row.rate_limit && !(*row.rate_limit > 0 && *row.rate_limit <= kRateMax)) {
    return fail(Errc::invalid, "limit: must be above 0 and at most 1000000/s");
  }
  if (has_control_bytes(row.contact) || has_control_bytes(row.pause_reason)) {
    return fail(Errc::invalid, "contact and reason: must not hold control characters");
  }
  return {};
}

Statement& bind_what_changes(Statement& statement, const ClientRow& row) {
  return statement.bind(":id", stored(row.id))
      .bind(":lane", row.lane)
      .bind(":weight", std::int64_t{row.weight})
      .bind_real(":rate_limit", row.rate_limit)
      .bind(":paused", std::int64_t{row.paused})
      .bind(":pause_reason", row.pause_reason)
      .bind(":contact", row.contact);
}

std::string detail_of(const ClientRow& row) {
  return Detail{}
      .set("lane", row.lane)
      .set("weight", std::int64_t{row.weight})
      .set_real("limit_per_second", row.rate_limit)
      .set_flag("paused", row.paused)
      .set("reason", row.pause_reason)
      .set("contact", row.contact)
      .text();
}

}  // namespace

Result<ClientRow> ControlStore::create_client(const Actor& actor, ClientRow row, Random& random) {
  VOUCH_CHECK(check_client(row));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  Statement& taken = database_.prepared(kTaken).bind(":name", row.name);
  VOUCH_TRY(const bool exists, taken.step());
  if (exists) {
    return fail(Errc::conflict, "a client called \"" + row.name + "\" is there already",
                "change it with: vouchctl client update " + row.name);
  }
  row.id = new_object_id(random);
  row.created = actor.now;
  VOUCH_CHECK(bind_what_changes(database_.prepared(kInsert), row)
                  .bind(":name", row.name)
                  .bind(":created_ms", row.created)
                  .bind(":created_by", actor.operator_name)
                  .run());
  VOUCH_CHECK(change.commit("client create", row.name, detail_of(row)));
  return row;
}

Result<void> ControlStore::update_client(const Actor& actor, const ClientRow& row,
                                         std::string_view action) {
  VOUCH_CHECK(check_client(row));
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_CHECK(bind_what_changes(database_.prepared(kUpdate), row).run());
  if (database_.changes() == 0) return not_found(database_, kNames, "client", row.name);
  return change.commit(action, row.name, detail_of(row));
}

Result<std::vector<ClientRow>> ControlStore::clients() {
  return all_rows(database_.prepared(kAll), read_client);
}

Result<ClientRow> ControlStore::client(std::string_view name_or_id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne)
                                    .bind(":name", name_or_id)
                                    .bind(":id", id_in(ObjectKind::client, name_or_id)),
                                read_client));
  if (row) return std::move(*row);
  return not_found(database_, kNames, "client", name_or_id);
}

}  // namespace vouch::store
