#include "common/wire/redis_address.hpp"

#include <optional>

#include "common/text.hpp"

namespace vouch::wire {
namespace {

constexpr std::string_view kRedis = "redis://";
constexpr std::string_view kSentinel = "sentinel://";
constexpr std::string_view kUnix = "unix:";
constexpr std::uint16_t kRedisPort = 6379;
constexpr std::uint16_t kSentinelPort = 26379;
constexpr std::int64_t kDatabaseMax = 1'000'000;

tl::unexpected<Error> refuse(std::string_view text, const std::string& why) {
  return fail(Errc::invalid, "\"" + std::string{text} + "\": " + why,
              "write redis://HOST:PORT/DB, unix:/PATH, or sentinel://HOST:PORT,HOST:PORT/MASTER");
}

std::optional<std::int64_t> number(std::string_view text, std::int64_t least, std::int64_t most) {
  const auto value = parse_integer(text);
  if (!value || *value < least || *value > most) return std::nullopt;
  return *value;
}

// HOST, HOST:PORT or [IPV6]:PORT.
std::optional<RedisAddress::Host> host_of(std::string_view text, std::uint16_t port) {
  std::string_view name = text;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    name = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    name = text.substr(0, text.find(':'));
    text.remove_prefix(name.size());
  }
  if (name.empty() || name.find_first_of(" \t/?#@[]") != std::string_view::npos) {
    return std::nullopt;
  }
  if (text.empty()) return RedisAddress::Host{std::string{name}, port};
  const auto given = text.starts_with(':') ? number(text.substr(1), 1, 65535) : std::nullopt;
  if (!given) return std::nullopt;
  return RedisAddress::Host{std::string{name}, static_cast<std::uint16_t>(*given)};
}

// What stands before the first `mark`, which is taken off with it.
std::string_view cut(std::string_view& rest, char mark) {
  const auto at = rest.find(mark);
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return part;
}

Result<RedisAddress> parse_unix(std::string_view text) {
  RedisAddress address;
  std::string_view rest = text.substr(kUnix.size());
  address.path = cut(rest, '?');
  if (!address.path.starts_with('/')) return refuse(text, "a socket's path begins with /");
  if (rest.empty()) return address;
  constexpr std::string_view kDb = "db=";
  const auto db =
      rest.starts_with(kDb) ? number(rest.substr(kDb.size()), 0, kDatabaseMax) : std::nullopt;
  if (!db) return refuse(text, "behind ? only db=NUMBER may stand");
  address.database = static_cast<int>(*db);
  return address;
}

Result<RedisAddress> parse_hosts(std::string_view text, bool sentinel) {
  RedisAddress address;
  std::string_view rest = text.substr(sentinel ? kSentinel.size() : kRedis.size());
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    address.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    if (address.user.find(':') != std::string::npos) {
      return fail(Errc::invalid, "a password has no place in the address of Redis",
                  "put it into a file of its own: redis-password-file");
    }
  }
  std::string_view hosts = cut(rest, '/');
  do {
    const auto host = host_of(cut(hosts, ','), sentinel ? kSentinelPort : kRedisPort);
    if (!host) return refuse(text, "a host and its port are missing or wrong");
    address.hosts.push_back(*host);
  } while (sentinel && !hosts.empty());
  if (!hosts.empty()) return refuse(text, "several hosts are sentinels: write sentinel://");
  if (sentinel) {
    address.master = cut(rest, '/');
    if (address.master.empty()) return refuse(text, "the name of the master is missing");
  }
  if (rest.empty()) return address;
  const auto db = number(rest, 0, kDatabaseMax);
  if (!db) return refuse(text, "the database is a number");
  address.database = static_cast<int>(*db);
  return address;
}

}  // namespace

std::string RedisAddress::text() const {
  const std::string db = database == 0 ? "" : std::to_string(database);
  if (!path.empty()) return std::string{kUnix} + path + (db.empty() ? "" : "?db=" + db);
  std::vector<std::string> names;
  for (const Host& host : hosts) {
    const bool is_v6 = host.name.find(':') != std::string::npos;
    names.push_back((is_v6 ? "[" + host.name + "]" : host.name) + ":" + std::to_string(host.port));
  }
  return std::string{master.empty() ? kRedis : kSentinel} + (user.empty() ? "" : user + "@") +
         join(names, ",") + (master.empty() ? "" : "/" + master) + (db.empty() ? "" : "/" + db);
}

Result<RedisAddress> parse_redis_address(std::string_view text) {
  if (text.starts_with(kUnix)) return parse_unix(text);
  if (text.starts_with(kRedis)) return parse_hosts(text, false);
  if (text.starts_with(kSentinel)) return parse_hosts(text, true);
  return refuse(text, "is no address of Redis");
}

}  // namespace vouch::wire
