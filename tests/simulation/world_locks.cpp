// Locks in the simulated Redis: what befalls them, and what must hold of every call that leaves.
#include <algorithm>

#include "tests/simulation/world.hpp"

namespace vouch::test {
namespace {

// Between a permit and the first byte, of all calls.
constexpr double kSleepyCalls = 0.002;

std::string range_key(ObjectId job, std::int64_t range) {
  return std::string{kLockPrefix} + "range:" + format_id(ObjectKind::job, job) + ":" +
         std::to_string(range);
}

bool is_ours(const std::optional<std::string>& token) {
  return token && token->starts_with(std::string{kLockPlace} + " ");
}

}  // namespace

Nanos World::longer_than_a_lock() {
  const Millis life = service::lock_life(settings_.engine.lock, settings_.timeout);
  return life + life * static_cast<std::int64_t>(10 + random.below(100)) / 100;
}

void World::chaos_redis() {
  happened("Redis in trouble");
  constexpr std::array kMoods = {ModelRedis::Mood::gone, ModelRedis::Mood::silent,
                                 ModelRedis::Mood::errors, ModelRedis::Mood::rubbish};
  if (random.chance(0.5)) redis.empty();
  const auto mood = random.below(kMoods.size() + 1);
  if (mood == kMoods.size()) return;  // emptied, or nothing at all
  redis.be(kMoods[mood], clock.now() + Millis{static_cast<std::int64_t>(random.below(12'000))});
}

void World::chaos_rival() {
  if (specs_.empty()) return;
  const JobSpec& spec = specs_[random.below(specs_.size())];
  const auto ranges = static_cast<std::uint64_t>(SampleLists::shared().at(spec.list).ranges);
  const std::string key = range_key(
      spec.id, static_cast<std::int64_t>(random.below(std::max<std::uint64_t>(1, ranges))));
  const Instant until = clock.now() + Millis{500 + static_cast<std::int64_t>(random.below(8'000))};
  if (redis.seize(key, until)) happened("a rival has a lock");
}

void World::chaos_sleep() {
  happened("slept");
  let_time_pass(longer_than_a_lock());
}

void World::sleep_before_a_call() {
  if (!settings_.redis || calm_ || !random.chance(kSleepyCalls)) return;
  happened("slept before a call");
  let_time_pass(longer_than_a_lock());
}

// The lock of a call that leaves is there, and is ours; it is the range's, under the epoch that the
// ledger has, or the issuance's.  While Redis is in trouble, and until the locks have been renewed
// since, only the ledger knows.
void World::check_lock(const std::string& request_id) {
  const Millis life = service::lock_life(settings_.engine.lock, settings_.timeout);
  if (!settings_.redis || !redis.is_well() || clock.now() < redis.well_since() + life) return;
  // Who slept until after Redis came back does not know it yet.
  if (locks_ran_at_ < redis.well_since()) return;
  if (is_ours(redis.value_of(kLockPrefix + ("issuance:" + request_id)))) return;
  const auto range = audit_->range_of(parse_request_id(request_id)->key);
  if (!range) return wrong("a call leaves without a row, for " + request_id);
  const auto token = redis.value_of(range_key(range->job, range->range));
  if (!is_ours(token)) {
    return wrong("a call leaves without a lock, for " + request_id + ": " +
                 token.value_or("nobody has it"));
  }
  if (!token->ends_with(" " + std::to_string(range->epoch))) {
    wrong("a call leaves under the lock " + *token + ", and the ledger's epoch is " +
          std::to_string(range->epoch));
  }
}

}  // namespace vouch::test
