#include "common/wire/redis_connection.hpp"

#include <hiredis/hiredis.h>

#include <cerrno>
#include <utility>

#include "common/text.hpp"

namespace vouch::wire {
namespace {

struct FreeContext {
  void operator()(redisContext* context) const noexcept { redisFree(context); }
};
struct FreeReply {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using ContextHandle = std::unique_ptr<redisContext, FreeContext>;
using ReplyHandle = std::unique_ptr<redisReply, FreeReply>;
using Host = RedisAddress::Host;

constexpr const char* kLate = "no answer within the time allowed";
constexpr int kDepthMax = 4;  // of lists within lists; ours have one

timeval to_timeval(Millis limit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const auto rest = std::chrono::duration_cast<std::chrono::microseconds>(limit - seconds);
  return {.tv_sec = seconds.count(), .tv_usec = rest.count()};
}

std::string words_of(const redisContext& context) {
  const bool late = context.err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
  return late ? kLate : context.errstr;
}

RedisReply to_reply(const redisReply& raw, int depth = 0) {
  RedisReply reply;
  switch (raw.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      reply.kind = RedisReply::Kind::text;
      reply.text.assign(raw.str, raw.len);
      break;
    case REDIS_REPLY_ERROR:
      reply.kind = RedisReply::Kind::error;
      reply.text.assign(raw.str, raw.len);
      break;
    case REDIS_REPLY_INTEGER:
      reply.kind = RedisReply::Kind::number;
      reply.number = raw.integer;
      break;
    case REDIS_REPLY_ARRAY:
      reply.kind = RedisReply::Kind::list;
      for (std::size_t i = 0; depth < kDepthMax && i < raw.elements; ++i) {
        reply.list.push_back(to_reply(*raw.element[i], depth + 1));
      }
      break;
    default:
      break;
  }
  return reply;
}

// Each wait has its own limit in hiredis; `until` bounds them all.
Result<std::vector<RedisReply>> run(redisContext& context,
                                    const std::vector<RedisCommand>& commands, const Clock& clock,
                                    Instant until) {
  for (const RedisCommand& command : commands) {
    std::vector<const char*> words;
    std::vector<std::size_t> sizes;
    for (const std::string& word : command) {
      words.push_back(word.data());
      sizes.push_back(word.size());
    }
    if (redisAppendCommandArgv(&context, static_cast<int>(words.size()), words.data(),
                               sizes.data()) != REDIS_OK) {
      return fail(Errc::unavailable, words_of(context));
    }
  }
  std::vector<RedisReply> replies;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (clock.now() >= until) return fail(Errc::unavailable, kLate);
    void* raw = nullptr;
    errno = 0;
    if (redisGetReply(&context, &raw) != REDIS_OK) {
      return fail(Errc::unavailable, words_of(context));
    }
    const ReplyHandle reply{static_cast<redisReply*>(raw)};
    replies.push_back(to_reply(*reply));
  }
  return replies;
}

Result<ContextHandle> open(const RedisAddress& address, const Host& host, Millis limit) {
  const timeval time = to_timeval(limit);
  errno = 0;
  ContextHandle context{address.path.empty()
                            ? redisConnectWithTimeout(host.name.c_str(), host.port, time)
                            : redisConnectUnixWithTimeout(address.path.c_str(), time)};
  if (!context) return fail(Errc::unavailable, "out of memory");
  if (context->err != 0) return fail(Errc::unavailable, words_of(*context));
  if (redisSetTimeout(context.get(), time) != REDIS_OK) {
    return fail(Errc::unavailable, words_of(*context));
  }
  return context;
}

bool says(const RedisReply& reply, std::string_view text) {
  return reply.kind == RedisReply::Kind::text && reply.text == text;
}

}  // namespace

struct RedisConnection::State {
  const Clock& clock;
  RedisAddress address;
  std::string password;
  Millis limit;
  ContextHandle context;

  [[nodiscard]] Result<std::vector<RedisReply>> ask(
      redisContext& whom, const std::vector<RedisCommand>& commands) const {
    return run(whom, commands, clock, clock.now() + limit);
  }
  [[nodiscard]] Result<void> connect();
  [[nodiscard]] Result<Host> master() const;
  [[nodiscard]] Result<void> greet(redisContext& fresh) const;
};

// Who the first sentinel that answers names.
Result<Host> RedisConnection::State::master() const {
  std::string why;
  for (const Host& sentinel : address.hosts) {
    auto opened = open(address, sentinel, limit);
    auto replies = opened ? ask(**opened, {{"SENTINEL", "get-master-addr-by-name", address.master}})
                          : Result<std::vector<RedisReply>>{tl::unexpected(opened.error())};
    const std::string name = sentinel.name + ":" + std::to_string(sentinel.port);
    if (!replies) {
      why += "; sentinel " + name + ": " + replies.error().message;
      continue;
    }
    const std::vector<RedisReply>& pair = replies->front().list;
    const std::int64_t port =
        pair.size() == 2 ? parse_integer(pair[1].text).value_or(0) : std::int64_t{0};
    if (port >= 1 && port <= 65535) return Host{pair[0].text, static_cast<std::uint16_t>(port)};
    why += "; sentinel " + name + " knows no master " + address.master;
  }
  return fail(Errc::unavailable, why.empty() ? "no sentinel" : why.substr(2));
}

// Says who we are, and hears that there is a Redis at the other end, and no replica.
Result<void> RedisConnection::State::greet(redisContext& fresh) const {
  std::vector<RedisCommand> commands;
  if (!password.empty()) {
    RedisCommand auth{"AUTH"};
    if (!address.user.empty()) auth.push_back(address.user);
    auth.push_back(password);
    commands.push_back(std::move(auth));
  }
  if (address.database != 0) commands.push_back({"SELECT", std::to_string(address.database)});
  commands.push_back({"ROLE"});
  VOUCH_TRY(const auto replies, ask(fresh, commands));
  for (std::size_t i = 0; i + 1 < replies.size(); ++i) {
    if (says(replies[i], "OK")) continue;
    return fail(Errc::unavailable, commands[i].front() + " was answered " + replies[i].text);
  }
  const RedisReply& role = replies.back();
  if (role.kind == RedisReply::Kind::error) return fail(Errc::unavailable, role.text);
  if (role.list.empty() || !says(role.list.front(), "master")) {
    return fail(Errc::unavailable, "what answers there is no master");
  }
  return {};
}

Result<void> RedisConnection::State::connect() {
  Host host = address.hosts.empty() ? Host{} : address.hosts.front();
  if (!address.master.empty()) {
    VOUCH_TRY(host, master());
  }
  VOUCH_TRY(ContextHandle fresh, open(address, host, limit));
  VOUCH_CHECK(greet(*fresh));
  context = std::move(fresh);
  return {};
}

RedisConnection::RedisConnection(const Clock& clock, RedisAddress address, std::string password,
                                 Millis limit)
    : state_{new State{clock, std::move(address), std::move(password), limit, nullptr}} {}
RedisConnection::~RedisConnection() = default;

Result<std::vector<RedisReply>> RedisConnection::exchange(const std::vector<RedisCommand>& commands,
                                                          bool anew) {
  if (anew) state_->context.reset();
  if (!state_->context) VOUCH_CHECK(state_->connect());
  auto replies = state_->ask(*state_->context, commands);
  // Whatever comes later on it would be taken for an answer to something else.
  if (!replies) state_->context.reset();
  return replies;
}

}  // namespace vouch::wire
