// The world's control thread and its operators: definitions, snapshots, commands.
#include <algorithm>

#include "daemon/data/older_ledger.hpp"
#include "tests/simulation/world.hpp"

namespace vouch::test {
namespace {

plan::Item item(std::uint8_t number, std::string name, std::string downstream,
                plan::Amount amount) {
  return {.number = number,
          .name = std::move(name),
          .kind = plan::VoucherKind::coupon,
          .downstream = std::move(downstream),
          .pool = {},
          .amount = std::move(amount),
          .fields_json = "{}"};
}

std::shared_ptr<const plan::Campaign> campaign(std::string name, plan::OncePer once_per,
                                               std::vector<plan::Item> items) {
  plan::Campaign made;
  made.name = std::move(name);
  made.items = std::move(items);
  made.once_per = once_per;
  return std::make_shared<const plan::Campaign>(std::move(made));
}

}  // namespace

void World::define() {
  const plan::Amount none;
  const plan::Amount fixed{.fixed_minor = 500, .column = "", .currency = "EUR"};
  const plan::Amount column{.fixed_minor = {}, .column = "amount", .currency = "EUR"};
  campaigns_ = {
      campaign("gift", plan::OncePer::campaign,
               {item(0, "coupon", "coupons", none), item(1, "credit", "balances", column)}),
      campaign("pair", plan::OncePer::job,
               {item(0, "coupon", "coupons", fixed), item(1, "badge", "coupons", none)}),
      campaign("orders", plan::OncePer::column, {item(0, "credit", "balances", column)}),
      campaign("traffic", plan::OncePer::campaign,
               {item(0, "coupon", "coupons", none), item(1, "credit", "balances", fixed)})};
  for (std::size_t i = 0; i < campaigns_.size(); ++i) {
    campaign_ids_.push_back(new_object_id(random));
  }
  for (ModelService* service : {&coupons, &balances}) {
    const WorldSettings::Contracted& of = settings_.contracts[downstreams_.size()];
    plan::Downstream definition;
    definition.name = service->name();
    definition.url = "https://" + service->name() + ".test/issue";
    definition.timeout = settings_.timeout;
    definition.connect_timeout = settings_.timeout / 5;
    definition.key_lifetime = settings_.key_lifetime;
    definition.contract = of.contract;
    definition.settle_time = settings_.settle_time(of);
    service->contract = of.contract;
    service->can_be_asked = of.asks || of.contract == plan::Contract::query;
    service->visible_after = of.visible_after;
    if (service->can_be_asked) {
      definition.query = plan::QueryForm{.url = definition.url + "/{request_id}",
                                         .outcomes = {{.status_min = 404,
                                                       .status_max = 404,
                                                       .pointer = "/code",
                                                       .value = "NOT_FOUND",
                                                       .outcome = Outcome::not_found}}};
    }
    definition.in_flight_max =
        of.contract == plan::Contract::none ? plan::kInFlightMaxUncertain : 32;
    definition.outcomes = {{.status_min = 422,
                            .status_max = 422,
                            .pointer = "/code",
                            .value = "not_eligible",
                            .outcome = Outcome::declined}};
    service->key_lifetime = settings_.key_lifetime;
    service->limit = settings_.limit;
    downstreams_.push_back(
        {.id = new_object_id(random),
         .name = service->name(),
         .limit = settings_.limit,
         .warning = plan::default_warning_rate(settings_.limit),
         .paused = false,
         .pause_reason = "",
         .version = 1,
         .versions = {{1, std::make_shared<const plan::Downstream>(std::move(definition))}},
         .bearer = "a token"});
  }
}

// --- what operators do ---------------------------------------------------------------------------

std::int64_t World::add_command(Command command) {
  command.id = static_cast<std::int64_t>(commands_.size()) + 1;
  std::visit([&](auto& what) { what.command = command.id; }, command.what);
  commands_.push_back(std::move(command));
  return commands_.back().id;
}

ObjectId World::submit(JobSpec spec) {
  spec.id = new_object_id(random);
  const SampleList& list = SampleLists::shared().at(spec.list);
  const bool rerun = spec.rerun_of != 0;
  const plan::Campaign& of = *campaigns_[spec.campaign];
  data::SubmitJob submit{.command = 0,
                         .id = spec.id,
                         .campaign = campaign_ids_[spec.campaign],
                         .kind = rerun ? data::JobKind::rerun : data::JobKind::list,
                         .ranges = rerun ? 1 : list.ranges,
                         .rows_accepted = rerun ? 0 : static_cast<std::int64_t>(list.rows.size()),
                         .items = rerun ? 1 : static_cast<int>(of.items.size()),
                         .pilot = spec.pilot,
                         .start_later = spec.start_at.has_value(),
                         .rerun_of = spec.rerun_of};
  add_command({.id = 0, .what = submit, .job = spec.id, .given = false, .answer = {}});
  specs_.push_back(spec);
  return spec.id;
}

void World::change(ObjectId job, data::JobAction action, bool settle_by_repeat) {
  data::ChangeJob change{.command = 0,
                         .id = job,
                         .number = 0,
                         .action = action,
                         .reason = PauseReason::operator_request,
                         .settle_by_repeat = settle_by_repeat,
                         .words = "the simulation wants it"};
  add_command({.id = 0, .what = std::move(change), .job = job, .given = false, .answer = {}});
}

void World::issue(std::size_t campaign, const std::string& recipient_id) {
  strategy::SingleRequest request{.command = 0,
                                  .job = {},
                                  .recipient = RecipientKeys{kRecipientSecret}.of(recipient_id),
                                  .occurrence = 0,
                                  .recipient_id = recipient_id,
                                  .amounts = {{"amount", 250}}};
  request.job.campaign_id = campaign_ids_[campaign];
  add_command({.id = 0,
               .what = std::move(request),
               .job = campaign_ids_[campaign],
               .given = false,
               .answer = {}});
}

void World::pause_service(std::size_t which, bool paused) {
  downstreams_[which].paused = paused;
  definitions_changed_ = true;
}

void World::set_limit(std::size_t which, double limit) {
  ModelService& service = which == 0 ? coupons : balances;
  downstreams_[which].limit = limit;
  downstreams_[which].warning = plan::default_warning_rate(limit);
  definitions_changed_ = true;
  // The service looks back a second, and the daemon learns of it a moment later.
  service.limit = std::max(service.limit, limit);
  later_.push_back({clock.now() + Millis{1500}, [this, which, limit, &service] {
                      if (downstreams_[which].limit == limit) service.limit = limit;
                    }});
}

void World::redefine(std::size_t which, const std::function<void(plan::Downstream&)>& change) {
  data::DownstreamNow& downstream = downstreams_[which];
  plan::Downstream definition = *downstream.versions.at(downstream.version);
  change(definition);
  downstream.versions[++downstream.version] =
      std::make_shared<const plan::Downstream>(std::move(definition));
  definitions_changed_ = true;
}

void World::set_url(std::size_t which, std::string url) {
  redefine(which, [&](plan::Downstream& definition) { definition.url = std::move(url); });
}

void World::set_contract(std::size_t which, plan::Contract contract) {
  redefine(which, [&](plan::Downstream& definition) { definition.contract = contract; });
}

// Whatever may have been done since its last event, this ledger does not know of it.
void World::accept_older_ledger() {
  const auto since = data::last_event_time(life_->ledger);
  VOUCH_ASSERT(since && *since);
  const auto rows =
      data::accept_older_ledger(life_->ledger, campaign_ids_, **since, clock.wall_now());
  if (!rows) return wrong("the ledger is not accepted: " + rows.error().message);
  kill();
}

void World::calm() {
  calm_ = true;
  vfs.heal();
  redis.be(ModelRedis::Mood::well, clock.now());
  redis.forget_rivals();
  for (ModelService* service : {&coupons, &balances}) service->begin_outage({}, clock.now());
  for (std::size_t which : {0U, 1U}) pause_service(which, false);
}

std::string World::answer_of(ObjectId job) const {
  std::string answer;
  for (const Command& command : commands_) {
    if (command.job == job) answer = command.answer;
  }
  return answer;
}

const JobSpec* World::spec_of(ObjectId job) const {
  const auto found =
      std::ranges::find_if(specs_, [&](const JobSpec& spec) { return spec.id == job; });
  return found == specs_.end() ? nullptr : &*found;
}

bool World::has_open_command(ObjectId job) const {
  return std::ranges::any_of(commands_, [&](const Command& command) {
    return command.job == job && command.answer.empty();
  });
}

// --- the control thread's round ------------------------------------------------------------------

void World::run_control() {
  due_[control] = clock.now() + settings_.control_poll;
  auto jobs = life_->reader.open_jobs();
  if (!jobs) return;  // a store that has failed; the next round sees whether it still does
  const bool same = std::ranges::equal(*jobs, known_jobs_, [](const auto& a, const auto& b) {
    return a.number == b.number && a.state == b.state && a.pause_reason == b.pause_reason &&
           a.settle_by_repeat == b.settle_by_repeat && a.ranges_planned == b.ranges_planned &&
           a.pilot_left.has_value() == b.pilot_left.has_value();
  });
  if (!same || definitions_changed_) {
    definitions_changed_ = false;
    life_->board.publish(snapshot(*jobs));
    wake(intake);
  }
  known_jobs_ = std::move(*jobs);
  take_answers();
  give_commands();
  // Without it a row that fails at the tail of a job cannot be told from an outage, and waits
  // until its key is too old.
  if (other_traffic && clock.now() >= next_single_ && !settled()) {
    next_single_ = clock.now() + Millis{1000};
    issue(kTraffic, std::string{kHealthy} + std::to_string(commands_.size()));
  }
  if (calm_ && clock.now() >= next_nudge_) {
    next_nudge_ = clock.now() + Millis{250};
    nudge_jobs();
  }
}

void World::take_answers() {
  for (const data::CommandAnswer& answer : life_->writer.take_answers()) {
    std::string& known = commands_[static_cast<std::size_t>(answer.command - 1)].answer;
    if (!known.empty() && known != answer.answer) wrong("a command was answered twice over");
    known = answer.answer;
  }
}

void World::give_commands() {
  for (Command& command : commands_) {
    if (command.given || !command.answer.empty()) continue;
    command.given = true;
    const auto applied = life_->reader.applied(command.id);
    if (!applied) {
      command.given = false;
      return;
    }
    if (*applied && random.chance(0.5)) {  // else the writer itself finds that out
      command.answer = **applied;
      continue;
    }
    if (auto* single = std::get_if<strategy::SingleRequest>(&command.what)) {
      strategy::SingleRequest request = *single;
      const auto of = std::ranges::find(campaign_ids_, single->job.campaign_id);
      request.job = job_now(static_cast<std::size_t>(of - campaign_ids_.begin()));
      request.job.kind = data::JobKind::single;
      life_->intake.issue(std::move(request));
      wake(intake);
    } else if (auto* submit = std::get_if<data::SubmitJob>(&command.what)) {
      life_->writer.push(*submit);
    } else {
      life_->writer.push(std::get<data::ChangeJob>(command.what));
    }
  }
}

// Operators who want to see every job at its end.
void World::nudge_jobs() {
  for (const AuditedJob& job : audit_->jobs()) {
    if (has_open_command(job.id)) continue;
    const bool by_people =
        job.pause_reason == PauseReason::operator_request || job.pause_reason == PauseReason::pilot;
    if (job.state == JobState::paused && by_people) change(job.id, data::JobAction::resume);
    const bool in_doubt = job.count(IssuanceState::in_doubt) > 0;
    if (job.state == JobState::unsettled && in_doubt) {
      change(job.id, data::JobAction::cancel, true);
    }
    const bool single = job.kind == static_cast<int>(data::JobKind::single);
    const bool at_rest = is_over(job.state) || job.state == JobState::unsettled;
    std::int64_t unissued = 0;
    for (const IssuanceState state : {IssuanceState::declined, IssuanceState::failed,
                                      IssuanceState::cancelled, IssuanceState::expired}) {
      unissued += job.count(state);
    }
    if (!at_rest || single || unissued == 0 || settings_.chaos.reruns == 0) continue;
    --settings_.chaos.reruns;
    happened("rerun");
    JobSpec again = *spec_of(job.id);
    again.pilot.reset();
    again.start_at.reset();
    again.finish_by.reset();
    again.rerun_of = job.id;
    again.rerun_states = {IssuanceState::failed, IssuanceState::cancelled, IssuanceState::expired};
    if (random.chance(0.5)) again.rerun_states.push_back(IssuanceState::declined);
    submit(std::move(again));
  }
}

// --- snapshots -----------------------------------------------------------------------------------

data::JobNow World::job_now(std::size_t campaign) const {
  data::JobNow now;
  now.state = JobState::running;
  now.campaign_id = campaign_ids_[campaign];
  now.campaign_version = 1;
  now.campaign = campaigns_[campaign];
  for (const plan::Item& item : now.campaign->items) {
    for (const data::DownstreamNow& downstream : downstreams_) {
      if (downstream.name != item.downstream) continue;
      now.item_downstreams.push_back(downstream.id);
      now.item_pools.emplace_back();
      if (downstream.paused) now.blocked = "downstream " + downstream.name + " is paused";
    }
  }
  return now;
}

std::shared_ptr<const data::Snapshot> World::snapshot(const std::vector<data::JobRecord>& jobs) {
  auto made = std::make_shared<data::Snapshot>();
  made->serial = ++serial_;
  for (const data::DownstreamNow& downstream : downstreams_) {
    made->downstreams.emplace(downstream.id, downstream);
  }
  for (const data::JobRecord& record : jobs) {
    const bool single = record.kind == data::JobKind::single;
    const JobSpec* spec = single ? nullptr : spec_of(record.id);
    const auto of = std::ranges::find(campaign_ids_, record.id);
    data::JobNow now =
        job_now(single ? static_cast<std::size_t>(of - campaign_ids_.begin()) : spec->campaign);
    if (spec != nullptr) {
      now.list_digest = SampleLists::shared().at(spec->list).digest;
      if (now.campaign->once_per != plan::OncePer::column) {
        now.occurrence = plan::occurrence_of(now.campaign->once_per, {}, spec->id);
      }
      now.rate = spec->rate;
      now.start_at = spec->start_at;
      now.finish_by = spec->finish_by;
      now.rerun_of = spec->rerun_of;
      now.rerun_states = spec->rerun_states;
    }
    now.id = record.id;
    now.number = record.number;
    now.kind = record.kind;
    now.state = record.state;
    now.pause_reason = record.pause_reason;
    now.campaign_number = record.campaign_number;
    now.ranges = record.ranges;
    now.start_range = record.start_range;
    now.ranges_planned = record.ranges_planned;
    now.pilot_left = record.pilot_left;
    now.settle_by_repeat = record.settle_by_repeat;
    now.restored_at = record.restored_at;
    made->jobs.emplace(record.number, std::move(now));
  }
  return made;
}

}  // namespace vouch::test
