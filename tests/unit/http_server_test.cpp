// The server and its raw clients run in this one thread: the test moves both on until what it
// waits for has happened.
#include "daemon/access/http_server.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/manual_clock.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::access;
using vouch::test::RawClient;
using End = vouch::test::RawClient::End;

namespace {

struct World {
  explicit World(HttpLimits limits = {}) : server{clock, limits} {
    listener = server.listen_tcp("127.0.0.1", 0).value();
  }
  [[nodiscard]] RawClient client() const { return RawClient{server.port_of(listener)}; }
  void step() { server.run_once(Millis{1}); }
  bool until(const std::function<bool()>& done) {
    return vouch::test::until(done, [&] { step(); });
  }
  bool ended(RawClient& client) {
    return until([&] {
      client.read_available();
      return client.end != End::none;
    });
  }
  bool receives(RawClient& client, std::string_view text) {
    return until([&] {
      client.read_available();
      return client.received.find(text) != std::string::npos;
    });
  }
  // Whatever the server is going to do by itself, it has done.
  void settle() {
    for (int round = 0; round < 20; ++round) step();
  }

  test::ManualClock clock;
  HttpServer server;
  ListenerId listener = 0;
};

std::string get(std::string_view target) {
  return "GET " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("http_server: a request arrives whole and its answer is exact") {
  World world;
  std::string seen;
  world.server.serve([&](const HttpRequest& request) {
    seen = std::string{request.method} + " " + std::string{request.path} + " ?" +
           std::string{request.query} + " x=" + request.query_value("x").value().value_or("none") +
           " k=" + std::string{request.header("idempotency-KEY")} + " " +
           std::string{request.body} + " " + std::to_string(request.connection) + "." +
           std::to_string(request.sequence);
    return HttpResponse{.status = 201, .body = "done", .headers = {{"X-Seen", "yes"}}};
  });
  RawClient client = world.client();
  client.send(
      "POST /a/b?x=1%2B2&y HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k7\r\n"
      "Content-Length: 5\r\n\r\nhe");
  world.settle();
  client.send("llo");
  REQUIRE(world.receives(client, "done"));
  CHECK(seen == "POST /a/b ?x=1%2B2&y x=1+2 k=k7 hello 1.1");
  CHECK(client.received ==
        "HTTP/1.1 201 Created\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nX-Seen: yes\r\n"
        "Content-Length: 4\r\n\r\ndone");
  CHECK(client.end == End::none);
  CHECK(world.server.counters().requests == 1);
}

TEST_CASE("http_server: pipelined requests are answered one by one and in order") {
  World world;
  std::vector<HttpTicket> waiting;
  std::vector<std::string> paths;
  world.server.serve_later([&](const HttpRequest& request, HttpTicket ticket) {
    waiting.push_back(ticket);
    paths.emplace_back(request.path);
  });
  RawClient client = world.client();
  client.send(get("/1") + get("/2") + get("/3"));
  REQUIRE(world.until([&] { return waiting.size() == 1; }));
  world.settle();
  REQUIRE(waiting.size() == 1);
  world.server.reply(waiting[0], HttpResponse::text(200, "first"));
  REQUIRE(world.until([&] { return waiting.size() == 2; }));
  world.server.reply(waiting[0], HttpResponse::text(200, "twice"));  // answered already: ignored
  world.server.reply(waiting[1], HttpResponse::text(200, "second"));
  REQUIRE(world.until([&] { return waiting.size() == 3; }));
  world.server.reply(waiting[2], HttpResponse::text(200, "third"));
  REQUIRE(world.receives(client, "third"));
  client.send(get("/4"));
  REQUIRE(world.until([&] { return waiting.size() == 4; }));
  CHECK(paths == std::vector<std::string>{"/1", "/2", "/3", "/4"});
  CHECK(client.received.find("first") < client.received.find("second"));
  CHECK(client.received.find("twice") == std::string::npos);
}

TEST_CASE("http_server: a thousand requests at once neither nest nor starve") {
  World world;
  world.server.serve([](const HttpRequest&) { return HttpResponse::text(200, "ok"); });
  RawClient client = world.client();
  std::string all;
  for (int i = 0; i < 5000; ++i) all += get("/" + std::to_string(i));
  std::thread sender{[&] { client.send(all); }};
  RawClient other = world.client();
  other.send(get("/"));
  const bool done = world.until([&] {
    client.read_available();
    return count(client.received, "\r\n\r\nok") == 5000;
  });
  sender.join();
  CHECK(done);
  CHECK(world.receives(other, "ok"));
}

TEST_CASE("http_server: what is not HTTP, or too large, is refused and the connection ends") {
  struct Case {
    const char* name;
    std::string bytes;
    const char* status;
  };
  const Case cases[] = {
      {"no HTTP", "hello there\r\n\r\n", "400"},
      {"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"absolute target", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"blank in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"bare LF", "GET / HTTP/1.1\nHost: h\n\n\r\n\r\n", "400"},
      {"blank before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
      {"two lengths",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
      {"length and chunks",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
       "\r\n",
       "400"},
      {"negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "400"},
      {"HTTP/2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "400"},
      {"large header", "GET / HTTP/1.1\r\nX: " + std::string(3000, 'x'), "431"},
      {"large body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", "413"},
      {"large chunk",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" +
           std::string(128, 'x') + "\r\n0\r\n\r\n",
       "413"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    World world{{.header_bytes_max = 1024, .body_bytes_max = 100}};
    world.server.serve([](const HttpRequest&) { return HttpResponse::text(200, "ok"); });
    RawClient client = world.client();
    client.send(c.bytes);
    REQUIRE(world.ended(client));
    CHECK(client.end == End::fin);
    CHECK(client.received.substr(0, 12) == std::string{"HTTP/1.1 "} + c.status);
    CHECK(client.received.find("Connection: close") != std::string::npos);
    CHECK(world.server.counters().requests_refused == 1);
    CHECK(world.server.counters().requests == 0);
    client.close();
    CHECK(world.until([&] { return world.server.counters().connections_open == 0; }));
  }
}

TEST_CASE("http_server: a response can break no line and a failing handler is a plain 500") {
  World world;
  std::vector<std::string> reports;
  world.server.on_report([&](std::string_view what) { reports.emplace_back(what); });
  world.server.serve([](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/throw") throw std::runtime_error{"inside"};
    if (request.path == "/status") return {.status = 99};
    if (request.path == "/own") return {.headers = {{"content-length", "3"}}};
    if (request.path == "/type") return {.content_type = "a\nb"};
    return {.headers = {{"X-Echo", "a\r\nSet-Cookie: b"}}};
  });
  for (const char* path : {"/throw", "/status", "/own", "/type", "/echo"}) {
    CAPTURE(path);
    RawClient client = world.client();
    client.send(get(path));
    REQUIRE(world.ended(client));
    CHECK(client.received.substr(0, 12) == "HTTP/1.1 500");
    CHECK(client.received.find("inside") == std::string::npos);
    CHECK(client.received.find("Cookie") == std::string::npos);
  }
  CHECK(reports.size() == 5);
  CHECK(world.server.counters().handler_failures == 5);
}

TEST_CASE("http_server: time limits on idle, slow and unread connections") {
  World world{{.idle_max = Millis{5000}, .read_max = Millis{2000}, .write_max = Millis{3000}}};
  world.server.serve([](const HttpRequest& request) {
    return HttpResponse::text(200, std::string(request.path == "/big" ? 50'000'000 : 2, 'x'));
  });
  RawClient idle = world.client();
  RawClient slow = world.client();
  RawClient unread = world.client();
  idle.send(get("/"));
  slow.send("GET / HTTP/1.1\r\nHo");
  unread.send(get("/big"));
  world.settle();
  CHECK(world.server.counters().connections_open == 3);

  world.clock.advance(Millis{2100});
  REQUIRE(world.receives(slow, "408"));
  REQUIRE(world.ended(slow));
  world.clock.advance(Millis{1000});
  world.settle();
  REQUIRE(world.ended(unread));
  CHECK(unread.end == End::reset);
  idle.read_available();
  CHECK(idle.end == End::none);
  world.clock.advance(Millis{2000});
  REQUIRE(world.ended(idle));
  CHECK(idle.end == End::fin);
  CHECK(world.server.counters().connections_open == 0);
}

TEST_CASE("http_server: connections above the limit wait their turn") {
  World world{{.connections_max = 2}};
  world.server.serve([](const HttpRequest&) { return HttpResponse::text(200, "ok"); });
  RawClient a = world.client();
  RawClient b = world.client();
  RawClient c = world.client();
  c.send(get("/"));
  REQUIRE(world.until([&] { return world.server.counters().connections_open == 2; }));
  world.settle();
  c.read_available();
  CHECK(c.received.empty());
  a.close();
  world.settle();
  world.clock.advance(Millis{1000});
  CHECK(world.receives(c, "ok"));
}

TEST_CASE("http_server: a peer that goes away is noticed, one that half closes is answered") {
  World world;
  std::optional<HttpTicket> ticket;
  world.server.serve_later([&](const HttpRequest&, HttpTicket given) { ticket = given; });
  {
    RawClient client = world.client();
    client.send(get("/"));
    REQUIRE(world.until([&] { return ticket.has_value(); }));
    CHECK(world.server.is_open(*ticket));
    client.half_close();
    REQUIRE(world.until([&] { return !world.server.is_open(*ticket); }));
    world.server.reply(*ticket, HttpResponse::text(200, "still"));
    REQUIRE(world.receives(client, "still"));
    REQUIRE(world.ended(client));
    CHECK(world.server.counters().connections_open == 0);
  }
  ticket.reset();
  RawClient client = world.client();
  client.send(get("/"));
  REQUIRE(world.until([&] { return ticket.has_value(); }));
  world.server.abandon(*ticket);
  world.settle();
  CHECK(world.server.counters().connections_open == 1);
  client.send(get("/more"));
  world.settle();
  CHECK(world.server.counters().requests == 2);
  client.close();
  CHECK(world.until([&] { return world.server.counters().connections_open == 0; }));
  world.server.reply(*ticket, HttpResponse::text(200, "nobody"));
}

TEST_CASE("http_server: parts of an answer, then the next request, an end or a reset") {
  World world;
  std::vector<HttpTicket> tickets;
  world.server.serve_later([&](const HttpRequest&, HttpTicket given) { tickets.push_back(given); });
  RawClient client = world.client();
  client.send(get("/"));
  REQUIRE(world.until([&] { return tickets.size() == 1; }));
  CHECK(world.server.reply_part(tickets[0], "HTTP/1.1 200 OK\r\nContent-Len"));
  CHECK(world.receives(client, "Content-Len"));
  CHECK(world.server.reply_part(tickets[0], "gth: 1\r\n\r\nx"));
  world.server.end_reply(tickets[0]);
  CHECK(world.receives(client, "\r\n\r\nx"));

  client.send(get("/"));
  REQUIRE(world.until([&] { return tickets.size() == 2; }));
  CHECK_FALSE(world.server.reply_part(tickets[0], "late"));
  CHECK(world.server.reply_part(tickets[1], "half"));
  world.server.end(tickets[1], ConnectionEnd::reset);
  CHECK(world.receives(client, "half"));
  CHECK(world.ended(client));
  CHECK(client.end == End::reset);

  RawClient second = world.client();
  second.send(get("/"));
  REQUIRE(world.until([&] { return tickets.size() == 3; }));
  world.server.end(tickets[2], ConnectionEnd::fin);
  CHECK(world.ended(second));
  CHECK(second.end == End::fin);
  CHECK(second.received.empty());
}

TEST_CASE("http_server: a suspended listener refuses, keeps its port and comes back") {
  World world;
  world.server.serve([](const HttpRequest&) { return HttpResponse::text(200, "ok"); });
  RawClient before = world.client();
  before.send(get("/"));
  REQUIRE(world.receives(before, "ok"));

  REQUIRE(world.server.suspend_listener(world.listener));
  world.settle();
  CHECK(world.client().end == End::refused);
  before.received.clear();
  before.send(get("/"));
  CHECK(world.receives(before, "ok"));

  REQUIRE(world.server.resume_listener(world.listener));
  RawClient after = world.client();
  after.send(get("/"));
  CHECK(world.receives(after, "ok"));
}

TEST_CASE("http_server: HEAD, HTTP/1.0, close and 100-continue") {
  World world;
  world.server.serve([](const HttpRequest&) { return HttpResponse::text(200, "body"); });
  RawClient head = world.client();
  head.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + get("/"));
  REQUIRE(world.receives(head, "body"));
  CHECK(count(head.received, "Content-Length: 4") == 2);
  CHECK(count(head.received, "body") == 1);

  RawClient old = world.client();
  old.send("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(world.ended(old));
  CHECK(old.received.find("Connection: close") != std::string::npos);
  RawClient old_kept = world.client();
  old_kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  REQUIRE(world.receives(old_kept, "body"));
  CHECK(old_kept.received.find("Connection: keep-alive") != std::string::npos);
  CHECK(old_kept.end == End::none);

  RawClient closing = world.client();
  closing.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  REQUIRE(world.ended(closing));
  CHECK(closing.received.find("body") != std::string::npos);

  RawClient polite = world.client();
  polite.send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  REQUIRE(world.receives(polite, "100 Continue\r\n\r\n"));
  polite.send("ab");
  REQUIRE(world.receives(polite, "200 OK"));
}

TEST_CASE("http_server: everything of a round comes before its hook") {
  World world;
  std::vector<HttpTicket> asked;
  std::vector<std::size_t> groups;
  world.server.serve_later([&](const HttpRequest&, HttpTicket ticket) { asked.push_back(ticket); });
  world.server.on_round([&](Instant now) {
    if (!asked.empty()) groups.push_back(asked.size());
    for (const HttpTicket ticket : asked) {
      world.server.reply(ticket, HttpResponse::text(200, "ok"));
    }
    asked.clear();
    return now + std::chrono::hours{1};
  });
  std::vector<RawClient> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(world.client());
  REQUIRE(world.until([&] { return world.server.counters().connections_open == 8; }));
  for (RawClient& client : clients) client.send(get("/"));
  for (RawClient& client : clients) REQUIRE(world.receives(client, "ok"));
  CHECK(groups == std::vector<std::size_t>{8});
}

TEST_CASE("http_server: a Unix socket replaces a dead one and respects a live one") {
  const test::TemporaryFolder folder;
  const std::string path = folder / "admin.sock";
  const test::ManualClock clock;
  auto first = std::make_unique<HttpServer>(clock);
  first->serve([](const HttpRequest&) { return HttpResponse::text(200, "unix"); });
  REQUIRE(first->listen_unix(path, 0660));
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0660);
  RawClient client{path};
  client.send(get("/"));
  CHECK(test::until(
      [&] {
        client.read_available();
        return client.received.find("unix") != std::string::npos;
      },
      [&] { first->run_once(Millis{1}); }));
  HttpServer second{clock};
  CHECK_FALSE(second.listen_unix(path, 0660));
  REQUIRE(::rename(path.c_str(), (path + ".dead").c_str()) == 0);
  first.reset();  // as if killed: the renamed socket stays and nobody listens on it
  CHECK(second.listen_unix(path + ".dead", 0660));
}

TEST_CASE("http_server: stop ends the loop from another thread and closes what is open") {
  const SystemClock clock;
  HttpServer server{clock};
  server.serve([](const HttpRequest&) { return HttpResponse::text(200, "ok"); });
  const std::uint16_t port = server.port_of(server.listen_tcp("127.0.0.1", 0).value());
  std::thread loop{[&] { server.run(); }};
  RawClient client{port};
  client.send(get("/"));
  const auto step = [&] { client.read_available(); };
  CHECK(test::until([&] { return client.received.find("ok") != std::string::npos; }, step));
  server.stop();
  loop.join();
  CHECK(test::until([&] { return client.end == End::fin; }, step));
  CHECK(RawClient{port}.end == End::refused);
}

TEST_CASE("http_message: percent sequences, dates and query values") {
  CHECK(percent_decode("a%2Fb%c3%a9").value() == "a/b\xc3\xa9");
  for (const char* broken : {"%", "%2", "%zz", "%00"}) CHECK_FALSE(percent_decode(broken));
  CHECK(format_http_date(from_ms(784111777000)) == "Sun, 06 Nov 1994 08:49:37 GMT");
  HttpRequest request;
  request.query = "a=1&b&a%20c=x=y";
  CHECK(request.query_value("a").value() == "1");
  CHECK(request.query_value("b").value() == "");
  CHECK(request.query_value("a c").value() == "x=y");
  CHECK_FALSE(request.query_value("c").value());
  request.query = "a=1&a=2";
  CHECK_FALSE(request.query_value("a"));
}
