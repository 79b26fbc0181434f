// vouchctl downstream: HTTP services that issue, their contract, limits and outcome table.
#include <algorithm>
#include "cli/commands.hpp"
#include "cli/downstream_condition.hpp"
#include "cli/outcome_commands.hpp"
#include "cli/outcome_words.hpp"
#include "cli/session.hpp"
#include "cli/uncertain_contract.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kFileBytesMax = 1024 * 1024;
// How much longer than the call's own timeout its test may take: queue, pacer, commit.
constexpr Millis kTestMargin{10'000};

struct DownstreamOptions {
  std::string name;
  std::string file;
  std::string kind;
  std::string contract;
  std::optional<std::string> url;
  bool allow_http = false;
  std::optional<Millis> timeout;
  std::optional<Millis> connect_timeout;
  std::optional<Millis> key_lifetime;
  std::optional<Millis> settle_time;
  std::optional<std::string> query_url;
  std::string query_file;
  std::optional<std::string> statement_url;
  std::optional<std::int64_t> in_flight;
  std::string outcomes_file;
  std::optional<std::string> bearer_file;
  std::optional<std::string> address_allow;
  bool sheds = false;
  std::optional<double> limit;
  std::optional<double> warning;
};

// "limit 500/s, warning 450/s, target 427.5/s": whoever shows a limit shows what follows from it.
std::string rates_text(const store::DownstreamRow& row) {
  return "limit " + format_rate(row.rate_limit) + ", warning " + format_rate(row.warning_rate) +
         ", target " + format_rate(plan::target_rate(row.warning_rate));
}

Record record_of(const store::DownstreamRow& row) {
  const plan::Downstream& def = row.definition;
  return {{"name", "Name", def.name},
          {"id", "Id", format_id(ObjectKind::downstream, row.id), Shown::wide},
          {"version", "Version", row.version, Shown::wide},
          {"kind", "Kind", plan::name_of(def.kind)},
          {"url", "URL", def.url},
          {"contract", "Contract", plan::name_of(def.contract), Shown::wide},
          {"limit_per_second", "Limit", Value::rate(row.rate_limit)},
          {"warning_per_second", "Warning", Value::rate(row.warning_rate)},
          {"target_per_second", "Target", Value::rate(plan::target_rate(row.warning_rate))},
          {"paused", "Paused", Value{row.paused}.tone(row.paused ? Tone::warn : Tone::plain)},
          {"pause_reason", "Reason", row.pause_reason},
          {"timeout_ms", "Timeout", Value::duration(def.timeout), Shown::wide},
          {"connect_timeout_ms", "Connect", Value::duration(def.connect_timeout), Shown::wide},
          {"key_lifetime_ms", "Key lifetime", Value::duration(def.key_lifetime), Shown::wide},
          {"settle_time_ms", "Settle time", Value::duration(def.settle_time), Shown::wide},
          {"query_url", "Query URL", def.query ? Value{def.query->url} : Value{}, Shown::wide},
          {"statement_url", "Statement URL", def.statement ? Value{def.statement->url} : Value{},
           Shown::wide},
          {"in_flight_max", "In flight", def.in_flight_max, Shown::wide},
          {"issuances_per_call", "Issuances a call", def.issuances_per_call(), Shown::wide},
          {"sheds_before_executing", "503 sheds", def.sheds_before_executing, Shown::wide},
          {"bearer_file", "Bearer file", def.bearer_file, Shown::wide},
          {"signing_key_id", "Signing key", def.signing ? Value{def.signing->key_id} : Value{},
           Shown::wide},
          {"secret_file", "Secret file", def.signing ? Value{def.signing->secret_file} : Value{},
           Shown::wide},
          {"address_allow", "Addresses", def.address_allow, Shown::wide},
          {"created_at", "Created", row.created, Shown::wide}};
}

Result<plan::Downstream> read_definition(Session& session, const std::string& file) {
  VOUCH_TRY(const std::string text, session.read_input(file, kFileBytesMax));
  auto definition = plan::parse_downstream(text);
  if (!definition) return within(name_of_input(file), definition.error());
  return definition;
}

template <typename T>
void put(const std::optional<T>& given, T& target) {
  if (given) target = *given;
}

Result<void> apply_query(Session& session, const DownstreamOptions& options,
                         plan::Downstream& def) {
  if (!options.query_url && options.query_file.empty()) return {};
  if (!def.query) def.query.emplace();
  put(options.query_url, def.query->url);
  if (options.query_file.empty()) return {};
  VOUCH_TRY(const std::string text, session.read_input(options.query_file, kFileBytesMax));
  auto outcomes = plan::parse_query_outcomes(text);
  if (!outcomes) return within(name_of_input(options.query_file), outcomes.error());
  def.query->outcomes = std::move(*outcomes);
  return {};
}

// The flags given, put over what the file or the store says.
Result<void> apply(Session& session, const DownstreamOptions& options, plan::Downstream& def) {
  for (const auto kind : {plan::VoucherKind::coupon, plan::VoucherKind::balance,
                          plan::VoucherKind::other, plan::VoucherKind::code}) {
    if (plan::name_of(kind) == options.kind) def.kind = kind;
  }
  put(options.url, def.url);
  put(options.timeout, def.timeout);
  put(options.connect_timeout, def.connect_timeout);
  put(options.key_lifetime, def.key_lifetime);
  put(options.settle_time, def.settle_time);
  for (const auto contract : {plan::Contract::key, plan::Contract::query, plan::Contract::none}) {
    if (plan::name_of(contract) == options.contract) def.contract = contract;
  }
  if (options.contract == "none") {
    def.in_flight_max = std::min(def.in_flight_max, plan::kInFlightMaxUncertain);
  }
  VOUCH_CHECK(apply_query(session, options, def));
  if (options.statement_url) {
    if (!def.statement) def.statement.emplace();
    def.statement->url = *options.statement_url;
  }
  put(options.bearer_file, def.bearer_file);
  put(options.address_allow, def.address_allow);
  if (options.in_flight) def.in_flight_max = static_cast<int>(*options.in_flight);
  if (options.allow_http) def.allow_http = true;
  if (options.sheds) def.sheds_before_executing = true;
  if (options.outcomes_file.empty()) return {};
  VOUCH_TRY(const std::string text, session.read_input(options.outcomes_file, kFileBytesMax));
  auto outcomes = plan::parse_outcomes(text);
  if (!outcomes) return within(name_of_input(options.outcomes_file), outcomes.error());
  def.outcomes = std::move(*outcomes);
  return {};
}

void apply_rates(const DownstreamOptions& options, store::DownstreamRow& row) {
  if (options.limit) {
    row.rate_limit = *options.limit;
    row.warning_rate = plan::default_warning_rate(row.rate_limit);
  }
  put(options.warning, row.warning_rate);
}

Result<int> create(Session& session, const DownstreamOptions& options) {
  store::DownstreamRow row;
  if (!options.file.empty()) {
    VOUCH_TRY(row.definition, read_definition(session, options.file));
  } else if (!options.url || options.kind.empty() || options.contract.empty()) {
    return fail(Errc::usage, "--kind, --url and --contract are required without --file",
                "see `vouchctl downstream create --help`");
  }
  std::string& name = row.definition.name;
  if (!options.name.empty() && !name.empty() && options.name != name) {
    return fail(Errc::usage,
                "the file names the downstream \"" + name + "\", not \"" + options.name + "\"");
  }
  if (!options.name.empty()) name = options.name;
  if (!options.limit) {
    return fail(Errc::usage, "--limit is required",
                "ask whoever runs the service how many calls per second it takes");
  }
  VOUCH_CHECK(apply(session, options, row.definition));
  apply_rates(options, row);
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(row, control->create_downstream(actor, row, session.random()));
  VOUCH_CHECK(session.out().changed("downstream", "created: " + rates_text(row), record_of(row),
                                    session.dry_run()));
  return 0;
}

// Changes one downstream by `change`, which may fail; `done` says the change in the past.
template <typename Change>
Result<int> update(Session& session, const std::string& name, const std::string& action,
                   const std::string& done, Change change) {
  VOUCH_TRY(const store::Actor actor, session.actor());
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(store::DownstreamRow row, control->downstream(name));
  VOUCH_CHECK(change(row));
  VOUCH_TRY(row, control->update_downstream(actor, row, action));
  VOUCH_CHECK(session.out().changed("downstream", done + ": " + rates_text(row), record_of(row),
                                    session.dry_run()));
  return 0;
}

Result<void> apply_update(Session& session, const DownstreamOptions& options,
                          store::DownstreamRow& row) {
  const plan::Contract before = row.definition.contract;
  if (!options.file.empty()) {
    const std::string name = row.definition.name;
    VOUCH_TRY(row.definition, read_definition(session, options.file));
    if (row.definition.name != name) {
      return fail(Errc::usage, options.file + ": names the downstream \"" + row.definition.name +
                                   "\", not \"" + name + "\"");
    }
  }
  VOUCH_CHECK(apply(session, options, row.definition));
  apply_rates(options, row);
  return confirm_contract(session, row, before);
}

Result<int> list(Session& session) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->downstreams());
  VOUCH_TRY(const ConditionSource conditions, ConditionSource::open(session));
  const auto whole_record = [&](const store::DownstreamRow& row) {
    Record record = record_of(row);
    conditions.add_to(record, row.id);
    return record;
  };
  VOUCH_TRY(Listing listing, session.out().list(columns_of(whole_record({}))));
  for (const store::DownstreamRow& row : rows) listing.row(values_of(whole_record(row)));
  listing.end("no downstreams; make one with `vouchctl downstream create NAME`");
  return 0;
}

// For people the outcome table stands below; the JSON of a definition is its file.
Result<int> show(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::DownstreamRow row, control->downstream(name));
  VOUCH_TRY(const ConditionSource conditions, ConditionSource::open(session));
  Record record = record_of(row);
  conditions.add_to(record, row.id);
  Output& out = session.out();
  if (!out.is_for_people() || !out.options().fields.empty()) {
    record.push_back({"definition", "Definition", Value::json(plan::to_json(row.definition))});
    VOUCH_CHECK(out.show(record));
    return 0;
  }
  VOUCH_CHECK(out.show(record));
  if (row.definition.outcomes.empty()) return 0;
  out.text("\n");
  VOUCH_TRY(Listing rules, out.list({{"status", "STATUS"},
                                     {"pointer", "POINTER"},
                                     {"value", "VALUE"},
                                     {"outcome", "OUTCOME"}}));
  for (const plan::OutcomeRule& rule : row.definition.outcomes) {
    rules.row({status_text(rule), rule.pointer, rule.value ? Value{*rule.value} : Value{},
               plan::word_of(rule.outcome)});
  }
  rules.end();
  return 0;
}

// What an answer to a GET says of a service that is called with POST; empty: what it shows.
std::string_view meaning_of(std::int64_t status) {
  switch (status) {
    case 405:
    case 501:
      return "it is there and takes no GET, which the test is: name, address and TLS are right; "
             "whether path and credentials are, the first call shows (`job submit --pilot 10`)";
    case 404:
      return "it is there and has nothing for a GET at this path: services that only take POST "
             "often say so; compare the URL with its description, then try a few rows with "
             "`job submit --pilot 10`";
    case 401:
    case 403:
      return "it is there and refuses the credentials: see --bearer-file";
    default:
      return {};
  }
}

Result<int> test(Session& session, const std::string& name) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::DownstreamRow row, control->downstream(name));
  store::CommandRow command;
  command.kind = "test_downstream";
  command.arguments_json = Json{{"downstream", row.definition.name}}.dump();
  VOUCH_TRY(const std::string answer,
            session.ask(std::move(command), row.definition.timeout + kTestMargin));
  if (session.dry_run()) {
    session.out().note("dry run: " + row.definition.name + " was not called");
    return 0;
  }
  VOUCH_TRY(const Json json, parse_json(answer));
  const bool reached = json.value("reached", false);
  const auto status = json.value("status", std::int64_t{0});
  VOUCH_CHECK(session.out().show(
      {{"name", "Name", row.definition.name},
       {"url", "URL", row.definition.url},
       {"reached", "Reached", Value{reached}.tone(reached ? Tone::good : Tone::bad)},
       {"http_status", "HTTP status", reached ? Value{status} : Value{}},
       {"transport", "Transport", json.value("transport", std::string{})},
       {"duration_ms", "Took",
        Value::duration(Millis{json.value("duration_us", std::int64_t{0}) / 1000})}}));
  if (reached) {
    const std::string_view meaning = meaning_of(status);
    if (!meaning.empty()) {
      session.out().note("HTTP " + std::to_string(status) + ": " + std::string{meaning});
    }
    return 0;
  }
  return fail(Errc::unavailable, row.definition.name + " was not reached",
              "check its URL, the network and the service; vouchd goes on trying by itself");
}

const std::string kNameHelp = "name or id of the downstream";

Arguments& add_definition_flags(Arguments& arguments, DownstreamOptions& options) {
  return arguments
      .option("-f,--file", "FILE", options.file, "definition as JSON; flags are put over it")
      .one_of("--kind", options.kind, {"coupon", "balance", "other", "code"}, "what it issues")
      .option("--url", "URL", options.url, "of the issuing call, POST")
      .flag("--allow-http", options.allow_http, "allow plain http:// on a trusted network")
      .one_of("--contract", options.contract, {"key", "query", "none"},
              "what helps when an answer is lost: it honours an idempotency key, it can be asked "
              "by request id, or neither")
      .duration("--timeout", options.timeout, "of a whole call (10s)")
      .duration("--connect-timeout", options.connect_timeout, "of connecting (2s)")
      .duration("--key-lifetime", options.key_lifetime, "how long it remembers a key (24h)")
      .option("--query-url", "URL", options.query_url, "to ask at, with {request_id} in it")
      .option("--statement-url", "URL", options.statement_url,
              "where it tells what it did, for `reconcile --fetch`")
      .option("--query-outcomes", "FILE", options.query_file, "outcome table of queries as JSON")
      .duration("--settle-time", options.settle_time,
                "after its timeout a call may still act for so long (1m)")
      .number("--in-flight", "N", options.in_flight, 1, 1024, "calls out at a time (64)")
      .option("--outcomes", "FILE", options.outcomes_file, "outcome table as JSON")
      .option("--bearer-file", "FILE", options.bearer_file, "vouchd reads the token from there")
      .option("--address-allow", "NETWORK", options.address_allow, "its peer must be in here")
      .flag("--sheds-before-executing", options.sheds, "503 proves that nothing was executed")
      .rate("--limit", options.limit, "most calls per second, by contract")
      .rate("--warning", options.warning, "warning threshold (90% of the limit)")
      .changes();
}

void add_writes(Group& group) {
  auto created = std::make_shared<DownstreamOptions>();
  add_definition_flags(
      group
          .leaf({.name = "create",
                 .summary = "Register an HTTP service that issues",
                 .description = "Vouch keeps 95% of the warning threshold.  A definition is a "
                                "version of its own; limits may change at any moment.",
                 .examples = {"vouchctl downstream create gifts --kind other --contract key "
                              "--url https://gifts.example/v1/issue --limit 50/s",
                              "vouchctl downstream create coupons-2 --kind coupon --contract key "
                              "--url http://127.0.0.1:8081/coupons --allow-http --limit 500/s "
                              "--outcomes outcomes.json --dry-run"}},
                [created](Session& session) { return create(session, *created); })
          .optional("NAME", created->name, "name of the new downstream, unless --file says it"),
      *created);

  auto updated = std::make_shared<DownstreamOptions>();
  add_definition_flags(
      group
          .leaf({.name = "update",
                 .summary = "Change a downstream: a new version of its definition",
                 .description = "Calls that are out, or in doubt, keep the version they began "
                                "with.  Another contract needs a yes; `none` is refused (exit 6) "
                                "while open jobs have not accepted uncertainty.",
                 .examples = {"vouchctl downstream update coupons --outcomes outcomes.json",
                              "vouchctl downstream update coupons --contract key --dry-run"}},
                [updated](Session& session) {
                  return update(session, updated->name, "downstream update", "updated",
                                [&](store::DownstreamRow& row) {
                                  return apply_update(session, *updated, row);
                                });
                })
          .required("DOWNSTREAM", updated->name, kNameHelp)
          .one_at_least(),
      *updated);
}

struct SwitchOptions {
  std::string name;
  std::string rate;
  std::optional<double> warning;
  std::string reason;
};

void add_limit(Group& group) {
  auto limited = std::make_shared<SwitchOptions>();
  group
      .leaf({.name = "limit",
             .summary = "Set how many calls per second a downstream may get",
             .description = "Takes effect within a second, also while jobs run.",
             .examples = {"vouchctl downstream limit coupons 500/s",
                          "vouchctl downstream limit coupons 500/s --warning 400/s --dry-run"}},
            [limited](Session& session) -> Result<int> {
              auto limit = parse_rate(limited->rate);
              if (!limit) return usage("RATE", limit.error());
              return update(session, limited->name, "downstream limit", "limited",
                            [&](store::DownstreamRow& row) -> Result<void> {
                              row.rate_limit = *limit;
                              row.warning_rate =
                                  limited->warning.value_or(plan::default_warning_rate(*limit));
                              return {};
                            });
            })
      .required("DOWNSTREAM", limited->name, kNameHelp)
      .required("RATE", limited->rate, "such as 500/s or 20/m")
      .rate("--warning", limited->warning, "warning threshold (90% of the limit)")
      .changes();
}

void add_pause_and_resume(Group& group) {
  auto paused = std::make_shared<SwitchOptions>();
  group
      .leaf({.name = "pause",
             .summary = "Start no new call to a downstream",
             .examples = {"vouchctl downstream pause coupons --reason \"their maintenance\"",
                          "vouchctl downstream pause coupons --reason test --dry-run"}},
            [paused](Session& session) {
              return update(session, paused->name, "downstream pause", "paused",
                            [&](store::DownstreamRow& row) -> Result<void> {
                              row.paused = true;
                              row.pause_reason = paused->reason;
                              return {};
                            });
            })
      .required("DOWNSTREAM", paused->name, kNameHelp)
      .required_option("--reason", "TEXT", paused->reason, "why, for those who find it paused")
      .changes();

  auto resumed = std::make_shared<SwitchOptions>();
  group
      .leaf({.name = "resume",
             .summary = "Let a paused downstream be called again",
             .examples = {"vouchctl downstream resume coupons",
                          "vouchctl downstream resume coupons -o json"}},
            [resumed](Session& session) {
              return update(session, resumed->name, "downstream resume", "resumed",
                            [](store::DownstreamRow& row) -> Result<void> {
                              row.paused = false;
                              row.pause_reason.clear();
                              return {};
                            });
            })
      .required("DOWNSTREAM", resumed->name, kNameHelp)
      .changes();
}

}  // namespace

void add_downstream_commands(CommandLine& line) {
  Group group = line.top().group("downstream", "HTTP services that issue vouchers");
  add_writes(group);
  group.leaf({.name = "list",
              .summary = "List the downstreams with their limits",
              .examples = {"vouchctl downstream list",
                           "vouchctl downstream list -o csv --fields name,limit_per_second"}},
             list);
  auto shown = std::make_shared<std::string>();
  group
      .leaf({.name = "show",
             .summary = "Show a downstream and its outcome table",
             .examples = {"vouchctl downstream show coupons",
                          "vouchctl downstream show coupons -o json --fields definition"}},
            [shown](Session& session) { return show(session, *shown); })
      .required("DOWNSTREAM", *shown, kNameHelp);
  auto tested = std::make_shared<std::string>();
  group
      .leaf({.name = "test",
             .summary = "Have vouchd call a downstream once, without issuing anything",
             .description = "The call is paced and recorded like any other.",
             .examples = {"vouchctl downstream test coupons --dry-run",
                          "vouchctl downstream test balances --dry-run -o json"}},
            [tested](Session& session) { return test(session, *tested); })
      .required("DOWNSTREAM", *tested, kNameHelp)
      .changes();
  add_outcome_commands(group);
  add_limit(group);
  add_pause_and_resume(group);
}

}  // namespace vouch::cli
