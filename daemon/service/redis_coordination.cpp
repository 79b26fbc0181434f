#include "daemon/service/redis_coordination.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace vouch::service {
namespace {

using data::Lease;
using wire::RedisReply;

constexpr std::size_t kCommandsMax = 500;  // of one exchange
constexpr Millis kSweep{100};              // so often it is looked for leases that nobody has
constexpr std::size_t kHolderBytesMax = 80;

// Claims, renews, and sets again what Redis has forgotten: whoever asks has it, or nobody does.
// Returns 1, or the words of whoever else has it.
constexpr const char* kClaim = R"lua(
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1]
   and (ARGV[3] == '' or string.sub(holder, 1, #ARGV[3]) ~= ARGV[3]) then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
)lua";
constexpr const char* kRelease = R"lua(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
)lua";

// Two clocks may differ by a hundredth over a lock's life.
Nanos drift(Millis life) {
  return life / 100 + Millis{2};
}

// What a lock says of its owner to people.  Anything may stand in it.
std::string words_of(std::string_view token) {
  if (const auto blank = token.find(' '); blank != std::string_view::npos) {
    token.remove_prefix(blank + 1);
  }
  std::string words{token.substr(0, kHolderBytesMax)};
  std::ranges::replace_if(
      words, [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return words;
}

}  // namespace

std::string RedisCoordination::token_of(const Lease& lease) const {
  return settings_.place + " " + settings_.name + " " + std::to_string(lease.epoch());
}

void RedisCoordination::count(std::uint64_t CoordinationView::*what) {
  const std::scoped_lock lock{mutex_};
  ++(view_.*what);
}

data::LeasePtr RedisCoordination::claim(const LeaseWanted& wanted) {
  auto lease = std::make_shared<Lease>(wanted.name, wanted.epoch);
  const std::scoped_lock lock{mutex_};
  ++view_.asked;
  if (is_lost_) {  // nobody waits for a Redis that is away
    lease->hold_until(clock_.now() + wanted.life - drift(wanted.life));
    ++view_.by_ledger;
  }
  asked_.push_back({.lease = lease, .life = wanted.life, .grace = wanted.grace});
  woken_ = true;
  wake_.notify_one();
  return lease;
}

Instant RedisCoordination::run_once(Instant now) {
  changed_ = false;
  take_asked(now);
  end_what_ran_out(now);
  if (link_ != Link::lost || now >= try_at_) {
    collect(now);
    if (!commands_.empty()) talk(now);
  }
  if (link_ == Link::lost) grant_by_ledger(clock_.now());
  {
    const std::scoped_lock lock{mutex_};
    view_.held = leases_.size();
  }
  if (changed_) reports_.on_change();
  return next_due(clock_.now());
}

void RedisCoordination::take_asked(Instant now) {
  std::vector<Kept> asked;
  {
    const std::scoped_lock lock{mutex_};
    asked = std::exchange(asked_, {});
  }
  for (Kept& one : asked) {
    Kept& kept = leases_[one.lease->name()];
    // Its lock, if it is still there, is replaced and need not be released.
    if (kept.lease) kept.lease->give_up(Lease::State::over);
    kept = std::move(one);
    const bool by_ledger = link_ == Link::lost && kept.lease->state() == Lease::State::held;
    kept.ask_at = by_ledger ? now + kept.life / 3 : now;
  }
}

// Never revived: the process may have stood still, and somebody else may have been there.
void RedisCoordination::end_what_ran_out(Instant now) {
  for (auto& [name, kept] : leases_) {
    if (kept.lease->state() != Lease::State::held || kept.lease->until() > now) continue;
    kept.lease->give_up(Lease::State::over);
    count(&CoordinationView::ran_out);
  }
}

void RedisCoordination::collect(Instant now) {
  commands_.clear();
  about_.clear();
  for (auto at = leases_.begin(); at != leases_.end() && commands_.size() < kCommandsMax;) {
    auto& [name, kept] = *at;
    const std::string key = settings_.prefix + name;
    const Lease::State state = kept.lease->state();
    const bool ended = state == Lease::State::over || state == Lease::State::refused;
    if (ended || kept.lease.use_count() == 1) {
      if (kept.in_redis) {
        commands_.push_back({"EVAL", kRelease, "1", key, token_of(*kept.lease)});
        about_.emplace_back();
        count(&CoordinationView::released);
      }
      at = leases_.erase(at);
      continue;
    }
    if (now >= kept.ask_at || link_ == Link::lost) {  // to see whether it is there again
      const std::string earlier = settings_.place.empty() ? "" : settings_.place + " ";
      commands_.push_back({"EVAL", kClaim, "1", key, token_of(*kept.lease),
                           std::to_string((kept.life + kept.grace).count()), earlier});
      about_.push_back(name);
    }
    ++at;
  }
  if (commands_.empty() && (now >= ping_at_ || link_ == Link::lost)) {
    commands_.push_back({"PING"});
    about_.emplace_back();
  }
}

void RedisCoordination::talk(Instant now) {
  ping_at_ = now + settings_.ping;
  for (const std::string& name : about_) {
    if (!name.empty()) leases_.at(name).in_redis = true;  // from now on it may be
  }
  const Instant asked_at = clock_.now();
  const auto replies = exchange_(commands_, link_ == Link::lost);
  if (!replies) return lost(replies.error().message);
  if (replies->size() != commands_.size()) return lost("not as many answers as questions");
  for (std::size_t i = 0; i < replies->size(); ++i) {
    const RedisReply& reply = (*replies)[i];
    if (reply.kind == RedisReply::Kind::error)
      return lost("it says: " + words_of("- " + reply.text));
    if (about_[i].empty()) continue;
    if (!take_reply(reply, leases_.at(about_[i]), asked_at)) {
      return lost("it answers with something else than was asked");
    }
  }
  there();
}

bool RedisCoordination::take_reply(const RedisReply& reply, Kept& kept, Instant asked_at) {
  if (reply.kind == RedisReply::Kind::number && reply.number == 1) {
    granted(kept, asked_at);
    return true;
  }
  if (reply.kind != RedisReply::Kind::text) return false;
  refused(kept, words_of(reply.text));
  return true;
}

void RedisCoordination::granted(Kept& kept, Instant asked_at) {
  const bool is_new = kept.lease->state() == Lease::State::asked;
  count(is_new ? &CoordinationView::granted : &CoordinationView::renewed);
  changed_ = changed_ || is_new;
  kept.lease->hold_until(asked_at + kept.life - drift(kept.life));
  kept.ask_at = asked_at + kept.life / 3;
}

void RedisCoordination::refused(Kept& kept, const std::string& holder) {
  const bool is_new = kept.lease->state() == Lease::State::asked;
  kept.lease->give_up(is_new ? Lease::State::refused : Lease::State::over);
  kept.in_redis = false;  // what is there is not ours
  count(is_new ? &CoordinationView::refused : &CoordinationView::ran_out);
  changed_ = true;
  const std::scoped_lock lock{mutex_};
  if (holders_.size() > kCommandsMax) holders_.clear();
  holders_[kept.lease->name()] = holder;
}

void RedisCoordination::lost(const std::string& why) {
  const bool turned = link_ != Link::lost;
  link_ = Link::lost;
  try_at_ = clock_.now() + settings_.try_again;
  {
    const std::scoped_lock lock{mutex_};
    is_lost_ = true;
    view_.is_up = false;
    view_.problem = why;
    view_.failures += turned ? 1 : 0;
  }
  if (turned) reports_.on_turn(false, why);
}

// What was granted meanwhile is locked now, all of it, a batch a round.
void RedisCoordination::there() {
  if (link_ == Link::up) return;
  const bool first = link_ == Link::unknown;
  link_ = Link::up;
  const std::set<std::string> told{about_.begin(), about_.end()};
  for (auto& [name, kept] : leases_) {
    if (!told.contains(name)) kept.ask_at = Instant{};
  }
  {
    const std::scoped_lock lock{mutex_};
    is_lost_ = false;
    view_.is_up = true;
    view_.problem.clear();
  }
  reports_.on_turn(true, first ? "there" : "there again");
}

void RedisCoordination::grant_by_ledger(Instant now) {
  // What nobody has any more may still be locked there; it runs out by itself.
  std::erase_if(leases_, [](const auto& one) { return one.second.lease.use_count() == 1; });
  for (auto& [name, kept] : leases_) {
    const Lease::State state = kept.lease->state();
    if (state == Lease::State::asked) {
      count(&CoordinationView::by_ledger);
      changed_ = true;
    } else if (state != Lease::State::held || now < kept.ask_at || kept.lease->until() <= now) {
      continue;
    }
    kept.lease->hold_until(now + kept.life - drift(kept.life));
    kept.ask_at = now + kept.life / 3;
  }
}

Instant RedisCoordination::next_due(Instant now) const {
  if (link_ == Link::lost) return std::min(try_at_, now + kSweep);
  Instant due = leases_.empty() ? ping_at_ : std::min(ping_at_, now + kSweep);
  for (const auto& [name, kept] : leases_) due = std::min(due, kept.ask_at);
  return due;
}

void RedisCoordination::release_all() {
  take_asked(clock_.now());
  for (auto& [name, kept] : leases_) kept.lease->give_up(Lease::State::over);
  while (!leases_.empty()) {
    const std::size_t left = leases_.size();
    run_once(clock_.now());
    if (leases_.size() == left) return;  // Redis is away: they run out by themselves
  }
}

std::string RedisCoordination::holder_of(const std::string& name) const {
  const std::scoped_lock lock{mutex_};
  const auto found = holders_.find(name);
  return found == holders_.end() ? std::string{} : found->second;
}

CoordinationView RedisCoordination::view() const {
  const std::scoped_lock lock{mutex_};
  CoordinationView view = view_;
  view.where = settings_.where;
  return view;
}

void RedisCoordination::wake() {
  const std::scoped_lock lock{mutex_};
  woken_ = true;
  wake_.notify_one();
}

void RedisCoordination::wait_until(Instant until) {
  std::unique_lock lock{mutex_};
  const Nanos left = until - clock_.now();
  if (!woken_ && left > Nanos::zero()) wake_.wait_for(lock, left, [&] { return woken_; });
  woken_ = false;
}

}  // namespace vouch::service
