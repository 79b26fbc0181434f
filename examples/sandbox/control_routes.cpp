// How a rehearsal is steered and watched: faults, pauses, statistics.
#include <algorithm>
#include <ctime>

#include "common/json.hpp"
#include "common/text.hpp"
#include "examples/sandbox/sandbox.hpp"

namespace vouch::sandbox {
namespace {

using access::HttpRequest;
using access::HttpResponse;

constexpr Millis kRefuseMax = std::chrono::hours{1};

HttpResponse refuse(const Error& error) {
  std::string detail = error.message;
  if (!error.hint.empty()) detail += "; " + error.hint;
  return HttpResponse::problem(400, detail);
}

HttpResponse done() {
  return HttpResponse::json(200, "{\"done\":true}\n");
}

Json window_json(const SlidingWindow& window, Instant now) {
  return {{"now", window.count(now)}, {"max", window.most()}};
}

}  // namespace

HttpResponse Sandbox::serve_control(const HttpRequest& request) {
  const std::string_view path = request.path;
  const std::string_view method = request.method;
  if (path == "/healthz" && method == "GET") return HttpResponse::text(200, "ok\n");
  if (path == "/faults" || path.starts_with("/faults/")) return serve_faults(request);
  if (path == "/stats" && method == "GET") {
    return HttpResponse::json(200, statistics_document() + "\n");
  }
  if (path == "/stats/reset" && method == "POST") {
    for (const auto& desk : desks_) desk->statistics.reset_windows();
    return done();
  }
  if (path == "/pause" && method == "POST") return serve_pause(request, true);
  if (path == "/resume" && method == "POST") return serve_pause(request, false);
  if (path == "/refuse" && method == "POST") return serve_refuse(request);
  if (path == "/quit" && method == "POST") {
    if (quit_) quit_();
    return done();
  }
  return HttpResponse::problem(
      404, std::string{method} + " " + std::string{path} + ": nothing is served here");
}

HttpResponse Sandbox::serve_faults(const HttpRequest& request) {
  if (request.method == "GET" && request.path == "/faults") {
    return HttpResponse::json(200, faults_document() + "\n");
  }
  if (request.method == "PUT") return put_faults(request);
  if (request.method == "DELETE" && request.path == "/faults") {
    for (const auto& desk : desks_) set_behaviour(*desk, {});
    return HttpResponse::json(200, faults_document() + "\n");
  }
  return HttpResponse::problem(405, "GET, PUT or DELETE /faults, PUT /faults/SERVICE");
}

// All services, or one: /faults/coupons.  The draws start anew, so that a rehearsal can be
// repeated; ?seed=7 changes the seed.
HttpResponse Sandbox::put_faults(const HttpRequest& request) {
  const auto seed_text = request.query_value("seed");
  if (!seed_text) return refuse(seed_text.error());
  std::uint64_t seed = seed_;
  if (*seed_text) {
    const auto seed_value = parse_integer(**seed_text);
    if (!seed_value) return refuse(seed_value.error());
    seed = static_cast<std::uint64_t>(*seed_value);
  }
  if (request.path == "/faults") {
    auto behaviours = decode_behaviours(request.body);
    if (!behaviours) return refuse(behaviours.error());
    seed_ = seed;
    for (std::size_t i = 0; i < desks_.size(); ++i) {
      set_behaviour(*desks_[i], std::move((*behaviours)[i]));
    }
  } else {
    Desk* desk = find_desk(request.path.substr(std::string_view{"/faults/"}.size()));
    if (desk == nullptr) return HttpResponse::problem(404, "there is no such service");
    auto behaviour = decode_behaviour(request.body);
    if (!behaviour) return refuse(behaviour.error());
    seed_ = seed;
    set_behaviour(*desk, std::move(*behaviour));
  }
  return HttpResponse::json(200, faults_document() + "\n");
}

void Sandbox::set_behaviour(Desk& desk, ServiceBehaviour behaviour) {
  desk.behaviour = std::move(behaviour);
  desk.random = SeededRandom{seed_ + static_cast<std::uint64_t>(desk.service.kind().name[0])};
  if (!desk.behaviour.paused) release_held(desk);
}

// A service that hung goes on with what it had taken, also where the caller has given up.
void Sandbox::release_held(Desk& desk) {
  std::vector<Incoming> held;
  held.swap(desk.held);
  for (Incoming& incoming : held) carry_out(desk, std::move(incoming));
}

HttpResponse Sandbox::serve_pause(const HttpRequest& request, bool pause) {
  const auto name = request.query_value("service");
  if (!name) return refuse(name.error());
  Desk* chosen = *name ? find_desk(**name) : nullptr;
  if (*name && chosen == nullptr) return HttpResponse::problem(404, "there is no such service");
  for (const auto& desk : desks_) {
    if (chosen != nullptr && desk.get() != chosen) continue;
    desk->behaviour.paused = pause;
    if (!pause) release_held(*desk);
  }
  return done();
}

HttpResponse Sandbox::serve_refuse(const HttpRequest& request) {
  const auto text = request.query_value("for");
  if (!text) return refuse(text.error());
  const auto length = parse_duration(text->value_or("5s"));
  if (!length) return refuse(length.error());
  if (*length > kRefuseMax) return HttpResponse::problem(400, "for: an hour at most");
  writer_->close_listener(clock_.now() + *length);
  return done();
}

std::string Sandbox::faults_document() const {
  std::string document = "{";
  for (const auto& desk : desks_) {
    if (document.size() > 1) document += ',';
    append_json_text(document, desk->service.kind().name);
    document += ':' + encode_behaviour(desk->behaviour);
  }
  return document + "}";
}

std::string Sandbox::statistics_document() const {
  const Instant now = clock_.now();
  Json json;
  for (const auto& desk : desks_) {
    const CallStatistics& statistics = desk->statistics;
    const ServiceCounters& counters = desk->service.counters();
    Json& one = json[std::string{desk->service.kind().name}];
    one = {{"calls", statistics.calls()},
           {"queries", statistics.queries()},
           {"executions", counters.executions},
           {"replays", counters.replays},
           {"refusals", counters.refusals},
           {"doubles", counters.doubles},
           {"beyond_capacity", statistics.beyond_capacity()},
           {"held", desk->held.size()},
           {"keys_known", desk->service.keys_known()}};
    one["calls_in_100ms"] = window_json(statistics.window_100ms(), now);
    one["calls_in_1s"] = window_json(statistics.window_1s(), now);
    one["statuses"] = Json::object();
    for (const auto& [status, count] : statistics.statuses()) {
      one["statuses"][std::to_string(status)] = count;
    }
    one["faults"] = Json::object();
    for (const FaultKindTraits& traits : fault_kinds()) {
      const std::uint64_t count = statistics.faults()[static_cast<std::size_t>(traits.kind)];
      if (count > 0) one["faults"][std::string{traits.name}] = count;
    }
    one["seconds"] = Json::array();
    for (const SecondCount& second : statistics.seconds()) {
      one["seconds"].push_back(
          {{"second", second.second}, {"calls", second.calls}, {"executions", second.executions}});
    }
  }
  const access::HttpCounters http = server_.counters();
  json["connections"] = {{"open", http.connections_open}, {"accepted", http.connections_accepted}};
  json["requests"] = http.requests;
  json["requests_refused"] = http.requests_refused;
  json["up_ms"] = std::chrono::duration_cast<Millis>(now - started_).count();
  json["cpu_ms"] = std::chrono::duration_cast<Millis>(cpu_time_used()).count();
  return json.dump();
}

}  // namespace vouch::sandbox
