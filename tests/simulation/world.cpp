#include "tests/simulation/world.hpp"

#include <algorithm>

#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

constexpr int kExporters = 2;
constexpr std::string_view kOpenRows = "SELECT count(*) FROM issuance WHERE state < 4";

}  // namespace

World::World(std::uint64_t seed, const WorldSettings& settings)
    : random{seed},
      coupons{"coupons", random.next()},
      balances{"balances", random.next()},
      settings_{settings},
      store_{settings_, random},
      has_chaos_{!settings.chaos.none_left()} {
  prepare_services();
  hide_pool_key(false);
  for (std::size_t i = 0; i < (settings_.is_cloned ? 1 : settings_.instances); ++i) {
    instances_.push_back(std::make_unique<Instance>(surroundings(), i));
  }
  for (const auto& instance : instances_) instance->start();
  for (int i = 0; i < kExporters; ++i) exporters_.emplace_back(surroundings_of_exporter());
}

World::~World() = default;

Instance::Surroundings World::surroundings() {
  return {.clock = clock,
          .random = random,
          .settings = settings_,
          .store = store_,
          .services = {&coupons, &balances},
          .redis = redis,
          .pool_key = folder_ / "pool.key",
          .counts = counts,
          .wrong = [this](std::string words) { wrong(std::move(words)); },
          .is_wrong = [this] { return !problem_.empty(); },
          .others_go_on = [this](Instance& still, Nanos time) { others_go_on(still, time); }};
}

Exporter::Surroundings World::surroundings_of_exporter() {
  return {.clock = clock,
          .random = random,
          .store = store_,
          .counts = counts,
          .wrong = [this](std::string words) { wrong(std::move(words)); }};
}

void World::prepare_services() {
  std::size_t which = 0;
  for (ModelService* service : {&coupons, &balances}) {
    const WorldSettings::Contracted& of = settings_.contracts[which++];
    service->contract = of.contract;
    service->can_be_asked = of.asks || of.contract == plan::Contract::query;
    service->visible_after = of.visible_after;
    service->key_lifetime = settings_.key_lifetime;
    service->limit = settings_.limit;
    service->callers = static_cast<int>(settings_.instances);
    service->has_copies = settings_.is_cloned;
  }
}

void World::wrong(std::string words) {
  if (problem_.empty()) problem_ = std::move(words);
}

void World::stop(std::size_t number) {
  Instance& stopped = instance(number);
  const int life = stopped.lives();
  const auto is_same = [&] {
    return problem_.empty() && life == stopped.lives() && stopped.store_ok();
  };
  stopped.drain();
  const Instant deadline = clock.now() + settings_.timeout + Millis{1000};
  while (is_same() && !stopped.is_drained()) {
    if (clock.now() > deadline) return wrong("a stop takes too long");
    step();
  }
  if (is_same()) stopped.restart_after_stop();
}

void World::set_limit(std::size_t which, double limit) {
  ModelService& service = which == 0 ? coupons : balances;
  store_.set_limit(which, limit);
  // The service looks back a second, and the daemon learns of it a moment later.
  service.limit = std::max(service.limit, limit);
  later_.push_back({clock.now() + Millis{1500}, [this, which, limit, &service] {
                      if (store_.limit_of(which) == limit) service.limit = limit;
                    }});
}

void World::hide_pool_key(bool hidden) {
  const std::filesystem::path key = folder_ / "pool.key";
  std::error_code ignored;  // it is hidden already, or not
  if (hidden) {
    std::filesystem::remove(key, ignored);
  } else {
    std::filesystem::copy_file(SamplePool::shared().key_file(), key, ignored);
  }
}

void World::start_copy_after(Millis how_long) {
  auto copy = std::make_unique<Instance>(surroundings(), instances_.size());
  copy->clone_from(instance());
  run_for(how_long);
  if (!problem_.empty()) return;
  if (const auto accepted = copy->accept_older(instance().anchor()); !accepted) {
    return wrong("a copy cannot be accepted: " + accepted.error().message);
  }
  copy->start();
  copy->calm = calm_;
  instances_.push_back(std::move(copy));
}

void World::calm() {
  calm_ = true;
  hide_pool_key(false);
  redis.be(ModelRedis::Mood::well, clock.now());
  redis.forget_rivals();
  for (const auto& instance : instances_) {
    instance->calm = true;
    instance->vfs.heal();
  }
  for (ModelService* service : {&coupons, &balances}) service->begin_outage({}, clock.now());
  for (std::size_t which : {0U, 1U}) store_.pause_service(which, false);
}

// --- time ----------------------------------------------------------------------------------------

void World::let_time_pass(Nanos how_much) {
  clock.advance(how_much);
  for (ModelService* service : {&coupons, &balances}) {
    service->advance(clock.now());
    if (!service->violations().empty()) wrong(service->violations().front());
  }
}

// One stands still, or is down; nothing befalls the others meanwhile but what is under way.
void World::others_go_on(Instance& still, Nanos how_long) {
  const Instant until = clock.now() + how_long;
  const bool before = std::exchange(still.stands_still, true);
  while (problem_.empty() && run_next(until, false)) {
  }
  let_time_pass(std::max(Nanos{0}, until - clock.now()));
  still.stands_still = before;
}

Instant World::next_due(bool with_fate) const {
  Instant next = Instant::max();
  bool draining = false;
  for (const auto& instance : instances_) {
    next = std::min(next, instance->due());
    draining = draining || instance->draining;
  }
  for (const Later& later : later_) next = std::min(next, later.at);
  if (!with_fate) return next;
  if (has_chaos_ && !calm_ && !draining) next = std::min(next, chaos_due_);
  for (const Exporter& exporter : exporters_) next = std::min(next, exporter.due());
  return std::min(next, operators_due_);
}

void World::do_later() {
  std::vector<Later> now;
  std::erase_if(later_, [&](const Later& later) {
    if (later.at > clock.now()) return false;
    now.push_back(later);
    return true;
  });
  for (const Later& later : now) later.act();
}

// Goes to whatever is due next, and does it; false when nothing is until then.
bool World::run_next(Instant until, bool with_fate) {
  const Instant next = next_due(with_fate);
  if (next >= until) return false;
  let_time_pass(std::max(Nanos{0}, next - clock.now()));
  do_later();
  for (const auto& instance : instances_) {
    if (!instance->stands_still && instance->mend_when_due()) return true;
  }
  run_any(with_fate);
  return true;
}

void World::run_any(bool with_fate) {
  std::vector<std::function<void()>> ready;
  bool draining = false;
  for (const auto& instance : instances_) {
    draining = draining || instance->draining;
    if (instance->stands_still) continue;
    for (std::size_t i = 0; i < Instance::kActors; ++i) {
      const auto actor = static_cast<Instance::Actor>(i);
      if (!instance->is_due(actor)) continue;
      ready.emplace_back([&due = *instance, actor] { due.run(actor); });
    }
  }
  if (with_fate && operators_due_ <= clock.now()) ready.emplace_back([this] { run_operators(); });
  for (Exporter& exporter : exporters_) {
    if (!with_fate || exporter.due() > clock.now()) continue;
    ready.emplace_back([&] { exporter.run(instance(store_.pool_owner())); });
  }
  if (with_fate && has_chaos_ && !calm_ && !draining && chaos_due_ <= clock.now()) {
    ready.emplace_back([this] { run_chaos(); });
  }
  if (!ready.empty()) ready[random.below(ready.size())]();
}

void World::step() {
  ++counts.steps;
  run_next(Instant::max(), true);
}

bool World::run_until(const std::function<bool()>& done, int steps_max) {
  for (int i = 0; i < steps_max && problem_.empty(); ++i) {
    if (i % 32 == 0 && done()) return true;
    step();
  }
  if (!problem_.empty()) return false;
  wrong("it does not come to an end: " + state_in_words());
  return false;
}

void World::run_for(Millis how_long) {
  const Instant until = clock.now() + how_long;
  while (problem_.empty() && clock.now() < until) step();
}

std::string World::state_in_words() {
  std::string words = calm_ ? "calm" : "not calm";
  for (const WorldSettings::Contracted& of : settings_.contracts) {
    words += "; contract " + std::string{plan::name_of(of.contract)} + (of.asks ? ", asked" : "");
  }
  for (const ModelStore::Command& command : store_.commands()) {
    if (command.answer.empty()) words += "; command " + std::to_string(command.id) + " open";
  }
  words += "; at " + std::to_string(to_ms(clock.wall_now()) / 1000) + " s\n";
  for (const auto& instance : instances_) words += instance->state_in_words();
  return words;
}

// --- the end -------------------------------------------------------------------------------------

bool World::settled() {
  for (const ModelStore::Command& command : store_.commands()) {
    if (command.answer.empty() && !store_.is_traffic(command.job)) return false;
  }
  for (const auto& instance : instances_) {
    for (const AuditedJob& job : instance->audit().jobs()) {
      if (store_.is_traffic(job.id)) continue;
      const bool single = job.kind == static_cast<int>(data::JobKind::single);
      const bool at_rest = is_over(job.state) || single || job.state == JobState::unsettled;
      if (!at_rest || job.open() > 0) return false;
    }
  }
  return true;
}

bool World::finish() {
  if (!run_until([this] { return calm_ && settled(); })) return false;
  other_traffic = false;
  settings_.chaos.reruns = 0;  // one that came now would have no company that succeeds
  const auto is_quiet = [](const std::unique_ptr<Instance>& instance) {
    return instance->audit().number(kOpenRows) == 0 && instance->life().writer.idle() &&
           instance->life().client.out() == 0;
  };
  if (!run_until([&] { return std::ranges::all_of(instances_, is_quiet); })) return false;
  run_for(settings_.timeout * 5);  // late arrivals
  check_everything();
  return problem_.empty();
}

void World::check_everything() {
  Audit::Journal journal;
  for (const ModelService* service : {&coupons, &balances}) {
    journal.insert(service->journal().begin(), service->journal().end());
  }
  Audit::Journal left = journal;
  for (const auto& instance : instances_) {
    Audit::Journal strange = journal;
    instance->check_everything(strange);
    std::erase_if(left, [&](const auto& one) { return !strange.contains(one.first); });
  }
  if (!left.empty()) wrong(left.begin()->first + " was executed and no ledger has it");
  check_lists();
}

// Whoever stands in the list of a job that is done has everything that he is owed.
void World::check_lists() {
  for (const JobSpec& spec : store_.jobs()) {
    const AuditedJob done = job(spec.id);
    if (spec.rerun_of != 0 || done.id == 0 || done.ranges_planned != done.ranges) continue;
    const plan::Campaign& campaign = store_.campaign(spec.campaign);
    for (const SampleRow& row : SampleLists::shared().at(spec.list).rows) {
      const std::uint64_t occurrence = campaign.once_per == plan::OncePer::column
                                           ? plan::occurrence_of_value(row.occurrence)
                                           : plan::occurrence_of(campaign.once_per, {}, spec.id);
      const auto items =
          instance(spec.instance)
              .audit()
              .items_of(store_.campaign_id(spec.campaign), row.recipient, occurrence);
      if (items != static_cast<std::int64_t>(campaign.items.size())) {
        wrong("recipient " + row.recipient_id + " has " + std::to_string(items) + " issuances");
      }
    }
  }
}

AuditedJob World::job(ObjectId id) {
  for (const auto& instance : instances_) {
    if (!instance->is_up()) continue;
    for (const AuditedJob& job : instance->audit().jobs()) {
      if (job.id == id) return job;
    }
  }
  return {};
}

std::int64_t World::count(IssuanceState state) {
  std::int64_t rows = 0;
  for (const auto& instance : instances_) rows += instance->audit().count(state);
  return rows;
}

std::int64_t World::count(IssuanceState state, plan::Contract contract) {
  std::int64_t rows = 0;
  for (const auto& instance : instances_) rows += instance->audit().count(state, contract);
  return rows;
}

}  // namespace vouch::test
