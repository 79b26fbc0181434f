// failpoint.hpp: named moments at which a test lets the program die, as `kill -9` would.
//
// Only builds with VOUCH_FAILPOINTS have them (the presets debug, asan and tsan); in what is
// installed they are nothing at all.  VOUCH_FAILPOINT=name:n in the environment chooses the moment:
// the nth time that it is reached, on any thread, the process is killed.
// tests/campaigns/failpoints.sh goes through all of them, by their names in common, daemon and cli:
// import-... are of an import, export-... of an export, all others of a vouchd that drains a job.
//
// Threads: any.
#pragma once

#include <string_view>

namespace vouch {

#ifdef VOUCH_FAILPOINTS

// Whether this is the moment; for those that do half of something before they die.
[[nodiscard]] bool failpoint_is_now(std::string_view name);
[[noreturn]] void die_at_failpoint();
// Dies at this moment.
void reach_failpoint(std::string_view name);
// Dies a moment later: within what comes next, for instance an fsync.
void reach_failpoint_soon(std::string_view name);

#else

[[nodiscard]] constexpr bool failpoint_is_now(std::string_view /*name*/) {
  return false;
}
constexpr void die_at_failpoint() {}
constexpr void reach_failpoint(std::string_view /*name*/) {}
constexpr void reach_failpoint_soon(std::string_view /*name*/) {}

#endif

}  // namespace vouch
