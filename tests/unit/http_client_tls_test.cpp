// Goal: no byte of a call goes to a server that has not proved who it is, and TLS changes nothing
// of what holds without it.  Method: a server with certificates that are made for the test.
#include <atomic>
#include <fstream>

#include "tests/support/certificates.hpp"
#include "tests/unit/http_client_world.hpp"

using namespace vouch;
using namespace vouch::test;
using wire::HttpEnd;
using wire::kReplyBytesMax;
using wire::Transport;

namespace {

std::string https(const ScriptedServer& server, const std::string& host = "127.0.0.1") {
  return "https://" + host + ":" + std::to_string(server.port()) + "/";
}

ClientWorld world_that_trusts(const Authority& authority) {
  return ClientWorld{
      {.calls_max = 256, .authorities = wire::read_authorities(authority.file()).value()}};
}

// Shakes hands, then runs a script.
ScriptedServer::Script over_tls(const std::string& certificate, const std::string& key,
                                const ScriptedServer::Script& script) {
  return [certificate, key, script](Peer& peer) {
    if (peer.shake_hands(certificate, key)) script(peer);
  };
}

}  // namespace

TEST_CASE("http_client: TLS, checked by name and authority") {
  const Authority ours;
  const Authority other;
  const std::string both = "DNS:localhost,IP:127.0.0.1";
  struct Case {
    std::string name;
    std::string host;
    std::string names;  // in the certificate
    bool trusts;
    Transport transport;
    std::string detail;
  };
  const Case cases[] = {
      {"good, by address", "127.0.0.1", both, true, Transport::complete, ""},
      {"good, by name", "localhost", both, true, Transport::complete, ""},
      {"another authority", "127.0.0.1", both, false, Transport::certificate,
       "unable to get local issuer certificate"},
      {"another name", "localhost", "DNS:other", true, Transport::certificate,
       "it is not for localhost"},
      {"another address", "127.0.0.1", "IP:127.0.0.2", true, Transport::certificate,
       "it is not for 127.0.0.1"},
      {"an address as a name", "127.0.0.1", "DNS:127.0.0.1", true, Transport::certificate,
       "it is not for 127.0.0.1"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    std::atomic<int> requests{0};
    ScriptedServer server{over_tls(ours.certificate(c.names), ours.key_file(), [&](Peer& peer) {
      while (!peer.request().empty()) {
        ++requests;
        peer.send(reply("hi"));
      }
    })};
    ClientWorld world = world_that_trusts(c.trusts ? ours : other);
    auto call = world.call(https(server, c.host));
    call.http_allowed = false;
    for (int round = 1; round <= 2; ++round) {
      const HttpEnd end = world.run(call);
      CAPTURE(end.detail);
      CHECK(end.transport == c.transport);
      const bool is_good = c.transport == Transport::complete;
      CHECK(end.sends == (is_good ? 1 : 0));
      CHECK(end.body == (is_good ? "hi" : ""));
      CHECK(end.detail.find(c.detail) != std::string::npos);
      CHECK(requests == (is_good ? round : 0));
      if (is_good) CHECK(server.connections() == 1);
    }
  }
}

TEST_CASE("http_client: a server that does not speak TLS") {
  const Authority ours;
  const std::string certificate = ours.certificate("IP:127.0.0.1");
  struct Case {
    std::string name;
    ScriptedServer::Script script;
  };
  const Case cases[] = {
      {"plain http",
       [](Peer& peer) {
         peer.read(1);
         peer.send("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
         peer.read_to_end();
       }},
      {"an end in the handshake",
       [](Peer& peer) {
         peer.read(1);
         peer.finish();
         peer.read_to_end();
       }},
      {"a reset in the handshake",
       [](Peer& peer) {
         peer.read(1);
         peer.reset();
       }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer server{c.script};
    ClientWorld world = world_that_trusts(ours);
    const HttpEnd end = world.run(world.call(https(server)));
    CAPTURE(end.detail);
    CHECK(end.transport == Transport::tls);
    CHECK(end.sends == 0);
    CHECK(end.status == 0);
  }
}

TEST_CASE("http_client: silence in the handshake ends with the time for the connection") {
  const Authority ours;
  ScriptedServer server{[](Peer& peer) { peer.read_to_end(); }};
  ClientWorld world = world_that_trusts(ours);
  world.client.start(world.call(https(server)));
  CHECK(world.until([&] { return server.connections() == 1; }));
  world.clock.advance(Millis{2'000});
  const HttpEnd end = world.end();
  CHECK(end.transport == Transport::unreachable);
  CHECK(end.sends == 0);
  world.client.start(world.call(https(server)));  // goes with the client, in its handshake
  world.settle();
}

TEST_CASE("http_client: answers over TLS are whole or broken") {
  const Authority ours;
  const std::string certificate = ours.certificate("IP:127.0.0.1");
  const std::string large(kReplyBytesMax, 'x');
  const std::string unbounded = "HTTP/1.1 200 OK\r\n\r\nhi";
  struct Case {
    std::string name;
    ScriptedServer::Script script;
    Transport transport;
    std::string body;
  };
  const auto then = [](const std::string& bytes, void (Peer::*end)()) {
    return [bytes, end](Peer& peer) {
      peer.request();
      peer.send(bytes);
      if (end != nullptr) (peer.*end)();
    };
  };
  const Case cases[] = {
      {"in many records",
       [](Peer& peer) {
         while (!peer.request().empty()) peer.send_bytewise(reply("hi"));
       },
       Transport::complete, "hi"},
      {"of the most bytes", always(reply(large)), Transport::complete, large},
      {"until the end, which is told", then(unbounded, &Peer::finish), Transport::complete, "hi"},
      // Anybody on the way can end a TCP connection.
      {"until an end that TLS does not tell", then(unbounded, nullptr), Transport::broken, "hi"},
      {"until a reset", then(unbounded, &Peer::reset), Transport::broken, "hi"},
      {"no answer", then("", &Peer::finish), Transport::broken, ""},
      {"two answers, in two records of one packet", once(reply("hi") + reply("evil")),
       Transport::complete, "hi"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer server{over_tls(certificate, ours.key_file(), c.script)};
    ClientWorld world = world_that_trusts(ours);
    for (int round = 0; round < 2; ++round) {
      const HttpEnd end = world.run(world.call(https(server)));
      CAPTURE(end.detail);
      CHECK(end.transport == c.transport);
      CHECK(end.sends == 1);
      if (c.transport == Transport::complete) CHECK((end.body == c.body));
    }
  }
}

TEST_CASE("http_client: a large request over TLS, and an end that comes while idle") {
  const Authority ours;
  const std::string body(8 << 20, 'b');
  std::string seen;
  ScriptedServer server{
      over_tls(ours.certificate("IP:127.0.0.1"), ours.key_file(), [&](Peer& peer) {
        const std::string request = peer.request();
        if (seen.empty()) seen = request;
        peer.send(reply("hi"));
        peer.finish();
      })};
  ClientWorld world = world_that_trusts(ours);
  CHECK(world.run(world.call(https(server), body)).body == "hi");
  CHECK((seen.substr(seen.find("\r\n\r\n") + 4) == body));
  CHECK(wait_for([&] { return server.ended() == 1; }));
  CHECK(world.run(world.call(https(server))).body == "hi");
  CHECK(server.connections() == 2);
}

TEST_CASE("http_client: a file of authorities is read whole or refused") {
  const Authority ours;
  const TemporaryFolder folder;
  const std::string good = wire::read_authorities(ours.file()).value();
  const auto file_of = [&](const std::string& text) {
    std::ofstream{folder / "some.pem"} << text;
    return folder / "some.pem";
  };
  CHECK(wire::read_authorities(file_of("# ours\n" + good + good)));
  struct Case {
    std::string name;
    std::string text;
  };
  const Case cases[] = {
      {"empty", ""},
      {"text", "hello\n"},
      {"half", good.substr(0, good.size() / 2)},
      {"damaged", good.substr(0, 60) + "!!!!" + good.substr(64)},
      {"a second one that is half", good + good.substr(0, good.size() / 2)},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto text = wire::read_authorities(file_of(c.text));
    REQUIRE_FALSE(text);
    CHECK(text.error().code == Errc::invalid);
    CHECK(text.error().message.starts_with(folder / "some.pem: no certificates in PEM: "));
  }
  CHECK_FALSE(wire::read_authorities(ours.key_file()));
  CHECK(wire::read_authorities(folder / "none").error().code == Errc::not_found);
}
