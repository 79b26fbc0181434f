#include "daemon/definitions.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/log.hpp"
#include "common/store/stop_files.hpp"
#include "common/text.hpp"

namespace vouch::daemon {
namespace {

constexpr std::size_t kSmallFileBytesMax = 64 * 1024;

// A bearer token, or a secret to sign with.
std::string read_secret(const std::string& path, const std::string& downstream) {
  const auto text = read_file(path, kSmallFileBytesMax);
  const std::string secret{text ? trim_blanks(*text) : std::string_view{}};
  if (secret.empty() || has_control_bytes(secret)) {
    log::error("secret cannot be used; calls will be refused",
               {{"downstream", downstream},
                {"file", path},
                {"why", text ? std::string{"empty or with control bytes"} : text.error().message}});
    return {};
  }
  return secret;
}

Result<std::vector<Stop>> parse_stops(const std::string& text) {
  VOUCH_TRY(const Json json, parse_json(text));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  VOUCH_TRY(const Json* entries, reader.required("stops"));
  std::vector<Stop> stops;
  if (!entries->is_array()) return fail(Errc::invalid, "/stops: must be an array");
  for (const Json& entry : *entries) {
    const std::string place = "/stops/" + std::to_string(stops.size());
    VOUCH_TRY(JsonReader one, JsonReader::object(entry, place));
    Stop stop;
    VOUCH_TRY(stop.scope, one.text("scope"));
    VOUCH_TRY(const auto name, one.optional_text("name"));
    VOUCH_TRY(const auto reason, one.optional_text("reason"));
    stop.name = name.value_or("");
    stop.reason = reason.value_or("");
    stops.push_back(std::move(stop));
  }
  return stops;
}

std::optional<WallTime> earlier(std::optional<WallTime> a, std::optional<WallTime> b) {
  if (a && b) return std::min(*a, *b);
  return a ? a : b;
}

}  // namespace

Result<void> Definitions::load(store::ControlStore& control) {
  VOUCH_CHECK(load_downstreams(control));
  VOUCH_CHECK(load_campaigns(control));
  VOUCH_TRY(const auto clients, control.clients());
  VOUCH_TRY(const auto jobs, control.jobs());
  VOUCH_TRY(const auto lists, control.lists());
  VOUCH_TRY(const auto pools, control.pools());
  pools_.clear();
  for (const auto& pool : pools) {
    pools_.emplace(pool.name, std::make_shared<const store::PoolRow>(pool));
  }
  clients_.clear();
  jobs_.clear();
  lists_.clear();
  for (const auto& client : clients) clients_.emplace(client.id, client);
  for (const auto& job : jobs) jobs_.emplace(job.id, job);
  for (const auto& list : lists) lists_.emplace(list.id, list);
  // Versions that open jobs run, when the campaign has gone on since.
  for (const auto& [id, job] : jobs_) {
    const auto key = std::pair{job.campaign, job.campaign_version};
    if (versions_.contains(key)) continue;
    VOUCH_TRY(plan::Campaign old, control.campaign_version(key.first, key.second));
    versions_.emplace(key, std::make_shared<const plan::Campaign>(std::move(old)));
  }
  return {};
}

Result<void> Definitions::load_downstreams(store::ControlStore& control) {
  VOUCH_TRY(const auto rows, control.downstreams());
  std::map<ObjectId, data::DownstreamNow> fresh;
  std::vector<SecretFile> secret_files;
  for (const store::DownstreamRow& row : rows) {
    data::DownstreamNow now{.id = row.id,
                            .name = row.definition.name,
                            .limit = row.rate_limit,
                            .warning = row.warning_rate,
                            .paused = row.paused,
                            .pause_reason = row.pause_reason,
                            .version = row.version,
                            .versions = {},
                            .bearer = {}};
    if (const auto before = downstreams_.find(row.id); before != downstreams_.end()) {
      now.versions = before->second.versions;  // versions never change
    }
    for (int version = 1; version <= row.version; ++version) {
      if (now.versions.contains(version)) continue;
      VOUCH_TRY(plan::Downstream definition, control.downstream_version(row.id, version));
      now.versions.emplace(version,
                           std::make_shared<const plan::Downstream>(std::move(definition)));
    }
    const plan::Downstream& present = row.definition;
    const std::string signing_file = present.signing ? present.signing->secret_file : "";
    for (SecretFile file :
         {SecretFile{row.id, &data::DownstreamNow::bearer, present.bearer_file, {}},
          SecretFile{row.id, &data::DownstreamNow::signing_secret, signing_file, {}}}) {
      if (file.path.empty()) continue;
      file.stamp = stamp_of(file.path);  // first: what changes while it is read is read again
      now.*file.target = read_secret(file.path, now.name);
      secret_files.push_back(std::move(file));
    }
    fresh.emplace(row.id, std::move(now));
  }
  downstreams_ = std::move(fresh);
  secret_files_ = std::move(secret_files);
  return {};
}

Definitions::FileStamp Definitions::stamp_of(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return {};
  constexpr std::int64_t kNanosInSecond = 1'000'000'000;
  return {.inode = found.st_ino,
          .bytes = found.st_size,
          .changed_ns = found.st_mtim.tv_sec * kNanosInSecond + found.st_mtim.tv_nsec};
}

bool Definitions::reread_secrets() {
  bool changed = false;
  for (SecretFile& file : secret_files_) {
    const FileStamp stamp = stamp_of(file.path);
    if (stamp == file.stamp) continue;
    file.stamp = stamp;
    data::DownstreamNow& downstream = downstreams_.at(file.downstream);
    downstream.*file.target = read_secret(file.path, downstream.name);
    log::info("secret read again", {{"downstream", downstream.name}, {"file", file.path}});
    changed = true;
  }
  return changed;
}

Result<void> Definitions::load_campaigns(store::ControlStore& control) {
  VOUCH_TRY(const auto rows, control.campaigns());
  campaigns_.clear();
  for (const store::CampaignRow& row : rows) {
    campaigns_.emplace(row.id, row);
    const auto key = std::pair{row.id, row.version};
    if (!versions_.contains(key)) {
      versions_.emplace(key, std::make_shared<const plan::Campaign>(row.definition));
    }
  }
  return {};
}

void Definitions::load_stops(const store::StorePaths& paths) {
  const std::string path = paths.stop_file();
  std::vector<Stop> stops;
  std::string trouble;
  if (std::filesystem::exists(path)) {
    const auto text = read_file(path, store::kStopBytesMax);
    auto parsed =
        text ? parse_stops(*text) : Result<std::vector<Stop>>{tl::make_unexpected(text.error())};
    if (parsed) {
      stops = std::move(*parsed);
    } else {
      trouble = parsed.error().message;
      stops = {{.scope = "all", .name = "", .reason = "the stop file cannot be read: " + trouble}};
    }
  }
  if (std::filesystem::exists(store::stop_all_file(paths))) {
    stops.push_back({.scope = "all", .name = "", .reason = store::kStopAllReason});
  }
  // It is looked at five times a second, and told when it changes.
  if (!trouble.empty() && trouble != stop_trouble_) {
    log::error("the stop file cannot be read: everything is stopped",
               {{"file", path}, {"why", trouble}, {"hint", store::kStopFileHint}});
  }
  stop_trouble_ = std::move(trouble);
  stops_ = std::move(stops);
}

const store::JobRow* Definitions::job(ObjectId id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

const store::CampaignRow* Definitions::campaign(ObjectId id) const {
  const auto found = campaigns_.find(id);
  return found == campaigns_.end() ? nullptr : &found->second;
}

const store::CampaignRow* Definitions::campaign(std::string_view name) const {
  for (const auto& [id, row] : campaigns_) {
    if (row.definition.name == name || format_id(ObjectKind::campaign, id) == name) return &row;
  }
  return nullptr;
}

const data::DownstreamNow* Definitions::downstream(std::string_view name) const {
  for (const auto& [id, now] : downstreams_) {
    if (now.name == name) return &now;
  }
  return nullptr;
}

std::map<ObjectId, std::string> Definitions::downstream_names() const {
  std::map<ObjectId, std::string> names;
  for (const auto& [id, now] : downstreams_) names.emplace(id, now.name);
  return names;
}

const store::ListRow* Definitions::list(ObjectId id) const {
  const auto found = lists_.find(id);
  return found == lists_.end() ? nullptr : &found->second;
}

void Definitions::fill_campaign(data::JobNow& now, ObjectId id, int version) const {
  now.campaign_id = id;
  now.campaign_version = version;
  const auto found = versions_.find({id, version});
  if (found == versions_.end()) return;
  now.campaign = found->second;
  for (const plan::Item& item : now.campaign->items) {
    const data::DownstreamNow* to = downstream(item.downstream);
    now.item_downstreams.push_back(to == nullptr ? 0 : to->id);
    if (item.by_export()) now.exports.add(item.number);
    const auto from = pools_.find(item.pool);
    now.item_pools.push_back(from == pools_.end() ? nullptr : from->second);
  }
}

void Definitions::fill_job(data::JobNow& now, const store::JobRow& row) const {
  fill_campaign(now, row.campaign, row.campaign_version);
  now.occurrence = row.options.occurrence;
  now.rate = row.options.rate;
  now.start_at = row.options.start_at;
  now.finish_by = row.options.finish_by;
  now.rerun_of = row.rerun_of;
  now.failures_percent_max = row.options.failures_percent_max.value_or(now.failures_percent_max);
  for (const std::string& part : row.options.tolerate) {
    if (const auto state = issuance_state_of(part.substr(0, part.find('=')))) {
      now.tolerated.push_back(*state);
    }
  }
  for (const std::string& name : row.options.rerun_states) {
    if (const auto state = issuance_state_of(name)) now.rerun_states.push_back(*state);
  }
  // A rerun reads the list of the job it began with.
  const store::JobRow* source = &row;
  while (source != nullptr && source->list == 0 && source->rerun_of != 0) {
    source = job(source->rerun_of);
  }
  const store::ListRow* from = source == nullptr ? nullptr : list(source->list);
  if (from != nullptr) now.list_digest = from->digest;
}

std::string Definitions::blocked(const data::JobNow& now, const store::JobRow* row) const {
  const store::CampaignRow* of = campaign(now.campaign_id);
  const auto client = row == nullptr ? clients_.end() : clients_.find(row->client);
  const std::string client_name = client == clients_.end() ? "" : client->second.name;
  for (const Stop& stop : stops_) {
    const bool hit =
        stop.scope == "all" ||
        (stop.scope == "campaign" && of != nullptr && stop.name == of->definition.name) ||
        (stop.scope == "client" && stop.name == client_name && !client_name.empty());
    if (hit) return "stopped: " + stop.reason;
  }
  if (of != nullptr && of->state == "paused") return "the campaign is paused";
  if (client != clients_.end() && client->second.paused) {
    return "client " + client_name + " is paused";
  }
  for (std::size_t i = 0; i < now.item_pools.size(); ++i) {
    const std::string& pool = now.campaign->items[i].pool;
    if (!pool.empty() && now.item_pools[i] == nullptr) return "the pool " + pool + " is missing";
  }
  for (std::size_t item = 0; item < now.items_count(); ++item) {
    if (now.by_export(item)) continue;
    const auto to = downstreams_.find(now.item_downstreams[item]);
    if (to == downstreams_.end()) return "a downstream of the campaign is missing";
    if (to->second.paused) return "downstream " + to->second.name + " is paused";
    for (const Stop& stop : stops_) {
      if (stop.scope == "downstream" && stop.name == to->second.name) {
        return "downstream " + stop.name + " is stopped: " + stop.reason;
      }
    }
  }
  return {};
}

data::JobNow Definitions::single_job(const store::CampaignRow& of) const {
  data::JobNow now;
  now.kind = data::JobKind::single;
  now.state = JobState::running;
  fill_campaign(now, of.id, of.version);
  now.finish_by = of.definition.not_after;
  now.blocked = blocked(now, nullptr);
  if (of.state == "ended") now.ended = "the campaign has ended";
  return now;
}

std::shared_ptr<const data::Snapshot> Definitions::snapshot(
    const std::vector<data::JobRecord>& open_jobs, std::int64_t serial) const {
  auto snapshot = std::make_shared<data::Snapshot>();
  snapshot->serial = serial;
  snapshot->downstreams = downstreams_;
  for (const data::JobRecord& record : open_jobs) {
    const bool single = record.kind == data::JobKind::single;
    const store::JobRow* row = single ? nullptr : job(record.id);
    const store::CampaignRow* of = campaign(single           ? record.id
                                            : row == nullptr ? 0
                                                             : row->campaign);
    if (of == nullptr) {
      log::error("a job of the ledger is unknown to the control store",
                 {{"job", format_id(ObjectKind::job, record.id)}});
      continue;
    }
    data::JobNow now = single ? single_job(*of) : data::JobNow{};
    if (!single) fill_job(now, *row);
    if (now.campaign == nullptr) continue;
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
    now.finish_by = earlier(now.finish_by, now.campaign->not_after);
    now.blocked = blocked(now, row);
    if (of->state == "ended") now.ended = "the campaign has ended";
    snapshot->jobs.emplace(record.number, std::move(now));
  }
  return snapshot;
}

}  // namespace vouch::daemon
