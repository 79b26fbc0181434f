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

// Some awake while their locks still hold, but for no call any more.
Nanos World::a_long_sleep() {
  const Millis life = service::lock_life(settings_.engine.lock, settings_.timeout);
  return life * static_cast<std::int64_t>(60 + random.below(150)) / 100;
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
  stand_still(a_long_sleep());
}

void World::sleep_before_a_call() {
  if (!settings_.redis || calm_ || !random.chance(kSleepyCalls)) return;
  happened("slept before a call");
  stand_still(a_long_sleep());
}

void World::stand_still(Nanos how_long) {
  let_time_pass(how_long);
  awake_since_ = clock.now();
}

// While Redis is in trouble, and until the locks have been renewed since, only the ledger knows.
bool World::locks_can_be_told() const {
  const Millis life = service::lock_life(settings_.engine.lock, settings_.timeout);
  if (!settings_.redis || !redis.is_well() || clock.now() < redis.well_since() + life) return false;
  // Who slept until after Redis came back does not know it yet.
  return locks_ran_at_ >= redis.well_since();
}

// The key of the lock that a row is called under: the issuance's, or its range's.  The issuance's
// may have been left behind, by a call before, where Redis was away when it was to be released.
std::optional<std::string> World::lock_of(const std::string& request_id) {
  const std::string alone = kLockPrefix + ("issuance:" + request_id);
  const bool has_own = is_ours(redis.value_of(alone));
  const auto range = audit_->range_of(parse_request_id(request_id)->key);
  if (!range) return has_own ? std::optional{alone} : std::nullopt;
  const std::string shared = range_key(range->job, range->range);
  const bool is_shared = is_ours(redis.value_of(shared));
  const bool is_alone = has_own && (!is_shared || redis.time_left(alone) > redis.time_left(shared));
  return is_alone ? alone : shared;
}

// The lock of a call that leaves is there, and is ours; a range's has the epoch that the ledger
// has.  It lasts until the call has ended and what it did has settled, whatever becomes of us.
void World::check_lock(const std::string& request_id, const WorldSettings::Contracted& of) {
  if (!locks_can_be_told()) return;
  const auto key = lock_of(request_id);
  if (!key) return wrong("a call leaves without a row, for " + request_id);
  const auto token = redis.value_of(*key);
  if (!is_ours(token)) {
    return wrong("a call leaves without a lock, for " + request_id + ": " +
                 token.value_or("nobody has it"));
  }
  const Nanos cover = service::cover_needed(settings_.engine.lock, settings_.timeout);
  if (redis.time_left(*key) < cover + settings_.timeout + settings_.settle_time(of)) {
    return wrong("a call leaves under a lock that may end before it, for " + request_id);
  }
  const auto range = audit_->range_of(parse_request_id(request_id)->key);
  const bool is_of_range = key->find(":range:") != std::string::npos;
  if (is_of_range && !token->ends_with(" " + std::to_string(range->epoch))) {
    wrong("a call leaves under the lock " + *token + ", and the ledger's epoch is " +
          std::to_string(range->epoch));
  }
}

// A lock outlives its call until the outcome is in the ledger: whoever had it sooner would call
// again.  Who has slept has lost it, and is asked again a lock's life later.
void World::check_locks_of_calls() {
  const Millis life = service::lock_life(settings_.engine.lock, settings_.timeout);
  if (!locks_can_be_told() || !store_ok() || clock.now() < awake_since_ + life) return;
  for (const auto* ids : {&out_, &ended_}) {
    for (const std::string& id : *ids) {
      if (audit_->state_of(parse_request_id(id)->key) != IssuanceState::sending) continue;
      const auto key = lock_of(id);
      if (key && is_ours(redis.value_of(*key))) continue;
      return wrong("the lock is gone of a call without an outcome in the ledger, " + id);
    }
  }
}

}  // namespace vouch::test
