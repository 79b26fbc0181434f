// Goal: a lock in Redis keeps others away for exactly as long as it says, whatever becomes of
// Redis. Method: a real redis-server that is killed, emptied, paused, made a replica; a listener
// that answers rubbish; the daemon's time moves by hand.
#include "tests/conformance/coordination_world.hpp"
#include "tests/support/scripted_server.hpp"

using namespace vouch;
using namespace vouch::test;
using wire::RedisReply;

namespace {

constexpr const char* kKey = "vouch:1:range:1:2";

std::int64_t ttl_ms(RedisServer& server, const std::string& key = kKey) {
  return server.ask({"PTTL", key}).number;
}

}  // namespace

TEST_CASE("redis locks: who comes second is refused, told by whom, and has it once it is free") {
  RedisServer server;
  RedisOwner north{server.address(), "north"};
  RedisOwner south{server.address(), "south"};
  LeasePtr first = claim(north.coordination, "range:1:2", 41);
  north.run();
  const LeasePtr second = claim(south.coordination, "range:1:2", 42);
  south.run();
  CHECK(first->state() == Lease::State::held);
  CHECK(second->state() == Lease::State::refused);
  CHECK_FALSE(second->covers(south.clock.now(), Nanos{1}));
  CHECK(south.coordination.holder_of("range:1:2") == "main on north 41");
  CHECK(south.coordination.view().refused == 1);

  first.reset();
  north.run();
  CHECK(north.coordination.view().released == 1);
  const LeasePtr third = claim(south.coordination, "range:1:2", 43);
  south.run();
  CHECK(third->state() == Lease::State::held);
}

TEST_CASE("redis locks: an earlier run's lock is taken over at once, another machine's is not") {
  RedisServer server;
  RedisOwner before{server.address(), "here/1"};
  const LeasePtr old = claim(before.coordination, "range:1:2", 1);
  before.run();
  RedisOwner other{server.address(), "here"};  // its place is the beginning of the first's
  const LeasePtr stranger = claim(other.coordination, "range:1:2", 2);
  other.run();
  CHECK(stranger->state() == Lease::State::refused);
  RedisOwner after{server.address(), "here/1"};
  const LeasePtr taken = claim(after.coordination, "range:1:2", 3);
  after.run();
  CHECK(taken->state() == Lease::State::held);

  // The one before finds out, and lets it be.
  before.clock.advance(kLife / 2);
  other.run();
  CHECK(ttl_ms(server) > 0);
}

TEST_CASE("redis locks: a lock lives for its life and its grace, and is renewed in time") {
  RedisServer server;
  RedisOwner owner{server.address()};
  const LeasePtr lease = owner.coordination.claim(
      {.name = "range:1:2", .epoch = 1, .life = kLife, .grace = Millis{70'000}});
  owner.run();
  const Instant begun = owner.clock.now();
  CHECK(lease->until() < begun + kLife);
  CHECK(lease->until() > begun + kLife * 98 / 100);
  CHECK(ttl_ms(server) > 95'000);
  CHECK(ttl_ms(server) <= 100'000);

  server.ask({"PEXPIRE", kKey, "40000"});
  owner.clock.advance(kLife / 3 - Millis{1});
  owner.run();
  CHECK(ttl_ms(server) <= 40'000);
  owner.clock.advance(Millis{1});
  owner.run();
  CHECK(ttl_ms(server) > 95'000);
  CHECK(lease->until() > begun + kLife);
  CHECK(owner.coordination.view().renewed == 1);
}

// Redis counts from when it was asked, or a little later: whoever counts from the answer goes on
// calling when the lock is somebody else's.
TEST_CASE("redis locks: a lock's life is counted from the asking, however late the answer") {
  RedisServer server;
  RedisOwner owner{server.address()};
  owner.exchange_takes = kLife / 5;
  const LeasePtr lease = claim(owner.coordination, "range:1:2", 1);
  const Instant asked = owner.clock.now();
  owner.run();
  CHECK(owner.clock.now() == asked + kLife / 5);
  CHECK(lease->state() == Lease::State::held);
  CHECK(lease->until() < asked + kLife);
  CHECK(lease->until() > asked + kLife * 98 / 100);

  // It is renewed a third of its life after it was asked for, and counted in the same way.
  owner.clock.advance(asked + kLife / 3 - owner.clock.now());
  const Instant renewed = owner.clock.now();
  owner.run();
  CHECK(owner.coordination.view().renewed == 1);
  CHECK(lease->until() < renewed + kLife);
  CHECK(lease->until() > renewed + kLife * 98 / 100);

  // An answer that is later than the lock's end is worth nothing.
  owner.exchange_takes = kLife;
  const LeasePtr late = claim(owner.coordination, "range:1:3", 2);
  owner.run();
  CHECK_FALSE(late->covers(owner.clock.now(), Nanos{1}));
}

TEST_CASE("redis locks: whoever slept through its lock's life has lost it for good") {
  RedisServer server;
  RedisOwner owner{server.address()};
  const LeasePtr lease = claim(owner.coordination, "range:1:2", 1);
  owner.run();
  owner.clock.advance(kLife);
  CHECK_FALSE(lease->covers(owner.clock.now(), Nanos{1}));  // before anybody has noticed
  owner.run();
  CHECK(lease->state() == Lease::State::over);
  CHECK(owner.coordination.view().ran_out == 1);
  CHECK(server.ask({"EXISTS", kKey}).number == 0);  // and does not stand in others' way
  const LeasePtr next = claim(owner.coordination, "range:1:2", 2);
  owner.run();
  CHECK(next->state() == Lease::State::held);
  CHECK(lease->state() == Lease::State::over);
}

TEST_CASE("redis locks: emptied, it is filled again, unless somebody was faster") {
  RedisServer server;
  RedisOwner owner{server.address()};
  const LeasePtr mine = claim(owner.coordination, "range:1:2", 1);
  const LeasePtr theirs = claim(owner.coordination, "range:1:3", 2);
  owner.run();
  server.ask({"FLUSHALL"});
  server.ask({"SET", "vouch:1:range:1:3", "elsewhere other on south 9"});
  owner.clock.advance(kLife / 3);
  owner.run();
  CHECK(mine->state() == Lease::State::held);
  CHECK(server.ask({"GET", kKey}).text == "here main on north 1");
  CHECK(theirs->state() == Lease::State::over);
  CHECK(owner.coordination.holder_of("range:1:3") == "other on south 9");
  CHECK(server.ask({"GET", "vouch:1:range:1:3"}).text == "elsewhere other on south 9");
}

TEST_CASE("redis locks: killed and restarted empty: on by the lock file, then locked again") {
  RedisServer server;
  RedisOwner owner{server.address()};
  const LeasePtr before = claim(owner.coordination, "range:1:2", 1);
  owner.run();
  server.kill();
  const LeasePtr meanwhile = claim(owner.coordination, "range:1:3", 2);
  owner.run();
  CHECK(meanwhile->state() == Lease::State::held);
  CHECK_FALSE(owner.coordination.view().is_up);
  CHECK(owner.coordination.view().by_ledger == 1);
  // For as long as it takes, and without waiting for a round.
  for (int round = 0; round < 10; ++round) {
    owner.clock.advance(kLife / 3);
    owner.run();
  }
  CHECK(before->covers(owner.clock.now(), kLife / 2));
  CHECK(meanwhile->covers(owner.clock.now(), kLife / 2));
  CHECK(claim(owner.coordination, "range:1:4", 3)->covers(owner.clock.now(), kLife / 2));

  server.restart();
  owner.clock.advance(Millis{1'000});
  owner.run();
  owner.run();
  CHECK(owner.coordination.view().is_up);
  CHECK(server.ask({"EXISTS", kKey, "vouch:1:range:1:3"}).number == 2);
  CHECK(before->state() == Lease::State::held);
  REQUIRE(owner.turns.size() == 3);
  CHECK(owner.turns[0] == "up: there");
  CHECK(owner.turns[1].starts_with("lost: "));
  CHECK(owner.turns[2] == "up: there again");

  // Whoever sleeps while Redis is away has lost its leases, too.
  server.kill();
  owner.clock.advance(kLife / 3);
  owner.run();
  owner.clock.advance(kLife);
  owner.run();
  CHECK(before->state() == Lease::State::over);
}

TEST_CASE("redis locks: errors and rubbish are no locks, and stop nobody") {
  struct Case {
    const char* name;
    std::string bytes;
  };
  const std::string role = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
  const Case cases[] = {
      {"loading", "-LOADING Redis is loading the dataset in memory\r\n"},
      {"out of memory", role + "-OOM command not allowed\r\n"},
      {"a replica", "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:1\r\n"},
      {"read-only since a moment", role + "-READONLY You can't write against a replica\r\n"},
      {"OK to everything", "+OK\r\n+OK\r\n+OK\r\n"},
      {"another number", role + ":0\r\n"},
      {"nothing there", role + "$-1\r\n"},
      {"lists", role + "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"},
      {"not Redis", "HTTP/1.1 400 Bad Request\r\n\r\n"},
      {"no protocol", std::string(4096, '\xff')},
      {"a length out of this world", role + "$999999999999\r\n"},
      {"half an answer", role + ":"},
      {"silence", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ScriptedServer rubbish{[&](Peer& peer) {
      peer.read(4);
      peer.send(c.bytes);
      if (!c.bytes.empty()) peer.finish();
      peer.read_to_end();
    }};
    wire::RedisAddress address;
    address.hosts = {{"127.0.0.1", rubbish.port()}};
    RedisOwner owner{address};
    const LeasePtr lease = claim(owner.coordination, "range:1:2", 1);
    owner.run();
    CHECK_FALSE(owner.coordination.view().is_up);
    CHECK(owner.coordination.view().granted == 0);
    CHECK(lease->state() == Lease::State::held);
    REQUIRE(owner.turns.size() == 1);
    CHECK(owner.turns[0].size() > 12);
    CHECK(owner.turns[0].size() < 200);
  }
}

TEST_CASE("redis locks: a pause of Redis holds nobody up, and costs no lock") {
  RedisServer server;
  RedisOwner owner{server.address()};
  const LeasePtr lease = claim(owner.coordination, "range:1:2", 1);
  owner.run();
  server.ask({"CLIENT", "PAUSE", "60000", "ALL"});
  owner.clock.advance(kLife / 3);
  owner.run();  // for two seconds of real time
  CHECK_FALSE(owner.coordination.view().is_up);
  CHECK(owner.coordination.view().problem == "no answer within the time allowed");
  CHECK(lease->covers(owner.clock.now(), kLife / 2));
}

TEST_CASE("redis locks: with a password, in a database, and without what is needed") {
  RedisServer server{{"--requirepass", "s3cret-tea"}};
  wire::RedisAddress address = server.address();
  address.database = 3;
  RedisOwner right{address, "here", "s3cret-tea"};
  const LeasePtr lease = claim(right.coordination, "range:1:2", 1);
  right.run();
  CHECK(right.coordination.view().is_up);
  CHECK(lease->state() == Lease::State::held);
  for (const std::string& password : {std::string{}, std::string{"wrong-tea"}}) {
    RedisOwner wrong{server.tcp_address(), "here", password};
    wrong.run();
    CHECK_FALSE(wrong.coordination.view().is_up);
    CHECK(wrong.coordination.view().problem.find("tea") == std::string::npos);
  }
}

TEST_CASE("redis locks: sentinels say who the master is, also when it is another one") {
  RedisServer first;
  RedisServer second;
  const auto watch = [](const RedisServer& server) {
    return "sentinel monitor shop 127.0.0.1 " + std::to_string(server.port()) + " 1\n";
  };
  RedisServer sentinel{RedisServer::Sentinel{watch(first)}};
  wire::RedisAddress address;
  address.hosts = {{"127.0.0.1", 1}, sentinel.tcp_address().hosts.front()};  // one of them is away
  address.master = "shop";
  RedisOwner owner{address};
  const LeasePtr lease = claim(owner.coordination, "range:1:2", 1);
  owner.run();
  REQUIRE(owner.coordination.view().is_up);
  CHECK(first.ask({"EXISTS", kKey}).number == 1);

  // The sentinel agrees on the second; the first learns that it is a replica now.
  sentinel.tell("SENTINEL REMOVE shop");
  sentinel.tell(watch(second).substr(0, watch(second).size() - 1));
  first.ask({"REPLICAOF", "127.0.0.1", std::to_string(second.port())});
  owner.clock.advance(kLife / 3);
  owner.run();
  CHECK_FALSE(owner.coordination.view().is_up);  // who was the master may not be written to
  CHECK(lease->covers(owner.clock.now(), kLife / 2));
  owner.clock.advance(Millis{1'000});
  owner.run();
  CHECK(owner.coordination.view().is_up);
  CHECK(second.ask({"GET", kKey}).text == "here main on north 1");
}
