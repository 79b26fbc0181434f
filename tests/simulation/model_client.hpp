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

  // Time may pass between a permit and the call's first byte.
  using BeforeGuard = std::function<void()>;

  ModelClient(Services services, const Clock& clock, Caller caller, BeforeGuard before_guard,
              OnStart on_start, OnEnd on_end)
      : services_{std::move(services)},
        clock_{clock},
        caller_{caller},
        before_guard_{std::move(before_guard)},
        on_start_{std::move(on_start)},
        on_end_{std::move(on_end)} {}

  [[nodiscard]] static std::string origin_of(const std::string& url) {
    return url.substr(0, url.find('/', url.find("://") + 3));
  }

  void set_guard(Guard guard) override { guard_ = std::move(guard); }
  void start(wire::HttpCall call) override {
    before_guard_();
    const std::vector<wire::HttpCall> parts = parts_of(call);
    if (std::string why = guard_(call.tag); !why.empty()) {
      stopped_rows_ += parts.size();
      return stop(call, std::move(why));
    }
    Out out{.asks = call.get, .service = services_.at(origin_of(call.url))};
    for (const wire::HttpCall& part : parts) out.request_ids.push_back(on_start_(part));
    started_ += static_cast<std::int64_t>(parts.size());
    const Instant now = clock_.now();
    if (call.get) {
      out.ending.whole = out.service->query(call, now);
    } else if (parts.front().body == call.body) {
      out.ending.whole = out.service->call(call, now, caller_);
    } else {
      out.ending = out.service->call_batch(parts, now, caller_);
    }
    out_.push_back(std::move(out));
  }
  void take_ended(std::vector<wire::HttpEnd>& ended) override {
    std::move(stopped_.begin(), stopped_.end(), std::back_inserter(ended));
    stopped_.clear();
    stopped_rows_ = 0;
    std::erase_if(out_, [&](const Out& out) {
      if (out.ending.at() > clock_.now()) return false;
      ended.push_back(out.ending.end());
      for (const std::string& id : out.request_ids) on_end_(id, out.asks);
      return true;
    });
  }
  void wait(Millis) override {}
  void wake() override { woken_ = true; }

  [[nodiscard]] bool take_wake() { return std::exchange(woken_, false); }
  // Rows that were called or asked about since its birth.
  [[nodiscard]] std::int64_t started() const { return started_; }
  [[nodiscard]] int out() const { return static_cast<int>(out_.size()); }
  // Rows whose call the guard has stopped, which the caller does not know yet.
  [[nodiscard]] int stopped() const { return static_cast<int>(stopped_rows_); }
  // Calls, without queries, that are out at one service.
  [[nodiscard]] int calls_out(const ModelService& service) const {
    return static_cast<int>(std::ranges::count_if(
        out_, [&](const Out& out) { return !out.asks && out.service == &service; }));
  }
  [[nodiscard]] Instant next_end() const {
    Instant next = stopped_.empty() ? Instant::max() : clock_.now();
    for (const Out& out : out_) next = std::min(next, out.ending.at());
    return next;
  }

 private:
  void stop(const wire::HttpCall& call, std::string why) {
    wire::HttpEnd end;
    end.tag = call.tag;
    end.transport = wire::Transport::refused;
    end.detail = std::move(why);
    stopped_.push_back(std::move(end));
  }

  struct Out {
    std::vector<std::string> request_ids{};  // several in a batch
    bool asks = false;
    ModelService* service = nullptr;
    CallEnding ending{};
  };
  Services services_;
  const Clock& clock_;
  Caller caller_;
  BeforeGuard before_guard_;
  OnStart on_start_;
  OnEnd on_end_;
  Guard guard_;
  std::vector<Out> out_;
  std::vector<wire::HttpEnd> stopped_;  // by the guard, not yet taken
  std::size_t stopped_rows_ = 0;
  std::int64_t started_ = 0;
  bool woken_ = false;
};

}  // namespace vouch::test
