// vouchctl issuance create: one recipient's vouchers, without a list.
#include "cli/issuance_create.hpp"

#include <algorithm>
#include <set>

#include "cli/issuance_view.hpp"
#include "cli/open_exports.hpp"
#include "cli/uncertain_contract.hpp"
#include "common/json.hpp"
#include "common/plan/planner.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kPoll{100};

struct CreateOptions {
  std::string campaign, recipient, client, idempotency_key, occurrence, amount_unit;
  std::vector<std::string> amounts;
  std::vector<std::string> attributes;
  bool wait = false;
  bool accept_uncertain = false;
  std::optional<Millis> timeout;
};

Result<std::int64_t> parse_amount(const std::string& text, const plan::AmountColumn& column,
                                  const CreateOptions& options) {
  if (options.amount_unit.empty()) {
    return fail(Errc::usage, "--amount: in which unit is " + text + "?",
                "--amount-unit major for 12.50, --amount-unit minor for 1250");
  }
  auto minor = options.amount_unit == "major" ? parse_major_amount(text, column.digits)
                                              : parse_integer(text);
  if (!minor) return within("--amount " + column.column, minor.error());
  if (*minor <= 0 || *minor > plan::kAmountMinorMax) {
    return fail(Errc::invalid, "--amount " + column.column + ": must be above zero and at most " +
                                   format_amount(plan::kAmountMinorMax, column.currency));
  }
  return minor;
}

// By column, in minor units: exactly what the campaign's items take from columns.
Result<Json> amounts_of(const plan::Campaign& campaign, const CreateOptions& options) {
  const auto columns = plan::amount_columns(campaign);
  std::vector<std::string> names;
  for (const plan::AmountColumn& column : columns) names.push_back(column.column);
  Json amounts = Json::object();
  for (const std::string& text : options.amounts) {
    const auto at = text.rfind('=');
    const std::string name = text.substr(0, at == std::string::npos ? 0 : at);
    const auto column = std::find_if(columns.begin(), columns.end(),
                                     [&](const auto& one) { return one.column == name; });
    if (column == columns.end()) {
      const std::string near = nearest(name, names);
      return fail(
          Errc::usage,
          "--amount: \"" + text + "\" is not COLUMN=AMOUNT of the campaign " + campaign.name,
          near.empty()
              ? "it takes amounts from: " + (names.empty() ? "no column" : join(names, ", "))
              : "did you mean \"" + near + "\"?");
    }
    VOUCH_TRY(const std::int64_t minor, parse_amount(text.substr(at + 1), *column, options));
    if (campaign.amount_max_minor && minor > *campaign.amount_max_minor) {
      return fail(Errc::invalid, "--amount " + name + ": above the campaign's maximum of " +
                                     format_amount(*campaign.amount_max_minor, column->currency));
    }
    amounts[name] = minor;
  }
  for (const std::string& name : names) {
    if (amounts.contains(name)) continue;
    return fail(Errc::invalid,
                "the campaign " + campaign.name + " takes an amount from \"" + name + "\"",
                "add --amount " + name + "=12.50 --amount-unit major");
  }
  return amounts;
}

// By column: what the calls hold, and nothing that they do not.
Result<Json> attributes_of(store::ControlStore& control, const plan::Campaign& campaign,
                           const CreateOptions& options) {
  Json attributes = Json::object();
  std::vector<std::string> names;
  for (const std::string& text : options.attributes) {
    const auto at = text.find('=');
    if (at == std::string::npos || at == 0) {
      return fail(Errc::usage, "--attribute: \"" + text + "\" is not COLUMN=VALUE");
    }
    names.push_back(text.substr(0, at));
    if (attributes.contains(names.back())) {
      return fail(Errc::usage, "--attribute: \"" + names.back() + "\" stands there twice");
    }
    if (!is_valid_utf8(text)) return fail(Errc::invalid, "--attribute " + text + ": is no UTF-8");
    attributes[names.back()] = text.substr(at + 1);
  }
  std::set<std::string> held;
  for (const plan::Item& item : campaign.items) {
    if (item.by_export()) continue;
    VOUCH_TRY(const store::DownstreamRow row, control.downstream(item.downstream));
    VOUCH_CHECK(plan::check_attributes(item, row.definition, names, plan::AttributesOf::single));
    if (!row.definition.request) continue;
    held.insert(row.definition.request->attributes.begin(),
                row.definition.request->attributes.end());
  }
  for (const std::string& name : names) {
    if (held.contains(name)) continue;
    return fail(Errc::usage, "--attribute: no call of the campaign " + campaign.name + " holds \"" +
                                 name + "\"");
  }
  return attributes;
}

Result<std::string> client_of(store::ControlStore& control, const std::string& name) {
  if (!name.empty()) {
    VOUCH_TRY(const auto client, control.client(name));
    return client.name;
  }
  VOUCH_TRY(const auto all, control.clients());
  if (all.size() == 1) return all.front().name;
  return fail(Errc::usage, "for which client is it?", "add --client NAME: vouchctl client list");
}

// As a list of --id-type phone has it.
bool is_international_number(std::string_view text) {
  if (!text.starts_with('+')) return false;
  text.remove_prefix(1);
  return text.size() >= 7 && text.size() <= 15 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Result<Json> arguments_of(store::ControlStore& control, const store::CampaignRow& campaign,
                          const CreateOptions& options) {
  const plan::Campaign& definition = campaign.definition;
  VOUCH_TRY(const std::string recipient, normalise_recipient(options.recipient));
  if (recipient.empty()) return fail(Errc::invalid, "the recipient id is empty");
  if (campaign.id_type == "phone" && !is_international_number(recipient)) {
    return fail(Errc::invalid,
                "the recipients of " + definition.name + " are phone numbers, and this is none",
                "write it as its lists have it, with the country: +4915112345678");
  }
  VOUCH_TRY(const std::string client, client_of(control, options.client));
  VOUCH_TRY(Json amounts, amounts_of(definition, options));
  VOUCH_TRY(Json attributes, attributes_of(control, definition, options));
  Json arguments{{"campaign", definition.name},
                 {"client", client},
                 {"recipient_id", recipient},
                 {"amounts", std::move(amounts)},
                 {"attributes", std::move(attributes)}};
  if (!options.idempotency_key.empty()) arguments["idempotency_key"] = options.idempotency_key;
  if (definition.once_per == plan::OncePer::job && options.idempotency_key.empty()) {
    return fail(Errc::invalid, "the campaign " + definition.name + " gives once for each job",
                "name this one with --idempotency-key, so that a repeat gives nothing twice");
  }
  if (definition.once_per == plan::OncePer::column) {
    if (options.occurrence.empty()) {
      return fail(Errc::invalid,
                  "the campaign " + definition.name + " gives once for each value of \"" +
                      definition.once_per_column + "\"",
                  "add --occurrence VALUE");
    }
    arguments["occurrence"] = options.occurrence;
  }
  return arguments;
}

Result<std::vector<IssuanceView>> views_of(IssuanceBook& book,
                                           const std::vector<std::string>& ids) {
  std::vector<IssuanceView> views;
  for (const std::string& id : ids) {
    VOUCH_TRY(views.emplace_back(), book.find(id));
  }
  return views;
}

// Final, or nothing more will happen by itself.
bool is_decided(const IssuanceView& view) {
  return is_final(view.row.state) || view.row.state == IssuanceState::held || view.row.by_export;
}

Result<int> print(Session& session, const std::vector<IssuanceView>& views, bool waited) {
  VOUCH_TRY(Listing listing, session.out().list(columns_of(summary_of(IssuanceView{}))));
  for (const IssuanceView& view : views) listing.row(values_of(summary_of(view)));
  listing.end();
  if (!waited) return 0;
  int status = 0;
  for (const IssuanceView& view : views) {
    if (view.row.state == IssuanceState::held) {
      return fail(Errc::attention, view.id() + " is held: people must decide",
                  "vouchctl issuance explain " + view.id());
    }
    if (view.row.by_export && !is_final(view.row.state)) {
      return fail(Errc::attention, view.id() + " waits until people export its code",
                  "as an administrator: " + export_command(view.pool, ""));
    }
    if (view.row.state != IssuanceState::issued) status = 3;
  }
  return status;
}

// Every issuance final, held, or up to people who export it.
Result<std::vector<IssuanceView>> await_end(Session& session, IssuanceBook& book,
                                            const std::vector<std::string>& ids,
                                            std::optional<Millis> timeout) {
  const Instant begin = session.clock().now();
  while (true) {
    VOUCH_TRY(auto views, views_of(book, ids));
    if (std::all_of(views.begin(), views.end(), is_decided)) return views;
    const Instant now = session.clock().now();
    if (timeout && now >= begin + *timeout) {
      const auto open = std::find_if_not(views.begin(), views.end(), is_decided);
      return fail(Errc::timed_out,
                  "after " + format_duration(*timeout) + " " + open->id() + " is " +
                      std::string{name_of(open->row.state)},
                  "it goes on; see `vouchctl issuance explain " + open->id() + "`");
    }
    sleep_until(session.clock(), now + kPoll);
  }
}

Result<int> create(Session& session, const CreateOptions& options) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::CampaignRow campaign, control->campaign(options.campaign));
  if (campaign.state != "active") {
    return fail(Errc::conflict,
                "the campaign " + campaign.definition.name + " is " + campaign.state);
  }
  VOUCH_CHECK(store::ControlStore::check_instance(campaign, session.instance()));
  VOUCH_CHECK(check_uncertain(*control, campaign.definition, options.accept_uncertain));
  VOUCH_TRY(Json arguments, arguments_of(*control, campaign, options));
  if (options.accept_uncertain) arguments["accept_uncertain"] = true;
  if (!session.dry_run() && !session.daemon_runs()) {
    return fail(Errc::unavailable,
                "no vouchd runs for the instance \"" + session.instance() + "\": nothing was asked",
                "start it, then run this again");
  }
  VOUCH_TRY(
      const std::string answer,
      session.ask({.kind = "issue", .campaign = campaign.id, .arguments_json = arguments.dump()}));
  if (session.dry_run()) {
    VOUCH_CHECK(session.out().changed(
        "issuance", "created",
        {{"recipient", "Recipient", mask_recipient(arguments.value("recipient_id", ""))},
         {"campaign", "Campaign", campaign.definition.name},
         {"amounts_minor", "Amounts", Value::json(arguments["amounts"].dump())}},
        true));
    return 0;
  }
  VOUCH_TRY(const Json json, parse_json(answer));
  const auto ids = json.value("issuances", std::vector<std::string>{});
  if (json.value("existed", false)) {
    session.out().note("the recipient had been given this campaign's vouchers before: nothing new");
  }
  VOUCH_TRY(RecipientDisplay display, RecipientDisplay::choose(session, false, ""));
  VOUCH_TRY(IssuanceBook book, IssuanceBook::open(session, std::move(display)));
  if (options.wait) {
    VOUCH_TRY(const auto views, await_end(session, book, ids, options.timeout));
    return print(session, views, true);
  }
  VOUCH_TRY(const auto views, views_of(book, ids));
  return print(session, views, false);
}

}  // namespace

void add_issuance_create(Group& issuance) {
  auto options = std::make_shared<CreateOptions>();
  Arguments arguments = issuance.leaf(
      {.name = "create",
       .summary = "Give one recipient a campaign's vouchers",
       .description = "A vouchd that runs carries it out at once.  What the recipient has "
                      "been given already is not given again.",
       .examples = {"vouchctl issuance create --campaign birthday --recipient cust-4711 "
                    "--amount amount=12.50 --amount-unit major --client shop --dry-run",
                    "vouchctl issuance create --campaign birthday --recipient cust-4711 "
                    "--amount amount=1250 --amount-unit minor --client shop --wait "
                    "--timeout 10s"}},
      [options](Session& session) { return create(session, *options); });
  arguments.required_option("--campaign", "C", options->campaign, "what is issued")
      .required_option("--recipient", "R", options->recipient,
                       "to whom: the id as the partner writes it; phone numbers as +4915112345678")
      .list("--amount", "COLUMN=AMOUNT", options->amounts, "what a list would have in this column")
      .one_of("--amount-unit", options->amount_unit, {"major", "minor"},
              "major: 12.50; minor: 1250; required with --amount")
      .list("--attribute", "COLUMN=VALUE", options->attributes,
            "what a list would have in this column; for each that the calls hold")
      .option("--client", "K", options->client, "for whom; the only client unless said")
      .option("--idempotency-key", "KEY", options->idempotency_key,
              "under once_per job: names this gift, so that a repeat gives nothing twice")
      .option("--occurrence", "VALUE", options->occurrence,
              "under once_per column: what a list would have in that column")
      .flag("--wait", options->wait, "wait until it is final")
      .duration("--timeout", options->timeout, "with --wait: exit 8 after this time")
      .changes();
  add_uncertain_flag(arguments, options->accept_uncertain);
}

}  // namespace vouch::cli
