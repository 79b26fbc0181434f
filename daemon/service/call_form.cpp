#include "daemon/service/call_form.hpp"

#include <algorithm>

#include "common/secret_box.hpp"
#include "common/text.hpp"

namespace vouch::service {
namespace {

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += out.size() > 1 ? ",\"" : "\"";
  out += name;
  out += "\":";
  plan::append_json_text(out, text);
}

// "Name: value", unless the definition has a header of that name.
void add_usual(std::vector<std::string>& headers, const plan::Downstream& downstream,
               std::string_view name, std::string_view value) {
  const auto same = [&](const plan::HeaderForm& header) {
    return lower_ascii(header.name) == lower_ascii(name);
  };
  if (downstream.request && std::ranges::any_of(downstream.request->headers, same)) return;
  headers.emplace_back(name).append(": ").append(value);
}

// The code, escaped for a JSON text, in its places; from here on the body alone has it.
void put_code(std::string& body, data::Intent& intent) {
  VOUCH_ASSERT(!intent.code.empty());
  const std::string place = plan::code_place(intent.request_id);
  std::string quoted;
  plan::append_json_text(quoted, intent.code);
  const std::string_view text = std::string_view{quoted}.substr(1, quoted.size() - 2);
  for (auto at = body.find(place); at != std::string::npos;
       at = body.find(place, at + text.size())) {
    body.replace(at, place.size(), text);
  }
  wipe(quoted);
  wipe(intent.code);
}

std::string take_body(const plan::Downstream& downstream, std::span<data::Intent> intents) {
  for (data::Intent& intent : intents) {
    if (intent.pool != nullptr) put_code(intent.body, intent);
  }
  if (!downstream.batch) {
    VOUCH_ASSERT(intents.size() == 1);
    return std::move(intents.front().body);
  }
  std::vector<std::string> bodies;
  bodies.reserve(intents.size());
  for (data::Intent& intent : intents) bodies.push_back(std::move(intent.body));
  return plan::batch_body(*downstream.batch, bodies);
}

}  // namespace

std::string call_body(const plan::Item& item, std::string_view campaign_id,
                      std::string_view recipient_id, std::string_view request_id,
                      std::optional<std::int64_t> amount_minor) {
  std::string body = "{";
  body.reserve(192 + recipient_id.size() + item.fields_json.size());
  append_member(body, "request_id", request_id);
  append_member(body, "recipient_id", recipient_id);
  append_member(body, "campaign", campaign_id);
  append_member(body, "item", item.name);
  if (!item.pool.empty()) append_member(body, "code", plan::code_place(request_id));
  if (amount_minor) {
    body += ",\"amount_minor\":" + std::to_string(*amount_minor);
    append_member(body, "currency", item.amount.currency);
  }
  if (item.fields_json.size() > 2) {  // more than {}
    body += ',';
    body.append(item.fields_json, 1, item.fields_json.size() - 2);
  }
  body += '}';
  return body;
}

Digest128 call_digest(std::string_view url, std::string_view request_id, std::string_view body,
                      std::string_view method) {
  std::string all{method};
  all.reserve(8 + url.size() + request_id.size() + body.size());
  all += '\n';
  all += url;
  all += '\n';
  all += request_id;
  all += '\n';
  all += body;
  return sha256_128(all);
}

void fill_call(data::Intent& intent, std::string_view campaign_id, std::string_view recipient_id,
               std::span<const plan::AttributeValue> attributes) {
  intent.request_id = format_request_id(intent.key, intent.round);
  const plan::Downstream& downstream = *intent.definition;
  const plan::RequestForm* form = downstream.request ? &*downstream.request : nullptr;
  const plan::CallValues values{.request_id = intent.request_id,
                                .recipient_id = recipient_id,
                                .campaign_id = campaign_id,
                                .item = intent.item(),
                                .amount_minor = intent.amount_minor,
                                .attributes = attributes};
  intent.body = form != nullptr && !form->body.empty()
                    ? plan::render_body(form->body, values)
                    : call_body(intent.item(), campaign_id, recipient_id, intent.request_id,
                                intent.amount_minor);
  if (form != nullptr) {
    if (!form->url.empty()) intent.url = plan::render_url(form->url, values);
    for (const plan::HeaderForm& header : form->headers) {
      intent.headers.push_back(header.name + ": " + plan::render_header(header.value, values));
    }
  }
  intent.call_digest =
      call_digest(intent.url.empty() ? downstream.url : intent.url, intent.request_id, intent.body,
                  form != nullptr && form->put ? "PUT" : "POST");
}

wire::HttpCall make_call(std::span<data::Intent> intents, std::string_view bearer) {
  data::Intent& first = intents.front();
  const plan::Downstream& downstream = *first.definition;
  wire::HttpCall call;
  call.put = downstream.request && downstream.request->put;
  call.url = first.url.empty() ? downstream.url : std::move(first.url);
  call.headers = std::move(first.headers);
  call.headers.reserve(call.headers.size() + 4);
  add_usual(call.headers, downstream, "Content-Type", "application/json");
  add_usual(call.headers, downstream, "Accept", "application/json");
  // In a batch each issuance has its key in its own part of the body.
  if (!downstream.batch) {
    add_usual(call.headers, downstream, "Idempotency-Key", first.request_id);
  }
  if (!bearer.empty()) call.headers.push_back("Authorization: Bearer " + std::string{bearer});
  call.body = take_body(downstream, intents);
  call.connect_timeout = downstream.connect_timeout;
  call.timeout = downstream.timeout;
  call.http_allowed = downstream.allow_http;
  call.address_allow = downstream.address_allow;
  call.fresh_connection = downstream.contract == plan::Contract::none;
  return call;
}

}  // namespace vouch::service
