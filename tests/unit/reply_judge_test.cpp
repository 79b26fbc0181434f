#include "daemon/service/reply_judge.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "tests/unit/intent_samples.hpp"

using namespace vouch;
using namespace vouch::test;
using namespace std::chrono_literals;
using service::Judgement;
using wire::HttpEnd;
using wire::Transport;

namespace {

const WallTime kNow = from_ms(1'893'456'000'000);  // Tue, 01 Jan 2030 00:00:00 GMT

// Two items at one downstream: a coupon of 500 EUR cents, and a gift without a value.
struct Sample {
  plan::Downstream downstream = sample_downstream();
  data::Intent intent = sample_intent(1);
  service::ReplyJudge judge_;

  Judgement judge(const HttpEnd& end) {
    intent.definition = std::make_shared<const plan::Downstream>(downstream);
    return judge_.judge({&intent, 1}, end, kNow).front();
  }
};

HttpEnd answer(int status, std::string body = {}, std::string content_type = "application/json") {
  HttpEnd end;
  end.status = status;
  end.sends = 1;
  end.body = std::move(body);
  end.content_type = std::move(content_type);
  return end;
}

HttpEnd no_answer(Transport transport, int sends) {
  HttpEnd end;
  end.transport = transport;
  end.sends = sends;
  end.detail = "the client's words";
  return end;
}

const std::string kId = sample_intent(1).request_id;

// A success; `amount` and what follows as JSON text.
std::string success(const std::string& id = kId, const std::string& amount = "500",
                    const std::string& currency = "EUR") {
  return R"({"request_id":")" + id + R"(","reference":"C-1","amount_minor":)" + amount +
         R"(,"currency":")" + currency + R"("})";
}

std::string nested(int depth) {
  std::string text = success();
  text.pop_back();
  text += R"(,"more":)" + std::string(static_cast<std::size_t>(depth), '[') +
          std::string(static_cast<std::size_t>(depth), ']') + "}";
  return text;
}

plan::OutcomeRule rule(int status_min, int status_max, std::string pointer,
                       std::optional<std::string> value, Outcome outcome) {
  return {.status_min = status_min,
          .status_max = status_max,
          .pointer = std::move(pointer),
          .value = std::move(value),
          .outcome = outcome};
}

}  // namespace

// The protocol's section 5, its first and seventh lines.
TEST_CASE("reply_judge: without an answer, only the count of sends proves anything") {
  struct Case {
    const char* name;
    Transport transport;
    int sends;
    Outcome want;
  };
  const Case cases[] = {
      {"DNS failure, refused", Transport::unreachable, 0, Outcome::not_executed},
      {"TLS failure", Transport::tls, 0, Outcome::not_executed},
      {"guard stop", Transport::refused, 0, Outcome::not_executed},
      {"connect timed out", Transport::timed_out, 0, Outcome::not_executed},
      {"closed before a byte left", Transport::broken, 0, Outcome::not_executed},
      {"certificate error", Transport::certificate, 0, Outcome::setup},
      {"timeout", Transport::timed_out, 1, Outcome::unknown},
      {"reset, partial body, too large", Transport::broken, 1, Outcome::unknown},
      {"sent, then could not connect", Transport::unreachable, 1, Outcome::unknown},
      {"sent, then a TLS failure", Transport::tls, 1, Outcome::unknown},
      {"sent, then a wrong certificate", Transport::certificate, 1, Outcome::unknown},
      {"sent, then stopped by the guard", Transport::refused, 1, Outcome::unknown},
      {"sent twice", Transport::broken, 2, Outcome::unknown},
      {"sent twice, and refused", Transport::refused, 2, Outcome::unknown},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    HttpEnd end = no_answer(c.transport, c.sends);
    for (const bool half_read : {false, true}) {
      // What was read of an answer that was not complete counts for nothing.
      if (half_read) end.status = 200;
      if (half_read) end.body = success();
      const Judgement judged = Sample{}.judge(end);
      CHECK(judged.outcome == c.want);
      CHECK(judged.ails);
      CHECK_FALSE(judged.answered);
      CHECK_FALSE(judged.reply_digest);
      CHECK(judged.reference.empty());
      CHECK(judged.detail == "the client's words");
    }
  }
}

TEST_CASE("reply_judge: what no outcome table knows is judged by its status") {
  struct Case {
    int status;
    Outcome want;
    bool ails;
  };
  const Case cases[] = {
      {429, Outcome::not_executed, false},  {503, Outcome::unknown, true},
      {401, Outcome::setup, false},         {403, Outcome::setup, false},
      {404, Outcome::setup, false},         {405, Outcome::setup, false},
      {413, Outcome::setup, false},         {415, Outcome::setup, false},
      {301, Outcome::unknown_setup, false}, {302, Outcome::unknown_setup, false},
      {304, Outcome::unknown_setup, false}, {308, Outcome::unknown_setup, false},
      {406, Outcome::unknown_setup, false}, {408, Outcome::unknown, true},
      {409, Outcome::unknown, true},        {425, Outcome::unknown, true},
      {500, Outcome::unknown, true},        {501, Outcome::unknown, true},
      {502, Outcome::unknown, true},        {504, Outcome::unknown, true},
      {599, Outcome::unknown, true},        {400, Outcome::unknown, true},
      {402, Outcome::unknown, true},        {410, Outcome::unknown, true},
      {422, Outcome::unknown, true},        {451, Outcome::unknown, true},
      {204, Outcome::unknown, true},        {206, Outcome::unknown, true},
      {100, Outcome::unknown, true},        {600, Outcome::unknown, true},
      {0, Outcome::unknown, true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.status);
    const HttpEnd end = answer(c.status, R"({"code":"sold_out","message":"none left"})");
    const Judgement judged = Sample{}.judge(end);
    CHECK(judged.outcome == c.want);
    CHECK(judged.ails == c.ails);
    CHECK(judged.answered);
    CHECK(judged.reply_digest == sha256_128(end.body));
    CHECK(judged.reference.empty());
  }
}

TEST_CASE("reply_judge: no status but a success is ever issued, whatever the body says") {
  for (int status = 100; status < 600; ++status) {
    CAPTURE(status);
    const Judgement judged = Sample{}.judge(answer(status, success()));
    CHECK((judged.outcome == Outcome::issued) == (status >= 200 && status <= 299));
    CHECK(judged.reference == (judged.outcome == Outcome::issued ? "C-1" : ""));
  }
}

TEST_CASE("reply_judge: 503 proves nothing unless the contract says that it sheds") {
  Sample sample;
  sample.downstream.sheds_before_executing = true;
  const Judgement judged = sample.judge(answer(503));
  CHECK(judged.outcome == Outcome::not_executed);
  CHECK(judged.ails);
  CHECK(sample.judge(answer(500)).outcome == Outcome::unknown);
}

TEST_CASE("reply_judge: a success is issued only with reference, id, amount and currency") {
  const std::string head = R"({"request_id":")" + kId + R"(","reference":)";
  const std::string tail = R"(,"amount_minor":500,"currency":"EUR"})";
  struct Case {
    const char* name;
    std::string body;
    const char* missing;  // a word of the detail; empty: issued
  };
  const Case cases[] = {
      {"all of it", success(), ""},
      {"with more around it", " \r\n" + nested(3) + "\n", ""},
      {"a number for a reference", head + "17" + tail, ""},
      {"no body", "", "JSON"},
      {"truncated", success().substr(0, success().size() - 1), "JSON"},
      {"truncated in a text", success().substr(0, 30), "JSON"},
      {"two documents", success() + success(), "JSON"},
      {"rubbish behind it", success() + "x", "JSON"},
      {"text that is no UTF-8", head + "\"\xff\"" + tail, "JSON"},
      {"a list", "[" + success() + "]", "reference"},
      {"an empty object", "{}", "reference"},
      {"no reference", R"({"request_id":")" + kId + R"(","amount_minor":500,"currency":"EUR"})",
       "reference"},
      {"an empty reference", head + "\"\"" + tail, "reference"},
      {"null for a reference", head + "null" + tail, "reference"},
      {"an object for a reference", head + R"({"id":"C-1"})" + tail, "reference"},
      {"a reference further down", R"({"data":)" + success() + "}", "reference"},
      {"no id", R"({"reference":"C-1","amount_minor":500,"currency":"EUR"})", "request id"},
      {"another id", success(sample_intent(2).request_id), "request id"},
      {"the id in other letters", success("x" + kId.substr(1)), "request id"},
      {"the id and a blank", success(kId + " "), "request id"},
      {"no amount", R"({"request_id":")" + kId + R"(","reference":"C-1","currency":"EUR"})",
       "amount"},
      {"another amount", success(kId, "501"), "amount"},
      {"ten times the amount", success(kId, "5000"), "amount"},
      {"the amount in major units", success(kId, "5.00"), "amount"},
      {"a fraction", success(kId, "500.0"), "amount"},
      {"an exponent", success(kId, "5e2"), "amount"},
      {"a negative amount", success(kId, "-500"), "amount"},
      {"null for an amount", success(kId, "null"), "amount"},
      {"more than 64 bits", success(kId, "18446744073709552116"), "amount"},
      {"no currency", R"({"request_id":")" + kId + R"(","reference":"C-1","amount_minor":500})",
       "currency"},
      {"another currency", success(kId, "500", "USD"), "currency"},
      {"the currency in small letters", success(kId, "500", "eur"), "currency"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Judgement judged = Sample{}.judge(answer(200, c.body));
    const std::string missing = c.missing;
    CHECK(judged.outcome == (missing.empty() ? Outcome::issued : Outcome::unknown));
    CHECK(judged.ails == !missing.empty());
    CHECK(judged.detail.empty() == missing.empty());
    CHECK(judged.detail.find(missing) != std::string::npos);
    CHECK(judged.reference.empty() == !missing.empty());
    CHECK(judged.reply_digest == sha256_128(c.body));
  }
}

TEST_CASE("reply_judge: a voucher without a value needs neither amount nor currency") {
  Sample sample;
  sample.intent = sample_intent(1, 1);
  const std::string id = sample.intent.request_id;
  const Judgement judged =
      sample.judge(answer(201, R"({"reference":"G-1","request_id":")" + id + R"("})"));
  CHECK(judged.outcome == Outcome::issued);
  CHECK(judged.reference == "G-1");
  CHECK(sample.judge(answer(201, R"({"reference":"G-1"})")).outcome == Outcome::unknown);
}

TEST_CASE("reply_judge: only what says that it is JSON is read") {
  struct Case {
    const char* content_type;
    bool want_issued;
  };
  const Case cases[] = {
      {"application/json", true},
      {"application/json; charset=utf-8", true},
      {"Application/JSON", true},
      {"application/problem+json", true},
      {"text/html", false},
      {"text/plain", false},
      {"", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.content_type);
    const Judgement judged = Sample{}.judge(answer(200, success(), c.content_type));
    CHECK((judged.outcome == Outcome::issued) == c.want_issued);
    CHECK((judged.outcome == Outcome::unknown) == !c.want_issued);
  }
  const Judgement page =
      Sample{}.judge(answer(200, "<html><body>Login</body></html>", "text/html; charset=utf-8"));
  CHECK(page.outcome == Outcome::unknown);
  CHECK(page.ails);
  CHECK(page.answered);
}

TEST_CASE("reply_judge: a key that stands twice is two readers' two meanings: unknown") {
  const std::string body = success();
  struct Case {
    const char* name;
    std::string more;
    bool want_issued;
  };
  const Case cases[] = {
      {"reference", R"(,"reference":"C-2"})", false},
      {"reference, the same", R"(,"reference":"C-1"})", false},
      {"request id", R"(,"request_id":"another"})", false},
      {"amount", R"(,"amount_minor":900})", false},
      {"currency", R"(,"currency":"USD"})", false},
      {"business code", R"(,"code":"a","code":"b"})", false},
      {"in other letters", R"(,"Reference":"C-2"})", true},
      {"written with an escape", R"(,"referenc\u0065":"C-2"})", false},
      {"of the same name elsewhere", R"(,"old":{"reference":"C-0","request_id":"x"}})", true},
      {"one that nobody asks for", R"(,"note":1,"note":2})", true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Judgement judged = Sample{}.judge(answer(200, body.substr(0, body.size() - 1) + c.more));
    CHECK((judged.outcome == Outcome::issued) == c.want_issued);
    CHECK((judged.outcome == Outcome::unknown) == !c.want_issued);
  }
}

TEST_CASE("reply_judge: nesting is read to its bound and no deeper") {
  CHECK(Sample{}.judge(answer(200, nested(31))).outcome == Outcome::issued);
  CHECK(Sample{}.judge(answer(200, nested(32))).outcome == Outcome::unknown);
  CHECK(Sample{}.judge(answer(200, nested(100'000))).outcome == Outcome::unknown);
  CHECK(Sample{}.judge(answer(200, std::string(1 << 20, '['))).outcome == Outcome::unknown);
}

TEST_CASE("reply_judge: pointers reach into objects and lists, as RFC 6901 writes them") {
  Sample sample;
  sample.downstream.reference_pointer = "/data/1/ref~1no~0x";
  sample.downstream.id_pointer = "/data/0/0";
  sample.downstream.amount_pointer = "/data/1/sum/minor";
  sample.downstream.currency_pointer = "/";
  const std::string body = R"({"data":[[")" + kId +
                           R"(",{}],{"a":[1,2],"sum":{"minor":500},"ref/no~x":"C-9"}],"":"EUR"})";
  const Judgement judged = sample.judge(answer(200, body));
  CHECK(judged.outcome == Outcome::issued);
  CHECK(judged.reference == "C-9");
}

TEST_CASE("reply_judge: the outcome table decides before the status, its first match counts") {
  Sample sample;
  sample.downstream.outcomes = {
      rule(409, 409, "/code", "already_issued", Outcome::issued),
      rule(400, 499, "/code", "sold_out", Outcome::declined),
      rule(400, 499, "/code", "locked", Outcome::not_executed),
      rule(400, 499, "/code", "unclear", Outcome::unknown),
      rule(400, 499, "/code", "contract_ended", Outcome::setup),
      rule(400, 499, "/code", "fraud", Outcome::hold),
      rule(422, 422, "/errors/0/field", std::nullopt, Outcome::declined),
      rule(400, 499, "/code", "sold_out", Outcome::hold),  // never reached
      rule(200, 200, "/status", "refused", Outcome::declined),
      rule(200, 200, "/accepted", "false", Outcome::declined),
      rule(200, 200, "/level", "7", Outcome::declined),
      rule(507, 507, "", std::nullopt, Outcome::not_executed),
      rule(404, 404, "", std::nullopt, Outcome::declined),
  };
  struct Case {
    const char* name;
    int status;
    std::string body;
    Outcome want;
    const char* detail;
  };
  const Case cases[] = {
      {"declined, with its code", 400, R"({"code":"sold_out"})", Outcome::declined, "sold_out"},
      {"at the range's end", 499, R"({"code":"sold_out"})", Outcome::declined, "sold_out"},
      {"outside the range", 500, R"({"code":"sold_out"})", Outcome::unknown, "sold_out"},
      {"another code", 400, R"({"code":"sold"})", Outcome::unknown, "sold"},
      {"retry", 423, R"({"code":"locked"})", Outcome::not_executed, "locked"},
      {"in doubt", 401, R"({"code":"unclear"})", Outcome::unknown, "unclear"},
      {"setup", 400, R"({"code":"contract_ended"})", Outcome::setup, "contract_ended"},
      {"hold", 403, R"({"code":"fraud"})", Outcome::hold, "fraud"},
      {"the pointer exists", 422, R"({"errors":[{"field":null}]})", Outcome::declined, "HTTP 422"},
      {"the pointer does not", 422, R"({"errors":[]})", Outcome::unknown, "HTTP 422"},
      {"by the status alone", 507, "", Outcome::not_executed, "HTTP 507"},
      {"the status alone, after all others", 404, R"({"code":"fraud"})", Outcome::hold, "fraud"},
      {"over the protocol's own rule", 404, "<html>", Outcome::declined, "HTTP 404"},
      {"a refusal with 200", 200, R"({"status":"refused"})", Outcome::declined, "HTTP 200"},
      {"a boolean", 200, R"({"accepted":false})", Outcome::declined, "HTTP 200"},
      {"a number", 200, R"({"level":7})", Outcome::declined, "HTTP 200"},
      {"a refusal in a broken reply", 400, R"({"code":"sold_out")", Outcome::unknown, "HTTP 400"},
      {"a refusal said twice", 400, R"({"code":"sold_out","code":"fraud"})", Outcome::unknown,
       "HTTP 400"},
      {"issued, without evidence", 409, R"({"code":"already_issued"})", Outcome::unknown,
       "the reply has no /reference"},
      {"a success that no row knows", 200, success(), Outcome::issued, ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Judgement judged = sample.judge(answer(c.status, c.body));
    CHECK(judged.outcome == c.want);
    CHECK(judged.detail == c.detail);
    CHECK(judged.ails == (c.want == Outcome::unknown));
  }
  // With its evidence, a conflict is proof of the one effect.
  std::string conflict = success();
  conflict.insert(1, R"("code":"already_issued",)");
  const Judgement judged = sample.judge(answer(409, conflict));
  CHECK(judged.outcome == Outcome::issued);
  CHECK(judged.reference == "C-1");
}

TEST_CASE("reply_judge: a table's word counts only where the reply says that it is JSON") {
  Sample sample;
  sample.downstream.outcomes = {rule(400, 499, "/code", "sold_out", Outcome::declined)};
  const Judgement judged = sample.judge(answer(400, R"({"code":"sold_out"})", "text/html"));
  CHECK(judged.outcome == Outcome::unknown);
}

TEST_CASE("reply_judge: the code comes from its pointer and is cut to two hundred letters") {
  Sample sample;
  sample.downstream.code_pointer = "/error/type";
  CHECK(sample.judge(answer(400, R"({"error":{"type":"limit"}})")).detail == "limit");
  const auto detail_of = [&](std::size_t letters) {
    return sample.judge(answer(400, R"({"error":{"type":")" + std::string(letters, 'x') + R"("}})"))
        .detail.size();
  };
  CHECK(detail_of(200) == 200);
  CHECK(detail_of(201) == 200);
  CHECK(detail_of(500'000) == 200);
}

TEST_CASE("reply_judge: Retry-After is seconds or a date, at most an hour") {
  struct Case {
    const char* value;
    std::optional<Millis> want;
  };
  const Case cases[] = {
      {"120", 120s},
      {"0", 0s},
      {"3600", 1h},
      {"3601", 1h},
      {"86401", 1h},
      {"9223372036854775807", 1h},
      {"9223372036854775808", 1h},
      {"99999999999999999999999999", 1h},
      {"0000000000000000000000000120", 120s},
      {"Tue, 01 Jan 2030 00:02:00 GMT", 120s},
      {"Tue, 01 Jan 2030 00:00:01 GMT", 1s},
      {"Tue, 01 Jan 2030 23:00:00 GMT", 1h},
      {"Fri, 31 Dec 2100 23:59:59 GMT", 1h},
      {"Tue, 01 Jan 2030 00:00:00 GMT", std::nullopt},  // now
      {"Mon, 31 Dec 2029 23:59:59 GMT", std::nullopt},  // in the past
      {"", std::nullopt},
      {"-1", std::nullopt},
      {"1.5", std::nullopt},
      {"120s", std::nullopt},
      {"soon", std::nullopt},
      {"Tue, 01 Jan 2030 00:02:00 CET", std::nullopt},
      {"Tue, 01 Jan 2030 00:02:00 GMT and more", std::nullopt},
      {"2030-01-01T00:02:00Z", std::nullopt},
  };
  for (const Case& c : cases) {
    CAPTURE(c.value);
    CHECK(service::parse_retry_after(c.value, kNow) == c.want);
    HttpEnd end = answer(429);
    end.retry_after = c.value;
    const Judgement judged = Sample{}.judge(end);
    CHECK(judged.outcome == Outcome::not_executed);
    CHECK(judged.retry_after == c.want);
  }
}

// What an answer to the question "what became of this call?" says.
TEST_CASE("reply_judge: the answer to a query tells of the call, or tells nothing") {
  const std::string missing = R"({"code":"NOT_FOUND"})";
  const std::string other = "somebody-elses";
  struct Case {
    const char* name;
    int status;
    std::string body;
    Outcome want;
    bool known, ails;
    const char* content_type = "application/json";
  };
  const Case cases[] = {
      {"the evidence", 200, success(), Outcome::issued, false, false},
      {"evidence of another call", 200, success(other), Outcome::unknown, false, false},
      {"another amount: people must look", 200, success(kId, "501"), Outcome::hold, false, false},
      {"another currency", 200, success(kId, "500", "XTS"), Outcome::hold, false, false},
      {"pending", 200, R"({"request_id":")" + kId + R"("})", Outcome::unknown, true, false},
      {"pending, without an id", 202, R"({"status":"PENDING"})", Outcome::unknown, true, false},
      {"pending, of another call", 200, R"({"request_id":"x"})", Outcome::unknown, false, false},
      {"a page of HTML", 200, "<html>", Outcome::unknown, false, false, "text/html"},
      {"half an answer", 200, R"({"request_id")", Outcome::unknown, false, false},
      {"not found, as agreed", 404, missing, Outcome::not_found, false, false},
      {"not found, of another call", 404, R"({"code":"NOT_FOUND","request_id":"x"})",
       Outcome::unknown, false, false},
      {"no such page", 404, "<html>", Outcome::unknown, false, false, "text/html"},
      {"no such code", 404, R"({"code":"NO_ROUTE"})", Outcome::unknown, false, false},
      {"too many", 429, "{}", Outcome::unknown, false, false},
      {"wrong credentials", 401, "{}", Outcome::unknown, false, false},
      {"a redirect", 302, "", Outcome::unknown, false, false},
      {"5xx", 503, missing, Outcome::unknown, false, true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Sample sample;
    sample.downstream = *sample_downstream_of(plan::Contract::query);
    sample.downstream.sheds_before_executing = true;  // of calls alone
    sample.intent.asks = true;
    const Judgement judged = sample.judge(answer(c.status, c.body, c.content_type));
    CHECK(judged.outcome == c.want);
    CHECK(judged.known == c.known);
    CHECK(judged.ails == c.ails);
    CHECK(judged.reference == (c.want == Outcome::issued ? "C-1" : ""));
  }
}

TEST_CASE("reply_judge: queries have an outcome table of their own") {
  Sample sample;
  sample.downstream = *sample_downstream_of(plan::Contract::query);
  sample.downstream.outcomes = {rule(404, 404, "/code", "NOT_FOUND", Outcome::declined)};
  const HttpEnd end = answer(404, R"({"code":"NOT_FOUND"})");
  CHECK(sample.judge(end).outcome == Outcome::declined);
  sample.intent.asks = true;
  CHECK(sample.judge(end).outcome == Outcome::not_found);
}

TEST_CASE("reply_judge: of several issuances in a call each is judged by its own result") {
  plan::Downstream downstream = sample_downstream();
  downstream.batch.emplace().issuances_max = 3;
  downstream.batch->status_pointer = "/status";
  std::vector<data::Intent> intents;
  for (int i = 1; i <= 3; ++i) {
    intents.push_back(sample_intent(i));
    intents.back().definition = std::make_shared<const plan::Downstream>(downstream);
  }
  const std::string issued = success(intents[0].request_id).insert(1, R"("status":200,)");
  const std::string failed = R"({"status":500,"request_id":")" + intents[1].request_id + R"("})";
  const HttpEnd end = answer(200, R"({"results":[)" + issued + "," + failed + "]}");
  service::ReplyJudge judge;
  const auto judged = judge.judge(intents, end, kNow);
  REQUIRE(judged.size() == 3);
  CHECK(judged[0].outcome == Outcome::issued);
  CHECK(judged[0].status == 200);
  CHECK(judged[1].outcome == Outcome::unknown);
  CHECK(judged[1].status == 500);
  CHECK(judged[1].ails);
  CHECK(judged[2].outcome == Outcome::unknown);
  CHECK(judged[2].status == 200);
  // The evidence of a row is the digest of its result; without one that of the whole answer.
  CHECK(judged[0].reply_digest != judged[1].reply_digest);
  CHECK(judged[2].reply_digest == sha256_128(end.body));
  for (const Judgement& one : judge.judge(intents, no_answer(Transport::timed_out, 1), kNow)) {
    CHECK(one.outcome == Outcome::unknown);
    CHECK_FALSE(one.answered);
  }
  for (const Judgement& one : judge.judge(intents, no_answer(Transport::unreachable, 0), kNow)) {
    CHECK(one.outcome == Outcome::not_executed);
  }
}
