// What must hold of an instance at every call, commit and start; declared in instance.hpp.
#include <algorithm>

#include "tests/simulation/instance.hpp"

namespace vouch::test {
namespace {

// Between a permit and the first byte, of all calls.
constexpr double kSleepyCalls = 0.002;
constexpr std::int64_t kBalanceEvery = 8;   // commits
constexpr std::int64_t kHistoryEvery = 64;  // likewise

}  // namespace

void Instance::expect(const std::optional<std::string>& wrong) {
  if (wrong) around_.wrong(name_ + ": " + *wrong);
}

// Checks a call or query at the moment it leaves, and returns its request id.
std::string Instance::may_leave(const wire::HttpCall& call) {
  if (!store_ok()) around_.wrong("a call leaves although the store has failed");
  if (vfs.unsynced("-wal") > 0) around_.wrong("a call leaves before the ledger is synced");
  expect(call.get ? audit_->query_may_leave(call) : audit_->call_may_leave(call));
  std::string id = key_of(call);
  if (out_.contains(id) || asked_.contains(id)) around_.wrong("two calls at once for " + id);
  (call.get ? asked_ : out_).insert(id);
  if (!around_.is_wrong()) check_lock(id, contracted(call));
  return id;
}

void Instance::call_ended(const std::string& request_id, bool asks) {
  (asks ? asked_ : out_).erase(request_id);
  if (!asks) ended_.insert(request_id);
}

// Some awake while their locks still hold, but for no call any more.
Nanos Instance::a_long_sleep() {
  const Millis life = service::lock_life(around_.settings.engine.lock, around_.settings.timeout);
  return life * static_cast<std::int64_t>(60 + around_.random.below(150)) / 100;
}

void Instance::sleep_before_a_call() {
  if (!around_.settings.redis || calm || !around_.random.chance(kSleepyCalls)) return;
  ++around_.counts.happened["slept before a call"];
  stand_still(a_long_sleep());
}

const WorldSettings::Contracted& Instance::contracted(const wire::HttpCall& call) const {
  const auto& coupons = around_.store.downstreams()[0].versions.at(1)->url;
  const bool is_coupon = ModelClient::origin_of(call.url) == ModelClient::origin_of(coupons);
  return around_.settings.contracts[is_coupon ? 0 : 1];
}

// I9.  Without a Redis the ledger alone says whose the range is: the epoch is one of this life's.
void Instance::check_lock(const std::string& request_id, const WorldSettings::Contracted& of) {
  const auto range = audit_->range_of(parse_request_id(request_id)->key);
  if (!range) return around_.wrong("a call leaves without a row, for " + request_id);
  if (!range->is_alone && range->epoch < life_->first_epoch) {
    return around_.wrong("a call leaves in a range of an earlier life, for " + request_id);
  }
  if (locks_can_be_told()) check_lock_in_redis(request_id, *range, of);
}

// While Redis is in trouble, and until the locks have been renewed since, only the ledger knows.
bool Instance::locks_can_be_told() const {
  const Millis life = service::lock_life(around_.settings.engine.lock, around_.settings.timeout);
  const ModelRedis& redis = around_.redis;
  if (!around_.settings.redis || !redis.is_well()) return false;
  // Who has slept since soon after Redis came back may not have tried it again yet.
  return around_.clock.now() >= redis.well_since() + life &&
         locks_ran_at_ >= redis.well_since() + 2 * service::RedisSettings{}.try_again;
}

bool Instance::is_ours(const std::optional<std::string>& token) const {
  return token && token->starts_with("place-" + std::to_string(number_) + " ");
}

// The key of the lock that a row is called under: the issuance's, or its range's.  The issuance's
// may have been left behind, by a call before, where Redis was away when it was to be released.
std::string Instance::lock_of(const std::string& request_id, const Audit::Range& range) {
  const ModelRedis& redis = around_.redis;
  const std::string alone = life_->lock_prefix + "issuance:" + request_id;
  const std::string shared = life_->lock_prefix + "range:" + format_id(ObjectKind::job, range.job) +
                             ":" + std::to_string(range.range);
  if (!is_ours(redis.value_of(alone))) return shared;
  const bool is_shared =
      is_ours(redis.value_of(shared)) && redis.time_left(alone) <= redis.time_left(shared);
  return is_shared ? shared : alone;
}

// The lock of a call that leaves is there, and is ours; a range's has the epoch that the ledger
// has.  It lasts until the call has ended and what it did has settled, whatever becomes of us.
void Instance::check_lock_in_redis(const std::string& request_id, const Audit::Range& range,
                                   const WorldSettings::Contracted& of) {
  const WorldSettings& settings = around_.settings;
  const std::string key = lock_of(request_id, range);
  const auto token = around_.redis.value_of(key);
  if (!is_ours(token)) {
    return around_.wrong("a call leaves without a lock, for " + request_id + ": " +
                         token.value_or("nobody has it"));
  }
  const Nanos cover = service::cover_needed(settings.engine.lock, settings.timeout);
  if (around_.redis.time_left(key) < cover + settings.timeout + settings.settle_time(of)) {
    return around_.wrong("a call leaves under a lock that may end before it, for " + request_id);
  }
  const bool is_of_range = key.starts_with(life_->lock_prefix + "range:");
  if (is_of_range && !token->ends_with(" " + std::to_string(range.epoch))) {
    around_.wrong("a call leaves under the lock " + *token + ", and the ledger's epoch is " +
                  std::to_string(range.epoch));
  }
}

// A lock outlives its call until the outcome is in the ledger: whoever had it sooner would call
// again.  Who has slept has lost it, and is asked again a lock's life later.
void Instance::check_locks_of_calls() {
  const Millis life = service::lock_life(around_.settings.engine.lock, around_.settings.timeout);
  if (!locks_can_be_told() || !store_ok() || around_.clock.now() < awake_since_ + life) return;
  for (const auto* ids : {&out_, &ended_}) {
    for (const std::string& id : *ids) {
      const IssuanceKey key = parse_request_id(id)->key;
      if (audit_->state_of(key) != IssuanceState::sending) continue;
      const auto range = audit_->range_of(key);
      if (range && is_ours(around_.redis.value_of(lock_of(id, *range)))) continue;
      return around_.wrong("the lock is gone of a call without an outcome in the ledger, " + id);
    }
  }
}

// What was durable before is there, and whatever is out has its intent.
void Instance::check_survivors() {
  for (const std::string& id : out_) expect(audit_->is_sending(id));
  for (const std::string& id : ended_) {
    const auto parsed = parse_request_id(id);
    if (!audit_->state_of(parsed->key)) {
      around_.wrong("no row has survived of the ended call " + id);
    }
  }
  expect(audit_->commit_holds());
  expect(audit_->codes_hold());
  check_files();
  doubtful_max_ += static_cast<int>(out_.size() + ended_.size()) + taken_back_ +
                   static_cast<int>(audit_->taken_by_exports());
  taken_back_ = 0;
  out_.clear();
  asked_.clear();
  ended_.clear();
}

// Under contract none each of them would be held after a crash.
void Instance::check_uncertain() {
  for (std::size_t which : {0U, 1U}) {
    if (around_.settings.contracts[which].contract != plan::Contract::none) continue;
    const ModelService& service = *around_.services[which];
    const int ready = life_->ready.calls_depth(around_.store.downstreams()[which].id);
    const int out = life_->client.calls_out(service);
    if (ready + out > 2 * plan::kInFlightMaxUncertain) {
      around_.wrong(service.name() + ": " + std::to_string(ready) + " ready and " +
                    std::to_string(out) + " in flight under contract none");
    }
  }
}

void Instance::check_commit() {
  ++commits_;
  ++around_.counts.commits;
  expect(audit_->commit_holds());
  if (commits_ % kBalanceEvery == 0) expect(audit_->balance());
  if (commits_ % kHistoryEvery != 0) return;
  Audit::Journal journal;
  for (const ModelService* service : around_.services) {
    journal.insert(service->journal().begin(), service->journal().end());
  }
  expect(audit_->agrees_with(journal));
  expect(audit_->history());
  expect(audit_->codes_hold());
  check_files();
}

void Instance::check_files() {
  if (number_ == around_.store.pool_owner()) expect(audit_->files_hold());
}

void Instance::check_everything(Audit::Journal& journal) {
  expect(audit_->balance());
  expect(audit_->history());
  expect(audit_->codes_hold());
  check_files();
  expect(audit_->agrees_with(journal));
}

}  // namespace vouch::test
