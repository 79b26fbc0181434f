#include "daemon/service/engine.hpp"

#include <algorithm>
#include <utility>

#include "common/failpoint.hpp"
#include "common/text.hpp"
#include "daemon/service/call_form.hpp"
#include "daemon/service/call_signature.hpp"
#include "daemon/service/query_policy.hpp"

namespace vouch::service {
namespace {

using data::AttemptEnd;
using data::Intent;

// How often pauses, stops and deadlines are looked for among the rows that are ready.
constexpr Millis kSweep{50};
constexpr Millis kPublish{100};
// The wall clock was set, not slewed.
constexpr Millis kClockJump{1'000};
constexpr auto kUnstarted = static_cast<std::size_t>(Outcome::unstarted);

Nanos ahead_of(Instant now, WallTime wall) {
  return wall.time_since_epoch() - now.time_since_epoch();
}

}  // namespace

Engine::Engine(Downstream& downstream, data::ReadyQueue& ready, data::LedgerWriter& writer,
               const data::SnapshotBoard& board, data::Health& health, const Clock& clock,
               Random& random, EngineSettings settings)
    : downstream_{downstream},
      ready_{ready},
      writer_{writer},
      board_{board},
      health_{health},
      clock_{clock},
      random_{random},
      settings_{settings},
      snapshot_{board.read()},
      wall_ahead_{ahead_of(clock.now(), clock.wall_now())},
      clock_good_since_{clock.wall_now()} {
  downstream_.set_guard([this](std::uint64_t tag) { return guard(tag); });
}

// Somebody, or ntp, may set the wall clock; a jump before the start would not have been seen.
void Engine::watch_clock(Instant now) {
  const WallTime wall = clock_.wall_now();
  const Nanos ahead = ahead_of(now, wall);
  const Nanos jumped = ahead - std::exchange(wall_ahead_, ahead);
  if (jumped > kClockJump || jumped < -kClockJump) clock_good_since_ = wall;
}

Instant Engine::run_once(Instant now) {
  // Before the snapshot: what is ready was planned by that snapshot or an earlier one.
  taken_.clear();
  watch_clock(now);
  ready_.take_all(taken_);
  follow_snapshot(now);
  forget_setups(now);
  settle_ended(now);
  take_ready();
  if (now >= next_sweep_ || draining_.load(std::memory_order_acquire)) {
    next_sweep_ = now + kSweep;
    take_back_forbidden(now);
  }
  push_outcomes();
  if (!draining_.load(std::memory_order_acquire) && health_.store_ok()) {
    start_tests(now);
    for (auto& [id, lane] : lanes_) {
      start_queries(lane, now);
      start_calls(lane, now);
    }
  }
  push_outcomes();
  if (now >= next_publish_) {
    next_publish_ = now + kPublish;
    publish_view(now);
  }
  // Without a ledger nothing comes any more, and room that was taken is not given back.
  const bool nothing_ready = !health_.store_ok() || ready_.depth() == 0;
  drained_.store(draining_.load() && in_flight_ == 0 && nothing_ready, std::memory_order_release);
  return next_due(now);
}

void Engine::follow_snapshot(Instant now) {
  auto latest = board_.read();
  if (latest == snapshot_ && !lanes_.empty()) return;
  snapshot_ = std::move(latest);
  for (const auto& [id, downstream] : snapshot_->downstreams) {
    auto found = lanes_.find(id);
    if (found == lanes_.end()) {
      found = lanes_.try_emplace(id, downstream.target(), settings_.breaker, now).first;
    }
    Lane& lane = found->second;
    lane.pacer.set_rate(downstream.target());
    lane.view.downstream = id;
    lane.view.name = downstream.name;
    lane.view.limit = downstream.limit;
    lane.view.warning = downstream.warning;
    lane.view.target = downstream.target();
    const auto definition = downstream.versions.find(downstream.version);
    if (definition != downstream.versions.end()) {
      lane.view.in_flight_max = definition->second->in_flight_max;
      // Without a query of its own it may still be asked by an older version's.
      const auto& query = definition->second->query;
      const double share = query ? query->rate_share : plan::QueryForm{}.rate_share;
      lane.query_pacer.set_rate(downstream.target() * share);
    }
    for (const auto& [number, job] : snapshot_->jobs) lane.set_job_rate(number, job.rate, now);
  }
}

// When its job, once seen paused, runs again.  Also when a probe is due and no pause was seen: the
// job is being cancelled, or somebody resumed it at that very moment.
void Engine::forget_setups(Instant now) {
  for (auto at = setup_jobs_.begin(); at != setup_jobs_.end();) {
    const data::JobNow* job = snapshot_->job(at->first);
    const bool paused = job != nullptr && job->state == JobState::paused;
    WrongSetup& setup = at->second;
    setup.seen_paused = setup.seen_paused || paused;
    const bool over =
        !paused && (setup.seen_paused || now >= setup.since + settings_.retry.setup_probe);
    at = job == nullptr || over ? setup_jobs_.erase(at) : std::next(at);
  }
}

Lane* Engine::lane_of(ObjectId downstream) {
  const auto found = lanes_.find(downstream);
  return found == lanes_.end() ? nullptr : &found->second;
}

std::uint64_t Engine::keep(Call call) {
  call.used = true;
  if (free_tags_.empty()) {
    calls_.push_back(std::move(call));
    return calls_.size() - 1;
  }
  const std::uint64_t tag = free_tags_.back();
  free_tags_.pop_back();
  calls_[tag] = std::move(call);
  return tag;
}

std::string Engine::guard(std::uint64_t tag) {
  Call& call = calls_[tag];
  // By the clock as it is now: the process may have stood still since the round began.
  const Instant now = clock_.now();
  if (std::ranges::none_of(call.intents, [&](const Intent& row) { return is_stale(row, now); })) {
    return {};
  }
  call.stopped = true;
  return std::string{kStale};
}

bool Engine::is_stale(const Intent& intent, Instant now) const {
  VOUCH_ASSERT(intent.lease);
  return !intent.lease->covers(now, cover_needed(settings_.lock, intent.definition->timeout));
}

void Engine::take_ready() {
  for (Intent& intent : taken_) {
    Lane* lane = lane_of(intent.downstream);
    VOUCH_ASSERT(lane != nullptr);  // intake plans only for downstreams of a snapshot
    lane->add(std::move(intent));
  }
}

std::string Engine::forbidden(const Intent& intent, const Moment& at) const {
  if (draining_.load(std::memory_order_acquire)) return "vouchd is stopping";
  const data::DownstreamNow* downstream = snapshot_->downstream(intent.downstream);
  if (downstream == nullptr || downstream->paused) return "the downstream is paused";
  if (is_stale(intent, at.now)) return std::string{kStale};
  const data::JobNow* job = snapshot_->job(intent.job_number);
  if (job == nullptr) return {};  // so new that the snapshot does not have it yet
  if (intent.asks) return job->blocked;
  if (key_may_be_forgotten(*intent.definition, intent.doubt_since, at.wall)) {
    return "the downstream may have forgotten the key";
  }
  if (job->is_too_late(intent.doubt_since, at.wall)) return "it is too late for a first call";
  if (intent.probe) return job->blocked;
  if (setup_jobs_.contains(intent.job_number)) return "the job is paused: setup";
  if (intent.doubt_since) return job->may_settle() ? "" : "the job is paused";
  if (job->finish_by && at.wall >= *job->finish_by) return "finish_by has passed";
  if (!job->blocked.empty()) return job->blocked;
  if (!job->ended.empty()) return job->ended;
  // What has its code goes; the job waits for the codes of the others.
  if (intent.ordinal && job->pause_reason == PauseReason::pool) return {};
  return job->may_start() ? "" : "the job is " + std::string{name_of(job->state)};
}

void Engine::take_back_forbidden(Instant now) {
  const Moment at{.now = now, .wall = clock_.wall_now()};
  for (auto& [id, lane] : lanes_) {
    if (lane.empty()) continue;
    lane.take_out([&](const Intent& intent) { return forbidden(intent, at); },
                  [&](Intent intent, std::string why) {
                    ++released_[data::owner_of(intent)];
                    give_back(lane, std::move(intent), why, at.wall);
                  });
  }
}

void Engine::give_back(Lane& lane, Intent intent, std::string_view why, WallTime now) {
  ++lane.view.outcomes[kUnstarted];
  lane.view.stale += why == kStale ? 1 : 0;
  outcomes_.push_back(intent.asks ? take_query_back(std::move(intent), now)
                                  : take_back(std::move(intent), why, now));
}

void Engine::start_tests(Instant now) {
  std::vector<TestCall> tests;
  {
    const std::scoped_lock lock{mutex_};
    tests = std::exchange(tests_, {});
  }
  for (const TestCall& test : tests) {
    Lane* lane = lane_of(test.downstream);
    const data::DownstreamNow* downstream = snapshot_->downstream(test.downstream);
    const bool room = lane != nullptr && downstream != nullptr && lane->pacer.room(now) > 0 &&
                      in_flight_ < settings_.calls_max;
    if (!room) {  // paced like any call: it waits for its permit
      const std::scoped_lock lock{mutex_};
      tests_.push_back(test);
      continue;
    }
    const plan::Downstream& definition = *downstream->versions.at(downstream->version);
    wire::HttpCall call;
    call.get = true;
    call.url = definition.url;
    if (!downstream->bearer.empty()) {
      call.headers.push_back("Authorization: Bearer " + downstream->bearer);
    }
    call.connect_timeout = definition.connect_timeout;
    call.timeout = definition.timeout;
    call.http_allowed = definition.allow_http;
    call.address_allow = definition.address_allow;
    sign(call, *downstream, clock_.wall_now(), random_);
    lane->pacer.take(now);
    ++lane->in_flight;
    ++in_flight_;
    call.tag = keep({.intents = {},
                     .test_command = test.command,
                     .downstream = test.downstream,
                     .started_at = clock_.wall_now(),
                     .breaker_round = lane->breaker.round()});
    downstream_.start(std::move(call));
  }
}

void Engine::start_calls(Lane& lane, Instant now) {
  if (lane.empty()) return;
  const Moment at{.now = now, .wall = clock_.wall_now()};
  const int window = lane.window();
  const int bulk = lane.bulk_window();
  std::vector<Intent> call;
  while (!lane.empty() && lane.in_flight < window && in_flight_ < settings_.calls_max &&
         lane.pacer.room(now) > 0 && lane.breaker.may_start(now)) {
    std::optional<Intent> next = lane.take_best(now, lane.in_flight < bulk, !lane.breaker.closed());
    if (!next) return;
    call.clear();
    call.push_back(std::move(*next));
    lane.take_more(call);
    std::erase_if(call, [&](Intent& row) { return !may_start(lane, row, at); });
    if (!call.empty()) start(lane, std::move(call), now);
  }
}

// A row on its way out of the ready queue.  One that may not start is given back, and used up.
bool Engine::may_start(Lane& lane, Intent& intent, const Moment& at) {
  ++released_[data::owner_of(intent)];
  const std::string why = forbidden(intent, at);
  if (why.empty()) return true;
  give_back(lane, std::move(intent), why, at.wall);
  return false;
}

// Asking comes before calling again, at its own pace.
void Engine::start_queries(Lane& lane, Instant now) {
  while (lane.has_queries() && lane.in_flight < lane.window() && in_flight_ < settings_.calls_max &&
         lane.pacer.room(now) > 0 && lane.query_pacer.room(now) > 0 &&
         lane.query_breaker.may_start(now)) {
    std::vector<Intent> query;
    query.push_back(lane.take_query());
    if (!may_start(lane, query.front(), {.now = now, .wall = clock_.wall_now()})) continue;
    lane.query_pacer.take(now);
    start(lane, std::move(query), now);
  }
}

void Engine::start(Lane& lane, std::vector<Intent> intents, Instant now) {
  const ObjectId id = intents.front().downstream;
  const bool asks = intents.front().asks;
  const data::DownstreamNow* downstream = snapshot_->downstream(id);
  Breaker& breaker = asks ? lane.query_breaker : lane.breaker;
  lane.pacer.take(now);
  breaker.started(now);
  ++lane.in_flight;
  ++in_flight_;
  ++lane.view.started;
  wire::HttpCall call = asks ? make_query(intents.front(), downstream->bearer)
                             : make_call(intents, downstream->bearer);
  sign(call, *downstream, clock_.wall_now(), random_);
  call.tag = keep({.intents = std::move(intents),
                   .test_command = 0,
                   .downstream = id,
                   .started_at = clock_.wall_now(),
                   .breaker_round = breaker.round()});
  downstream_.start(std::move(call));
}

void Engine::push_outcomes() {
  for (const auto& [owner, rows] : released_) ready_.release(owner, rows);
  released_.clear();
  if (outcomes_.empty()) return;
  writer_.push(data::AttemptsEnded{std::exchange(outcomes_, {})});
}

Instant Engine::next_due(Instant now) const {
  Instant due = now + settings_.idle_poll;
  if (draining_.load(std::memory_order_acquire) || !health_.store_ok()) return due;
  for (const auto& [id, lane] : lanes_) {
    // What has no room waits for an answer, not for a time.
    if (lane.empty() || in_flight_ >= settings_.calls_max) continue;
    const Instant paced = lane.pacer.ready_at(now);
    if (lane.has_queries() && lane.in_flight < lane.window()) {
      due = std::min(
          due, std::max({paced, lane.query_breaker.ready_at(now), lane.query_pacer.ready_at(now)}));
    }
    const int room = lane.has_singles() ? lane.window() : lane.bulk_window();
    if (lane.in_flight >= room) continue;
    due = std::min(due, std::max({paced, lane.breaker.ready_at(now), lane.rows_ready_at(now)}));
  }
  return due;
}

void Engine::test(TestCall call) {
  {
    const std::scoped_lock lock{mutex_};
    tests_.push_back(call);
  }
  downstream_.wake();
}

void Engine::publish_view(Instant now) {
  std::vector<LaneView> views;
  for (auto& [id, lane] : lanes_) {
    lane.view.in_flight = lane.in_flight;
    lane.view.ready = lane.ready();
    lane.view.breaker = lane.breaker.state();
    lane.view.ailing_since = lane.breaker.since();
    lane.view.next_call = lane.breaker.ready_at(now);
    lane.view.query_breaker = lane.query_breaker.state();
    lane.view.queries_ailing_since = lane.query_breaker.since();
    lane.view.next_query = lane.query_breaker.ready_at(now);
    views.push_back(lane.view);
  }
  const std::scoped_lock lock{mutex_};
  views_ = std::move(views);
}

std::vector<LaneView> Engine::view() const {
  const std::scoped_lock lock{mutex_};
  return views_;
}

}  // namespace vouch::service
