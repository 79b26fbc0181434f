#include "daemon/service/call_form.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vouch::service {
namespace {

// JSON text of a string.  The library does the escaping; what needs none is spared its cost.
void append_text(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
  });
  if (plain) {
    out += '"';
    out += text;
    out += '"';
  } else {
    out += nlohmann::json(std::string{text}).dump();
  }
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += out.size() > 1 ? ",\"" : "\"";
  out += name;
  out += "\":";
  append_text(out, text);
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

Digest128 call_digest(std::string_view url, std::string_view request_id, std::string_view body) {
  std::string all = "POST\n";
  all.reserve(8 + url.size() + request_id.size() + body.size());
  all += url;
  all += '\n';
  all += request_id;
  all += '\n';
  all += body;
  return sha256_128(all);
}

wire::HttpCall make_call(data::Intent& intent, std::string_view bearer) {
  const plan::Downstream& downstream = *intent.definition;
  wire::HttpCall call;
  call.url = downstream.url;
  call.headers.reserve(4);
  call.headers.emplace_back("Content-Type: application/json");
  call.headers.emplace_back("Accept: application/json");
  call.headers.push_back("Idempotency-Key: " + intent.request_id);
  if (!bearer.empty()) call.headers.push_back("Authorization: Bearer " + std::string{bearer});
  call.body = std::move(intent.body);
  call.connect_timeout = downstream.connect_timeout;
  call.timeout = downstream.timeout;
  call.http_allowed = downstream.allow_http;
  call.address_allow = downstream.address_allow;
  call.fresh_connection = downstream.contract == plan::Contract::none;
  return call;
}

}  // namespace vouch::service
