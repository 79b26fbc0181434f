#include "tests/simulation/model_store.hpp"

#include <algorithm>

#include "tests/simulation/model_batch.hpp"
#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

constexpr std::array<const char*, 2> kDownstreams = {"coupons", "balances"};

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

plan::Item code(std::uint8_t number) {
  plan::Item made = item(number, "code", "coupons", {});
  made.kind = plan::VoucherKind::code;
  made.pool = kPoolName;
  return made;
}

plan::Item code_by_export(std::uint8_t number) {
  plan::Item made = code(number);
  made.downstream.clear();
  made.delivery = plan::Delivery::by_export;
  return made;
}

std::shared_ptr<const plan::Campaign> make(std::string name, plan::OncePer once_per,
                                           std::vector<plan::Item> items) {
  plan::Campaign made;
  made.name = std::move(name);
  made.items = std::move(items);
  made.once_per = once_per;
  return std::make_shared<const plan::Campaign>(std::move(made));
}

std::optional<plan::BatchForm> batch_of(int issuances_per_call) {
  if (issuances_per_call == 1) return std::nullopt;
  plan::BatchForm form;
  form.issuances_max = issuances_per_call;
  form.head = kBatchHead;
  form.tail = kBatchTail;
  form.status_pointer = kBatchStatus;
  return form;
}

bool hands_out_codes(const plan::Campaign& of) {
  return std::ranges::any_of(of.items, [](const plan::Item& item) { return !item.pool.empty(); });
}

}  // namespace

ModelStore::ModelStore(const WorldSettings& settings, Random& random)
    : settings_{settings}, random_{random}, pool_{SamplePool::shared().with(1)} {
  define_campaigns(settings.instances);
  for (std::size_t which = 0; which < kDownstreams.size(); ++which) define_downstream(which);
}

void ModelStore::define_campaigns(std::size_t instances) {
  const plan::Amount none;
  const plan::Amount fixed{.fixed_minor = 500, .column = "", .currency = "EUR"};
  const plan::Amount column{.fixed_minor = {}, .column = "amount", .currency = "EUR"};
  campaigns_ = {
      make("gift", plan::OncePer::campaign,
           {item(0, "coupon", "coupons", none), item(1, "credit", "balances", column)}),
      make("pair", plan::OncePer::job,
           {item(0, "coupon", "coupons", fixed), item(1, "badge", "coupons", none)}),
      make("orders", plan::OncePer::column, {item(0, "credit", "balances", column)}),
      make("vip", plan::OncePer::campaign, {code(0), item(1, "credit", "balances", column)}),
      make("visit", plan::OncePer::job, {code(0)}),
      make("mailed", plan::OncePer::campaign,
           {code_by_export(0), item(1, "credit", "balances", column)}),
      make("printed", plan::OncePer::job, {code_by_export(0)})};
  for (std::size_t i = 0; i < instances; ++i) {
    campaigns_.push_back(
        make("traffic-" + std::to_string(i), plan::OncePer::campaign,
             {item(0, "coupon", "coupons", none), item(1, "credit", "balances", fixed)}));
  }
  owners_.resize(campaigns_.size());
  for (std::size_t i = 0; i < campaigns_.size(); ++i) {
    campaign_ids_.push_back(new_object_id(random_));
  }
}

void ModelStore::define_downstream(std::size_t which) {
  const WorldSettings::Contracted& of = settings_.contracts[which];
  const std::string name = kDownstreams[which];
  plan::Downstream definition;
  definition.name = name;
  definition.url = "https://" + name + ".test/issue";
  definition.timeout = settings_.timeout;
  definition.connect_timeout = settings_.timeout / 5;
  definition.key_lifetime = settings_.key_lifetime;
  definition.contract = of.contract;
  definition.settle_time = settings_.settle_time(of);
  definition.batch = batch_of(of.issuances_per_call);
  if (of.asks || of.contract == plan::Contract::query) {
    definition.query = plan::QueryForm{.url = definition.url + "/{request_id}",
                                       .outcomes = {{.status_min = 404,
                                                     .status_max = 404,
                                                     .pointer = "/code",
                                                     .value = "NOT_FOUND",
                                                     .outcome = Outcome::not_found}}};
  }
  definition.in_flight_max = of.contract == plan::Contract::none ? plan::kInFlightMaxUncertain : 32;
  definition.outcomes = {{.status_min = 422,
                          .status_max = 422,
                          .pointer = "/code",
                          .value = "not_eligible",
                          .outcome = Outcome::declined}};
  downstreams_.push_back(
      {.id = new_object_id(random_),
       .name = name,
       .limit = 0,
       .warning = 0,
       .paused = false,
       .pause_reason = "",
       .version = 1,
       .versions = {{1, std::make_shared<const plan::Downstream>(std::move(definition))}},
       .bearer = "a token"});
  set_limit(which, settings_.limit);
}

// --- what operators do ---------------------------------------------------------------------------

// A campaign belongs to the instance of its first job, and so does its pool: vouchctl refuses the
// other, and names the one to submit to.
std::size_t ModelStore::bind(std::size_t campaign, std::size_t instance) {
  const std::size_t owner = owners_[campaign].value_or(instance);
  for (std::size_t i = 0; i < campaigns_.size(); ++i) {
    const bool shares_pool =
        hands_out_codes(*campaigns_[campaign]) && hands_out_codes(*campaigns_[i]);
    if (i == campaign || shares_pool) owners_[i] = owner;
  }
  has_exports_ =
      has_exports_ || std::ranges::any_of(campaigns_[campaign]->items, &plan::Item::by_export);
  return owner;
}

void ModelStore::add_command(Command command) {
  command.id = static_cast<std::int64_t>(commands_.size()) + 1;
  std::visit([&](auto& what) { what.command = command.id; }, command.what);
  commands_.push_back(std::move(command));
}

ObjectId ModelStore::submit(JobSpec spec) {
  spec.id = new_object_id(random_);
  spec.instance = bind(spec.campaign, spec.instance);
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
  add_command({.id = 0,
               .what = submit,
               .job = spec.id,
               .instance = spec.instance,
               .given = false,
               .answer = {}});
  specs_.push_back(spec);
  ++version_;
  return spec.id;
}

void ModelStore::change(ObjectId job_id, data::JobAction action, bool settle_by_repeat) {
  data::ChangeJob change{.command = 0,
                         .id = job_id,
                         .number = 0,
                         .action = action,
                         .reason = PauseReason::operator_request,
                         .settle_by_repeat = settle_by_repeat,
                         .words = "the simulation wants it"};
  add_command({.id = 0,
               .what = std::move(change),
               .job = job_id,
               .instance = job(job_id)->instance,
               .given = false,
               .answer = {}});
}

void ModelStore::issue(std::size_t campaign, const std::string& recipient_id,
                       std::size_t instance) {
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
               .instance = bind(campaign, instance),
               .given = false,
               .answer = {}});
}

void ModelStore::pause_service(std::size_t which, bool paused) {
  downstreams_[which].paused = paused;
  ++version_;
}

void ModelStore::set_limit(std::size_t which, double limit) {
  const double part = limit / static_cast<double>(settings_.instances);
  downstreams_[which].limit = part;
  downstreams_[which].warning = plan::default_warning_rate(part);
  ++version_;
}

double ModelStore::limit_of(std::size_t which) const {
  return downstreams_[which].limit * static_cast<double>(settings_.instances);
}

void ModelStore::redefine(std::size_t which, const std::function<void(plan::Downstream&)>& change) {
  data::DownstreamNow& downstream = downstreams_[which];
  plan::Downstream definition = *downstream.versions.at(downstream.version);
  change(definition);
  downstream.versions[++downstream.version] =
      std::make_shared<const plan::Downstream>(std::move(definition));
  ++version_;
}

void ModelStore::set_url(std::size_t which, std::string url) {
  redefine(which, [&](plan::Downstream& definition) { definition.url = std::move(url); });
}

void ModelStore::set_contract(std::size_t which, plan::Contract contract) {
  redefine(which, [&](plan::Downstream& definition) { definition.contract = contract; });
}

void ModelStore::set_batch(std::size_t which, int issuances_per_call) {
  redefine(which,
           [&](plan::Downstream& definition) { definition.batch = batch_of(issuances_per_call); });
}

void ModelStore::fill_pool() {
  pool_ = SamplePool::shared().with(pool_->segments.size() + 1);
  ++version_;
}

// --- what is in it -------------------------------------------------------------------------------

const JobSpec* ModelStore::job(ObjectId id) const {
  const auto found =
      std::ranges::find_if(specs_, [&](const JobSpec& spec) { return spec.id == id; });
  return found == specs_.end() ? nullptr : &*found;
}

std::string ModelStore::answer_of(ObjectId job) const {
  std::string answer;
  for (const Command& command : commands_) {
    if (command.job == job) answer = command.answer;
  }
  return answer;
}

bool ModelStore::has_open_command(ObjectId job) const {
  return std::ranges::any_of(commands_, [&](const Command& command) {
    return command.job == job && command.answer.empty();
  });
}

std::size_t ModelStore::number_of(ObjectId campaign) const {
  return static_cast<std::size_t>(std::ranges::find(campaign_ids_, campaign) -
                                  campaign_ids_.begin());
}

plan::Contract ModelStore::contract_of(ObjectId campaign, std::size_t item) const {
  const plan::Campaign& of = *campaigns_.at(number_of(campaign));
  return settings_.contracts[of.items[item].downstream == kDownstreams[0] ? 0 : 1].contract;
}

bool ModelStore::is_code(ObjectId campaign, std::size_t item) const {
  return !campaigns_.at(number_of(campaign))->items[item].pool.empty();
}

bool ModelStore::is_by_export(ObjectId campaign, std::size_t item) const {
  return campaigns_.at(number_of(campaign))->items[item].by_export();
}

// --- snapshots -----------------------------------------------------------------------------------

data::JobNow ModelStore::job_now(std::size_t campaign) const {
  data::JobNow now;
  now.state = JobState::running;
  now.campaign_id = campaign_ids_[campaign];
  now.campaign_version = 1;
  now.campaign = campaigns_[campaign];
  for (const plan::Item& item : now.campaign->items) {
    now.item_pools.push_back(item.pool.empty() ? nullptr : pool_);
    if (item.by_export()) {
      now.item_downstreams.push_back(0);
      now.exports.add(item.number);
    }
    for (const data::DownstreamNow& downstream : downstreams_) {
      if (downstream.name != item.downstream) continue;
      now.item_downstreams.push_back(downstream.id);
      if (downstream.paused) now.blocked = "downstream " + downstream.name + " is paused";
    }
  }
  return now;
}

data::JobNow ModelStore::single_job(ObjectId campaign) const {
  data::JobNow now = job_now(number_of(campaign));
  now.kind = data::JobKind::single;
  return now;
}

void ModelStore::fill_job(data::JobNow& now, const JobSpec& spec) const {
  now.list_digest = SampleLists::shared().at(spec.list).digest;
  if (now.campaign->once_per != plan::OncePer::column) {
    now.occurrence = plan::occurrence_of(now.campaign->once_per, {}, spec.id);
  }
  now.rate = spec.rate;
  now.start_at = spec.start_at;
  now.finish_by = spec.finish_by;
  now.rerun_of = spec.rerun_of;
  now.rerun_states = spec.rerun_states;
}

std::shared_ptr<const data::Snapshot> ModelStore::snapshot(
    const std::vector<data::JobRecord>& open_jobs, std::int64_t serial) const {
  auto made = std::make_shared<data::Snapshot>();
  made->serial = serial;
  for (const data::DownstreamNow& downstream : downstreams_) {
    made->downstreams.emplace(downstream.id, downstream);
  }
  for (const data::JobRecord& record : open_jobs) {
    const JobSpec* spec = record.kind == data::JobKind::single ? nullptr : job(record.id);
    data::JobNow now = spec == nullptr ? single_job(record.id) : job_now(spec->campaign);
    if (spec != nullptr) fill_job(now, *spec);
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
    now.replans = record.replans;
    now.settle_by_repeat = record.settle_by_repeat;
    now.restored_at = record.restored_at;
    made->jobs.emplace(record.number, std::move(now));
  }
  return made;
}

}  // namespace vouch::test
