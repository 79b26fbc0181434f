// world_settings.hpp: what a simulated world is like, and what is to befall it.
//
// Threads: values.
#pragma once

#include <array>
#include <chrono>

#include "common/plan/downstream.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/strategy/intake.hpp"

namespace vouch::test {

// How often what happens, over a run; when all of it has happened, calm() follows.  Without any,
// nothing happens by itself.
struct Chaos {
  int crashes = 0;        // power cuts, at any moment or in the middle of a write
  int kills = 0;          // kill -9
  int disk_failures = 0;  // a write, sync or truncation fails, or the disk is full, for good
  int stops = 0;          // SIGTERM, then started again
  int pauses = 0;         // a job, for a while
  int cancels = 0;
  int service_pauses = 0;  // a downstream, for a while
  int rate_changes = 0;
  int outages = 0;
  int reruns = 0;
  int redis_troubles = 0;      // lost, silent, emptied, errors, rubbish; for a while
  int rivals = 0;              // somebody else has a lock, for a while
  int sleeps = 0;              // the process stands still for about as long as a lock lives
  int clock_jumps = 0;         // the wall clock is an hour ahead or behind, for a while
  int key_losses = 0;          // the pools' key cannot be read, for a while
  bool setup_outages = false;  // wrong credentials for a while

  [[nodiscard]] bool none_left() const {
    return crashes + kills + disk_failures + stops + pauses + cancels + service_pauses +
               rate_changes + outages + redis_troubles + rivals + sleeps + clock_jumps +
               key_losses ==
           0;
  }
};

struct WorldSettings {
  service::EngineSettings engine{
      .retry = {.delay_first = Millis{100},
                .delay_max = Millis{3000},
                .setup_probe = Millis{2000},
                .query_apart = Millis{500}},
      .breaker = {.open_first = Millis{500}, .open_max = Millis{4000}, .probe_first = Millis{100}},
      .lock = {.life_min = Millis{3000}, .margin = Millis{500}},
      .idle_poll = Millis{100}};
  strategy::IntakeSettings intake{
      .poll = Millis{10}, .idle_poll = Millis{50}, .setup_probe = Millis{2000}};
  Millis timeout{1000};
  Millis key_lifetime{std::chrono::hours{1}};
  // Of the coupon and of the balance service.
  struct Contracted {
    plan::Contract contract = plan::Contract::key;
    bool asks = false;  // besides `query`, where it goes without saying
    Millis visible_after{0};
    int issuances_per_call = 1;  // more: it takes batches
  };
  std::array<Contracted, 2> contracts{};
  // A call that is late arrives at most three times its timeout after that; what it does is seen
  // later still.
  [[nodiscard]] Millis settle_time(const Contracted& of) const {
    return 3 * timeout + of.visible_after;
  }
  double limit = 400;  // calls per second of each downstream, of all instances together
  Millis control_poll{50};
  Millis single_every{1'000};  // of the other traffic
  Millis operators_look{250};
  std::size_t instances = 1;
  bool is_cloned = false;  // the second instance is a copy of the first, made in the middle
  bool redis = false;      // locks through a Redis
  Chaos chaos;
};

}  // namespace vouch::test
