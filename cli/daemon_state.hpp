// daemon_state.hpp: whether an instance's vouchd works, as far as can be seen from outside.
//
// vouchd holds two locks in its ledger's folder for as long as it lives, and stamps the lock file
// once a second while all its threads go round.  Both are only looked at: a shared lock for a
// moment, and the file's time.  No database is touched.
//
// Threads: main's.   Errors: none; what cannot be looked at is `unknown`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/store/control_store.hpp"

namespace vouch::cli {

// A vouchd whose last sign of life is older than this hangs, or its machine does.
inline constexpr Millis kDaemonSilenceMax{10'000};

struct DaemonState {
  enum class Kind : std::uint8_t {
    unknown,  // this account may not look
    absent,
    running,
    hanging,  // it holds its lock and shows no sign of life
  };
  Kind kind = Kind::unknown;
  std::optional<WallTime> seen;  // the last sign of life; nothing when there never was one

  [[nodiscard]] bool is_absent() const { return kind == Kind::absent; }
  [[nodiscard]] bool is_trouble() const { return kind == Kind::absent || kind == Kind::hanging; }
};

[[nodiscard]] DaemonState look_at_daemon(const store::StorePaths& paths, std::string_view instance,
                                         WallTime now);

// "running", "not running", "hanging", "unknown": stable words for scripts.
[[nodiscard]] std::string_view word_of(DaemonState::Kind kind);
// "vouchd is not running since 2026-11-22 10:00:00 +00:00"; empty when there is no trouble.
[[nodiscard]] std::string words_of(const DaemonState& state);
// The command that mends it.
[[nodiscard]] std::string fix_of(const DaemonState& state, std::string_view instance);
// What to do, in words.
[[nodiscard]] std::string advice_of(const DaemonState& state, std::string_view instance);
// vouchd.service is the instance main; the others are of vouchd@.service.
[[nodiscard]] std::string unit_of(std::string_view instance);

}  // namespace vouch::cli
