// model_redis.hpp: a Redis as the daemon's locks know it, with the moods of one.
//
// It understands the two scripts of redis_coordination.cpp by the number of their arguments, and
// keeps keys until they run out.  It outlives the simulated daemon.
//
// Threads: the simulation's only one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/text.hpp"
#include "common/wire/redis_connection.hpp"

namespace vouch::test {

class ModelRedis {
 public:
  enum class Mood : std::uint8_t { well, gone, silent, errors, rubbish };
  explicit ModelRedis(const Clock& clock) : clock_{clock} {}

  void be(Mood mood, Instant until) {
    mood_ = mood;
    until_ = until;
  }
  void empty() {
    keys_.clear();
    if (is_well()) be(Mood::well, clock_.now());
  }
  // Somebody else locks what is free.
  bool seize(const std::string& key, Instant until) {
    if (value_of(key)) return false;
    keys_[key] = {kRival, until};
    return true;
  }
  void forget_rivals() {
    std::erase_if(keys_, [](const auto& one) { return one.second.value == kRival; });
  }
  [[nodiscard]] bool is_well() const { return mood_ == Mood::well || clock_.now() >= until_; }
  // Since when whoever asks has been answered, and has found what he had set.
  [[nodiscard]] Instant well_since() const { return until_; }
  [[nodiscard]] std::optional<std::string> value_of(const std::string& key) const {
    const auto found = keys_.find(key);
    if (found == keys_.end() || found->second.until <= clock_.now()) return std::nullopt;
    return found->second.value;
  }

  [[nodiscard]] Nanos time_left(const std::string& key) const {
    const auto found = keys_.find(key);
    return found == keys_.end() ? Nanos{0} : found->second.until - clock_.now();
  }

  Result<std::vector<wire::RedisReply>> exchange(const std::vector<wire::RedisCommand>& commands) {
    const Mood mood = is_well() ? Mood::well : mood_;
    if (mood == Mood::gone) return fail(Errc::unavailable, "connection refused");
    std::vector<wire::RedisReply> replies;
    for (const wire::RedisCommand& command : commands) {
      replies.push_back(mood == Mood::errors    ? error("LOADING the dataset")
                        : mood == Mood::rubbish ? text("OK?")
                                                : carry_out(command));
    }
    if (mood == Mood::rubbish && replies.size() == 1) replies.clear();
    // Carried out, and nobody hears of it.
    if (mood == Mood::silent) return fail(Errc::unavailable, "no answer within the time allowed");
    return replies;
  }

 private:
  static constexpr const char* kRival = "elsewhere a rival 1";
  struct Key {
    std::string value;
    Instant until;
  };
  using Reply = wire::RedisReply;
  static Reply number(std::int64_t value) {
    return {.kind = Reply::Kind::number, .text = {}, .number = value, .list = {}};
  }
  static Reply text(std::string value) {
    return {.kind = Reply::Kind::text, .text = std::move(value), .number = 0, .list = {}};
  }
  static Reply error(std::string value) {
    return {.kind = Reply::Kind::error, .text = std::move(value), .number = 0, .list = {}};
  }

  Reply carry_out(const wire::RedisCommand& command) {
    if (command.size() < 5) return text("PONG");
    const std::string& key = command[3];
    const std::string& token = command[4];
    const auto holder = value_of(key);
    if (command.size() == 5) {  // release
      if (holder != token) return number(0);
      return number(static_cast<std::int64_t>(keys_.erase(key)));
    }
    const bool earlier = holder && !command[6].empty() && holder->starts_with(command[6]);
    if (holder && *holder != token && !earlier) return text(*holder);
    keys_[key] = {token, clock_.now() + Millis{*parse_integer(command[5])}};
    return number(1);
  }

  const Clock& clock_;
  std::map<std::string, Key> keys_;
  Mood mood_ = Mood::well;
  Instant until_{};
};

}  // namespace vouch::test
