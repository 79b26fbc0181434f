#include "daemon/daemon.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/log.hpp"
#include "common/store/ledger_copy.hpp"
#include "common/text.hpp"
#include "daemon/admin_address.hpp"
#include "daemon/data/older_ledger.hpp"
#include "daemon/data/pool_book.hpp"

namespace vouch::daemon {
namespace {

// The threads that drain give way to those that answer people.
constexpr int kDrainNice = 5;
// Of one exchange with Redis.
constexpr Millis kRedisLimit{1'000};

strategy::Intake::OpenList list_opener(const store::StorePaths& paths) {
  return [paths](const std::string& digest) {
    return store::SealedList::open(paths.list_file(digest));
  };
}

std::unique_ptr<wire::RedisConnection> make_redis_connection(const Clock& clock,
                                                             const Config& config) {
  if (!config.redis) return nullptr;
  return std::make_unique<wire::RedisConnection>(clock, *config.redis, config.redis_password,
                                                 kRedisLimit);
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

strategy::IntakeSettings intake_settings(const Config& config, std::int64_t first_epoch) {
  strategy::IntakeSettings settings = config.intake;
  settings.leases.lock = config.engine.lock;
  settings.leases.owner = config.instance;
  settings.leases.first_epoch = first_epoch;
  return settings;
}

Result<void> make_ledger_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(Errc::not_permitted, folder + ": " + error.message());
  // Set-group-id and r-x for the group: readers may look and never write.
  if (chmod(folder.c_str(), 02750) != 0) return system_error(folder, errno, "set the mode of");
  return {};
}

// In an older copy of the control store ids of commands begin again, and what was submitted since
// is not there.  Once that is accepted, ids go on above those that the ledger has seen.
Result<void> check_control(const Config& config, store::ControlStore& control,
                           data::LedgerReader& ledger, WallTime now) {
  VOUCH_TRY(const std::int64_t applied, ledger.last_applied());
  VOUCH_TRY(const std::int64_t given, control.last_command());
  if (applied <= given) return {};
  const std::string why = "the control store ends at command " + std::to_string(given) +
                          " but the ledger has applied command " + std::to_string(applied) +
                          ": the control store is an older copy";
  if (!config.accept_older_control) {
    return fail(Errc::attention, why,
                "find the newest control.db; to go on with this one all the same, after submitting "
                "again what is missing in it: vouchd --accept-older-control");
  }
  log::warn("going on with an older control store, as asked", {{"why", why}});
  return control.skip_commands({.operator_name = "vouchd", .now = now}, applied);
}

// Names the option that chose the address, and how this instance gets another.
tl::unexpected<Error> no_listener(const Config& config, Error error) {
  if (error.code == Errc::unavailable) {
    error.hint = "each vouchd needs an address of its own: give instance \"" + config.instance +
                 "\" one with --admin-listen, or with admin-listen in its configuration file";
  }
  return within("admin-listen " + config.admin_listen, std::move(error));
}

// Jobs whose declined rows were run again by a job of which the ledger has not heard.
Result<std::set<ObjectId>> rerun_since(const std::vector<store::JobRow>& jobs,
                                       data::LedgerReader& ledger) {
  std::set<ObjectId> sources;
  for (const store::JobRow& job : jobs) {
    if (job.rerun_of == 0) continue;
    const auto& states = job.options.rerun_states;
    if (std::ranges::find(states, name_of(IssuanceState::declined)) == states.end()) continue;
    VOUCH_TRY(const bool known, ledger.has_job(job.id));
    if (!known) sources.insert(job.rerun_of);
  }
  return sources;
}

Result<void> go_on_with_older(store::Database& ledger, data::LedgerReader& reader,
                              store::ControlStore& control, WallTime now, const Error& why) {
  VOUCH_TRY(const auto campaigns, control.campaigns());
  std::vector<ObjectId> ids;
  for (const store::CampaignRow& campaign : campaigns) ids.push_back(campaign.id);
  VOUCH_TRY(const auto last, data::last_event_time(ledger));
  // An empty one knows nothing since the first job.
  VOUCH_TRY(const auto jobs, control.jobs());
  const WallTime since = last ? *last : jobs.empty() ? now : jobs.front().submitted;
  // A code that has gone out since this copy was made must not go out again; and before the
  // copy counts as the newest.
  VOUCH_TRY(const auto pools, control.pools());
  for (const store::PoolRow& pool : pools) {
    VOUCH_CHECK(data::pass_over_codes(ledger, pool.id, pool.codes()));
  }
  VOUCH_TRY(const std::set<ObjectId> sources, rerun_since(jobs, reader));
  VOUCH_TRY(const data::Acceptance accepted,
            data::accept_older_ledger(ledger, ids, sources, since, now));
  log::warn("going on with an older ledger, as asked: what it does not know is in doubt",
            {{"why", why.message},
             {"since", format_time_utc(since)},
             {"rows", accepted.rows_in_doubt},
             {"jobs_paused", accepted.jobs_paused}});
  return {};
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::open(const Config& config, const Clock& clock,
                                             Random& random) {
  const store::StorePaths paths{config.store};
  VOUCH_TRY(store::ControlStore control, store::ControlStore::open(paths));
  const std::string folder = paths.ledger_folder(config.instance);
  VOUCH_CHECK(make_ledger_folder(folder));
  VOUCH_TRY(data::InstanceLock lock, data::InstanceLock::take(folder, clock));
  VOUCH_TRY(FaultMark fault_mark, FaultMark::open(folder + "/vouchd.fault"));
  VOUCH_TRY(data::OutcomeSpool spool, data::OutcomeSpool::open(folder + "/outcomes.spool"));
  const std::string path = paths.ledger_db(config.instance);
  VOUCH_TRY(store::Database ledger, data::open_ledger(path, clock.wall_now(), random));
  VOUCH_TRY(std::string id, data::ledger_id(ledger));
  VOUCH_TRY(const std::int64_t first_epoch, data::first_epoch(ledger));
  VOUCH_TRY(store::Database for_intake, data::open_ledger_reader(path));
  VOUCH_TRY(store::Database for_control, data::open_ledger_reader(path));
  data::LedgerReader reader{std::move(for_control)};

  VOUCH_TRY(const auto anchor, data::read_anchor(config.anchor_file));
  VOUCH_TRY(const std::int64_t last, reader.last_event());
  VOUCH_TRY(const auto copied, store::copied_at(ledger));
  auto newest_known = data::check_anchor(anchor, id, last);
  if (newest_known) newest_known = data::check_copy(copied);
  if (!newest_known) {
    if (!config.accept_older_ledger) return tl::unexpected<Error>(newest_known.error());
    VOUCH_CHECK(go_on_with_older(ledger, reader, control, clock.wall_now(), newest_known.error()));
  }
  VOUCH_TRY(const auto newest, data::last_event_time(ledger));
  if (auto right = data::check_clock(newest, clock.wall_now()); !right) {
    if (!config.accept_clock) return tl::unexpected<Error>(right.error());
    log::warn("going on with this clock, as asked", {{"why", right.error().message}});
  }
  VOUCH_CHECK(check_control(config, control, reader, clock.wall_now()));
  VOUCH_TRY(const std::string wanted, control.policy());
  VOUCH_TRY(std::string policy, data::keep_policy(ledger, wanted));
  if (policy != wanted) {
    log::warn("the control store's policy is not followed: this ledger was told another before",
              {{"control_store", wanted}, {"in_force", policy}});
  }
  VOUCH_TRY(store::Database for_socket, data::open_ledger_reader(path));
  VOUCH_TRY(store::ControlStore socket_control, store::ControlStore::open(paths));
  std::unique_ptr<Daemon> daemon{new Daemon(
      config, clock, random,
      Opened{std::move(lock), std::move(fault_mark), std::move(spool), std::move(ledger),
             data::LedgerReader{std::move(for_intake)}, std::move(reader), std::move(control), id,
             first_epoch, data::LedgerReader{std::move(for_socket)}, std::move(socket_control),
             std::move(policy)})};
  VOUCH_CHECK(daemon->begin(config));
  return daemon;
}

Daemon::Daemon(const Config& config, const Clock& clock, Random& random, Opened opened)
    : clock_{clock},
      paths_{config.store},
      lock_{std::move(opened.lock)},
      fault_mark_{std::move(opened.fault_mark)},
      spool_{std::move(opened.spool)},
      ledger_file_{std::move(opened.ledger)},
      downstream_{
          clock,
          {.calls_max = config.engine.calls_max, .authorities = config.downstream_authorities}},
      redis_connection_{make_redis_connection(clock, config)},
      redis_{make_redis(config, opened.ledger_id)},
      ready_{[this] { downstream_.wake(); }},
      writer_{ledger_file_, ready_, health_, clock,
              data::CodeShelf{paths_.pools(), config.pool_key}},
      engine_{downstream_, ready_, writer_, board_, health_, clock, random, config.engine},
      intake_{std::move(opened.intake_reader),
              writer_,
              ready_,
              board_,
              health_,
              clock,
              coordination(),
              list_opener(paths_),
              intake_settings(config, opened.first_epoch),
              data::CodeShelf{paths_.pools(), config.pool_key}},
      notifier_{config.notify_command, clock},
      control_{std::make_unique<Control>(
          std::move(opened.control), std::move(opened.control_reader), paths_, config.instance,
          config.anchor_file, opened.ledger_id, opened.policy,
          Control::Parts{writer_, board_, engine_, intake_, notifier_, clock})},
      control_socket_{std::move(opened.socket_control),
                      std::move(opened.socket_reader),
                      std::move(opened.policy),
                      {writer_, board_, health_, clock, random}},
      http_{clock},
      started_at_ms_{to_ms(clock.wall_now())} {}

Daemon::~Daemon() {
  stop_ = true;
  downstream_.wake();
  writer_.wake();
  intake_.wake();
  if (redis_) redis_->wake();
  http_.stop();
  control_socket_.stop();
  for (std::thread& thread : threads_) thread.join();
  // What is still out keeps its lock until that runs out.
  if (redis_ && drained()) redis_->release_all();
  // After the last commit, so that the anchor is as far as the ledger.
  if (!threads_.empty() && health_.store_ok()) control_->end();
}

Result<void> Daemon::begin(const Config& config) {
  VOUCH_TRY(const bool after_fault, fault_mark_.is_set());
  VOUCH_TRY(recovered_, writer_.load_and_recover(&spool_, after_fault));
  VOUCH_CHECK(fault_mark_.clear());
  fault_mark_.watch();
  VOUCH_CHECK(control_->begin());
  VOUCH_CHECK(open_control_socket(config));
  if (!redis_) writer_.push(data::CoordinationTurned{});
  return listen(config);
}

// What is to be confirmed can wait, and calls cannot: where the usual place is too long for a
// socket, the daemon runs without one.
Result<void> Daemon::open_control_socket(const Config& config) {
  if (config.control_socket == "none") return data::keep_control_socket(ledger_file_, "");
  const bool usual = config.control_socket.empty();
  const std::string path =
      usual ? paths_.ledger_folder(config.instance) + "/control.sock" : config.control_socket;
  const std::string absolute = std::filesystem::absolute(path).string();
  if (auto open = control_socket_.listen(absolute, paths_.root); !open) {
    if (!usual || open.error().code != Errc::invalid) {
      return within("control-socket", open.error());
    }
    log::warn(
        "no control socket: nothing can be proposed or confirmed; give it a shorter path "
        "with control-socket",
        {{"why", open.error().message}});
    return data::keep_control_socket(ledger_file_, "");
  }
  return data::keep_control_socket(ledger_file_, absolute);
}

Result<void> Daemon::listen(const Config& config) {
  if (config.admin_listen == "none") return {};
  VOUCH_TRY(const AdminAddress where, parse_admin_address(config.admin_listen));
  http_.serve([this](const access::HttpRequest& request) { return answer(request); });
  http_.on_report([](std::string_view what) { log::error("admin listener", {{"why", what}}); });
  listens_ = true;
  if (!where.socket.empty()) {
    const auto id = http_.listen_unix(where.socket, 0660);
    if (!id) return no_listener(config, id.error());
    return {};
  }
  const auto id = http_.listen_tcp(where.address, where.port);
  if (!id) return no_listener(config, id.error());
  if (config.admin_port_file.empty()) return {};
  const std::string aside = config.admin_port_file + ".new";
  VOUCH_TRY(const FileDescriptor file, open_to_write(aside));
  VOUCH_CHECK(write_all(file, std::to_string(http_.port_of(*id)) + "\n", aside));
  std::filesystem::rename(aside, config.admin_port_file);
  return {};
}

void Daemon::start() {
  run_thread("vouch-writer", kDrainNice, &Daemon::run_writer);
  run_thread("vouch-engine", kDrainNice, &Daemon::run_engine);
  run_thread("vouch-intake", kDrainNice, &Daemon::run_intake);
  if (redis_) run_thread("vouch-redis", 0, &Daemon::run_redis);
  run_thread("vouch-control", 0, &Daemon::run_control);
  run_thread("vouch-socket", 0, &Daemon::run_control_socket);
  if (listens_) run_thread("vouch-http", 0, &Daemon::run_http);
  ready_to_serve_ = true;
}

void Daemon::run_thread(const char* name, int nice, void (Daemon::*body)()) {
  threads_.emplace_back([this, name, nice, body] {
    pthread_setname_np(pthread_self(), name);
    // On Linux nice is a thread's own; where it is refused the thread runs as it is.
    const auto tid = static_cast<id_t>(syscall(SYS_gettid));
    static_cast<void>(setpriority(PRIO_PROCESS, tid, nice));
    try {
      (this->*body)();
    } catch (const std::exception& error) {
      fault_mark_.set();
      health_.store_failed({Errc::failure, std::string{name} + ": " + error.what(), {}});
    }
  });
}

void Daemon::show_life() {
  if (went_round_.load(std::memory_order_relaxed) != kAllWentRound) return;
  went_round_.store(0, std::memory_order_relaxed);
  lock_.show_life();
}

void Daemon::went_round(unsigned thread) {
  // Mostly the bit is set: then the line is only read.
  if ((went_round_.load(std::memory_order_relaxed) & thread) != 0) return;
  went_round_.fetch_or(thread, std::memory_order_relaxed);
}

void Daemon::run_engine() {
  while (!stop_) {
    const Instant due = engine_.run_once(clock_.now());
    engine_rounds_.fetch_add(1, std::memory_order_relaxed);
    went_round(kEngineWentRound);
    // Rounded up: polling for less than a millisecond would be spinning.
    downstream_.wait(std::chrono::ceil<Millis>(std::max(Nanos{0}, due - clock_.now())));
  }
}

void Daemon::run_writer() {
  while (!stop_) {
    const Instant due = writer_.run_once(clock_.now());
    went_round(kWriterWentRound);
    writer_.wait_until(due);
  }
}

void Daemon::run_intake() {
  while (!stop_) {
    const Instant due = intake_.run_once(clock_.now());
    went_round(kIntakeWentRound);
    intake_.wait_until(due);
  }
}

void Daemon::run_control() {
  while (!stop_) {
    const Instant due = control_->run_once(clock_.now());
    went_round(kControlWentRound);
    sleep_until(clock_, due);
  }
}

void Daemon::run_redis() {
  while (!stop_) redis_->wait_until(redis_->run_once(clock_.now()));
}

service::Coordination& Daemon::coordination() {
  if (redis_) return *redis_;
  return in_process_;
}

std::unique_ptr<service::RedisCoordination> Daemon::make_redis(const Config& config,
                                                               const std::string& ledger_id) {
  if (!config.redis) return nullptr;
  return std::make_unique<service::RedisCoordination>(
      clock_,
      service::RedisSettings{.where = config.redis->text(),
                             .prefix = "vouch:" + ledger_id + ":",
                             .place = lock_.place(),
                             .name = config.instance + " on " + host_name()},
      [this](const auto& commands, bool anew) {
        return redis_connection_->exchange(commands, anew);
      },
      service::RedisCoordination::Reports{
          .on_change = [this] { intake_.wake(); },
          .on_turn = [this](bool is_up, const std::string& why) { redis_turned(is_up, why); }});
}

void Daemon::redis_turned(bool is_up, const std::string& why) {
  const std::string where = redis_->view().where;
  if (is_up) {
    log::info("Redis is " + why, {{"redis", where}});
  } else {
    log::warn("Redis is lost; going on by the ledger's lock file",
              {{"redis", where}, {"why", why}});
  }
  writer_.push(data::CoordinationTurned{.where = where, .is_up = is_up, .why = why});
}

void Daemon::run_http() {
  http_.run();
}

void Daemon::run_control_socket() {
  control_socket_.run();
}

void Daemon::drain() {
  ready_to_serve_ = false;
  engine_.drain();
  control_socket_.drain();
  downstream_.wake();
}

bool Daemon::drained() const {
  return engine_.drained() && writer_.idle();
}

Millis Daemon::longest_timeout() const {
  Millis longest{0};
  const auto snapshot = board_.read();
  for (const auto& [id, downstream] : snapshot->downstreams) {
    for (const auto& [version, definition] : downstream.versions) {
      longest = std::max(longest, definition->timeout);
    }
  }
  return longest;
}

std::string Daemon::readiness() const {
  if (!health_.store_ok()) return "store failed: " + health_.error().message;
  return ready_to_serve_ ? "" : "stopping";
}

access::HttpResponse Daemon::answer(const access::HttpRequest& request) {
  using access::HttpResponse;
  if (request.method != "GET" && request.method != "HEAD") {
    return HttpResponse::problem(405, "only GET is served here");
  }
  if (request.path == "/livez") return HttpResponse::text(200, "ok\n");
  if (request.path == "/readyz") {
    const std::string why = readiness();
    std::string text = why.empty() ? "ready\n" : "not ready: " + why + "\n";
    if (request.query.find("verbose") != std::string_view::npos) {
      text += std::string{"store "} + (health_.store_ok() ? "ok" : "failed") + "\n";
      const service::CoordinationView locks = coordination().view();
      text += "locks in " + locks.where + (locks.is_up ? "" : " lost: " + locks.problem) + "\n";
      for (const service::LaneView& lane : engine_.view()) {
        text += "downstream " + lane.name + " breaker " + std::string{name_of(lane.breaker)} + "\n";
      }
      for (const auto& [job, problem] : intake_.problems()) {
        text += "job " + format_id(ObjectKind::job, job) + " " + problem + "\n";
      }
    }
    return HttpResponse::text(why.empty() ? 200 : 503, std::move(text));
  }
  if (request.path == "/metrics") {
    const access::Gauges gauges{.lanes = engine_.view(),
                                .coordination = coordination().view(),
                                .commits = writer_.commits(),
                                .slowest_commit = writer_.slowest_commit(),
                                .writer_queue = writer_.queued(),
                                .ready_rows = ready_.depth(),
                                .store_ok = health_.store_ok(),
                                .ready = readiness().empty(),
                                .cpu_time = cpu_time_used(),
                                .started_at_ms = started_at_ms_};
    HttpResponse response = HttpResponse::text(200, metrics_text(gauges, *board_.read()));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }
  return HttpResponse::problem(404, "here are /livez, /readyz and /metrics");
}

}  // namespace vouch::daemon
