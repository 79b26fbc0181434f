#include "daemon/access/metrics_text.hpp"

#include <array>
#include <cstdio>
#include <string_view>

namespace vouch::access {
namespace {

// One family at a time: HELP and TYPE once, then its samples.
class Text {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += "# HELP " + name_ + " " + std::string{help} + "\n";
    out_ += "# TYPE " + name_ + " " + std::string{type} + "\n";
  }
  void sample(std::string_view labels, double value, std::string_view suffix = {}) {
    std::array<char, 40> number{};
    std::snprintf(number.data(), number.size(), "%.17g", value);
    out_ += name_;
    out_ += suffix;
    if (!labels.empty()) out_ += "{" + std::string{labels} + "}";
    out_ += " ";
    out_ += number.data();
    out_ += "\n";
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string name_;
  std::string out_;
};

// Names are [a-z0-9._-], so that nothing needs to be escaped.
std::string label(std::string_view key, std::string_view value) {
  return std::string{key} + "=\"" + std::string{value} + "\"";
}

std::string of(const service::LaneView& lane) {
  return label("downstream", lane.name);
}

double seconds(Nanos duration) {
  return std::chrono::duration<double>(duration).count();
}

void latencies(Text& text, const std::vector<service::LaneView>& lanes) {
  text.family("vouch_call_duration_seconds", "histogram", "Time of answered calls.");
  for (const service::LaneView& lane : lanes) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < lane.latency.size(); ++i) {
      sum += lane.latency[i];
      std::array<char, 32> bound{"+Inf"};
      if (i < service::kLatencyBoundsUs.size()) {
        std::snprintf(bound.data(), bound.size(), "%g",
                      static_cast<double>(service::kLatencyBoundsUs[i]) / 1e6);
      }
      text.sample(of(lane) + "," + label("le", bound.data()), static_cast<double>(sum), "_bucket");
    }
    text.sample(of(lane), static_cast<double>(lane.latency_sum_us) / 1e6, "_sum");
    text.sample(of(lane), static_cast<double>(sum), "_count");
  }
}

void locks(Text& text, const service::CoordinationView& view) {
  text.family("vouch_coordination_up", "gauge",
              "0 while Redis is lost and locks are granted by the ledger's lock file.");
  text.sample({}, view.is_up ? 1 : 0);
  text.family("vouch_coordination_losses_total", "counter", "Times that Redis was lost.");
  text.sample({}, static_cast<double>(view.failures));
  text.family("vouch_leases_held", "gauge", "Ranges and issuances that are locked.");
  text.sample({}, static_cast<double>(view.held));
  text.family("vouch_lease_events_total", "counter", "What became of locks.");
  const auto each = [&](std::string_view what, std::uint64_t count) {
    text.sample(label("event", what), static_cast<double>(count));
  };
  each("asked", view.asked);
  each("granted", view.granted);
  each("granted_by_lock_file", view.by_ledger);
  each("refused", view.refused);
  each("renewed", view.renewed);
  each("released", view.released);
  each("ran_out", view.ran_out);
}

void downstreams(Text& text, const std::vector<service::LaneView>& lanes) {
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help,
                        auto value) {
    text.family(name, type, help);
    for (const service::LaneView& lane : lanes) text.sample(of(lane), value(lane));
  };
  using View = service::LaneView;
  each("vouch_calls_started_total", "counter", "Calls started.",
       [](const View& v) { return static_cast<double>(v.started); });
  each("vouch_stale_starts_total", "counter",
       "Rows and calls that were stopped before their first byte since their lock had run out.",
       [](const View& v) { return static_cast<double>(v.stale); });
  each("vouch_calls_in_flight", "gauge", "Calls sent and not yet answered.",
       [](const View& v) { return v.in_flight; });
  each("vouch_ready_rows", "gauge", "Issuances that are durable and wait for their permit.",
       [](const View& v) { return v.ready; });
  each("vouch_rate_limit", "gauge", "Contractual limit, calls per second.",
       [](const View& v) { return v.limit; });
  each("vouch_rate_warning", "gauge", "Warning threshold, calls per second.",
       [](const View& v) { return v.warning; });
  each("vouch_rate_target", "gauge", "Rate that is kept, calls per second.",
       [](const View& v) { return v.target; });
  each("vouch_breaker_open", "gauge", "1 while the breaker keeps calls back, 0.5 while it tries.",
       [](const View& v) {
         return v.breaker == service::Breaker::State::closed ? 0.0
                : v.breaker == service::Breaker::State::open ? 1.0
                                                             : 0.5;
       });

  text.family("vouch_attempts_total", "counter",
              "Attempts ended, by outcome; of a batch one for each issuance.");
  for (const View& lane : lanes) {
    for (std::size_t i = 0; i < lane.outcomes.size(); ++i) {
      text.sample(of(lane) + "," + label("outcome", kOutcomeNames[i]),
                  static_cast<double>(lane.outcomes[i]));
    }
  }
  latencies(text, lanes);
}

}  // namespace

std::string metrics_text(const Gauges& gauges, const data::Snapshot& snapshot) {
  Text text;
  text.family("vouch_build_info", "gauge", "Version of the program.");
  text.sample(label("version", VOUCH_VERSION), 1);
  text.family("vouch_ready", "gauge", "1 while /readyz says yes.");
  text.sample({}, gauges.ready ? 1 : 0);
  text.family("vouch_store_ok", "gauge", "0 after the first write that failed.");
  text.sample({}, gauges.store_ok ? 1 : 0);
  text.family("vouch_ledger_commits_total", "counter", "Groups committed.");
  text.sample({}, static_cast<double>(gauges.commits));
  text.family("vouch_ledger_slowest_commit_seconds", "gauge",
              "Slowest commit of late, slowly forgotten.");
  text.sample({}, seconds(gauges.slowest_commit));
  text.family("vouch_ledger_queue_messages", "gauge", "Messages waiting for the ledger writer.");
  text.sample({}, static_cast<double>(gauges.writer_queue));
  text.family("vouch_jobs", "gauge", "Jobs that are not over, by state.");
  for (std::size_t i = 0; i < kJobStateNames.size(); ++i) {
    double count = 0;
    for (const auto& [number, job] : snapshot.jobs) {
      if (static_cast<std::size_t>(job.state) == i) ++count;
    }
    text.sample(label("state", kJobStateNames[i]), count);
  }
  text.family("process_cpu_seconds_total", "counter", "Processor time used.");
  text.sample({}, seconds(gauges.cpu_time));
  text.family("process_start_time_seconds", "gauge", "When the process started.");
  text.sample({}, static_cast<double>(gauges.started_at_ms) / 1000);
  locks(text, gauges.coordination);
  downstreams(text, gauges.lanes);
  return text.take();
}

}  // namespace vouch::access
