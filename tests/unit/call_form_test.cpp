// What leaves for a downstream, and what of it must stay the same when it is repeated.
#include "daemon/service/call_form.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "common/text.hpp"
#include "daemon/service/call_signature.hpp"
#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;

namespace {

const WallTime kNow = from_ms(1'893'456'000'123);

plan::Downstream with(const std::string& members) {
  return plan::parse_downstream(
             R"({"name":"coupons","kind":"coupon","url":"https://a.example/c","contract":"key",)" +
             members + "}")
      .value();
}

data::Intent filled(const plan::Downstream& downstream, std::string_view recipient = "cust-1") {
  data::Intent intent = sample_intent(1);
  intent.definition = std::make_shared<const plan::Downstream>(downstream);
  service::fill_call(intent, "cmp_1", recipient);
  return intent;
}

std::string header(const wire::HttpCall& call, const std::string& name) {
  std::string found;
  for (const std::string& line : call.headers) {
    if (!lower_ascii(line).starts_with(lower_ascii(name) + ": ")) continue;
    CHECK(found.empty());  // once
    found = line.substr(name.size() + 2);
  }
  return found;
}

const std::string kSigning =
    R"("signing": {"scheme": "hmac-sha256", "key_id": "k1", "secret_file": "/etc/s",
       "canonical": "{{method}}\n{{path}}\n{{timestamp}}\n{{nonce}}\n{{body_sha256}}",
       "headers": {"X-Key": "{{key_id}}", "X-Time": "{{timestamp}}", "X-Nonce": "{{nonce}}",
                   "X-Signature": "{{signature}}"}})";

data::DownstreamNow signing_by(const plan::Downstream& downstream, const std::string& secret) {
  data::DownstreamNow now;
  now.version = 1;
  now.versions.emplace(1, std::make_shared<const plan::Downstream>(downstream));
  now.signing_secret = secret;
  return now;
}

}  // namespace

// The digests of rows that were written before there were request shapes must stay what they are.
TEST_CASE("call_form: without a request shape the call is what it always was") {
  data::Intent intent = filled(with(R"("request": null)"));
  const std::string id = intent.request_id;
  const std::string body = R"({"request_id":")" + id +
                           R"(","recipient_id":"cust-1","campaign":"cmp_1","item":"coupon",)"
                           R"("amount_minor":500,"currency":"EUR"})";
  CHECK(intent.body == body);
  CHECK(intent.call_digest == sha256_128("POST\nhttps://a.example/c\n" + id + "\n" + body));
  const wire::HttpCall call = service::make_call({&intent, 1}, "secret");
  CHECK(call.method() == "POST");
  CHECK(call.url == "https://a.example/c");
  CHECK(call.body == body);
  CHECK(call.headers ==
        std::vector<std::string>{"Content-Type: application/json", "Accept: application/json",
                                 "Idempotency-Key: " + id, "Authorization: Bearer secret"});
}

TEST_CASE("call_form: a request shape says method, URL, headers and body") {
  data::Intent intent = filled(with(R"("request": {"method": "PUT",
    "url": "https://a.example/u/{recipient_id}", "headers": {"X-No": "{{request_id}}",
    "accept": "application/vnd.a+json"}, "body": {"to": "{{recipient_id}}"}})"),
                               "a/b");
  const Digest128 digest = intent.call_digest;
  CHECK(digest ==
        sha256_128("PUT\nhttps://a.example/u/a%2Fb\n" + intent.request_id + "\n{\"to\":\"a/b\"}"));
  const std::string id = intent.request_id;
  const wire::HttpCall call = service::make_call({&intent, 1}, "");
  CHECK(call.method() == "PUT");
  CHECK(call.url == "https://a.example/u/a%2Fb");
  CHECK(call.body == "{\"to\":\"a/b\"}");
  CHECK(header(call, "X-No") == id);
  CHECK(header(call, "Accept") == "application/vnd.a+json");
  CHECK(header(call, "Content-Type") == "application/json");
  CHECK(header(call, "Idempotency-Key") == id);
}

// A connection that was used before may be dead already; where nothing may be called twice, that
// question must not come up.
TEST_CASE("call_form: under contract none each call has a connection of its own") {
  plan::Downstream downstream = sample_downstream();
  for (const auto contract : {plan::Contract::key, plan::Contract::query, plan::Contract::none}) {
    CAPTURE(plan::name_of(contract));
    downstream.contract = contract;
    data::Intent intent = filled(downstream);
    const wire::HttpCall call = service::make_call({&intent, 1}, "");
    CHECK(call.fresh_connection == (contract == plan::Contract::none));
  }
}

TEST_CASE("call_form: attributes are part of the call, and of its digest") {
  const plan::Downstream downstream =
      with(R"("request": {"url": "https://a.example/{attributes.city}/{request_id}",
              "body": {"city": "{{attributes.city}}"}})");
  const auto filled_in = [&](std::string_view city) {
    data::Intent intent = sample_intent(1);
    intent.definition = std::make_shared<const plan::Downstream>(downstream);
    const plan::AttributeValue attributes[] = {{"city", city}};
    service::fill_call(intent, "cmp_1", "cust-1", attributes);
    return intent;
  };
  const data::Intent once = filled_in("Bonn");
  CHECK(once.body == R"({"city":"Bonn"})");
  CHECK(once.url.starts_with("https://a.example/Bonn/"));
  CHECK(filled_in("Bonn").call_digest == once.call_digest);
  CHECK(filled_in("Ulm").call_digest != once.call_digest);
}

TEST_CASE("call_form: the digest covers method, URL, key and body") {
  std::set<Digest128> digests;
  for (const char* request :
       {R"({})", R"({"method": "PUT"})", R"({"url": "https://a.example/{recipient_id}"})",
        R"({"url": "https://a.example/{recipient_id}?x"})", R"({"body": {"a": 1}})",
        R"({"body": {"a": "{{recipient_id}}"}})"}) {
    digests.insert(filled(with("\"request\": " + std::string{request})).call_digest);
  }
  CHECK(digests.size() == 6);
  const plan::Downstream by_url = with(R"("request": {"url": "https://a.example/{recipient_id}",
                                          "body": {}})");
  CHECK(filled(by_url, "1").call_digest != filled(by_url, "2").call_digest);
  CHECK(filled(by_url, "1").call_digest == filled(by_url, "1").call_digest);
}

TEST_CASE("call_signature: what is signed is what is sent, and the secret stays here") {
  const plan::Downstream downstream = with(kSigning);
  data::Intent intent = filled(downstream);
  wire::HttpCall call = service::make_call({&intent, 1}, "");
  SeededRandom random{7};
  service::sign(call, signing_by(downstream, "a secret"), kNow, random);
  CHECK(header(call, "X-Key") == "k1");
  CHECK(header(call, "X-Time") == "1893456000");
  CHECK(header(call, "X-Nonce").size() == 32);
  const std::string canonical =
      "POST\n/c\n1893456000\n" + header(call, "X-Nonce") + "\n" + hex(sha256(call.body));
  CHECK(header(call, "X-Signature") == hex(HmacKey{"a secret"}.sign(canonical)));
  CHECK(std::ranges::none_of(call.headers, [](const std::string& line) {
    return line.find("a secret") != std::string::npos;
  }));
}

// RFC 4231, test case 2.
TEST_CASE("call_signature: HMAC-SHA-256 as everybody else computes it") {
  const plan::Downstream downstream = with(R"("signing": {"scheme": "hmac-sha256",
    "secret_file": "/etc/s", "canonical": "what do ya {{key_id}}{{body}}", "encoding": "base64",
    "key_id": "want for nothing?", "headers": {"X-Signature": "v1={{signature}}"}})");
  wire::HttpCall call;
  call.get = true;
  call.url = "https://a.example/c";
  SeededRandom random{7};
  service::sign(call, signing_by(downstream, "Jefe"), kNow, random);
  CHECK(header(call, "X-Signature") == "v1=W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
}

TEST_CASE(
    "call_signature: each attempt has a nonce of its own, by the definition that is in force") {
  const plan::Downstream before = with(kSigning);
  plan::Downstream present = before;
  present.signing->key_id = "k2";
  SeededRandom random{7};
  std::set<std::string> nonces;
  for (int i = 0; i < 10; ++i) {
    data::Intent intent = filled(before);  // in doubt since before the key was changed
    wire::HttpCall call = service::make_call({&intent, 1}, "");
    service::sign(call, signing_by(present, "new"), kNow, random);
    CHECK(header(call, "X-Key") == "k2");
    nonces.insert(header(call, "X-Nonce"));
  }
  CHECK(nonces.size() == 10);
}

TEST_CASE("call_signature: without form or secret the call stays as it is") {
  SeededRandom random{7};
  for (const bool form : {false, true}) {
    const plan::Downstream downstream = with(form ? kSigning : R"("request": null)");
    data::Intent intent = filled(downstream);
    wire::HttpCall call = service::make_call({&intent, 1}, "");
    const auto headers = call.headers;
    service::sign(call, signing_by(downstream, form ? "" : "a secret"), kNow, random);
    CHECK(call.headers == headers);
  }
}

TEST_CASE("call_form: a batch holds each issuance's own body, and no key of the whole") {
  const plan::Downstream downstream =
      with(R"("batch":{"issuances_max":2},"request":{"headers":{"X-Shop":"main"}})");
  data::Intent intents[] = {filled(downstream, "cust-1"), filled(downstream, "cust-2")};
  const std::string first = intents[0].body;
  const std::string second = intents[1].body;
  const Digest128 digest = intents[0].call_digest;
  const wire::HttpCall call = service::make_call(intents, "");
  CHECK(call.url == "https://a.example/c");
  CHECK(call.body == R"({"issuances":[)" + first + "," + second + "]}");
  CHECK(header(call, "X-Shop") == "main");
  CHECK(header(call, "Idempotency-Key").empty());
  // Whoever goes with it, its own bytes are the same: what is repeated is compared by them.
  data::Intent alone[] = {filled(downstream, "cust-1")};
  CHECK(alone[0].call_digest == digest);
  CHECK(service::make_call(alone, "").body == R"({"issuances":[)" + first + "]}");
}
