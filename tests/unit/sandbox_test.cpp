// The services of the sandbox as they are without faults, seen through real sockets.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "examples/sandbox/journal_check.hpp"
#include "tests/unit/sandbox_world.hpp"

using namespace vouch;
using namespace vouch::sandbox;
using vouch::test::RawClient;
using World = vouch::test::SandboxWorld;

TEST_CASE("sandbox: a call is executed once and its repeat gets the first answer") {
  World world;
  const std::string first = world.ask(World::call("r-1"));
  CHECK(World::status(first) == 200);
  CHECK(World::body(first) ==
        R"({"reference":"c-000001","request_id":"r-1","amount_minor":500,"currency":"CNY",)"
        R"("status":"issued"})");
  CHECK(first.find("Idempotent-Replayed") == std::string::npos);

  const std::string again = world.ask(World::call("r-1"));
  CHECK(World::body(again) == World::body(first));
  CHECK(again.find("Idempotent-Replayed: true") != std::string::npos);
  CHECK(World::status(world.ask(World::call("r-1", "u-2"))) == 422);
  CHECK(World::json(world.ask(World::call("r-2")))["reference"] == "c-000002");

  REQUIRE(world.journal().size() == 2);
  CHECK(world.journal()[0].substr(0, 56) ==
        "1893456000000,c-000001,r-1,r-1,u-1,cmp_1,gift,500,CNY,1,");
  const Json stats = world.stats();
  CHECK(stats["executions"] == 2);
  CHECK(stats["replays"] == 2);
}

TEST_CASE("sandbox: what was journalled is known after a restart") {
  World world;
  const std::string first = world.ask(World::call("r-1"));
  world.faults(R"({"coupons":{"refusals":[{"recipients":["u-9"],"code":"NO, \"NOT\" YOU"}]}})");
  const std::string refused = world.ask(World::call("r-9", "u-9"));
  CHECK(World::status(refused) == 422);
  CHECK(World::json(refused)["code"] == "NO, \"NOT\" YOU");

  world.restart();
  CHECK(World::body(world.ask(World::call("r-1"))) == World::body(first));
  CHECK(World::status(world.ask(World::call("r-1", "u-2"))) == 422);
  // Nobody is refused any more, but this key has its answer.
  CHECK(World::body(world.ask(World::call("r-9", "u-9"))) == World::body(refused));
  CHECK(World::json(world.ask(World::call("r-10", "u-9")))["reference"] == "c-000002");
  CHECK(world.journal().size() == 2);
  CHECK(world.journal("coupons.refusals.csv").size() == 1);
}

TEST_CASE("sandbox: keys are forgotten by age and by number") {
  {
    SandboxConfig config;
    config.key_memory.age_max = std::chrono::minutes{10};
    World world{config};
    world.ask(World::call("r-1"));
    world.clock.advance(std::chrono::minutes{9});
    world.ask(World::call("r-1"));
    CHECK(world.journal().size() == 1);
    world.clock.advance(std::chrono::minutes{1});
    CHECK(World::json(world.ask(World::call("r-1")))["reference"] == "c-000002");
    CHECK(world.stats()["doubles"] == 1);
    world.restart();
    CHECK(world.stats()["doubles"] == 1);
    CHECK(world.stats()["keys_known"] == 1);
  }
  SandboxConfig config;
  config.key_memory.keys_max = 2;
  World world{config};
  for (const char* id : {"r-1", "r-2", "r-3", "r-3", "r-2", "r-1"}) world.ask(World::call(id));
  CHECK(world.journal().size() == 4);
  CHECK(world.stats()["keys_known"] == 2);
}

TEST_CASE("sandbox: without a key, or with a memory of no keys, each call executes") {
  SandboxConfig config;
  config.key_memory.keys_max = 0;
  World forgetful{config};
  forgetful.ask(World::call("r-1"));
  forgetful.ask(World::call("r-1"));
  CHECK(forgetful.journal().size() == 2);

  World world;
  const std::string keyless = World::post("/others", R"({"request_id":"r","recipient_id":"u"})");
  const std::string answer = world.ask(keyless);
  CHECK(World::body(answer) == R"({"reference":"o-000001","request_id":"r","status":"issued"})");
  world.ask(keyless);
  const auto summary = check_journal(world.config.journal_folder + "/others.csv");
  REQUIRE(summary);
  CHECK(summary->executions == 2);
  CHECK(summary->request_ids == 1);
  CHECK(summary->double_request_ids == 1);
  REQUIRE(summary->doubles.size() == 1);
  CHECK(summary->doubles[0].request_id == "r");
  CHECK(summary->doubles[0].executions == 2);
}

TEST_CASE("sandbox: a call that is none is told so and executes nothing") {
  World world;
  const char* bad[] = {
      "",
      "[]",
      "5",
      "{",
      R"({"request_id":"r"})",
      R"({"recipient_id":"u"})",
      R"({"request_id":5,"recipient_id":"u"})",
      R"({"request_id":null,"recipient_id":"u"})",
      R"({"request_id":"r","request_id":"s","recipient_id":"u"})",
      R"({"request_id":"r\n","recipient_id":"u"})",
      R"({"request_id":"r","recipient_id":"u","amount_minor":5})",
      R"({"request_id":"r","recipient_id":"u","currency":"CNY"})",
      R"({"request_id":"r","recipient_id":"u","amount_minor":1.5,"currency":"CNY"})",
      R"({"request_id":"r","recipient_id":"u","amount_minor":"5","currency":"CNY"})",
      R"({"request_id":"r","recipient_id":"u","amount_minor":-5,"currency":"CNY"})",
      R"({"request_id":"r","recipient_id":"u","amount_minor":99999999999999999999,"currency":"E"})",
      R"({"request_id":"r","recipient_id":"u"} x)",
  };
  for (const char* text : bad) {
    CAPTURE(text);
    CHECK(World::status(world.ask(World::post("/coupons", text))) == 400);
  }
  const std::string no_amount = R"({"request_id":"r","recipient_id":"u","note":{"a":[1,"x"]}})";
  CHECK(World::status(world.ask(World::post("/balances", no_amount))) == 400);
  CHECK(world.journal().empty());
  CHECK(world.journal("balances.csv").empty());
  CHECK(World::status(world.ask(World::post("/coupons", no_amount))) == 200);
  CHECK(World::status(world.ask(World::get("/coupons"))) == 405);
  CHECK(World::status(world.ask(World::post("/coupons/x", ""))) == 405);
  CHECK(World::status(world.ask(World::get("/nowhere"))) == 404);
}

TEST_CASE("sandbox: queries and statements tell what was executed") {
  World world;
  world.ask(World::call("r-1", R"(u,\"1\")"));
  world.ask(World::call("r-2", "u-2"));
  world.faults(R"({"coupons":{"refusals":[{"recipients":["u-9"]}],"visible_after_ms":1000}})");
  world.ask(World::call("r-9", "u-9"));
  world.clock.advance(Millis{999});
  CHECK(World::status(world.ask(World::get("/coupons/r-1"))) == 404);
  CHECK(World::json(world.ask(World::get("/coupons/statement")))["entries"].empty());
  world.clock.advance(Millis{1});
  world.ask(World::call("r-3"));
  CHECK(World::json(world.ask(World::get("/coupons/r%2D2")))["reference"] == "c-000002");
  CHECK(World::status(world.ask(World::get("/coupons/r-3"))) == 404);
  CHECK(World::status(world.ask(World::get("/coupons/nobody"))) == 404);
  CHECK(World::json(world.ask(World::get("/coupons/r-9")))["status"] == "refused");

  const Json page = World::json(world.ask(World::get("/coupons/statement?limit=1")));
  CHECK(page["entries"][0]["request_id"] == "r-1");
  CHECK(page["next_after"] == "c-000001");
  const Json rest = World::json(world.ask(World::get("/coupons/statement?after=c-000001")));
  REQUIRE(rest["entries"].size() == 1);
  CHECK(rest["entries"][0]["recipient_id"] == "u-2");
  CHECK(rest["next_after"].is_null());
  CHECK(
      World::json(world.ask(World::get("/statement?service=coupons&limit=5")))["entries"].size() ==
      2);
  CHECK(World::status(world.ask(World::get("/coupons/statement?limit=0"))) == 400);
  CHECK(World::status(world.ask(World::get("/coupons/statement?after=-x"))) == 400);
  CHECK(World::status(world.ask(World::get("/statement"))) == 400);

  const std::string csv = world.ask(World::get("/coupons/statement.csv"));
  CHECK(csv.find("time_ms,reference,request_id,recipient_id,amount_minor,currency\n") !=
        std::string::npos);
  CHECK(csv.find("c-000001,r-1,\"u,\"\"1\"\"\",500,CNY\n") != std::string::npos);
  CHECK(csv.find("r-3") == std::string::npos);
}

TEST_CASE("sandbox: a long statement comes in pieces while calls go on") {
  World world;
  std::vector<RawClient> callers;  // many, so that many calls share one sync
  for (int i = 0; i < 60; ++i) callers.push_back(world.client());
  for (int i = 0; i < 3000; ++i) {
    callers[static_cast<std::size_t>(i % 60)].send(World::call("r-" + std::to_string(i)));
  }
  REQUIRE(world.until([&] { return world.box->desks()[0]->service.execution_count() == 3000; }));
  RawClient reader = world.client();
  const std::string csv = world.ask(reader, World::get("/coupons/statement.csv"));
  CHECK(csv.find("c-003000") != std::string::npos);
  CHECK(std::count(csv.begin(), csv.end(), '\n') > 3001);
  // The connection is ready for more.
  CHECK(World::status(world.ask(reader, World::get("/healthz"))) == 200);

  std::size_t seen = 0;
  std::string after;
  do {
    const Json page =
        World::json(world.ask(World::get("/coupons/statement?limit=700&after=" + after)));
    seen += page["entries"].size();
    after = page["next_after"].is_null() ? "" : page["next_after"].get<std::string>();
  } while (!after.empty());
  CHECK(seen == 3000);
}

TEST_CASE("sandbox: an unfinished last line is cut off, another file is refused") {
  World world;
  world.ask(World::call("r-1"));
  const std::string path = world.config.journal_folder + "/coupons.csv";
  world.box.reset();
  std::ofstream{path, std::ios::app} << "1893456000001,c-000002,r-2,r-2,u-";
  const auto torn = check_journal(path);
  REQUIRE(torn);
  CHECK(torn->torn);
  CHECK(torn->executions == 1);

  world.open();
  CHECK(world.box->desks()[0]->service.torn_bytes() == 33);
  CHECK(World::json(world.ask(World::call("r-2")))["reference"] == "c-000002");
  CHECK(check_journal(path)->executions == 2);

  CHECK(Sandbox::open(world.config, world.clock).error().code == Errc::locked);
  world.box.reset();
  std::ofstream{path} << "partner,file\n1,2\n";
  CHECK(Sandbox::open(world.config, world.clock).error().code == Errc::corrupt);
  CHECK(check_journal(path).error().code == Errc::corrupt);
  CHECK(check_journal(path + ".absent").error().code == Errc::not_found);
}

TEST_CASE("sandbox: a batch is executed call by call, and answered with a result for each") {
  World world;
  const auto one = [](const std::string& id) {
    return R"({"request_id":")" + id + R"(","recipient_id":"u","campaign":"c","item":"i"})";
  };
  const auto batch = [&](const std::string& inside) {
    return World::post("/coupons/batch", R"({"issuances":[)" + inside + "]}");
  };
  const Json first = World::json(world.ask(batch(one("a") + "," + one("b"))));
  REQUIRE(first["results"].size() == 2);
  CHECK(first["results"][1]["http_status"] == 200);
  CHECK(first["results"][1]["request_id"] == "b");
  // Each has its own key: with others, what was executed is executed no more.
  const Json again = World::json(world.ask(batch(one("c") + "," + one("a"))));
  CHECK(again["results"][1]["reference"] == first["results"][0]["reference"]);
  CHECK(world.journal().size() == 3);
  for (const std::string& mistaken : {batch(""), batch(one("d") + "," + one("d")), batch("7"),
                                      World::post("/coupons/batch", one("d"))}) {
    CHECK(World::status(world.ask(mistaken)) == 400);
  }
  CHECK(world.journal().size() == 3);

  world.faults(R"({"coupons":{"faults":[{"kind":"halfway","count":1},{"kind":"partial"}]}})");
  CHECK(World::status(world.ask(World::call("r-1"))) == 200);  // it strikes batches alone
  CHECK(World::status(world.ask(batch(one("e") + "," + one("f") + "," + one("g")))) == 500);
  CHECK(world.journal().size() == 6);  // r-1, e, f
  const Json half = World::json(world.ask(batch(one("e") + "," + one("f") + "," + one("g"))));
  REQUIRE(half["results"].size() == 2);
  CHECK(half["results"][1]["request_id"] == "g");
  CHECK(world.journal().size() == 7);
}

TEST_CASE("sandbox: a journal that cannot be written stops everything, unanswered") {
  World world;
  world.ask(World::call("r-1"));
  const auto size = std::filesystem::file_size(world.config.journal_folder + "/coupons.csv");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{.rlim_cur = size + 10, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);

  RawClient client = world.client();
  client.send(World::call("r-2"));
  Result<void> round;
  CHECK(test::until([&] { return !round.has_value(); },
                    [&] { round = world.box->run_once(Millis{1}); }));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old_action);
  CHECK(round.error().code == Errc::io);
  client.send(World::call("r-3"));
  world.settle();
  client.read_available();
  CHECK(client.received.empty());

  // What was half written was told to nobody, and is cut off.
  world.restart();
  CHECK(world.journal().size() == 1);
  CHECK(World::json(world.ask(World::call("r-2")))["reference"] == "c-000002");
}

TEST_CASE("sandbox: the most calls in any window are counted exactly") {
  SlidingWindow window{Millis{100}};
  const Instant start{std::chrono::hours{1}};
  for (const int at : {0, 10, 99, 100, 150, 199, 300}) window.note(start + Millis{at});
  CHECK(window.most() == 3);  // 0, 10 and 99; a window of 100 ms holds its first instant only
  CHECK(window.count(start + Millis{350}) == 1);
  CHECK(window.count(start + Millis{400}) == 0);

  World world;
  for (int i = 0; i < 3; ++i) world.ask(World::call("a" + std::to_string(i)));
  world.clock.advance(Millis{1500});
  world.ask(World::call("b"));
  const Json stats = world.stats();
  CHECK(stats["calls_in_1s"]["max"] == 3);
  CHECK(stats["calls_in_1s"]["now"] == 1);
  REQUIRE(stats["seconds"].size() == 2);
  CHECK(stats["seconds"][0]["calls"] == 3);
  CHECK(stats["seconds"][1]["executions"] == 1);
  world.ask(World::post("/stats/reset", ""));
  CHECK(world.stats()["calls_in_1s"]["max"] == 0);
}

TEST_CASE("sandbox: check-journal finds journals in a folder and adds up") {
  World world;
  world.ask(World::call("r-1"));
  world.ask(World::call("r-2"));
  world.ask(World::call("r-1", "u-1", "/balances"));
  const auto files = journals_at(world.config.journal_folder);
  REQUIRE(files);
  REQUIRE(files->size() == 4);
  const auto coupons = check_journal((*files)[0]);
  REQUIRE(coupons);
  CHECK(coupons->executions == 2);
  CHECK(coupons->recipients == 1);
  CHECK(coupons->double_request_ids == 0);
  CHECK(coupons->sums_by_currency.at("CNY") == 1000);
  CHECK(check_journal((*files)[1])->executions == 1);
  CHECK_FALSE(journals_at(world.folder.path().string()));
}
