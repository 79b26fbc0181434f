// model_client.hpp: the caller's side of the model services, in the place of HTTP.
//
// It lives and dies with a simulated process: calls that are out when it dies go on at the
// services, and nobody hears how they end.
//
// Threads: the simulation's only one.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/service/downstream.hpp"
#include "tests/simulation/model_service.hpp"

namespace vouch::test {

class ModelClient final : public service::Downstream {
 public:
  using Services = std::map<std::string, ModelService*>;  // by origin
  // Sees every call at the moment it leaves, and returns its request id.
  using OnStart = std::function<std::string(const wire::HttpCall&)>;
  // Is told of every request id whose end the caller has taken, and whether it was a query's.
  using OnEnd = std::function<void(const std::string&, bool asks)>;

  ModelClient(Services services, const Clock& clock, OnStart on_start, OnEnd on_end)
      : services_{std::move(services)},
        clock_{clock},
        on_start_{std::move(on_start)},
        on_end_{std::move(on_end)} {}

  [[nodiscard]] static std::string origin_of(const std::string& url) {
    return url.substr(0, url.find('/', url.find("://") + 3));
  }

  void start(wire::HttpCall call) override {
    std::string id = on_start_(call);
    const bool asks = call.get;
    ModelService& service = *services_.at(origin_of(call.url));
    auto ending = asks ? service.query(call, clock_.now()) : service.call(call, clock_.now());
    out_.push_back({std::move(id), asks, &service, std::move(ending)});
  }
  void take_ended(std::vector<wire::HttpEnd>& ended) override {
    std::erase_if(out_, [&](const Out& out) {
      if (out.ending->at > clock_.now()) return false;
      ended.push_back(out.ending->end);
      on_end_(out.request_id, out.asks);
      return true;
    });
  }
  void wait(Millis) override {}
  void wake() override { woken_ = true; }

  [[nodiscard]] bool take_wake() { return std::exchange(woken_, false); }
  [[nodiscard]] int out() const { return static_cast<int>(out_.size()); }
  // Calls, without queries, that are out at one service.
  [[nodiscard]] int calls_out(const ModelService& service) const {
    return static_cast<int>(std::ranges::count_if(
        out_, [&](const Out& out) { return !out.asks && out.service == &service; }));
  }
  [[nodiscard]] Instant next_end() const {
    Instant next = Instant::max();
    for (const Out& out : out_) next = std::min(next, out.ending->at);
    return next;
  }

 private:
  struct Out {
    std::string request_id;
    bool asks = false;
    const ModelService* service = nullptr;
    std::shared_ptr<const Ending> ending;
  };
  Services services_;
  const Clock& clock_;
  OnStart on_start_;
  OnEnd on_end_;
  std::vector<Out> out_;
  bool woken_ = false;
};

}  // namespace vouch::test
