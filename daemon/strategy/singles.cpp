// Intake's part for single issuances, which come without a list: declared in intake.hpp.
#include <algorithm>

#include "common/json.hpp"
#include "daemon/strategy/intake.hpp"

namespace vouch::strategy {
namespace {

using data::Intent;
using data::JobNow;

// What is kept of a single until it is final:
// {"recipient_id":..., "amounts":{column: minor}, "attributes":{column: text}}.
std::string to_input(const SingleRequest& request) {
  Json amounts = Json::object();
  for (const auto& [column, minor] : request.amounts) amounts[column] = minor;
  Json attributes = Json::object();
  for (const auto& [column, text] : request.attributes) attributes[column] = text;
  return Json{
      {"recipient_id", request.recipient_id}, {"amounts", amounts}, {"attributes", attributes}}
      .dump();
}

struct Input {
  std::string recipient_id;
  std::vector<std::string> columns;
  std::vector<std::int64_t> amounts;
  std::vector<std::string> attribute_columns;
  std::vector<std::string> attributes;
};

Input input_of(const SingleRequest& request) {
  Input input;
  input.recipient_id = request.recipient_id;
  for (const auto& [column, minor] : request.amounts) {
    input.columns.push_back(column);
    input.amounts.push_back(minor);
  }
  for (const auto& [column, text] : request.attributes) {
    input.attribute_columns.push_back(column);
    input.attributes.push_back(text);
  }
  return input;
}

Result<Input> parse_input(std::string_view text) {
  VOUCH_TRY(const Json json, parse_json(text));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  Input input;
  VOUCH_TRY(input.recipient_id, reader.text("recipient_id"));
  VOUCH_TRY(const Json* amounts, reader.required("amounts"));
  for (const auto& [column, minor] : amounts->items()) {
    input.columns.push_back(column);
    input.amounts.push_back(minor.get<std::int64_t>());
  }
  VOUCH_TRY(const Json* attributes, reader.required("attributes"));
  for (const auto& [column, value] : attributes->items()) {
    input.attribute_columns.push_back(column);
    input.attributes.push_back(value.get<std::string>());
  }
  return input;
}

data::Note refusal(const SingleRequest& request, const Error& error) {
  return {.command = request.command,
          .kind = EventKind::daemon,
          .words = "a single issuance was refused: " + error.message,
          .answer = Json{{"ok", false},
                         {"code", name_of(error.code)},
                         {"message", error.message},
                         {"hint", error.hint}}
                        .dump()};
}

}  // namespace

void Intake::issue(SingleRequest request) {
  const std::scoped_lock lock{mutex_};
  singles_.push_back(std::move(request));
  woken_ = true;
  wake_.notify_one();
}

void Intake::plan_singles() {
  std::vector<SingleRequest> requests;
  {
    const std::scoped_lock lock{mutex_};
    requests = std::exchange(singles_, {});
  }
  const auto wait = [&](SingleRequest& request) {
    const std::scoped_lock lock{mutex_};
    singles_.push_back(std::move(request));
  };
  for (SingleRequest& request : requests) {
    if (!has_room(request)) {
      wait(request);
      continue;
    }
    auto message = make_single(request);
    if (!message) {
      writer_.push(refusal(request, message.error()));
      continue;
    }
    const auto reserved = lock_single(request.job, message->intents);
    if (!reserved) {
      wait(request);
      continue;
    }
    if (!ready_.reserve(*reserved)) return;  // stopping; the command is taken up after the start
    writer_.push(std::move(*message));
  }
}

Result<data::IssueSingle> Intake::make_single(const SingleRequest& request) const {
  const Input input = input_of(request);
  VOUCH_TRY(IntentMaker maker,
            IntentMaker::make(request.job, input.columns, input.attribute_columns));
  VOUCH_CHECK(maker.check_attributes(request.job, *snapshot_));
  if (!knows_downstreams(request.job)) {
    return fail(Errc::not_found, "a downstream of the campaign is not in the store");
  }
  data::IssueSingle message{.command = request.command,
                            .campaign = request.job.campaign_id,
                            .items = static_cast<int>(request.job.items_count()),
                            .input = to_input(request),
                            .intents = {}};
  maker.make_fresh(request.job, *snapshot_,
                   {.key = request.recipient,
                    .occurrence = request.occurrence,
                    .recipient_id = request.recipient_id,
                    .amounts = input.amounts,
                    .values = input.attributes},
                   0, true, message.intents);
  for (Intent& intent : message.intents) intent.single = true;
  return message;
}

// The room that its calls need; nothing when not every one of them could be locked.
std::optional<data::ReadyRows> Intake::lock_single(const JobNow& job,
                                                   std::vector<Intent>& intents) {
  data::ReadyRows rows;
  bool locked = true;
  for (Intent& intent : intents) {
    if (intent.by_export) continue;
    intent.lease = leases_.of_issuance(job, intent.request_id);
    locked = locked && intent.lease;
    ++rows[data::owner_of(intent)];
  }
  if (locked) return rows;
  for (Intent& intent : intents) leases_.put_back(job, intent);
  return std::nullopt;
}

// Who would be in doubt after a crash under contract none waits until others have been called.
bool Intake::has_room(const SingleRequest& request) const {
  std::map<ObjectId, int> calls;
  for (const ObjectId downstream : request.job.item_downstreams) ++calls[downstream];
  return std::ranges::all_of(calls, [&](const auto& wanted) {
    const int ready = ready_.calls_depth(wanted.first);
    return !is_uncertain(wanted.first) || ready == 0 ||
           ready + wanted.second <= plan::kInFlightMaxUncertain;
  });
}

Result<std::optional<Intent>> Intake::single_again(const JobNow& job, const data::DueRow& row) {
  VOUCH_TRY(const auto text, reader_.single_input(job.campaign_number, row.key));
  if (!text) return std::optional<Intent>{};
  VOUCH_TRY(const Input input, parse_input(*text));
  VOUCH_TRY(IntentMaker maker, IntentMaker::make(job, input.columns, input.attribute_columns));
  return maker.make_again(job, *snapshot_,
                          {.key = row.key.recipient,
                           .occurrence = row.key.occurrence,
                           .recipient_id = input.recipient_id,
                           .amounts = input.amounts,
                           .values = input.attributes},
                          row);
}

}  // namespace vouch::strategy
