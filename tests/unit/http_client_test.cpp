// Goal: a call gets its own answer whole, over connections that are used again only when nothing
// speaks against it.  Method: a server that sends what the test dictates; time stands still.
#include "common/wire/http_client.hpp"

#include <atomic>
#include <set>

#include "tests/unit/http_client_world.hpp"

using namespace vouch;
using namespace vouch::test;
using wire::HttpCall;
using wire::HttpEnd;
using wire::kReplyBytesMax;
using wire::Transport;

TEST_CASE("http_client: a call and its answer, to the byte") {
  std::string seen;
  ScriptedServer server{[&](Peer& peer) {
    seen = peer.request();
    peer.send(
        "HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nRetry-After: 7\r\n"
        "Content-Length: 2\r\n\r\n[]");
    peer.read_to_end();
  }};
  ClientWorld world;
  HttpCall call = world.call(server.url("/a?b=c"), "{\"n\":1}");
  call.tag = 42;
  call.headers = {"Idempotency-Key: k"};
  const HttpEnd end = world.run(call);
  CHECK(seen == "POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                    "\r\nUser-Agent: vouch/" VOUCH_VERSION
                    "\r\nIdempotency-Key: k\r\nContent-Length: 7\r\n\r\n{\"n\":1}");
  CHECK(end.tag == 42);
  CHECK(end.transport == Transport::complete);
  CHECK(end.status == 429);
  CHECK(end.sends == 1);
  CHECK(end.body == "[]");
  CHECK(end.content_type == "application/json");
  CHECK(end.retry_after == "7");
  CHECK(end.detail.empty());
  CHECK(world.client.in_flight() == 0);
}

TEST_CASE("http_client: an answer is complete whatever way it comes") {
  const std::string large(kReplyBytesMax, 'x');
  struct Case {
    std::string name;
    ScriptedServer::Script script;
    int status;
    std::string body;
    bool is_reused;
  };
  const auto split = [](const std::string& bytes) {
    return [bytes](Peer& peer) {
      while (!peer.request().empty()) peer.send_bytewise(bytes);
    };
  };
  const auto ended = [](const std::string& bytes) {
    return [bytes](Peer& peer) {
      peer.request();
      peer.send(bytes);
    };
  };
  const Case cases[] = {
      {"length", always(reply("hi")), 200, "hi", true},
      {"byte by byte", split(reply("hi", "X-Some: field\r\n")), 200, "hi", true},
      {"chunks",
       always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), 200,
       "hi", true},
      {"chunks, byte by byte",
       split("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 200, "", true},
      {"close", ended(reply("hi", "Connection: close\r\n")), 200, "hi", false},
      {"close, and the server does not", always(reply("hi", "Connection: close\r\n")), 200, "hi",
       false},
      {"1.0", ended("HTTP/1.0 200 OK\r\n\r\nhi"), 200, "hi", false},
      {"until the end", ended("HTTP/1.1 200 OK\r\n\r\nhi"), 200, "hi", false},
      {"ends after a whole answer", ended(reply("hi")), 200, "hi", false},
      {"204", always("HTTP/1.1 204 None\r\n\r\n"), 204, "", true},
      {"304", always("HTTP/1.1 304 Old\r\nContent-Length: 9\r\n\r\n"), 304, "", true},
      {"100 and 103 before",
       always("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + reply("hi")),
       200, "hi", true},
      {"of the most bytes", always(reply(large)), 200, large, true},
      {"another protocol", once("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), 101, "", false},
      {"a redirect is an answer",
       always("HTTP/1.1 302 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"), 302, "", true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer server{c.script};
    ClientWorld world;
    for (int round = 0; round < 2; ++round) {
      const HttpEnd end = world.run(world.call(server.url()));
      CAPTURE(end.detail);
      CHECK(end.transport == Transport::complete);
      CHECK(end.status == c.status);
      CHECK(end.sends == 1);
      CHECK((end.body == c.body));  // not printed: it may be large
      world.settle();
    }
    CHECK(server.connections() == (c.is_reused ? 1 : 2));
  }
}

TEST_CASE("http_client: fresh_connection takes no used connection and leaves none") {
  ScriptedServer server{always(reply("hi"))};
  ClientWorld world;
  CHECK(world.run(world.call(server.url())).status == 200);
  CHECK(world.run(world.fresh(server.url())).status == 200);
  CHECK(server.connections() == 2);
  CHECK(wait_for([&] { return server.ended() == 1; }));  // it is closed, not only left alone
  CHECK(world.run(world.call(server.url())).status == 200);
  CHECK(server.connections() == 2);
}

TEST_CASE("http_client: an idle connection is closed after its time") {
  ScriptedServer server{always(reply("hi"))};
  ClientWorld world;
  CHECK(world.run(world.call(server.url())).status == 200);
  world.clock.advance(Millis{29'000});
  CHECK(world.run(world.call(server.url())).status == 200);
  CHECK(server.connections() == 1);
  world.clock.advance(Millis{31'000});
  world.step();
  CHECK(wait_for([&] { return server.ended() == 1; }));
}

// Goal: no call ever gets another call's answer.
TEST_CASE("http_client: what nobody asked for ends the connection") {
  std::atomic<bool> go{false};
  std::atomic<bool> gone{false};
  const auto later = [&](const std::string& bytes, void (Peer::*then)()) {
    return [&, bytes, then](Peer& peer) {
      peer.request();
      peer.send(reply("first"));
      wait_for([&] { return go.load(); });
      peer.send(bytes);
      if (then != nullptr) (peer.*then)();
      if (then == &Peer::reset) return;  // it goes with the socket
      gone = true;
      peer.read_to_end();
    };
  };
  struct Case {
    std::string name;
    ScriptedServer::Script script;
    bool is_at_once = false;
  };
  const Case cases[] = {
      {"two answers in one packet", once(reply("first") + reply("evil")), true},
      {"an answer and a byte", once(reply("first") + "H"), true},
      {"a second answer while idle", later(reply("evil"), nullptr)},
      {"a timeout's answer and an end while idle",
       later("HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n", &Peer::finish)},
      {"an end while idle", later("", &Peer::finish)},
      {"a reset while idle", later("", &Peer::reset)},
  };
  for (const bool looks : {true, false}) {  // at its idle connection, before the next call
    for (const Case& c : cases) {
      CAPTURE(c.name);
      CAPTURE(looks);
      go = false;
      gone = c.is_at_once;
      ScriptedServer server{std::vector<ScriptedServer::Script>{c.script, always(reply("second"))}};
      ClientWorld world;
      CHECK(world.run(world.call(server.url())).body == "first");
      go = true;
      CHECK(wait_for([&] { return gone || server.ended() == 1; }));
      if (looks) CHECK(world.until([&] { return server.ended() == 1; }));
      const HttpEnd end = world.run(world.call(server.url()));
      CHECK(end.transport == Transport::complete);
      CHECK(end.body == "second");
      CHECK(end.sends == 1);
      CHECK(server.connections() == 2);
    }
  }
}

TEST_CASE("http_client: 200 calls at once, each with its own answer") {
  ScriptedServer server{[](Peer& peer) {
    for (std::string request; !(request = peer.request()).empty();) {
      peer.send(reply(request.substr(request.find("\r\n\r\n") + 4)));
    }
  }};
  ClientWorld world{{.calls_max = 200, .authorities = {}}};
  for (std::uint64_t wave = 0; wave < 3; ++wave) {
    for (std::uint64_t i = 0; i < 200; ++i) {
      HttpCall call = world.call(server.url(), std::to_string(wave * 1000 + i));
      call.tag = wave * 1000 + i;
      world.client.start(call);
    }
    CHECK(world.client.in_flight() == 200);
    REQUIRE(world.until([&] { return world.ended.size() == 200; }));
    std::set<std::uint64_t> tags;
    for (const HttpEnd& end : world.ended) {
      CHECK(end.body == std::to_string(end.tag));
      CHECK(end.sends == 1);
      tags.insert(end.tag);
    }
    CHECK(tags.size() == 200);
    CHECK(world.client.in_flight() == 0);
    CHECK(server.connections() <= 200);
    world.ended.clear();
  }
}

TEST_CASE("http_client: names, IPv6, and one address after the other") {
  ClientWorld world;
  ScriptedServer four{always(reply("four"))};
  // Where the name has ::1 as well, nobody listens there.
  const std::string named = "http://localhost:" + std::to_string(four.port());
  CHECK(world.run(world.call(named)).body == "four");
  CHECK(world.run(world.fresh(named)).body == "four");

  ScriptedServer six{{always(reply("six"))}, true};
  HttpCall call = world.call(six.url());
  call.address_allow = "::1/128";
  CHECK(world.run(call).body == "six");
}

TEST_CASE("http_client: a large request goes out whole, to a reader that takes its time") {
  const std::string body(8 << 20, 'b');  // more than the kernel takes at once
  std::string seen;
  ScriptedServer server{[&](Peer& peer) {
    seen = peer.request();
    peer.send(reply("hi"));
    peer.request();
    peer.send(reply("again"));
    peer.read_to_end();
  }};
  ClientWorld world;
  const HttpEnd end = world.run(world.call(server.url(), body));
  CHECK(end.transport == Transport::complete);
  CHECK(end.sends == 1);
  CHECK((seen.substr(seen.find("\r\n\r\n") + 4) == body));
  CHECK(world.run(world.call(server.url())).body == "again");
  CHECK(server.connections() == 1);
}

TEST_CASE("http_client: wake ends a wait from another thread") {
  const SystemClock clock;
  ClientWorld world;
  const Instant start = clock.now();
  std::thread other{[&] { world.client.wake(); }};
  world.client.wait(Millis{8'000});
  CHECK(clock.now() - start < std::chrono::seconds{5});
  other.join();
  world.client.wake();  // before the wait: not lost
  world.client.wait(Millis{8'000});
  CHECK(clock.now() - start < std::chrono::seconds{5});
}
