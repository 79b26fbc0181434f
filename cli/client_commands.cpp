// vouchctl client: business systems that issue, on a lane and with a rate of their own.
#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct ClientOptions {
  std::string name;
  std::string lane;
  std::optional<std::int64_t> weight;
  std::optional<double> limit;
  bool no_limit = false;
  std::optional<std::string> contact;
  std::string reason;
};

Record record_of(const store::ClientRow& row) {
  return {{"name", "Name", row.name},
          {"id", "Id", format_id(ObjectKind::client, row.id), Shown::wide},
          {"lane", "Lane", row.lane},
          {"weight", "Weight", row.weight},
          {"limit_per_second", "Limit", Value::rate(row.rate_limit)},
          {"paused", "Paused", Value{row.paused}.tone(row.paused ? Tone::warn : Tone::plain)},
          {"pause_reason", "Reason", row.pause_reason},
          {"contact", "Contact", row.contact, Shown::wide},
          {"created_at", "Created", row.created, Shown::wide}};
}

// The flags given, put over what is there.
void apply(const ClientOptions& options, store::ClientRow& row) {
  if (!options.lane.empty()) row.lane = options.lane;
  if (options.weight) row.weight = static_cast<int>(*options.weight);
  if (options.limit) row.rate_limit = options.limit;
  if (options.no_limit) row.rate_limit.reset();
  if (options.contact) row.contact = *options.contact;
}

// Nobody may believe that calls are shared or held back by what is only written down.
constexpr std::string_view kNotApplied =
    "not applied yet: lane, weight and limit of a client are kept, and vouchd does not share calls "
    "by them; what holds is the downstreams' limits and the jobs' own rates (`job limit`)";

bool asks_for_a_share(const store::ClientRow& row) {
  const store::ClientRow usual;
  return row.lane != usual.lane || row.weight != usual.weight || row.rate_limit;
}

void warn_of_shares(Session& session, const store::ClientRow& row) {
  if (asks_for_a_share(row)) session.out().warn(kNotApplied);
}

Result<int> create(Session& session, const ClientOptions& options) {
  store::ClientRow row;
  row.name = options.name;
  apply(options, row);
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(row, control->create_client(actor, row, session.random()));
  VOUCH_CHECK(session.out().changed("client", "created", record_of(row), session.dry_run()));
  warn_of_shares(session, row);
  return 0;
}

// Changes one client by `change`; `done` says it in the past: "paused".
template <typename Change>
Result<int> update(Session& session, const std::string& name, const std::string& action,
                   const std::string& done, Change change) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::ClientRow row, control->client(name));
  const store::ClientRow before = row;
  change(row);
  VOUCH_CHECK(control->update_client(actor, row, action));
  VOUCH_CHECK(session.out().changed("client", done, record_of(row), session.dry_run()));
  const bool other_share =
      row.lane != before.lane || row.weight != before.weight || row.rate_limit != before.rate_limit;
  if (other_share) warn_of_shares(session, row);
  return 0;
}

Result<int> list(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->clients());
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record_of({}))));
  for (const store::ClientRow& row : rows) listing.row(values_of(record_of(row)));
  listing.end("no clients; make one with `vouchctl client create NAME`");
  if (std::ranges::any_of(rows, asks_for_a_share)) session.out().note(kNotApplied);
  return 0;
}

Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::ClientRow row, control->client(name));
  VOUCH_CHECK(session.out().show(record_of(row)));
  if (asks_for_a_share(row)) session.out().note(kNotApplied);
  return 0;
}

const std::string kNameHelp = "name or id of the client";

void add_writes(Group& client) {
  auto created = std::make_shared<ClientOptions>();
  client
      .leaf({.name = "create",
             .summary = "Register a business system that issues",
             .description = "Lane, weight and limit are kept and not applied yet: vouchd does not "
                            "share calls by client.",
             .examples = {"vouchctl client create loyalty --lane internal --weight 20",
                          "vouchctl client create partner --lane external --limit 50/s "
                          "--contact ops@partner.example"}},
            [created](Session& session) { return create(session, *created); })
      .required("NAME", created->name, "name of the new client")
      .one_of("--lane", created->lane, {"internal", "external"}, "internal unless said")
      .number("--weight", "N", created->weight, 1, 100,
              "share inside its lane (10); not applied yet")
      .rate("--limit", created->limit, "calls per second of its own; not applied yet")
      .option("--contact", "TEXT", created->contact, "whom to ask about it")
      .changes();

  auto updated = std::make_shared<ClientOptions>();
  client
      .leaf({.name = "update",
             .summary = "Change what a client may have",
             .examples = {"vouchctl client update shop --weight 30",
                          "vouchctl client update shop --contact shop-team@example.com --dry-run"}},
            [updated](Session& session) -> Result<int> {
              if (updated->limit && updated->no_limit) {
                return fail(Errc::usage, "--limit and --no-limit contradict each other");
              }
              return update(session, updated->name, "client update", "updated",
                            [&](store::ClientRow& row) { apply(*updated, row); });
            })
      .required("CLIENT", updated->name, kNameHelp)
      .one_of("--lane", updated->lane, {"internal", "external"}, "move it to this lane")
      .number("--weight", "N", updated->weight, 1, 100, "share inside its lane; not applied yet")
      .rate("--limit", updated->limit, "calls per second of its own; not applied yet")
      .flag("--no-limit", updated->no_limit, "take its own limit away")
      .option("--contact", "TEXT", updated->contact, "whom to ask about it")
      .one_at_least()
      .changes();
}

void add_switches(Group& client) {
  auto limited = std::make_shared<ClientOptions>();
  client
      .leaf({.name = "limit",
             .summary = "Set the calls per second that a client may cause (not applied yet)",
             .examples = {"vouchctl client limit shop 300/s", "vouchctl client limit shop none"}},
            [limited](Session& session) -> Result<int> {
              std::optional<double> limit;
              if (limited->lane != "none") {
                auto parsed = parse_rate(limited->lane);
                if (!parsed) return usage("RATE", parsed.error());
                limit = *parsed;
              }
              return update(session, limited->name, "client limit", "limited",
                            [&](store::ClientRow& row) { row.rate_limit = limit; });
            })
      .required("CLIENT", limited->name, kNameHelp)
      .required("RATE", limited->lane, "such as 300/s or 20/m, or none")
      .changes();

  auto paused = std::make_shared<ClientOptions>();
  client
      .leaf({.name = "pause",
             .summary = "Start no new call for a client",
             .examples = {"vouchctl client pause shop --reason \"wrong prices in the shop\"",
                          "vouchctl client pause shop --reason maintenance --dry-run"}},
            [paused](Session& session) {
              return update(session, paused->name, "client pause", "paused",
                            [&](store::ClientRow& row) {
                              row.paused = true;
                              row.pause_reason = paused->reason;
                            });
            })
      .required("CLIENT", paused->name, kNameHelp)
      .required_option("--reason", "TEXT", paused->reason, "why, for those who find it paused")
      .changes();

  auto resumed = std::make_shared<ClientOptions>();
  client
      .leaf({.name = "resume",
             .summary = "Let a paused client go on",
             .examples = {"vouchctl client resume shop", "vouchctl client resume shop -o json"}},
            [resumed](Session& session) {
              return update(session, resumed->name, "client resume", "resumed",
                            [](store::ClientRow& row) {
                              row.paused = false;
                              row.pause_reason.clear();
                            });
            })
      .required("CLIENT", resumed->name, kNameHelp)
      .changes();
}

}  // namespace

void add_client_commands(CommandLine& line) {
  Group client = line.top().group("client", "Business systems that issue");
  add_writes(client);
  client.leaf({.name = "list",
               .summary = "List the clients",
               .examples = {"vouchctl client list",
                            "vouchctl client list -o csv --fields name,limit_per_second"}},
              list);
  auto shown = std::make_shared<std::string>();
  client
      .leaf({.name = "show",
             .summary = "Show one client",
             .examples = {"vouchctl client show shop", "vouchctl client show shop -o json"}},
            [shown](Session& session) { return show(session, *shown); })
      .required("CLIENT", *shown, kNameHelp);
  add_switches(client);
}

}  // namespace vouch::cli
