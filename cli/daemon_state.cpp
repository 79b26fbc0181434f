#include "cli/daemon_state.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "common/files.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

enum class Held : std::uint8_t { no, yes, unknown };

// Asks for a shared lock and gives it back at once; vouchd, when it starts, is patient enough.
Held held_by_somebody(const std::string& path, int flags) {
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)};
  if (!file.is_open()) return errno == ENOENT || errno == ENOTDIR ? Held::no : Held::unknown;
  return ::flock(file.get(), LOCK_SH | LOCK_NB) == 0 ? Held::no : Held::yes;
}

std::optional<WallTime> changed_at(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  constexpr std::int64_t kNanosInMilli = 1'000'000;
  return from_ms(status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / kNanosInMilli);
}

}  // namespace

DaemonState look_at_daemon(const store::StorePaths& paths, std::string_view instance,
                           WallTime now) {
  const std::string folder = paths.ledger_folder(instance);
  const std::string file = folder + "/vouchd.lock";
  DaemonState state{.kind = DaemonState::Kind::unknown, .seen = changed_at(file)};
  // The folder's lock outlives a lock file that somebody has deleted.
  Held held = held_by_somebody(file, 0);
  if (held == Held::no) held = held_by_somebody(folder, O_DIRECTORY);
  if (held == Held::unknown) return state;
  if (held == Held::no) {
    state.kind = DaemonState::Kind::absent;
  } else {
    const bool silent = state.seen && now - *state.seen > kDaemonSilenceMax;
    state.kind = silent ? DaemonState::Kind::hanging : DaemonState::Kind::running;
  }
  return state;
}

std::string_view word_of(DaemonState::Kind kind) {
  switch (kind) {
    case DaemonState::Kind::unknown:
      return "unknown";
    case DaemonState::Kind::absent:
      return "not running";
    case DaemonState::Kind::running:
      return "running";
    case DaemonState::Kind::hanging:
      return "hanging";
  }
  return "";
}

std::string words_of(const DaemonState& state) {
  if (state.kind == DaemonState::Kind::hanging) {
    return "vouchd gives no sign of life since " + format_time_local(*state.seen);
  }
  if (!state.is_absent()) return {};
  if (!state.seen) return "vouchd has never run";
  return "vouchd is not running since " + format_time_local(*state.seen);
}

std::string fix_of(const DaemonState& state, std::string_view instance) {
  if (!state.is_trouble()) return {};
  return (state.is_absent() ? "systemctl start " : "systemctl restart ") + unit_of(instance);
}

std::string advice_of(const DaemonState& state, std::string_view instance) {
  if (!state.is_trouble()) return {};
  const std::string fix = fix_of(state, instance);
  if (state.is_absent()) return "start it: " + fix;
  return "look at its log (journalctl -u " + unit_of(instance) + ") and its disk, then: " + fix;
}

std::string unit_of(std::string_view instance) {
  return instance == store::kDefaultInstance ? "vouchd" : "vouchd@" + std::string{instance};
}

}  // namespace vouch::cli
