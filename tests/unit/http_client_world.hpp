// http_client_world.hpp: a client whose time the test moves, and answers for a server to give.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/wire/http_client.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/scripted_server.hpp"

namespace vouch::test {

inline std::string reply(const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// Answers each request of a connection with the same bytes.
inline ScriptedServer::Script always(const std::string& bytes) {
  return [bytes](Peer& peer) {
    while (!peer.request().empty()) peer.send(bytes);
  };
}

// Answers one request, and waits until the client ends the connection.
inline ScriptedServer::Script once(const std::string& bytes) {
  return [bytes](Peer& peer) {
    peer.request();
    peer.send(bytes);
    peer.read_to_end();
  };
}

struct ClientWorld {
  explicit ClientWorld(wire::HttpSettings settings = {}) : client{clock, std::move(settings)} {}

  [[nodiscard]] static wire::HttpCall call(const std::string& url, std::string body = "{}") {
    wire::HttpCall call;
    call.url = url;
    call.body = std::move(body);
    call.http_allowed = true;
    return call;
  }
  [[nodiscard]] static wire::HttpCall fresh(const std::string& url) {
    wire::HttpCall one = call(url);
    one.fresh_connection = true;
    return one;
  }
  void step() {
    client.step(ended);
    if (ended.empty()) client.wait(Millis{5});
  }
  bool until(const std::function<bool()>& done) {
    return test::until(done, [&] { step(); });
  }
  // The end of the only call in flight.
  wire::HttpEnd end() {
    REQUIRE(until([&] { return !ended.empty(); }));
    REQUIRE(ended.size() == 1);
    wire::HttpEnd one = std::move(ended.front());
    ended.clear();
    return one;
  }
  wire::HttpEnd run(wire::HttpCall one) {
    client.start(std::move(one));
    return end();
  }
  // What has arrived is looked at.
  void settle() {
    for (int round = 0; round < 3; ++round) step();
  }

  ManualClock clock;
  wire::HttpClient client;
  std::vector<wire::HttpEnd> ended;
};

// Waits for what another thread does, without moving the client.
inline bool wait_for(const std::function<bool()>& done) {
  return until(done, [] { std::this_thread::yield(); });
}

}  // namespace vouch::test
