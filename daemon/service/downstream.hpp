// downstream.hpp: the door to the services that issue.
//
// One of the few interfaces with more than one implementation: HTTP in the daemon, a model with
// faults in the simulation.
//
// Threads: the engine's; wake() from any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::service {

class Downstream {
 public:
  virtual ~Downstream() = default;
  // Asked as the last thing before a call's first byte; see wire::HttpClient.
  using Guard = std::function<std::string(std::uint64_t tag)>;
  virtual void set_guard(Guard guard) = 0;
  // Starts a call; its end comes out of take_ended once, whatever happens.
  virtual void start(wire::HttpCall call) = 0;
  // Moves bytes, and appends the calls that have ended since.
  virtual void take_ended(std::vector<wire::HttpEnd>& ended) = 0;
  // Sleeps until bytes arrive, wake() is called, or `limit` is over.
  virtual void wait(Millis limit) = 0;
  virtual void wake() = 0;
};

class HttpDownstream final : public Downstream {
 public:
  HttpDownstream(const Clock& clock, wire::HttpSettings settings)
      : client_{clock, std::move(settings)} {}
  void set_guard(Guard guard) override { client_.set_guard(std::move(guard)); }
  void start(wire::HttpCall call) override { client_.start(std::move(call)); }
  void take_ended(std::vector<wire::HttpEnd>& ended) override { client_.step(ended); }
  void wait(Millis limit) override { client_.wait(limit); }
  void wake() override { client_.wake(); }

 private:
  wire::HttpClient client_;
};

}  // namespace vouch::service
