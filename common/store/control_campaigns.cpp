// Campaigns: immutable versions of what may be issued, and whether it may be now.
#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kAll = R"sql(
  SELECT c.id, c.version, c.state, c.pause_reason, c.created_ms, v.definition, c.instance,
         c.id_type
    FROM campaign AS c JOIN campaign_version AS v ON v.campaign = c.id AND v.version = c.version
   ORDER BY c.name
)sql";
constexpr std::string_view kOne = R"sql(
  SELECT c.id, c.version, c.state, c.pause_reason, c.created_ms, v.definition, c.instance,
         c.id_type
    FROM campaign AS c JOIN campaign_version AS v ON v.campaign = c.id AND v.version = c.version
   WHERE c.name = :name OR c.id = :id ORDER BY c.name = :name DESC LIMIT 1
)sql";
constexpr std::string_view kVersion =
    "SELECT definition FROM campaign_version WHERE campaign = :id AND version = :version";
constexpr std::string_view kNames = "SELECT name FROM campaign";
constexpr std::string_view kTaken = "SELECT 1 FROM campaign WHERE name = :name";
constexpr std::string_view kInsert = R"sql(
  INSERT INTO campaign (id, name, version, state, pause_reason, created_ms)
  VALUES (:id, :name, 1, 'active', '', :created_ms)
)sql";
constexpr std::string_view kInsertVersion = R"sql(
  INSERT INTO campaign_version (campaign, version, definition, created_ms, created_by)
  VALUES (:id, :version, :definition, :created_ms, :created_by)
)sql";
constexpr std::string_view kSetState =
    "UPDATE campaign SET state = :state, pause_reason = :reason WHERE id = :id";
constexpr std::string_view kBind =
    "UPDATE campaign SET instance = :instance WHERE id = :id AND instance = ''";
constexpr std::string_view kSetIdType =
    "UPDATE campaign SET id_type = :id_type WHERE id = :id AND id_type = ''";

struct StoredCampaign {
  CampaignRow row;
  std::string definition;
};

StoredCampaign read_campaign(const Statement& row) {
  StoredCampaign out;
  out.row.id = object_id(row, 0);
  out.row.version = static_cast<int>(row.integer(1));
  out.row.state = row.string(2);
  out.row.pause_reason = row.string(3);
  out.row.created = row.wall(4);
  out.definition = row.string(5);
  out.row.instance = row.string(6);
  out.row.id_type = row.string(7);
  return out;
}

Result<CampaignRow> decode(StoredCampaign stored_row) {
  auto definition = plan::parse_campaign(stored_row.definition);
  if (!definition) {
    return within("stored campaign " + format_id(ObjectKind::campaign, stored_row.row.id),
                  definition.error());
  }
  stored_row.row.definition = std::move(*definition);
  return std::move(stored_row.row);
}

}  // namespace

Result<void> ControlStore::check_target(const plan::Item& item, const std::string& where) {
  const auto target = downstream(item.downstream);
  if (!target && target.error().code == Errc::not_found) {
    Error error = target.error();
    error.code = Errc::invalid;  // the file is to be mended, or the downstream made first
    return within(where + "/downstream", std::move(error));
  }
  if (!target) return tl::unexpected<Error>(target.error());
  if (target->definition.kind == item.kind) return {};
  return fail(Errc::invalid,
              where + "/kind: \"" + item.downstream + "\" issues vouchers of kind " +
                  std::string{name_of(target->definition.kind)} + ", not " +
                  std::string{name_of(item.kind)},
              "name another downstream or kind");
}

Result<void> ControlStore::check_campaign(const plan::Campaign& campaign) {
  for (const plan::Item& item : campaign.items) {
    const std::string where = "/items/" + std::to_string(item.number);
    if (!item.by_export()) VOUCH_CHECK(check_target(item, where));
    if (item.pool.empty()) continue;
    const auto from = pool(item.pool);
    if (!from && from.error().code == Errc::not_found) {
      Error error = from.error();
      error.code = Errc::invalid;
      return within(where + "/pool", std::move(error));
    }
    if (!from) return tl::unexpected<Error>(from.error());
  }
  Statement& taken = database_.prepared(kTaken).bind(":name", campaign.name);
  VOUCH_TRY(const bool exists, taken.step());
  if (!exists) return {};
  taken.reset();
  return fail(Errc::conflict, "a campaign called \"" + campaign.name + "\" is there already",
              "a definition does not change: create one under another name");
}

Result<CampaignRow> ControlStore::create_campaign(const Actor& actor,
                                                  const plan::Campaign& campaign, Random& random) {
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_CHECK(check_campaign(campaign));
  CampaignRow row{new_object_id(random), 1, "active", "", actor.now, campaign};
  const std::string definition = plan::to_json(campaign);
  VOUCH_CHECK(database_.prepared(kInsert)
                  .bind(":id", stored(row.id))
                  .bind(":name", campaign.name)
                  .bind(":created_ms", row.created)
                  .run());
  VOUCH_CHECK(database_.prepared(kInsertVersion)
                  .bind(":id", stored(row.id))
                  .bind(":version", std::int64_t{row.version})
                  .bind(":definition", definition)
                  .bind(":created_ms", row.created)
                  .bind(":created_by", actor.operator_name)
                  .run());
  const std::string detail = Detail{}
                                 .set("version", std::int64_t{row.version})
                                 .set("definition_sha256", hex(sha256(definition)))
                                 .text();
  VOUCH_CHECK(change.commit("campaign create", campaign.name, detail));
  return row;
}

Result<void> ControlStore::check_instance(const CampaignRow& row, std::string_view instance) {
  if (row.instance.empty() || row.instance == instance) return {};
  return fail(Errc::conflict,
              "the campaign \"" + row.definition.name + "\" belongs to the instance \"" +
                  row.instance + "\", whose ledger knows who has been given what",
              "add --instance " + row.instance);
}

Result<void> ControlStore::check_id_type(const CampaignRow& row, std::string_view id_type) {
  if (row.id_type.empty() || id_type.empty() || row.id_type == id_type) return {};
  return fail(Errc::conflict,
              "the lists of the campaign \"" + row.definition.name +
                  "\" were imported with --id-type " + row.id_type + ", this one with " +
                  std::string{id_type} +
                  ": one person would count as two and could be given two vouchers",
              "import it again with --id-type " + row.id_type + ", or make a campaign of its own");
}

Result<void> ControlStore::bind_campaign(ObjectId id, std::string_view instance,
                                         std::string_view id_type) {
  VOUCH_TRY(const CampaignRow row, campaign(format_id(ObjectKind::campaign, id)));
  VOUCH_CHECK(check_instance(row, instance));
  VOUCH_CHECK(check_id_type(row, id_type));
  if (!id_type.empty()) {
    VOUCH_CHECK(
        database_.prepared(kSetIdType).bind(":id", stored(id)).bind(":id_type", id_type).run());
  }
  for (const plan::Item& item : row.definition.items) {
    if (item.pool.empty()) continue;
    VOUCH_TRY(const PoolRow from, pool(item.pool));
    VOUCH_CHECK(bind_pool(from.id, instance));
  }
  return database_.prepared(kBind).bind(":id", stored(id)).bind(":instance", instance).run();
}

Result<void> ControlStore::set_campaign_state(const Actor& actor, std::string_view name_or_id,
                                              std::string_view state, std::string_view reason) {
  if (has_control_bytes(reason)) {
    return fail(Errc::invalid, "reason: must not hold control characters");
  }
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  VOUCH_TRY(const CampaignRow before, campaign(name_or_id));
  const std::string& name = before.definition.name;
  if (before.state == "ended" && state != "ended") {
    return fail(Errc::conflict, "the campaign \"" + name + "\" has ended",
                "an end is final: create a campaign under another name");
  }
  if (before.state == state && before.pause_reason == reason) return {};  // nothing to record
  VOUCH_CHECK(database_.prepared(kSetState)
                  .bind(":id", stored(before.id))
                  .bind(":state", state)
                  .bind(":reason", reason)
                  .run());
  const std::string detail = Detail{}.set("state", state).set("reason", reason).text();
  return change.commit("campaign state", name, detail);
}

Result<std::vector<CampaignRow>> ControlStore::campaigns() {
  VOUCH_TRY(auto stored_rows, all_rows(database_.prepared(kAll), read_campaign));
  std::vector<CampaignRow> rows;
  for (StoredCampaign& stored_row : stored_rows) {
    VOUCH_TRY(rows.emplace_back(), decode(std::move(stored_row)));
  }
  return rows;
}

Result<CampaignRow> ControlStore::campaign(std::string_view name_or_id) {
  VOUCH_TRY(auto row, first_row(database_.prepared(kOne)
                                    .bind(":name", name_or_id)
                                    .bind(":id", id_in(ObjectKind::campaign, name_or_id)),
                                read_campaign));
  if (row) return decode(std::move(*row));
  return not_found(database_, kNames, "campaign", name_or_id);
}

Result<plan::Campaign> ControlStore::campaign_version(ObjectId id, int version) {
  VOUCH_TRY(const auto definition, first_row(database_.prepared(kVersion)
                                                 .bind(":id", stored(id))
                                                 .bind(":version", std::int64_t{version}),
                                             [](const Statement& row) { return row.string(0); }));
  if (definition) return plan::parse_campaign(*definition);
  return fail(Errc::not_found,
              format_id(ObjectKind::campaign, id) + " has no version " + std::to_string(version));
}

}  // namespace vouch::store
