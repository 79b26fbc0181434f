// vouchctl campaign: what may be issued, from a JSON file.
#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kFileBytesMax = 1024 * 1024;

Tone tone_of(const std::string& state) {
  return state == "active" ? Tone::good : state == "paused" ? Tone::warn : Tone::plain;
}

std::string once_per_text(const plan::Campaign& campaign) {
  const std::string name{plan::name_of(campaign.once_per)};
  return campaign.once_per == plan::OncePer::column ? name + " " + campaign.once_per_column : name;
}

Value time_or_none(const std::optional<WallTime>& time) {
  return time ? Value{*time} : Value{};
}

Record record_of(const store::CampaignRow& row) {
  const plan::Campaign& campaign = row.definition;
  std::vector<std::string> items;
  for (const plan::Item& item : campaign.items) items.push_back(item.name);
  return {{"name", "Name", campaign.name},
          {"id", "Id", format_id(ObjectKind::campaign, row.id), Shown::wide},
          {"version", "Version", row.version, Shown::wide},
          {"state", "State", Value{row.state}.tone(tone_of(row.state))},
          {"pause_reason", "Reason", row.pause_reason},
          {"instance", "Instance", row.instance, Shown::wide},
          {"item_names", "Items", join(items, " ")},
          {"once_per", "Once per", once_per_text(campaign)},
          {"time_zone", "Time zone", campaign.time_zone, Shown::wide},
          {"not_before", "Not before", time_or_none(campaign.not_before), Shown::wide},
          {"not_after", "Not after", time_or_none(campaign.not_after)},
          {"amount_max_minor", "Amount max", Value{campaign.amount_max_minor}, Shown::wide},
          {"description", "Description", campaign.description, Shown::wide},
          {"created_at", "Created", row.created, Shown::wide}};
}

std::string amount_text(const plan::Amount& amount) {
  if (amount.fixed_minor) return format_amount(*amount.fixed_minor, amount.currency);
  if (!amount.column.empty()) return "column " + amount.column + " (" + amount.currency + ")";
  return {};
}

Result<int> create(Session& session, const std::string& file) {
  VOUCH_TRY(const std::string text, session.read_input(file, kFileBytesMax));
  auto campaign = plan::parse_campaign(text);
  if (!campaign) return within(name_of_input(file), campaign.error());
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  auto row = control->create_campaign(actor, *campaign, session.random());
  if (!row && row.error().code == Errc::invalid) return within(name_of_input(file), row.error());
  if (!row) return tl::unexpected<Error>(row.error());
  VOUCH_CHECK(session.out().changed("campaign", "created", record_of(*row), session.dry_run()));
  return 0;
}

Result<int> list(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->campaigns());
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record_of({}))));
  for (const store::CampaignRow& row : rows) listing.row(values_of(record_of(row)));
  listing.end("no campaigns; make one with `vouchctl campaign create FILE`");
  return 0;
}

// For people the items stand below as a table of their own; the JSON of a definition is its file.
Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::CampaignRow row, control->campaign(name));
  Record record = record_of(row);
  Output& out = session.out();
  if (!out.is_for_people() || !out.options().fields.empty()) {
    record.push_back({"definition", "Definition", Value::json(plan::to_json(row.definition))});
    VOUCH_CHECK(out.show(record));
    return 0;
  }
  VOUCH_CHECK(out.show(record));
  out.text("\n");
  VOUCH_TRY(Listing items, out.list({{"number", "NUMBER"},
                                     {"name", "ITEM"},
                                     {"kind", "KIND"},
                                     {"delivery", "DELIVERY", Shown::wide},
                                     {"downstream", "DOWNSTREAM"},
                                     {"pool", "POOL", Shown::wide},
                                     {"amount", "AMOUNT"},
                                     {"fields", "FIELDS"}}));
  for (const plan::Item& item : row.definition.items) {
    items.row({int{item.number}, item.name, plan::name_of(item.kind), plan::name_of(item.delivery),
               item.by_export() ? "(export)" : item.downstream, item.pool, amount_text(item.amount),
               item.fields_json});
  }
  items.end();
  return 0;
}

Result<int> set_state(Session& session, const std::string& name, const std::string& state,
                      const std::string& reason, const std::string& done) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::CampaignRow row, control->campaign(name));
  VOUCH_CHECK(control->set_campaign_state(actor, name, state, reason));
  row.state = state;
  row.pause_reason = reason;
  VOUCH_CHECK(session.out().changed("campaign", done, record_of(row), session.dry_run()));
  return 0;
}

struct StateOptions {
  std::string name;
  std::string reason;
};

const std::string kNameHelp = "name or id of the campaign";

void add_states(Group& group) {
  auto paused = std::make_shared<StateOptions>();
  group
      .leaf({.name = "pause",
             .summary = "Start no new call for a campaign",
             .examples = {"vouchctl campaign pause birthday --reason \"wrong coupon template\"",
                          "vouchctl campaign pause birthday --reason check --dry-run"}},
            [paused](Session& session) {
              return set_state(session, paused->name, "paused", paused->reason, "paused");
            })
      .required("CAMPAIGN", paused->name, kNameHelp)
      .required_option("--reason", "TEXT", paused->reason, "why, for those who find it paused")
      .changes();

  auto resumed = std::make_shared<StateOptions>();
  group
      .leaf({.name = "resume",
             .summary = "Let a paused campaign go on",
             .examples = {"vouchctl campaign resume birthday",
                          "vouchctl campaign resume birthday --dry-run"}},
            [resumed](Session& session) {
              return set_state(session, resumed->name, "active", "", "resumed");
            })
      .required("CAMPAIGN", resumed->name, kNameHelp)
      .changes();

  auto ended = std::make_shared<StateOptions>();
  group
      .leaf({.name = "end",
             .summary = "End a campaign for ever: no new issuance is planned",
             .description = "What is in doubt is settled all the same.",
             .examples = {"vouchctl campaign end birthday --reason \"season is over\" --yes",
                          "vouchctl campaign end birthday --dry-run"}},
            [ended](Session& session) -> Result<int> {
              if (!session.dry_run()) {
                VOUCH_CHECK(session.require_yes("end the campaign " + ended->name + " for ever?"));
              }
              return set_state(session, ended->name, "ended", ended->reason, "ended");
            })
      .required("CAMPAIGN", ended->name, kNameHelp)
      .option("--reason", "TEXT", ended->reason, "why, for the audit trail")
      .changes();
}

}  // namespace

void add_campaign_commands(CommandLine& line) {
  Group group = line.top().group("campaign", "What may be issued to whom");
  auto file = std::make_shared<std::string>();
  group
      .leaf({.name = "create",
             .summary = "Create a campaign from its JSON file",
             .description = "The file may hold comments; vouch-campaign(5) describes it.  A "
                            "definition never changes.",
             .examples = {"vouchctl campaign create spring.json --dry-run",
                          "vouchctl campaign create spring.json -o json"}},
            [file](Session& session) { return create(session, *file); })
      .required("FILE", *file, "the campaign's JSON file, or - for standard input")
      .changes();
  group.leaf(
      {.name = "list",
       .summary = "List the campaigns",
       .examples = {"vouchctl campaign list", "vouchctl campaign list -o csv --fields name,state"}},
      list);
  auto name = std::make_shared<std::string>();
  group
      .leaf({.name = "show",
             .summary = "Show a campaign and its items",
             .examples = {"vouchctl campaign show birthday",
                          "vouchctl campaign show birthday -o json --fields definition"}},
            [name](Session& session) { return show(session, *name); })
      .required("CAMPAIGN", *name, kNameHelp);
  add_states(group);
}

}  // namespace vouch::cli
