// Every fault of the sandbox as a caller's socket sees it, and what the journal says of it.
#include <algorithm>
#include <cmath>

#include "tests/unit/sandbox_world.hpp"

using namespace vouch;
using namespace vouch::sandbox;
using vouch::test::RawClient;
using End = vouch::test::RawClient::End;
using World = vouch::test::SandboxWorld;

namespace {

std::string coupon_faults(const std::string& faults) {
  return R"({"coupons":{"faults":[)" + faults + "]}}";
}

Result<ServiceBehaviour> from_options(std::initializer_list<BehaviourOption> options) {
  const std::vector<BehaviourOption> all{options};
  VOUCH_TRY(const std::string document, document_from_options(all, "{}"));
  VOUCH_TRY(auto behaviours, decode_behaviours(document));
  return std::move(behaviours[0]);
}

}  // namespace

TEST_CASE("sandbox: faults that answer whole, with and without an execution") {
  struct Case {
    const char* fault;
    int status;
    std::size_t executions;
    const char* text;  // must stand in the answer
  };
  const Case cases[] = {
      {R"({"kind":"throttled","retry_after":"7"})", 429, 0, "Retry-After: 7\r\n"},
      {R"({"kind":"error"})", 500, 0, "trace "},
      {R"({"kind":"error","executes":true,"status":503,"retry_after":"Wed, 21 Oct 2026"})", 503, 1,
       "Retry-After: Wed, 21 Oct 2026\r\n"},
      {R"({"kind":"error","status":409})", 409, 0, "REFUSED"},
      {R"({"kind":"malformed"})", 200, 1, "<html>"},
      {R"({"kind":"wrong_type"})", 200, 1, "[{\"reference\""},
      {R"({"kind":"wrong_amount"})", 200, 1, "\"amount_minor\":501"},
      {R"({"kind":"wrong_amount","executes":false})", 200, 0, "none-000000"},
      {R"({"kind":"wrong_currency"})", 200, 1, "\"currency\":\"EUR\""},
      {R"({"kind":"unauthorized"})", 401, 0, "UNAUTHORIZED"},
      {R"({"kind":"forbidden"})", 403, 0, "FORBIDDEN"},
      {R"({"kind":"redirect"})", 307, 0, "Location: /coupons/moved\r\n"},
      {R"({"kind":"redirect","status":302})", 302, 0, "302 Found"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.fault);
    World world;
    world.faults(coupon_faults(c.fault));
    RawClient client = world.client();
    const std::string answer = world.ask(client, World::call("r-1"));
    CHECK(World::status(answer) == c.status);
    CHECK(answer.find(c.text) != std::string::npos);
    CHECK(world.journal().size() == c.executions);
    // The connection is as good as before, and the other services are not concerned.
    CHECK(World::status(world.ask(client, World::call("r-2", "u-2", "/others"))) == 200);
    world.faults("{}");
    CHECK(World::status(world.ask(client, World::call("r-1"))) == 200);
    CHECK(world.journal().size() == 1);
  }
}

TEST_CASE("sandbox: half the JSON arrives in a whole answer") {
  World world;
  world.faults(coupon_faults(R"({"kind":"truncated"})"));
  const std::string answer = world.ask(World::call("r-1"));
  CHECK(World::is_whole(answer));
  CHECK(World::body(answer).starts_with("{\"reference\""));
  CHECK_FALSE(parse_json(World::body(answer)));
}

TEST_CASE("sandbox: another call's answer") {
  World world;
  world.faults(coupon_faults(R"({"kind":"swapped"})"));
  CHECK(World::json(world.ask(World::call("r-1")))["request_id"] == "r-x");
  CHECK(World::json(world.ask(World::call("r-2")))["request_id"] == "r-1");
  CHECK(world.journal().size() == 2);
}

TEST_CASE("sandbox: an error may stay with its key, or vary, or be the same") {
  World world;
  world.faults(coupon_faults(R"({"kind":"error","count":1,"sticky":true,"executes":true})"));
  const std::string first = world.ask(World::call("r-1"));
  CHECK(World::status(first) == 500);
  CHECK(World::body(world.ask(World::call("r-1"))) == World::body(first));
  world.restart();
  const std::string later = world.ask(World::call("r-1"));
  CHECK(World::status(later) == 500);
  CHECK(World::body(later) == World::body(first));
  CHECK(world.journal().size() == 1);
  CHECK(World::status(world.ask(World::get("/coupons/r-1"))) == 200);

  world.faults(coupon_faults(R"({"kind":"error"})"));
  CHECK(World::body(world.ask(World::call("r-2"))) != World::body(world.ask(World::call("r-2"))));
  world.faults(coupon_faults(R"({"kind":"error","fixed_body":true})"));
  CHECK(World::body(world.ask(World::call("r-2"))) == World::body(world.ask(World::call("r-2"))));
}

TEST_CASE("sandbox: a lost answer was an execution, and its repeat gets it") {
  World world;
  world.faults(coupon_faults(R"({"kind":"lost","count":1})"));
  RawClient lost = world.client();
  lost.send(World::call("r-1"));
  REQUIRE(world.until([&] { return world.journal().size() == 1; }));
  world.clock.advance(std::chrono::hours{1});
  world.settle();
  lost.read_available();
  CHECK(lost.received.empty());
  CHECK(lost.end == End::none);
  CHECK(World::status(world.ask(World::call("r-1"))) == 200);
  CHECK(world.journal().size() == 1);
  lost.close();
  CHECK(world.until(
      [&] { return World::json(world.ask(World::get("/stats")))["connections"]["open"] == 1; }));
}

TEST_CASE("sandbox: executes and ends a connection that was used before") {
  for (const bool reset : {false, true}) {
    CAPTURE(reset);
    World world;
    world.faults(
        coupon_faults(reset ? R"({"kind":"reset","count":1})" : R"({"kind":"closed","count":1})"));
    RawClient client = world.client();
    CHECK(World::status(world.ask(client, World::call("r-1"))) == 200);
    client.received.clear();
    client.send(World::call("r-2"));
    REQUIRE(world.ended(client));
    CHECK(client.end == (reset ? End::reset : End::fin));
    CHECK(client.received.empty());
    CHECK(world.journal().size() == 2);
    CHECK(World::status(world.ask(World::call("r-2"))) == 200);
    CHECK(world.journal().size() == 2);
  }
}

TEST_CASE("sandbox: ends the connection and nobody can connect for a while") {
  World world;
  world.faults(coupon_faults(R"({"kind":"closed","count":1,"listener_closed_ms":3000})"));
  RawClient other = world.client();
  CHECK(World::status(world.ask(other, World::get("/healthz"))) == 200);
  RawClient client = world.client();
  world.ask(client, World::call("r-1"));
  client.send(World::call("r-2"));
  REQUIRE(world.ended(client));
  CHECK(world.client().end == End::refused);
  CHECK(World::status(world.ask(other, World::call("r-3"))) == 200);
  world.clock.advance(Millis{2999});
  world.settle();
  CHECK(world.client().end == End::refused);
  world.clock.advance(Millis{1});
  world.settle();
  CHECK(World::status(world.ask(World::call("r-2"))) == 200);
  CHECK(world.journal().size() == 3);
}

TEST_CASE("sandbox: refuses connections for a time on demand, its control port never") {
  SandboxConfig config;
  config.control_port = 0;
  World world{config};
  RawClient control{world.box->control_port().value()};
  CHECK(World::status(world.ask(control, World::post("/refuse?for=90s", ""))) == 200);
  CHECK(world.client().end == End::refused);
  CHECK(RawClient{world.box->control_port().value()}.end == End::none);
  world.clock.advance(std::chrono::seconds{90});
  world.settle();
  CHECK(World::status(world.ask(World::call("r-1"))) == 200);
  CHECK(World::status(world.ask(control, World::post("/refuse?for=x", ""))) == 400);
}

TEST_CASE("sandbox: an answer cut after some bytes") {
  World world;
  world.faults(coupon_faults(R"({"kind":"cut","bytes":12,"count":1},)"
                             R"({"kind":"cut","bytes":0,"end":"fin","count":1})"));
  RawClient cut = world.client();
  cut.send(World::call("r-1"));
  REQUIRE(world.ended(cut));
  CHECK(cut.received == "HTTP/1.1 200");
  CHECK(cut.end == End::reset);
  RawClient empty = world.client();
  empty.send(World::call("r-2"));
  REQUIRE(world.ended(empty));
  CHECK(empty.received.empty());
  CHECK(empty.end == End::fin);
  CHECK(world.journal().size() == 2);
}

TEST_CASE("sandbox: an answer byte by byte") {
  World world;
  world.faults(coupon_faults(R"({"kind":"slow","byte_gap_ms":100,"count":1})"));
  RawClient client = world.client();
  client.send(World::call("r-1"));
  REQUIRE(world.until([&] {
    client.read_available();
    return client.received == "H";
  }));
  world.settle();
  client.read_available();
  CHECK(client.received == "H");
  for (int i = 0; i < 3; ++i) {
    world.clock.advance(Millis{100});
    world.settle();
  }
  client.read_available();
  CHECK(client.received == "HTTP");
  REQUIRE(world.until([&] {
    world.clock.advance(Millis{100});
    client.read_available();
    return World::is_whole(client.received);
  }));
  CHECK(World::status(world.ask(client, World::call("r-2"))) == 200);
}

TEST_CASE("sandbox: latency delays the answer and not the execution") {
  World world;
  world.faults(R"({"coupons":{"latency":{"kind":"fixed","ms":250}}})");
  RawClient client = world.client();
  client.send(World::call("r-1"));
  REQUIRE(world.until([&] { return world.journal().size() == 1; }));
  world.clock.advance(Millis{249});
  world.settle();
  client.read_available();
  CHECK(client.received.empty());
  world.clock.advance(Millis{1});
  CHECK(world.answered(client));

  SeededRandom random{7};
  std::vector<double> drawn;
  const LatencyModel model{LatencyModel::Kind::lognormal, 20, 200};
  for (int i = 0; i < 20'000; ++i) {
    drawn.push_back(std::chrono::duration<double, std::milli>{model.draw(random)}.count());
  }
  std::sort(drawn.begin(), drawn.end());
  CHECK(drawn[10'000] == doctest::Approx(20).epsilon(0.05));
  CHECK(drawn[19'800] == doctest::Approx(200).epsilon(0.15));
  const LatencyModel uniform{LatencyModel::Kind::uniform, 5, 10};
  for (int i = 0; i < 1000; ++i) {
    const Nanos latency = uniform.draw(random);
    CHECK((latency >= Millis{5} && latency < Millis{10}));
  }
}

TEST_CASE("sandbox: calls beyond the capacity are turned away unexecuted") {
  World world;
  world.faults(R"({"coupons":{"capacity":{"calls_per_second":10,"burst":3,"status":503,)"
               R"("retry_after":"2"}}})");
  RawClient client = world.client();
  for (int i = 0; i < 3; ++i) {
    CHECK(World::status(world.ask(client, World::call("a" + std::to_string(i)))) == 200);
  }
  const std::string over = world.ask(client, World::call("b"));
  CHECK(World::status(over) == 503);
  CHECK(over.find("Retry-After: 2\r\n") != std::string::npos);
  world.clock.advance(Millis{100});
  CHECK(World::status(world.ask(client, World::call("b"))) == 200);
  CHECK(World::status(world.ask(client, World::call("c"))) == 503);
  CHECK(world.journal().size() == 4);
  CHECK(world.stats()["beyond_capacity"] == 2);
}

TEST_CASE("sandbox: a paused service takes calls and executes them when it goes on") {
  World world;
  CHECK(World::status(world.ask(World::post("/pause?service=coupons", ""))) == 200);
  RawClient patient = world.client();
  RawClient gone = world.client();
  patient.send(World::call("r-1"));
  gone.send(World::call("r-2"));
  REQUIRE(world.until([&] { return world.stats()["held"] == 2; }));
  gone.close();
  CHECK(World::status(world.ask(World::call("r-3", "u-3", "/others"))) == 200);
  CHECK(world.journal().empty());
  CHECK(World::status(world.ask(World::post("/resume", ""))) == 200);
  CHECK(world.answered(patient));
  CHECK(world.journal().size() == 2);
  CHECK(World::status(world.ask(World::post("/pause?service=nobody", ""))) == 404);
}

TEST_CASE("sandbox: a fault may spare the first calls, strike a few, and strike queries") {
  World world;
  world.faults(coupon_faults(R"({"kind":"unauthorized","after":2},)"
                             R"({"kind":"error","applies_to":"queries","count":1})"));
  CHECK(World::status(world.ask(World::call("r-1"))) == 200);
  CHECK(World::status(world.ask(World::call("r-2"))) == 200);
  CHECK(World::status(world.ask(World::call("r-3"))) == 401);
  CHECK(World::status(world.ask(World::call("r-4"))) == 401);
  CHECK(World::status(world.ask(World::get("/coupons/r-1"))) == 500);
  CHECK(World::status(world.ask(World::get("/coupons/r-1"))) == 200);
  const Json told = World::json(world.ask(World::get("/faults")));
  CHECK(told["coupons"]["faults"][0]["fired"] == 2);
  CHECK(told["coupons"]["faults"][1]["seen"] == 2);
  CHECK(World::status(world.ask(World::put("/faults", told.dump()))) == 200);
  CHECK(World::status(world.ask(World::message("DELETE", "/faults", "", ""))) == 200);
  CHECK(World::status(world.ask(World::call("r-4"))) == 200);
}

TEST_CASE("sandbox: the same seed strikes the same calls") {
  const auto strikes = [](std::uint64_t seed) {
    SandboxConfig config;
    config.seed = seed;
    config.behaviours = coupon_faults(R"({"kind":"error","probability":0.3})");
    World world{config};
    RawClient client = world.client();
    std::string statuses;
    for (int i = 0; i < 200; ++i) {
      const int status = World::status(world.ask(client, World::call(std::to_string(i))));
      statuses += status == 500 ? 'x' : '.';
    }
    return statuses;
  };
  const std::string first = strikes(7);
  CHECK(first == strikes(7));
  CHECK(first != strikes(8));
  const auto struck = std::count(first.begin(), first.end(), 'x');
  CHECK((struck > 35 && struck < 85));
}

TEST_CASE("sandbox: the same recipients are refused in every run") {
  const RefusalRule rule{.probability = 0.1};
  const RefusalRule other{.probability = 0.1, .refusal = {422, "NO_ACCOUNT", ""}};
  int hit = 0;
  int both = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string recipient = "u-" + std::to_string(i);
    hit += rule.hits(recipient) ? 1 : 0;
    both += rule.hits(recipient) && other.hits(recipient) ? 1 : 0;
  }
  CHECK((hit > 900 && hit < 1100));
  CHECK(both < 150);
  CHECK(rule.hits("u-12") == RefusalRule{.probability = 0.1}.hits("u-12"));
}

TEST_CASE("sandbox: a document with a mistake changes nothing and names the place") {
  World world;
  world.faults(coupon_faults(R"({"kind":"error"})"));
  struct Case {
    const char* document;
    const char* says;
  };
  const Case cases[] = {
      {"{", "parse error"},
      {R"({"cupons":{}})", "did you mean \\\"coupons\\\""},
      {R"({"coupons":{"faults":[{"kind":"lots"}]}})", "did you mean \\\"lost\\\""},
      {R"({"coupons":{"faults":[{}]}})", "/coupons/faults/0/kind: is missing"},
      {R"({"coupons":{"faults":[{"kind":"lost","probability":1.5}]}})",
       "/coupons/faults/0/probability: must be from 0.0 to 1.0"},
      {R"({"coupons":{"faults":[{"kind":"lost","bytes":3}]}})", "/coupons/faults/0/bytes: unknown"},
      {R"({"coupons":{"faults":[{"kind":"throttled","retry_after":"1\r\nX: y"}]}})", "control"},
      {R"({"coupons":{"latency":{"kind":"uniform","min_ms":9,"max_ms":5}}})", "max_ms"},
      {R"({"coupons":{"latency":{"kind":"lognormal","median_ms":0,"p99_ms":5}}})", "median_ms"},
      {R"({"coupons":{"capacity":{}}})", "calls_per_second: is missing"},
      {R"({"coupons":{"faults":{}}})", "must be a list"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.document);
    const std::string answer = world.ask(World::put("/faults", c.document));
    CHECK(World::status(answer) == 400);
    CAPTURE(answer);
    CHECK(answer.find(c.says) != std::string::npos);
  }
  CHECK(World::status(world.ask(World::call("r-1"))) == 500);
  CHECK(World::status(world.ask(World::put("/faults/nobody", "{}"))) == 404);
  CHECK(World::status(world.ask(World::put("/faults/coupons", "{}"))) == 200);
  CHECK(World::status(world.ask(World::call("r-1"))) == 200);
}

TEST_CASE("sandbox: the command line says the same as the document") {
  const auto behaviour = from_options({{"fault", "coupons:lost=0.1%,count=3"},
                                       {"fault", "balances:error"},
                                       {"fault", "closed=0.5,listener_closed=2s,reused_only=no"},
                                       {"latency", "median=20ms,p99=200ms"},
                                       {"capacity", "500/s,status=503"},
                                       {"refusals", "1%,code=NO_ACCOUNT"},
                                       {"refusals", "recipient=u-1,recipient=u-2"}});
  REQUIRE(behaviour);
  REQUIRE(behaviour->faults.size() == 2);
  CHECK(behaviour->faults[0].kind == FaultKind::lost);
  CHECK(behaviour->faults[0].probability == doctest::Approx(0.001));
  CHECK(behaviour->faults[0].count == 3);
  CHECK(behaviour->faults[1].kind == FaultKind::closed);
  CHECK(behaviour->faults[1].listener_closed == Millis{2000});
  CHECK_FALSE(behaviour->faults[1].reused_only);
  CHECK(behaviour->latency.kind == LatencyModel::Kind::lognormal);
  CHECK(behaviour->latency.second_ms == 200);
  CHECK(behaviour->capacity->calls_per_second == 500);
  CHECK(behaviour->capacity->burst == 50);
  CHECK(behaviour->capacity->status == 503);
  CHECK(behaviour->refusals[0].refusal.code == "NO_ACCOUNT");
  CHECK(behaviour->refusal_of("u-2")->code == "RECIPIENT_BLOCKED");
  CHECK(from_options({{"latency", "5ms..80ms"}})->latency.first_ms == 5);
  CHECK(from_options({{"latency", "20ms"}})->latency.kind == LatencyModel::Kind::fixed);
  // What one decoder accepts the other writes: round trip.
  CHECK(encode_behaviour(decode_behaviour(encode_behaviour(*behaviour)).value()) ==
        encode_behaviour(*behaviour));

  const BehaviourOption mistakes[] = {
      {"fault", "cupons:lost"},      {"fault", "lots"},
      {"fault", "lost=x"},           {"fault", "lost=150%"},
      {"fault", "lost,cuont=3"},     {"fault", "lost,count=x"},
      {"fault", "error,sticky=si"},  {"fault", ""},
      {"latency", "80ms..5ms"},      {"latency", "fast"},
      {"latency", "median=20ms"},    {"capacity", "many"},
      {"capacity", "5/s,status=99"}, {"refusals", "who=u-1"},
      {"latency", "1ms,2ms"},
  };
  for (const BehaviourOption& mistake : mistakes) {
    CAPTURE(mistake.text);
    const auto refused = from_options({mistake});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
    CHECK(refused.error().message.starts_with("--" + std::string{mistake.option}));
  }
}

TEST_CASE("sandbox: quitting, health and idle steering") {
  World world;
  bool quit = false;
  world.box->on_quit([&] { quit = true; });
  CHECK(World::body(world.ask(World::get("/healthz"))) == "ok\n");
  CHECK(World::status(world.ask(World::post("/quit", ""))) == 200);
  CHECK(quit);
  CHECK(World::status(world.ask(World::message("PATCH", "/faults", "{}", ""))) == 405);
}
