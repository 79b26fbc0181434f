#include "common/plan/request_form.hpp"

#include <doctest/doctest.h>

#include "common/json.hpp"
#include "common/plan/downstream.hpp"

using namespace vouch;
using namespace vouch::plan;

namespace {

Result<Downstream> parse(const Json& request) {
  return parse_downstream(Json{
      {"name", "gifts"},
      {"kind", "other"},
      {"url", "https://a.example/g"},
      {"contract", "key"},
      {"request", request}}.dump());
}

Item gift(std::string currency = "EUR") {
  Item item;
  item.name = "gift";
  item.amount.currency = std::move(currency);
  item.fields_json = R"({"template":"G10"})";
  return item;
}

// The body that a template makes.
std::string body_of(const Json& body, const Item& item, std::optional<std::int64_t> amount_minor,
                    std::string_view recipient_id = "cust-1") {
  const Downstream downstream = parse(Json{{"body", body}}).value();
  return render_body(downstream.request->body, {.request_id = "id-1",
                                                .recipient_id = recipient_id,
                                                .campaign_id = "cmp_1",
                                                .item = item,
                                                .amount_minor = amount_minor});
}

std::string url_of(const std::string& url, std::string_view recipient_id) {
  const Downstream downstream = parse(Json{{"url", url}}).value();
  return render_url(downstream.request->url, {.request_id = "id-1",
                                              .recipient_id = recipient_id,
                                              .campaign_id = "cmp_1",
                                              .item = gift(),
                                              .amount_minor = {}});
}

}  // namespace

TEST_CASE("request_form: a body is its template, each placeholder with its type") {
  const Item item = gift();
  struct Case {
    const char* name;
    Json body;
    std::string want;
  };
  const Case cases[] = {
      {"nothing", Json::object(), "{}"},
      {"texts",
       {{"no", "{{request_id}}"}, {"to", "{{recipient_id}}"}},
       R"({"no":"id-1","to":"cust-1"})"},
      {"within a text", {{"to", "u:{{recipient_id}}/{{item}}"}}, R"({"to":"u:cust-1/gift"})"},
      {"next to each other", {{"a", "{{item}}{{currency}}"}}, R"({"a":"giftEUR"})"},
      {"a number", {{"sum", "{{amount_minor}}"}}, R"({"sum":1250})"},
      {"a number within a text", {{"sum", "{{amount_minor}} c"}}, R"({"sum":"1250 c"})"},
      {"decimal text",
       {{"sum", "{{amount_major}}"}, {"cur", "{{currency}}"}},
       R"({"sum":"12.50","cur":"EUR"})"},
      {"an object", {{"more", "{{fields}}"}}, R"({"more":{"template":"G10"}})"},
      {"the rest as it is",
       {{"a", {1, 1.5, true, nullptr, Json::array(), Json::object(), "x\"\n"}}},
       R"({"a":[1,1.5,true,null,[],{},"x\"\n"]})"},
      {"deep down", {{"a", {{{"b", {"{{campaign}}"}}}}}}, R"({"a":[{"b":["cmp_1"]}]})"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(body_of(c.body, item, 1250) == c.want);
  }
}

TEST_CASE("request_form: what the item does not have is null, or nothing within a text") {
  Item plain = gift("");
  plain.fields_json = "";
  const Json body{{"a", "{{amount_minor}}"},
                  {"b", "{{amount_major}}"},
                  {"c", "{{currency}}"},
                  {"d", "x{{amount_major}}{{currency}}"},
                  {"e", "{{fields}}"}};
  CHECK(body_of(body, plain, {}) == R"({"a":null,"b":null,"c":null,"d":"x","e":{}})");
  CHECK(body_of(Json{{"a", "{{amount_major}}"}}, gift("JPY"), 1250) == R"({"a":"1250"})");
  CHECK(body_of(Json{{"a", "{{amount_major}}"}}, gift(), 5) == R"({"a":"0.05"})");
}

TEST_CASE("request_form: no recipient id can leave its place in a body") {
  const Item item = gift();
  for (const std::string id : {"\",\"admin\":true,\"x\":\"", "a\\", "a\"b", "{{request_id}}",
                               "\xe5\xbc\xa0\xe4\xb8\x89"}) {
    CAPTURE(id);
    const std::string text =
        body_of(Json{{"to", "{{recipient_id}}"}, {"in", "<{{recipient_id}}>"}}, item, 1, id);
    const auto json = parse_json(text);
    REQUIRE(json);
    CHECK(json->size() == 2);
    CHECK((*json)["to"].get<std::string>() == id);
    CHECK((*json)["in"].get<std::string>() == "<" + id + ">");
  }
}

TEST_CASE("request_form: ids in a URL are percent-encoded") {
  const std::string url = "https://a.example/u/{recipient_id}/g?no={request_id}";
  struct Case {
    const char* id;
    const char* want;
  };
  const Case cases[] = {
      {"cust-1_.~", "cust-1_.~"}, {"a/b?c#d&e", "a%2Fb%3Fc%23d%26e"},
      {"a b+%", "a%20b%2B%25"},   {"\xc3\xa4", "%C3%A4"},
      {"..", "%2E%2E"},           {"a\r\nX: y", "a%0D%0AX%3A%20y"},
  };
  for (const Case& c : cases) {
    CHECK(url_of(url, c.id) == "https://a.example/u/" + std::string{c.want} + "/g?no=id-1");
  }
}

TEST_CASE("request_form: a header holds no byte that could end it") {
  const Downstream downstream =
      parse(Json{{"headers", {{"X-To", "u {{recipient_id}};{{amount_major}}"}}}}).value();
  const Item item = gift();
  const auto header_of = [&](std::string_view id) {
    return render_header(downstream.request->headers[0].value, {.request_id = "id-1",
                                                                .recipient_id = id,
                                                                .campaign_id = "cmp_1",
                                                                .item = item,
                                                                .amount_minor = 1250});
  };
  CHECK(header_of("a@b.example") == "u a@b.example;12.50");
  CHECK(header_of("a\r\nX: y") == "u a%0D%0AX:%20y;12.50");
  CHECK(header_of("50%\xc3\xa4\x7f") == "u 50%25%C3%A4%7F;12.50");
}

TEST_CASE("request_form: attributes stand in URL, headers and body, and an absent one is empty") {
  const Downstream downstream =
      parse(Json{{"url", "https://a.example/{attributes.shop no}/{request_id}"},
                 {"headers", {{"X-City", "in {{attributes.city}}"}}},
                 {"body",
                  {{"city", "{{attributes.city}}"},
                   {"at", "<{{attributes.street}}> {{item}}"},
                   {"none", "{{attributes.none}}"}}}})
          .value();
  const RequestForm& form = *downstream.request;
  CHECK(form.attributes == std::vector<std::string>{"city", "none", "shop no", "street"});
  const AttributeValue attributes[] = {
      {"city", "K\xc3\xb6ln"}, {"street", "\"A\",\n1"}, {"shop no", "7/8"}};
  const Item item = gift();
  const CallValues values{.request_id = "id-1",
                          .recipient_id = "cust-1",
                          .campaign_id = "cmp_1",
                          .item = item,
                          .amount_minor = 1250,
                          .attributes = attributes};
  CHECK(render_url(form.url, values) == "https://a.example/7%2F8/id-1");
  CHECK(render_header(form.headers[0].value, values) == "in K%C3%B6ln");
  const auto body = parse_json(render_body(form.body, values));
  REQUIRE(body);
  CHECK(*body == Json{{"city", "K\xc3\xb6ln"}, {"at", "<\"A\",\n1> gift"}, {"none", ""}});
  // Stored and read again it is the same.
  CHECK(parse_downstream(to_json(downstream)).value().request->attributes == form.attributes);
}

TEST_CASE("request_form: what is wrong is named with its place") {
  struct Case {
    Json request;
    const char* message;
  };
  const Case cases[] = {
      {{{"body", {{"a", {1, "{{name}}"}}}}},
       "/request/body/a/1: there is no placeholder \"name\" here"},
      {{{"body", {{"a", "x {{fields}}"}}}},
       "/request/body/a: {{fields}} is an object and must be the whole text"},
      {{{"body", {{"a", "{{item"}}}},
       "/request/body/a: \"{{\" begins a placeholder that does not end"},
      {{{"headers", {{"Host", "b.example"}}}},
       "/request/headers/Host: Vouch writes this header itself"},
      {{{"headers", {{"Cookie", "a=b"}}}},
       "/request/headers/Cookie: credentials do not stand in a definition"},
      {{{"body", {{"a", "{{attributes.}}"}}}},
       "/request/body/a: \"attributes.\" goes before the name of a column of the list"},
      {{{"url", "https://{attributes.city}.example/"}},
       "/request/url: placeholders may stand in its path and query alone"},
      {{{"url", "https://{recipient_id}.example/"}},
       "/request/url: placeholders may stand in its path and query alone"},
      {{{"url", "https://a.example/{recipient_id}/\xc3\xa4"}},
       "/request/url: a URL holds ASCII without blanks, quotes, braces or \"#\"; encode them as "
       "%xx"},
  };
  for (const Case& c : cases) {
    const auto parsed = parse(c.request);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message == c.message);
  }
}

TEST_CASE("request_form: a definition with a request and a signing comes back as it was") {
  const auto parsed = parse_downstream(R"({
    "name": "gifts", "kind": "other", "url": "https://a.example/g", "contract": "key",
    "request": {"method": "PUT", "url": "https://a.example/g/{request_id}",
                "headers": {"X-A": "{{item}}"}, "body": {"n": 1.50, "to": "{{recipient_id}}"}},
    "signing": {"scheme": "hmac-sha256", "secret_file": "/etc/s", "encoding": "base64",
                "timestamp": "milliseconds", "canonical": "{{path}}\n{{body}}",
                "headers": {"X-Signature": "v1={{signature}}"}}})");
  REQUIRE_MESSAGE(parsed, (parsed ? "" : parsed.error().message));
  const std::string stored = to_json(*parsed);
  CHECK(to_json(parse_downstream(stored).value()) == stored);
  CHECK(parsed->request->put);
  CHECK(parsed->signing->timestamp == TimestampForm::milliseconds);
}
