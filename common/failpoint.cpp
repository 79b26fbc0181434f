#include "common/failpoint.hpp"

#ifdef VOUCH_FAILPOINTS

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "common/environment.hpp"
#include "common/text.hpp"

namespace vouch {
namespace {

// An fsync of a fast disk takes about this long.
constexpr long kSoonNanos = 100'000;

struct Chosen {
  std::string name;
  std::atomic<std::int64_t> left{0};

  Chosen() {
    const std::string text = environment("VOUCH_FAILPOINT").value_or("");
    const auto colon = text.find(':');
    name = text.substr(0, colon);
    const auto nth = colon == std::string::npos ? Result<std::int64_t>{1}
                                                : parse_integer(text.substr(colon + 1));
    left = nth.value_or(1);
  }
};

Chosen& chosen() {
  static Chosen the_one;
  return the_one;
}

}  // namespace

bool failpoint_is_now(std::string_view name) {
  Chosen& one = chosen();
  return one.name == name && --one.left == 0;
}

void die_at_failpoint() {
  static_cast<void>(kill(getpid(), SIGKILL));
  while (true) pause();
}

void reach_failpoint(std::string_view name) {
  if (failpoint_is_now(name)) die_at_failpoint();
}

void reach_failpoint_soon(std::string_view name) {
  if (!failpoint_is_now(name)) return;
  sigevent kills{};
  kills.sigev_notify = SIGEV_SIGNAL;
  kills.sigev_signo = SIGKILL;
  timer_t timer{};
  const itimerspec soon{{0, 0}, {0, kSoonNanos}};
  if (timer_create(CLOCK_MONOTONIC, &kills, &timer) != 0) die_at_failpoint();
  if (timer_settime(timer, 0, &soon, nullptr) != 0) die_at_failpoint();
}

}  // namespace vouch

#endif
