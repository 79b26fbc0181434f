// vouchd: the daemon of Vouch.  main is a list of steps.
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "common/files.hpp"
#include "common/log.hpp"
#include "common/text.hpp"
#include "daemon/admin_address.hpp"
#include "daemon/config.hpp"
#include "daemon/daemon.hpp"
#include "daemon/service_manager.hpp"

namespace {

using namespace vouch;

// Calls that are out may take their whole timeout; then their outcomes are written.
constexpr Millis kStopMargin{5'000};
constexpr Millis kTick{100};
constexpr int kOwnMappingBytes = 256 << 10;
constexpr int kUsage = 2;
constexpr Millis kSignOfLife{1'000};

sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error like a full disk
  return signals;
}

// Each call has a connection, each client of the admin listener one; SQLite and the lists have the
// rest.  A call that finds no descriptor would fail for a reason that is none of its downstream's.
constexpr int kOtherFiles = 256;

void make_room_for_files(daemon::Config& config) {
  const auto wanted = static_cast<rlim_t>(config.engine.calls_max + kOtherFiles);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, wanted);
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur >= wanted) return;
  const auto files = static_cast<int>(limit.rlim_cur);
  const int calls = std::max(1, files - kOtherFiles);
  log::warn("too few files may be open for the calls that are configured: fewer will be out",
            {{"open_files_max", files},
             {"calls_wanted", config.engine.calls_max},
             {"calls", calls},
             {"hint", "raise LimitNOFILE= of the unit, or ulimit -Hn"}});
  config.engine.calls_max = calls;
}

int report(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  if (!error.hint.empty()) std::fprintf(stderr, "hint: %s\n", error.hint.c_str());
  return exit_code_of(error.code);
}

void show_life(daemon::Daemon& daemon, const Clock& clock, Instant& next) {
  if (clock.now() < next) return;
  next = clock.now() + kSignOfLife;
  daemon.show_life();
}

// Until everything is settled, or a second signal.
int stop(daemon::Daemon& daemon, const sigset_t& signals, const Clock& clock) {
  log::info("stopping: no new calls; waiting for those that are out");
  daemon.drain();
  const Instant until = clock.now() + daemon.longest_timeout() + kStopMargin;
  Instant next_sign = clock.now();
  while (!daemon.drained()) {
    show_life(daemon, clock, next_sign);
    const timespec tick{0, std::chrono::nanoseconds{kTick}.count()};
    if (sigtimedwait(&signals, nullptr, &tick) > 0) {
      log::warn("second signal: stopping at once; calls that are out will be in doubt");
      return 0;
    }
    if (clock.now() >= until) {
      log::error("calls did not end within their timeouts; they will be in doubt");
      return 1;
    }
  }
  if (const auto unkept = daemon.health().spool_error()) {
    log::error("not all ends of calls could be kept: those rows will be in doubt",
               {{"why", unkept->message}});
  }
  if (!daemon.health().store_ok()) {
    log::error("stopped, for the ledger cannot be written",
               {{"why", daemon.health().error().message}});
    return 1;
  }
  log::info("stopped");
  return 0;
}

int run(daemon::Daemon& daemon, const daemon::ServiceManager& manager, const sigset_t& signals,
        const Clock& clock) {
  Instant next_alive = clock.now();
  Instant next_sign = clock.now();
  std::uint64_t rounds = 0;
  while (true) {
    show_life(daemon, clock, next_sign);
    const timespec tick{0, std::chrono::nanoseconds{kTick}.count()};
    const int signal = sigtimedwait(&signals, nullptr, &tick);
    if (signal == SIGTERM || signal == SIGINT) {
      manager.stopping();
      return stop(daemon, signals, clock);
    }
    if (signal == SIGHUP) {
      manager.reloading(clock.now());
      daemon.reload();
      log::info("definitions and secrets are read again; what vouchd.conf says needs a restart");
      manager.ready("running");
    }
    if (!daemon.health().store_ok()) {
      const Error error = daemon.health().error();
      log::error("the ledger cannot be written: no call starts any more, vouchd stops",
                 {{"why", error.message}, {"hint", error.hint}});
      manager.stopping();
      return stop(daemon, signals, clock);
    }
    if (manager.watchdog() && clock.now() >= next_alive && daemon.engine_rounds() != rounds) {
      rounds = daemon.engine_rounds();
      next_alive = clock.now() + *manager.watchdog();
      manager.alive();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_streams();
  auto config = daemon::read_config(argc, argv);
  if (!config) {
    std::fputs(config.error().out.c_str(), stdout);
    std::fputs(config.error().err.c_str(), stderr);
    return std::fflush(stdout) == 0 ? config.error().exit_code : 1;
  }
  if (config->action == daemon::Config::Action::show_version) {
    std::puts("vouchd " VOUCH_VERSION);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
  if (auto opened = log::open(config->log_format, config->log_level); !opened) {
    return report(opened.error());
  }
  if (config->action == daemon::Config::Action::check) {
    const auto checked = daemon::check_admin_address(config->admin_listen);
    if (checked) return 0;
    static_cast<void>(report(checked.error()));
    return kUsage;  // as every other mistake of the configuration
  }
  make_room_for_files(*config);
  const sigset_t signals = block_signals();
  umask(0027);  // the group may read, others nothing
  // Rows are made on one thread and freed on another: two arenas keep that from growing.
  mallopt(M_ARENA_MAX, 2);
  // A group's rows in one piece are given back whole, and leave no hole between small things.
  mallopt(M_MMAP_THRESHOLD, kOwnMappingBytes);

  const SystemClock clock;
  SystemRandom random;
  const daemon::ServiceManager manager;
  try {
    auto daemon = daemon::Daemon::open(*config, clock, random);
    if (!daemon) return report(daemon.error());
    log::info("started", {{"version", VOUCH_VERSION},
                          {"store", config->store},
                          {"instance", config->instance},
                          {"in_doubt_after_stop", (*daemon)->recovered().in_doubt},
                          {"settled_from_spool", (*daemon)->recovered().settled}});
    (*daemon)->start();
    manager.ready("running");
    const int code = run(**daemon, manager, signals, clock);
    log::flush();
    return code;
  } catch (const std::exception& error) {
    return report({Errc::failure, error.what(), "this is a bug; nothing is lost"});
  }
}
