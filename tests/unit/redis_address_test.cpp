// Where a Redis is, as operators write it: what is read, and what is refused with a hint.
#include "common/wire/redis_address.hpp"

#include <doctest/doctest.h>

using namespace vouch;
using wire::RedisAddress;

TEST_CASE("redis_address: every form is read, and written the same way") {
  struct Case {
    std::string text;
    std::string written;
    RedisAddress want;
  };
  const Case cases[] = {
      {"redis://cache", "redis://cache:6379", {.hosts = {{"cache", 6379}}}},
      {"redis://10.0.0.7:7000/3",
       "redis://10.0.0.7:7000/3",
       {.hosts = {{"10.0.0.7", 7000}}, .database = 3}},
      {"redis://[::1]:7000", "redis://[::1]:7000", {.hosts = {{"::1", 7000}}}},
      {"redis://vouch@cache/0",
       "redis://vouch@cache:6379",
       {.hosts = {{"cache", 6379}}, .user = "vouch"}},
      {"unix:/run/redis/redis.sock",
       "unix:/run/redis/redis.sock",
       {.path = "/run/redis/redis.sock"}},
      {"unix:/run/redis.sock?db=2",
       "unix:/run/redis.sock?db=2",
       {.path = "/run/redis.sock", .database = 2}},
      {"sentinel://a,b:1,c/shop",
       "sentinel://a:26379,b:1,c:26379/shop",
       {.hosts = {{"a", 26379}, {"b", 1}, {"c", 26379}}, .master = "shop"}},
      {"sentinel://u@a/shop/4",
       "sentinel://u@a:26379/shop/4",
       {.hosts = {{"a", 26379}}, .master = "shop", .user = "u", .database = 4}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto got = wire::parse_redis_address(c.text);
    REQUIRE(got);
    CHECK(got->hosts == c.want.hosts);
    CHECK(got->path == c.want.path);
    CHECK(got->master == c.want.master);
    CHECK(got->user == c.want.user);
    CHECK(got->database == c.want.database);
    CHECK(got->text() == c.written);
  }
}

TEST_CASE("redis_address: what is none is refused, with the forms that are") {
  for (const char* text : {"",
                           "cache",
                           "cache:6379",
                           "http://cache",
                           "redis://",
                           "redis://:6379",
                           "redis://a:0",
                           "redis://a:65536",
                           "redis://a:x",
                           "redis://a b",
                           "redis://a/x",
                           "redis://a/-1",
                           "redis://a,b",
                           "redis://[::1",
                           "unix:redis.sock",
                           "unix:/a?db=x",
                           "unix:/a?x=1",
                           "sentinel://a",
                           "sentinel:///shop",
                           "sentinel://a,,b/shop"}) {
    CAPTURE(text);
    const auto got = wire::parse_redis_address(text);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Errc::invalid);
    CHECK(got.error().hint.find("redis://HOST:PORT/DB") != std::string::npos);
  }
}

TEST_CASE("redis_address: a password in it is refused, and not repeated") {
  const auto got = wire::parse_redis_address("redis://vouch:s3cret@cache");
  REQUIRE_FALSE(got);
  CHECK(got.error().message.find("s3cret") == std::string::npos);
  CHECK(got.error().hint.find("redis-password-file") != std::string::npos);
}
