// Several issuances in one call: the definition's form, the bytes that leave, and what an answer
// means for each of them.
#include <doctest/doctest.h>

#include "common/plan/downstream.hpp"
#include "common/plan/reply_reading.hpp"

using namespace vouch;
using namespace vouch::plan;

namespace {

std::string definition(const std::string& members) {
  return R"({"name":"coupons","kind":"coupon","url":"https://a.example/batch","contract":"key")" +
         members + "}";
}

Downstream with(const std::string& members) {
  return parse_downstream(definition(members)).value();
}

const std::string kStatusInside =
    R"(,"batch":{"issuances_max":3,"status_pointer":"/http_status"},
       "outcomes":[{"status":422,"pointer":"/code","value":"BLOCKED","outcome":"declined"}])";

std::string result(const std::string& id, int status = 200, const std::string& more = "") {
  const std::string head =
      R"({"request_id":")" + id + R"(","http_status":)" + std::to_string(status);
  const std::string success = R"(,"reference":"R-)" + id + R"(")";
  return head + (more.empty() ? success : "," + more) + "}";
}

std::string results(const std::string& inside) {
  return R"({"results":[)" + inside + "]}";
}

constexpr std::string_view kIds[] = {"a", "b", "c"};

std::vector<ReplyReading> read(const Downstream& downstream, int status, const std::string& body,
                               const std::string& content_type = "application/json") {
  std::vector<CallFacts> calls(3);
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i].request_id = kIds[i];
  ReplyReader reader;
  return reader.read_batch(downstream,
                           {.status = status, .content_type = content_type, .body = body}, calls);
}

using Outcomes = std::vector<Outcome>;
Outcomes outcomes_of(const std::vector<ReplyReading>& readings) {
  Outcomes outcomes;
  for (const ReplyReading& reading : readings) outcomes.push_back(reading.outcome);
  return outcomes;
}

constexpr Outcome kIssued = Outcome::issued;
constexpr Outcome kUnknown = Outcome::unknown;

}  // namespace

TEST_CASE("batch: a definition is read, and written as it was") {
  const Downstream usual = with(R"(,"batch":{"issuances_max":100})");
  REQUIRE(usual.batch);
  CHECK(usual.issuances_per_call() == 100);
  CHECK(usual.batch->results_pointer == "/results");
  const Downstream own = with(R"(,"batch":{"issuances_max":2,"results_pointer":"",
      "status_pointer":"/status","body":{"shop":"main","orders":{"list":"{{issuances}}"}}})");
  CHECK(own.batch->results_pointer.empty());
  for (const Downstream* one : {&usual, &own}) {
    CHECK(to_json(parse_downstream(to_json(*one)).value()) == to_json(*one));
  }
  CHECK(with("").issuances_per_call() == 1);
}

TEST_CASE("batch: what would not be told apart, or by nobody, is refused with its place") {
  struct Case {
    const char* members;
    const char* place;
  };
  const Case cases[] = {
      {R"(,"batch":{})", "/batch/issuances_max"},
      {R"(,"batch":{"issuances_max":1})", "/batch/issuances_max"},
      {R"(,"batch":{"issuances_max":501})", "/batch/issuances_max"},
      {R"(,"batch":{"issuances_max":2,"body":{}})", "/batch/body"},
      {R"(,"batch":{"issuances_max":2,"body":{"{{issuances}}":1}})", "/batch/body"},
      {R"(,"batch":{"issuances_max":2,"body":{"a":"x {{issuances}}"}})", "/batch/body"},
      {R"(,"batch":{"issuances_max":2,"body":{"a":"{{issuances}}","b":"{{issuances}}"}})",
       "/batch/body"},
      {R"(,"batch":{"issuances_max":2,"body":{"a":"{{issuances}}","b":"{{campaign}}"}})",
       "/batch/body"},
      {R"(,"batch":{"issuances_max":2,"results_pointer":"results"})", "/batch/results_pointer"},
      {R"(,"batch":{"issuances_max":2,"of":1})", "/batch/of"},
      {R"(,"batch":{"issuances_max":2},"request":{"url":"https://a.example/{request_id}"})",
       "/request/url"},
      {R"(,"batch":{"issuances_max":2},"request":{"headers":{"X-Id":"{{request_id}}"}})",
       "/request/headers/X-Id"},
      {R"(,"batch":{"issuances_max":2},"request":{"body":{"to":"{{recipient_id}}"}})",
       "/request/body"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.members);
    const auto parsed = parse_downstream(definition(c.members));
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
    CHECK(parsed.error().message.starts_with(c.place));
  }
  const auto uncertain = parse_downstream(
      R"({"name":"c","kind":"coupon","url":"https://a/","contract":"none",
          "batch":{"issuances_max":2}})");
  REQUIRE_FALSE(uncertain);
  CHECK(uncertain.error().message.starts_with("/batch: does not go with contract"));
}

TEST_CASE("batch: the bodies stand in the call as they are") {
  const Downstream own =
      with(R"(,"batch":{"issuances_max":2,"body":{"n":1,"orders":"{{issuances}}","x":"y"}})");
  const std::string bodies[] = {R"({"id": 1})", R"({"id":"{{issuances}}"})"};
  CHECK(batch_body(*own.batch, bodies) ==
        R"({"n":1,"orders":[{"id": 1},{"id":"{{issuances}}"}],"x":"y"})");
  CHECK(batch_body(*own.batch, std::span{bodies}.first(1)) ==
        R"({"n":1,"orders":[{"id": 1}],"x":"y"})");
}

TEST_CASE("batch: each call has the outcome of its own result, in whatever order they come") {
  struct Case {
    const char* name;
    std::string body;
    Outcomes want;
  };
  const std::string refused = R"("code":"BLOCKED")";
  const Case cases[] = {
      {"all issued",
       results(result("c") + "," + result("a") + "," + result("b")),
       {kIssued, kIssued, kIssued}},
      {"a refusal among them",
       results(result("a") + "," + result("b", 422, refused) + "," + result("c")),
       {kIssued, Outcome::declined, kIssued}},
      {"turned away for now, and out of order",
       results(result("b", 429, R"("x":1)") + "," + result("a", 500, R"("x":1)") + "," +
               result("c")),
       {kUnknown, Outcome::not_executed, kIssued}},
      {"one is missing", results(result("a") + "," + result("c")), {kIssued, kUnknown, kIssued}},
      {"none is there", results(""), {kUnknown, kUnknown, kUnknown}},
      {"somebody else's", results(result("a") + "," + result("z")), {kIssued, kUnknown, kUnknown}},
      {"twice, and both say the same",
       results(result("a") + "," + result("b") + "," + result("a")),
       {kUnknown, kIssued, kUnknown}},
      {"without a reference",
       results(result("a", 200, R"("x":1)") + "," + result("b")),
       {kUnknown, kIssued, kUnknown}},
      {"without an id",
       results(R"({"http_status":200,"reference":"R"},)" + result("b")),
       {kUnknown, kIssued, kUnknown}},
      {"without a status",
       results(R"({"request_id":"a","reference":"R"},)" + result("b")),
       {kUnknown, kIssued, kUnknown}},
      {"a status that is none",
       results(result("a", 999) + "," + result("b")),
       {kUnknown, kIssued, kUnknown}},
      {"what is no object", results("7,null,[1]," + result("b")), {kUnknown, kIssued, kUnknown}},
      {"a key of a result stands twice: nothing of it is believed",
       results(result("b") + R"(,{"request_id":"a","request_id":"c","http_status":200})"),
       {kUnknown, kUnknown, kUnknown}},
      {"cut off behind whole results",
       R"({"results":[)" + result("a") + "," + result("b"),
       {kUnknown, kUnknown, kUnknown}},
      {"two arrays of results",
       R"({"results":[)" + result("a") + R"(],"results":[)" + result("b") + "]}",
       {kUnknown, kUnknown, kUnknown}},
      {"an array and then something else of its name",
       R"({"results":[)" + result("a") + R"(],"results":null})",
       {kUnknown, kUnknown, kUnknown}},
      {"something else and then an array of its name",
       R"({"results":{},"results":[)" + result("a") + "]}",
       {kUnknown, kUnknown, kUnknown}},
      {"a result whose members would fill the memory",
       results(R"({"request_id":"a","http_status":200,"reference":"R",")" +
               std::string(60'000, 'k') + R"(":[1,1]})"),
       {kUnknown, kUnknown, kUnknown}},
      {"results within a result are none",
       results(R"({"results":[)" + result("a") + "]}"),
       {kUnknown, kUnknown, kUnknown}},
  };
  const Downstream downstream = with(kStatusInside);
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(outcomes_of(read(downstream, 200, c.body)) == c.want);
  }
}

TEST_CASE("batch: the evidence of each is its own") {
  const auto readings = read(with(kStatusInside), 207,
                             results(result("b") + "," + result("a", 422, R"("code":"X")")));
  CHECK(readings[1].reference == "R-b");
  CHECK(readings[1].result_status == 200);
  CHECK(readings[0].result_status == 422);
  CHECK(readings[0].detail == "X");
  REQUIRE(readings[0].result_digest);
  CHECK(readings[0].result_digest != readings[1].result_digest);
  CHECK(readings[2].rule == ReplyRule::no_result);
  CHECK_FALSE(readings[2].result_digest);
  // The same result among others has the same digest.
  const auto again = read(with(kStatusInside), 200, results(result("c") + "," + result("b")));
  CHECK(again[1].result_digest == readings[1].result_digest);
}

TEST_CASE("batch: amount and currency are compared for each") {
  const std::string body =
      results(R"({"request_id":"a","reference":"R-1","amount_minor":100,"currency":"EUR"},)"
              R"({"request_id":"b","reference":"R-2","amount_minor":101,"currency":"EUR"},)"
              R"({"request_id":"c","reference":"R-3","amount_minor":100,"currency":"USD"})");
  const std::vector<CallFacts> calls = {
      {.request_id = "a", .amount_minor = 100, .currency = "EUR"},
      {.request_id = "b", .amount_minor = 100, .currency = "EUR"},
      {.request_id = "c", .amount_minor = 100, .currency = "EUR"}};
  ReplyReader reader;
  const auto readings =
      reader.read_batch(with(R"(,"batch":{"issuances_max":3})"),
                        {.status = 200, .content_type = "application/json", .body = body}, calls);
  CHECK(outcomes_of(readings) == Outcomes{kIssued, kUnknown, kUnknown});
}

TEST_CASE("batch: the calls of an answer are those whose results would be read") {
  const Downstream downstream = with(R"(,"batch":{"issuances_max":3})");
  const auto calls_in = [&](int status, const std::string& body) {
    return ReplyReader{}.calls_in(
        downstream, {.status = status, .content_type = "application/json", .body = body});
  };
  const std::string two = result("b") + "," + result("a");
  using Ids = std::vector<std::string>;
  CHECK(calls_in(200, results(two)) == Ids{"b", "a"});
  CHECK(calls_in(200, results(two + "," + result("b") + R"(,{"http_status":200},7)")) ==
        Ids{"b", "a"});
  CHECK(calls_in(500, results(two)).empty());
  CHECK(calls_in(200, results(two) + "x").empty());
  CHECK(calls_in(200, R"({"results":{"a":1}})").empty());
}

TEST_CASE("batch: the answer to the whole turns all away, and issues or declines nothing") {
  struct Case {
    const char* name;
    int status;
    std::string body;
    Outcome want;
  };
  const Case cases[] = {
      {"too many calls", 429, "", Outcome::not_executed},
      {"wrong credentials", 401, "{}", Outcome::setup},
      {"too large", 413, "", Outcome::setup},
      {"a server's fault", 500, "{}", kUnknown},
      {"results under a server's fault", 500, results(result("a")), kUnknown},
      {"a redirect", 302, "", Outcome::unknown_setup},
      {"a refusal of nobody in particular", 422, R"({"code":"BLOCKED"})", kUnknown},
      {"a success of nobody in particular", 200, R"({"request_id":"a","reference":"R"})", kUnknown},
      {"an array that is none", 200, R"({"results":{"a":1}})", kUnknown},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CHECK(outcomes_of(read(with(kStatusInside), c.status, c.body)) ==
          Outcomes{c.want, c.want, c.want});
  }
  CHECK(outcomes_of(read(with(kStatusInside), 200, results(result("a")), "text/html")) ==
        Outcomes{kUnknown, kUnknown, kUnknown});
}

TEST_CASE("batch: the answer may be the array, and results may say how they are by a code") {
  const Downstream downstream = with(R"(,"batch":{"issuances_max":3,"results_pointer":""},
      "outcomes":[{"status":200,"pointer":"/code","value":0,"outcome":"issued"},
                  {"status":200,"pointer":"/code","value":7,"outcome":"declined"},
                  {"status":200,"outcome":"in_doubt"}])");
  const std::string body = R"([{"request_id":"a","code":0,"reference":"R-1"},
      {"request_id":"b","code":7},{"request_id":"c","code":9,"reference":"R-3"}])";
  CHECK(outcomes_of(read(downstream, 200, body)) == Outcomes{kIssued, Outcome::declined, kUnknown});
}
