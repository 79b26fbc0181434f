#include "daemon/notifier.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "common/json.hpp"
#include "common/log.hpp"
#include "common/text.hpp"

extern char** environ;

namespace vouch::daemon {
namespace {

constexpr Millis kRunMax{10'000};
constexpr Millis kDistance{60'000};
constexpr std::size_t kRunsMax = 8;

// The daemon's threads block and ignore signals; a program of others expects none of that.
void reset_signals(posix_spawnattr_t& attributes) {
  sigset_t none;
  sigemptyset(&none);
  sigset_t ignored;
  sigemptyset(&ignored);
  for (const int signal : {SIGPIPE, SIGXFSZ}) sigaddset(&ignored, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &ignored);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

Notifier::~Notifier() {
  for (const Run& run : runs_) {
    kill(run.pid, SIGKILL);
    waitpid(run.pid, nullptr, 0);
  }
}

void Notifier::tell(const std::string& kind, const std::string& subject, const std::string& words) {
  log::info("notice", {{"kind", kind}, {"subject", subject}, {"words", words}});
  if (command_.empty()) return;
  const Instant now = clock_.now();
  const auto [last, first] = last_.try_emplace(kind + " " + subject, now);
  if (!first && now < last->second + kDistance) return;
  last->second = now;
  if (runs_.size() >= kRunsMax) {
    log::warn("notice not passed on: too many notify programs still run", {{"kind", kind}});
    return;
  }
  run(Json{{"kind", kind},
           {"subject", subject},
           {"words", words},
           {"at", format_time_utc(clock_.wall_now())}}
          .dump() +
      "\n");
}

void Notifier::run(const std::string& json) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
  // Less than a pipe's buffer: the write never waits for the program.
  const bool written =
      write(ends[1], json.data(), json.size()) == static_cast<ssize_t>(json.size());
  close(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  reset_signals(attributes);
  pid_t pid = 0;
  std::string command = command_;
  std::array<char*, 2> argv = {command.data(), nullptr};
  const int failed =
      written ? posix_spawn(&pid, command_.c_str(), &actions, &attributes, argv.data(), environ)
              : EIO;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[0]);
  if (failed != 0) {
    log::error("notify program cannot be run", {{"command", command_}, {"errno", failed}});
    return;
  }
  runs_.push_back({pid, clock_.now() + kRunMax});
}

void Notifier::look_after(Instant now) {
  std::erase_if(runs_, [&](const Run& run) {
    int status = 0;
    if (waitpid(run.pid, &status, WNOHANG) == run.pid) {
      if (status != 0) log::warn("notify program failed", {{"status", status}});
      return true;
    }
    if (now < run.until) return false;
    log::warn("notify program took longer than ten seconds and was stopped",
              {{"command", command_}});
    kill(run.pid, SIGKILL);
    return waitpid(run.pid, nullptr, 0) == run.pid;
  });
}

}  // namespace vouch::daemon
