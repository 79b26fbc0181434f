// Goal: however a call fails, it ends once, in time, and says truly whether a byte of it may have
// left: sends is 0 only when none can have.  Method: a server that sends, ends, resets and falls
// silent as the test dictates; the test moves the time.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <semaphore>

#include "tests/support/full_listener.hpp"
#include "tests/unit/http_client_world.hpp"

using namespace vouch;
using namespace vouch::test;
using wire::HttpCall;
using wire::HttpEnd;
using wire::kReplyBytesMax;
using wire::Transport;

namespace {

// Reads a request, sends some bytes, and ends.
ScriptedServer::Script ends_after(const std::string& bytes, void (Peer::*then)() = nullptr) {
  return [bytes, then](Peer& peer) {
    peer.request();
    peer.send(bytes);
    if (then != nullptr) (peer.*then)();
  };
}

// Sends without end, whatever is asked.
ScriptedServer::Script floods(const std::string& start, const std::string& again) {
  return [start, again](Peer& peer) {
    peer.request();
    peer.send(start);
    std::string many;
    while (many.size() < 65536) many += again;
    for (int i = 0; i < 1000; ++i) peer.send(many);
    peer.read_to_end();
  };
}

std::string url_of(std::uint16_t port) {
  return "http://127.0.0.1:" + std::to_string(port) + "/";
}

int open_files() {
  int count = 0;
  DIR* const folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// No file can be opened while it lives.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few{256, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (int fd = 0; fd >= 0;) {
      fd = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
      if (fd >= 0) taken_.push_back(fd);
    }
  }
  ~NoMoreFiles() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace

TEST_CASE("http_client: an answer that is not whole is broken, and the call was sent") {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  struct Case {
    std::string name;
    ScriptedServer::Script script;
    std::string detail;
  };
  const Case cases[] = {
      {"an end without an answer", ends_after(""), "no answer came"},
      {"a reset without an answer", ends_after("", &Peer::reset), "reset"},
      {"an end after an announcement", ends_after("HTTP/1.1 100 Go\r\n\r\n"), "no answer came"},
      {"an end in the status line", ends_after("HTTP/1.1 2"), "within its head"},
      {"an end in the head", ends_after("HTTP/1.1 200 OK\r\nContent-"), "within its head"},
      {"an end in the body", ends_after("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"),
       "within its body"},
      {"an end before the last chunk", ends_after(chunked + "2\r\nhi\r\n"), "within its body"},
      {"junk", ends_after("220 mail ready\r\n"), "not an answer in HTTP"},
      {"a body above the bound", once(reply(std::string(kReplyBytesMax + 1, 'x'))),
       "not an answer in HTTP: body limit exceeded"},
      {"a head above the bound", once(reply("hi", "X: " + std::string(40 * 1024, 'x') + "\r\n")),
       "not an answer in HTTP: header limit exceeded"},
      {"announcements without end", floods("", "HTTP/1.1 102 Wait\r\n\r\n"), "too large"},
      {"a body without end", floods("HTTP/1.1 200 OK\r\n\r\n", "x"), "body limit"},
      {"chunks without end", floods(chunked, "1\r\nx\r\n"), "too large"},
      {"fields without end", floods("HTTP/1.1 200 OK\r\n", "X: y\r\n"), ""},
      {"a line without end", floods(chunked + "1;", "x"), "line that does not end"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer server{c.script};
    ClientWorld world;
    const HttpEnd end = world.run(world.call(server.url()));
    CAPTURE(end.detail);
    CHECK(end.transport == Transport::broken);
    CHECK(end.sends == 1);
    CHECK(end.detail.find(c.detail) != std::string::npos);
    world.settle();
    CHECK(server.connections() == 1);  // nothing is sent again
    CHECK(world.ended.empty());
  }
}

// Goal: a call is never sent a second time by the client itself.  Whoever executes a call and dies
// without an answer has executed it once; was the connection used before, there is every temptation
// to take it for one that was dead already.
TEST_CASE("http_client: a used connection that dies under a call is not replaced by another") {
  struct Case {
    std::string name;
    void (Peer::*dies)();
    std::string detail;
  };
  const Case cases[] = {{"an end", &Peer::finish, "no answer came"},
                        {"a reset", &Peer::reset, "reset"}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    std::atomic<int> executed{0};
    ScriptedServer server{[&](Peer& peer) {
      while (!peer.request().empty()) {
        if (++executed > 1) return (peer.*c.dies)();
        peer.send(reply("hi"));
      }
    }};
    ClientWorld world;
    int asked = 0;
    world.client.set_guard([&](std::uint64_t) {
      ++asked;
      return std::string{};
    });
    CHECK(world.run(world.call(server.url())).status == 200);
    const HttpEnd end = world.run(world.call(server.url()));
    CAPTURE(end.detail);
    CHECK(end.transport == Transport::broken);
    CHECK(end.sends == 1);
    CHECK(end.status == 0);
    CHECK(end.detail.find(c.detail) != std::string::npos);
    world.settle();
    CHECK(executed == 2);  // each of the two calls once
    CHECK(asked == 2);
    CHECK(server.connections() == 1);
    CHECK(world.ended.empty());
  }
}

// A reset may come before the first byte is with the kernel or after: both are told truly.
TEST_CASE("http_client: a server that resets each connection is not beset") {
  ScriptedServer server{[](Peer& peer) { peer.reset(); }};
  ClientWorld world;
  for (int round = 1; round <= 20; ++round) {
    const HttpEnd end = world.run(world.call(server.url()));
    CAPTURE(end.detail);
    if (end.sends == 0) CHECK(end.transport == Transport::unreachable);
    if (end.sends == 1) CHECK(end.transport == Transport::broken);
    CHECK(server.connections() <= round);
  }
}

TEST_CASE("http_client: what keeps a call from leaving is told with sends = 0") {
  ScriptedServer server{always(reply("hi"))};
  struct Case {
    std::string name;
    std::function<void(HttpCall&)> change;
    Transport transport;
    std::string detail;
  };
  const std::string far(70, 'a');  // no name has a part so long: told without asking anybody
  const Case cases[] = {
      {"refused", [](HttpCall& c) { c.url = url_of(closed_port()); }, Transport::unreachable,
       "refused"},
      {"no such name", [&](HttpCall& c) { c.url = "http://" + far + ".invalid/"; },
       Transport::unreachable, "not found"},
      {"address", [](HttpCall& c) { c.address_allow = "10.0.0.0/8"; }, Transport::refused,
       "127.0.0.1 is not allowed"},
      {"address, unreadable", [](HttpCall& c) { c.address_allow = "localhost"; },
       Transport::refused, "not allowed"},
      {"http", [](HttpCall& c) { c.http_allowed = false; }, Transport::refused, "plain http"},
      {"url", [](HttpCall& c) { c.url = "http://h/a b"; }, Transport::refused, "url"},
      {"header", [](HttpCall& c) { c.headers = {"X: a\r\nY: b"}; }, Transport::refused,
       "header X has a control byte"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ClientWorld world;
    // With and without a connection that could be used again.
    for (const bool idle : {false, true}) {
      if (idle) CHECK(world.run(world.call(server.url())).status == 200);
      HttpCall call = world.call(server.url());
      call.tag = 7;
      c.change(call);
      const HttpEnd end = world.run(call);
      CAPTURE(end.detail);
      CHECK(end.transport == c.transport);
      CHECK(end.sends == 0);
      CHECK(end.status == 0);
      CHECK(end.tag == 7);
      CHECK(end.detail.find(c.detail) != std::string::npos);
      CHECK(world.client.in_flight() == 0);
    }
  }
}

TEST_CASE("http_client: a connection that died unseen, and nobody listens any more") {
  std::atomic<bool> go{false};
  ScriptedServer server{[&](Peer& peer) {
    peer.request();
    peer.send(reply("hi"));
    wait_for([&] { return go.load(); });
  }};
  ClientWorld world;
  CHECK(world.run(world.call(server.url())).status == 200);
  server.stop_listening();
  go = true;
  CHECK(wait_for([&] { return server.ended() == 1; }));
  const HttpEnd end = world.run(world.call(server.url()));
  CHECK(end.transport == Transport::unreachable);
  CHECK(end.sends == 0);
}

// Goal: an answer counts although the server did not want the rest of the request.
TEST_CASE("http_client: an answer that comes before the request is out") {
  const std::string body(8 << 20, 'b');
  struct Case {
    std::string name;
    std::string bytes;
    bool waits;  // else it closes at once, which resets the connection: bytes are unread
    Transport transport;
  };
  const Case cases[] = {
      {"and waits", "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", true, Transport::complete},
      {"and resets", "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno", false,
       Transport::complete},
      // The reset cut it off, for all we know.
      {"without a length, and resets", "HTTP/1.1 413 Large\r\n\r\nno", false, Transport::broken},
      {"half, and resets", "HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nno", false,
       Transport::broken},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    std::atomic<bool> answered{false};
    ScriptedServer server{[&](Peer& peer) {
      peer.read(1000);
      pollfd more{.fd = peer.fd(), .events = POLLIN, .revents = 0};
      ::poll(&more, 1, -1);  // the client goes on until it is answered
      peer.send(c.bytes);
      answered = true;
      if (c.waits) peer.read_to_end();
    }};
    ClientWorld world;
    world.client.start(world.call(server.url(), body));
    CHECK(world.until([&] { return answered.load(); }));
    if (!c.waits) CHECK(wait_for([&] { return server.ended() == 1; }));
    const HttpEnd end = world.end();
    CAPTURE(end.detail);
    CHECK(end.transport == c.transport);
    CHECK(end.status == 413);
    CHECK(end.sends == 1);
    world.settle();
    CHECK(wait_for([&] { return server.ended() == 1; }));  // such a connection is not kept
  }
}

TEST_CASE("http_client: no answer within the time allowed") {
  std::atomic<bool> has_read{false};
  ScriptedServer server{[&](Peer& peer) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi");
    has_read = true;
    peer.read_to_end();
  }};
  ClientWorld world;
  world.client.start(world.call(server.url()));
  CHECK(world.until([&] { return has_read.load(); }));
  world.settle();
  world.clock.advance(Millis{9'999});
  world.settle();
  CHECK(world.ended.empty());
  world.clock.advance(Millis{1});
  const HttpEnd end = world.end();
  CHECK(end.transport == Transport::timed_out);
  CHECK(end.sends == 1);
  CHECK(end.duration_us == 10'000'000);
  CHECK(wait_for([&] { return server.ended() == 1; }));
}

TEST_CASE("http_client: a byte a second does not prolong the time allowed") {
  std::counting_semaphore<> tick{0};
  std::atomic<int> sent{0};
  ScriptedServer server{[&](Peer& peer) {
    peer.request();
    for (const char byte : reply("slow")) {
      if (!tick.try_acquire_for(std::chrono::seconds{10})) return;
      peer.send({&byte, 1});
      ++sent;
    }
  }};
  ClientWorld world;
  world.client.start(world.call(server.url()));
  for (int second = 1; second <= 10; ++second) {
    CHECK(world.ended.empty());
    tick.release();
    CHECK(world.until([&] { return sent == second; }));
    world.settle();
    world.clock.advance(Millis{1'000});
  }
  CHECK(world.end().transport == Transport::timed_out);
  tick.release(100);
}

TEST_CASE("http_client: no connection within the time allowed") {
  const FullListener full;
  struct Case {
    std::string name;
    Millis connect_timeout, timeout, allowed;
  };
  const Case cases[] = {
      {"the connection's own", Millis{2'000}, Millis{10'000}, Millis{2'000}},
      {"the call's, which is shorter", Millis{5'000}, Millis{3'000}, Millis{3'000}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ClientWorld world;
    // The limits are looked at when the first call's time is over, and then again in time.
    HttpCall early = world.call(url_of(full.port));
    early.connect_timeout = Millis{1'000};
    world.client.start(early);
    HttpCall call = world.call(url_of(full.port));
    call.connect_timeout = c.connect_timeout;
    call.timeout = c.timeout;
    world.client.start(call);
    world.settle();
    world.clock.advance(Millis{1'000});
    CHECK(world.end().duration_us == 1'000'000);
    world.clock.advance(c.allowed - Millis{1'001});
    world.settle();
    CHECK(world.ended.empty());
    world.clock.advance(Millis{1});
    const HttpEnd end = world.end();
    CHECK(end.transport == Transport::unreachable);
    CHECK(end.sends == 0);
  }
}

// Goal: one address of several that is silent costs some calls and not all of them.
TEST_CASE("http_client: an address that did not answer in time is tried last") {
  ScriptedServer good{always(reply("hi"))};
  const FullListener silent{good.port()};
  const std::string url = "http://localhost:" + std::to_string(good.port()) + "/";
  ClientWorld world;
  for (int i = 0; i < 3; ++i) world.client.start(world.call(url));
  world.settle();
  world.clock.advance(Millis{2'000});
  REQUIRE(world.until([&] { return world.ended.size() == 3; }));
  // Where localhost does not lead to ::1 first, they have reached the other one.
  const bool was_silent = world.ended[0].transport == Transport::unreachable;
  if (!was_silent) MESSAGE("localhost is not ::1 first: nothing is shown");
  world.ended.clear();
  CHECK(world.run(world.fresh(url)).body == "hi");
  CHECK(world.run(world.fresh(url)).body == "hi");
}

TEST_CASE("http_client: an end within start, when no file can be opened") {
  ScriptedServer server{always(reply("hi"))};
  ClientWorld world;
  CHECK(world.run(world.call(server.url())).status == 200);
  {
    const NoMoreFiles none;
    const HttpEnd end = world.run(world.fresh(server.url()));
    CHECK(end.transport == Transport::unreachable);
    CHECK(end.sends == 0);
    CHECK(world.run(world.call(server.url())).status == 200);  // on the connection there is
  }
  CHECK(world.run(world.fresh(server.url())).status == 200);
}

TEST_CASE("http_client: it goes with calls in all their states, and leaves no file open") {
  const int before = open_files();
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> read{0};
    ScriptedServer silent{[&](Peer& peer) {
      peer.request();
      ++read;
      peer.read_to_end();
    }};
    ScriptedServer half{[&](Peer& peer) {
      peer.read(1000);
      ++read;
      peer.read_to_end();
    }};
    ScriptedServer good{always(reply("hi"))};
    const FullListener full;
    ClientWorld world;
    CHECK(world.run(world.call(good.url())).status == 200);  // idle
    world.client.start(world.call(silent.url()));
    world.client.start(world.call(half.url(), std::string(8 << 20, 'b')));
    CHECK(world.until([&] { return read == 2; }));
    world.client.start(world.call(url_of(full.port)));
    world.settle();
    world.client.start(world.call("http://localhost:1/"));
    world.client.start(world.call("http://h/a b"));
  }
  CHECK(open_files() == before);
}

TEST_CASE("http_client: the guard is asked last, and what it stops has not left") {
  int requests = 0;
  ScriptedServer server{[&](Peer& peer) {
    while (!peer.request().empty()) {
      ++requests;
      peer.send(reply("hi"));
    }
  }};
  ClientWorld world;
  std::vector<std::uint64_t> asked;
  std::string says;
  world.client.set_guard([&](std::uint64_t tag) {
    asked.push_back(tag);
    return says;
  });
  HttpCall call = world.call(server.url());
  call.tag = 7;
  CHECK(world.run(call).sends == 1);
  CHECK(asked == std::vector<std::uint64_t>{7});

  // Over a connection that is open, and over one that has to be made first.
  says = "too late";
  for (const bool fresh : {false, true}) {
    CAPTURE(fresh);
    call.fresh_connection = fresh;
    const HttpEnd end = world.run(call);
    CHECK(end.transport == Transport::refused);
    CHECK(end.sends == 0);
    CHECK(end.detail == "too late");
    CHECK(end.tag == 7);
  }
  CHECK(asked.size() == 3);

  // By then the answer may be another one: it is asked when the connection stands, not before.
  says.clear();
  HttpCall slow = world.fresh(server.url());
  world.client.start(slow);
  says = "meanwhile";
  CHECK(world.end().sends == 0);
  CHECK(requests == 1);
}
