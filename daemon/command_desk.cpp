#include "daemon/command_desk.hpp"

#include <map>
#include <utility>

#include "common/json.hpp"
#include "common/log.hpp"
#include "common/plan/planner.hpp"
#include "common/policy.hpp"

namespace vouch::daemon {
namespace {

using data::JobAction;

std::string refusal_json(const Error& error) {
  return Json{{"ok", false},
              {"code", name_of(error.code)},
              {"message", error.message},
              {"hint", error.hint}}
      .dump();
}

// In minor units, by column.
Result<std::map<std::string, std::int64_t>> read_amounts(JsonReader& reader) {
  std::map<std::string, std::int64_t> out;
  if (const Json* amounts = reader.optional("amounts")) {
    for (const auto& [column, minor] : amounts->items()) {
      if (!minor.is_number_integer() || minor.get<std::int64_t>() <= 0) {
        return fail(Errc::invalid, "amounts/" + column + ": must be a whole number above zero");
      }
      out[column] = minor.get<std::int64_t>();
    }
  }
  return out;
}

Result<std::map<std::string, std::string>> read_attributes(JsonReader& reader) {
  std::map<std::string, std::string> out;
  if (const Json* attributes = reader.optional("attributes")) {
    for (const auto& [column, text] : attributes->items()) {
      if (!text.is_string()) return fail(Errc::invalid, "attributes/" + column + ": must be text");
      out[column] = text.get<std::string>();
    }
  }
  return out;
}

// What the issuance is one of, under the campaign's `once_per`.
Result<std::uint64_t> read_occurrence(JsonReader& reader, const plan::Campaign& campaign,
                                      WallTime now) {
  VOUCH_TRY(const auto key, reader.optional_text("idempotency_key"));
  VOUCH_TRY(const auto client, reader.optional_text("client"));
  if (campaign.once_per == plan::OncePer::job) {
    if (!key) return fail(Errc::invalid, "this campaign needs an idempotency key");
    return plan::occurrence_of_value(client.value_or("") + "\n" + *key);
  }
  if (campaign.once_per == plan::OncePer::column) {
    VOUCH_TRY(const std::string value, reader.text("occurrence"));
    return plan::occurrence_of_value(value);
  }
  VOUCH_TRY(const plan::CivilDate today, plan::date_in_zone(now, campaign.time_zone));
  return plan::occurrence_of(campaign.once_per, today, 0);
}

}  // namespace

data::CommandName name_of(const store::CommandRow& command) {
  return {command.id, command.nonce};
}

void CommandDesk::carry_out(const store::CommandRow& command) {
  log::info("command",
            {{"id", command.id}, {"kind", command.kind}, {"operator", command.operator_name}});
  Result<void> done;
  if (parts_.clock.wall_now() >= command.expires) {
    done = fail(Errc::timed_out, "the command expired before vouchd took it",
                "give it again; vouchd is running now");
  } else if (command.kind == "submit") {
    done = parts_.submissions.submit(command.job, name_of(command));
  } else if (command.kind == "pause") {
    done = change(command, JobAction::pause);
  } else if (command.kind == "resume") {
    done = change(command, JobAction::resume);
  } else if (command.kind == "cancel") {
    done = change(command, JobAction::cancel);
  } else if (command.kind == "issue") {
    done = issue(command);
  } else if (command.kind == "test_downstream") {
    done = test(command);
  } else if (command.kind == "settle") {
    done = settle(command);
  } else if (command.kind == "close") {
    done = close(command);
  } else {
    done = fail(Errc::invalid, "unknown command \"" + command.kind + "\"",
                "vouchctl and vouchd are of different versions");
  }
  if (!done) refuse(command, done.error());
}

void CommandDesk::refuse(const store::CommandRow& command, const Error& error) {
  parts_.writer.push(
      data::Note{.command = name_of(command),
                 .kind = EventKind::daemon,
                 .words = "command " + std::to_string(command.id) + " refused: " + error.message,
                 .answer = refusal_json(error)});
}

Result<void> CommandDesk::change(const store::CommandRow& command, JobAction action) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const auto reason, reader.optional_text("reason"));
  VOUCH_TRY(const bool repeat, reader.boolean_or("settle_by_repeat", false));
  parts_.writer.push(data::ChangeJob{.command = name_of(command),
                                     .id = command.job,
                                     .action = action,
                                     .settle_by_repeat = repeat,
                                     .words = reason.value_or("by " + command.operator_name)});
  return {};
}

Result<void> CommandDesk::issue(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string campaign_name, reader.text("campaign"));
  VOUCH_TRY(const std::string recipient_id, reader.text("recipient_id"));
  const store::CampaignRow* of = parts_.definitions.campaign(campaign_name);
  if (of == nullptr) return fail(Errc::not_found, "no campaign \"" + campaign_name + "\"");

  strategy::SingleRequest request{.command = name_of(command),
                                  .job = parts_.definitions.single_job(*of),
                                  .recipient = {},
                                  .occurrence = 0,
                                  .recipient_id = {},
                                  .amounts = {}};
  VOUCH_TRY(const bool accepted, reader.boolean_or("accept_uncertain", false));
  VOUCH_CHECK(check_uncertain(parts_.definitions, of->definition, accepted));
  if (!request.job.blocked.empty()) return fail(Errc::conflict, request.job.blocked);
  if (!request.job.ended.empty()) return fail(Errc::conflict, request.job.ended);
  const WallTime now = parts_.clock.wall_now();
  const plan::Campaign& campaign = of->definition;
  if ((campaign.not_before && now < *campaign.not_before) ||
      (campaign.not_after && now >= *campaign.not_after)) {
    return fail(Errc::conflict, "the campaign's window is not open");
  }
  VOUCH_TRY(request.recipient_id, normalise_recipient(recipient_id));
  VOUCH_TRY(const std::string secret, parts_.control.recipient_secret());
  request.recipient = RecipientKeys{secret}.of(request.recipient_id);
  VOUCH_TRY(request.amounts, read_amounts(reader));
  VOUCH_TRY(request.attributes, read_attributes(reader));
  VOUCH_TRY(request.occurrence, read_occurrence(reader, campaign, now));
  parts_.intake.issue(std::move(request));
  return {};
}

Result<void> CommandDesk::test(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string name, reader.text("downstream"));
  const data::DownstreamNow* to = parts_.definitions.downstream(name);
  if (to == nullptr) return fail(Errc::not_found, "no downstream \"" + name + "\"");
  parts_.engine.test({.command = name_of(command), .downstream = to->id});
  return {};
}

// Rows that a downstream's statement settles: {"statement":name,"rows":[{"id","executed",
// "amount_minor","reference","last_event"}]}.  Nobody knows whether the statement is the
// downstream's: where two must agree it comes over the control socket, as a proposal.
Result<void> CommandDesk::settle(const store::CommandRow& command) {
  if (policy_ == kFourEyes) {
    return fail(Errc::not_permitted,
                "under the policy four-eyes a statement settles nothing until a second operator "
                "confirms it",
                "propose it: vouchctl reconcile --resolve");
  }
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::string statement, reader.text("statement"));
  VOUCH_TRY(const Json* rows, reader.required("rows"));
  if (!rows->is_array() || rows->size() > data::kStatementRowsMax) {
    return fail(Errc::invalid, "/rows: must be an array of at most 500 rows");
  }
  data::SettleByStatement message;
  message.command = name_of(command);
  message.words = "statement " + statement + ", given by " + command.operator_name;
  for (const Json& value : *rows) {
    VOUCH_TRY(JsonReader row, JsonReader::object(value, "/rows"));
    VOUCH_TRY(const std::string text, row.text("id"));
    VOUCH_TRY(const RequestId id, parse_request_id(text));
    VOUCH_TRY(const auto reference, row.optional_text("reference"));
    VOUCH_TRY(const auto amount, row.optional_integer("amount_minor", 0, plan::kAmountMinorMax));
    VOUCH_TRY(const bool executed, row.boolean_or("executed", false));
    VOUCH_TRY(const auto last_event, row.optional_integer("last_event", 1, INT64_MAX));
    message.rows.push_back({.key = id.key,
                            .round = id.round,
                            .was_executed = executed,
                            .amount_minor = amount,
                            .reference = reference.value_or(""),
                            .last_event = last_event});
  }
  parts_.writer.push(std::move(message));
  return {};
}

// {"issued":n}: as many rows as the latest statements have of it.
Result<void> CommandDesk::close(const store::CommandRow& command) {
  VOUCH_TRY(const Json json, parse_json(command.arguments_json));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const std::int64_t issued, reader.integer("issued", 0, INT64_MAX));
  parts_.writer.push(data::CloseJob{.command = name_of(command),
                                    .id = command.job,
                                    .issued = issued,
                                    .words = "balanced, by " + command.operator_name});
  return {};
}

}  // namespace vouch::daemon
