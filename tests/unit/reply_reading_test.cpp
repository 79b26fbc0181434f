// What daemon/service/reply_judge.hpp makes of answers is tested in reply_judge_test.cpp; here is
// what it does not hand on, the rule that decided, and the tables in examples/outcomes.
#include "common/plan/reply_reading.hpp"

#include <doctest/doctest.h>

#include <set>

#include "common/files.hpp"
#include "common/json.hpp"

using namespace vouch;
using namespace vouch::plan;

namespace {

Downstream envelope() {
  return parse_downstream(R"({
    "name": "gifts", "kind": "other", "url": "https://a.example/g", "contract": "key",
    "reference_pointer": "/data/no", "id_pointer": "/data/id", "amount_pointer": "/data/sum",
    "amount_unit": "major", "currency_pointer": "/data/currency",
    "outcomes": [{"status": 200, "pointer": "/code", "value": 0, "outcome": "issued"},
                 {"status": 200, "pointer": "/code", "outcome": "declined"}]})")
      .value();
}

std::string body(const std::string& code, const std::string& sum,
                 const std::string& currency = "EUR") {
  return R"({"code":)" + code + R"(,"data":{"no":"G-1","id":"id-1","currency":")" + currency +
         R"(","sum":)" + sum + "}}";
}

ReplyReading read(const Downstream& downstream, int status, const std::string& text,
                  std::optional<std::int64_t> amount_minor = {},
                  const std::string& currency = "EUR") {
  ReplyReader reader;
  return reader.read(downstream,
                     {.status = status, .content_type = "application/json", .body = text},
                     {.request_id = "id-1", .amount_minor = amount_minor, .currency = currency});
}

}  // namespace

TEST_CASE("reply_reading: the rule that decided is told") {
  struct Case {
    const char* name;
    int status;
    std::string body;
    Outcome outcome;
    ReplyRule rule;
    std::optional<std::size_t> row;
  };
  const Case cases[] = {
      {"a row of the table", 200, R"({"code":7})", Outcome::declined, ReplyRule::table, 1},
      {"a success of the table", 200, body("0", "1"), Outcome::issued, ReplyRule::table, 0},
      {"a success without evidence", 200, R"({"code":0})", Outcome::unknown, ReplyRule::evidence,
       0},
      {"a success without a row", 201, body("0", "1"), Outcome::issued, ReplyRule::status, {}},
      {"no row", 429, "", Outcome::not_executed, ReplyRule::status, {}},
      {"a refusal of another", 200, R"({"code":7,"data":{"id":"id-2"}})", Outcome::unknown,
       ReplyRule::another_id, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const ReplyReading reading = read(envelope(), c.status, c.body);
    CHECK(reading.outcome == c.outcome);
    CHECK(reading.rule == c.rule);
    CHECK(reading.row == c.row);
  }
}

TEST_CASE("reply_reading: an amount in the major unit is the same however many digits it has") {
  struct Case {
    std::string sum;
    std::int64_t minor;
    std::string currency;
    bool want;
  };
  const Case cases[] = {
      {"12.50", 1250, "EUR", true},     {"12.5", 1250, "EUR", true},
      {"\"12.50\"", 1250, "EUR", true}, {"12", 1200, "EUR", true},
      {"12.0", 1200, "EUR", true},      {"0.01", 1, "EUR", true},
      {"1250", 1250, "EUR", false},     {"12.51", 1250, "EUR", false},
      {"12.505", 1250, "EUR", false},   {"1.25e1", 1250, "EUR", false},
      {"-12.50", 1250, "EUR", false},   {"null", 1250, "EUR", false},
      {"\"\"", 1250, "EUR", false},     {"12.50", 1250, "ZZZ", false},
      {"1250", 1250, "JPY", true},      {"12.50", 1250, "JPY", false},
      {"1.250", 1250, "KWD", true},     {"12.50", 1250, "KWD", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.sum);
    const ReplyReading reading =
        read(envelope(), 200, body("0", c.sum, c.currency), c.minor, c.currency);
    CHECK((reading.outcome == Outcome::issued) == c.want);
    CHECK((reading.rule == ReplyRule::evidence) == !c.want);
  }
}

TEST_CASE("reply_reading: a reference is a string or a number that people can copy") {
  struct Case {
    const char* reference;  // as JSON
    Outcome want;
  };
  const Case cases[] = {{R"("G-1")", Outcome::issued},   {"17", Outcome::issued},
                        {R"("null")", Outcome::issued},  {R"("券-1")", Outcome::issued},
                        {"null", Outcome::unknown},      {"true", Outcome::unknown},
                        {"{}", Outcome::unknown},        {"[]", Outcome::unknown},
                        {R"("")", Outcome::unknown},     {R"(" \t")", Outcome::unknown},
                        {R"("G\n1")", Outcome::unknown}, {R"("G\u00001")", Outcome::unknown}};
  for (const Case& c : cases) {
    CAPTURE(c.reference);
    const std::string text =
        R"({"code":0,"data":{"id":"id-1","no":)" + std::string{c.reference} + "}}";
    CHECK(read(envelope(), 200, text).outcome == c.want);
  }
}

TEST_CASE("reply_reading: words from outside are cut between characters, without control ones") {
  Downstream downstream = envelope();
  downstream.code_pointer = "/why";
  std::string why;
  for (int i = 0; i < 67; ++i) why += "券";  // 201 bytes
  CHECK(read(downstream, 500, R"({"why":")" + why + R"("})").detail == why.substr(0, 198));
  CHECK(read(downstream, 500, R"({"why":"a\u001b[2Jb\n"})").detail == "a[2Jb");
}

TEST_CASE("reply_reading: a reader that is used again remembers nothing") {
  const Downstream downstream = envelope();
  ReplyReader reader;
  const CallFacts call{.request_id = "id-1", .amount_minor = {}, .currency = {}};
  const auto outcome_of = [&](const std::string& text, std::string_view type) {
    return reader.read(downstream, {.status = 200, .content_type = type, .body = text}, call)
        .outcome;
  };
  CHECK(outcome_of(body("0", "1"), "application/json") == Outcome::issued);
  CHECK(outcome_of(R"({"code":0})", "application/json") == Outcome::unknown);
  CHECK(outcome_of(R"({"code":0,"data":{"no":"G-1")", "application/json") == Outcome::unknown);
  CHECK(outcome_of(body("0", "1"), "text/html") == Outcome::unknown);
  CHECK(reader.value("/code") == nullptr);
  CHECK(outcome_of(R"([[[{"a":[1)", "application/json") == Outcome::unknown);
  CHECK(outcome_of(body("7", "1"), "application/json") == Outcome::declined);
  CHECK(*reader.value("/code") == "7");
  CHECK(outcome_of(body("0", "1"), "application/json") == Outcome::issued);
}

// Goal: a ready-made table does what its comments say.  Method: each sample answer has the outcome
// and the rule that decides; every rule of a table has a sample.
TEST_CASE("examples/outcomes: every table classes its sample answers") {
  const Json tables =
      parse_json(read_file(VOUCH_SAMPLES "/outcome_tables.json", 1 << 20).value()).value();
  REQUIRE(tables.size() == 4);
  for (const Json& table : tables) {
    const auto name = table["table"].get<std::string>();
    CAPTURE(name);
    Json definition = table["definition"];
    definition.update(Json{
        {"name", "x"}, {"kind", "coupon"}, {"url", "https://a.example/x"}, {"contract", "key"}});
    Downstream downstream = parse_downstream(definition.dump()).value();
    auto rules =
        parse_outcomes(read_file(VOUCH_EXAMPLES "/outcomes/" + name + ".json", 1 << 20).value());
    REQUIRE_MESSAGE(rules, (rules ? "" : rules.error().message));
    downstream.outcomes = *rules;
    std::set<std::size_t> used;
    for (const Json& answer : table["answers"]) {
      const Json& sent = answer["body"];
      CAPTURE(answer.dump());
      const ReplyReading reading = read(downstream, answer["status"].get<int>(),
                                        sent.is_string() ? sent.get<std::string>() : sent.dump());
      CHECK(word_of(reading.outcome) == answer["outcome"].get<std::string>());
      CHECK(reading.row.has_value() == !answer["rule"].is_null());
      if (!reading.row) continue;
      CHECK(static_cast<std::int64_t>(*reading.row) + 1 == answer["rule"].get<std::int64_t>());
      used.insert(*reading.row);
    }
    CHECK(used.size() == downstream.outcomes.size());
  }
}
