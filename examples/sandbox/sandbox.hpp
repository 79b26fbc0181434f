// sandbox.hpp: coupon and balance services to rehearse with, put together.
//
// Order within a round of the server: calls are executed and journalled as they come in; at the
// end of the round the journals are written and synced once; then the answers go out.  So nothing
// is ever told that a crash could take back, and many calls share one sync.
//
// Threads: one, inside run(); stop() may be called from any.
// Errors:  a journal that fails ends run() with Errc::io, the calls of that round unanswered.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "daemon/access/http_server.hpp"
#include "examples/sandbox/behaviour.hpp"
#include "examples/sandbox/call_statistics.hpp"
#include "examples/sandbox/fault_writer.hpp"
#include "examples/sandbox/issuing_service.hpp"
#include "examples/sandbox/statement.hpp"

namespace vouch::sandbox {

struct SandboxConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                     // 0: the system chooses
  std::optional<std::uint16_t> control_port;  // a listener that faults never close
  std::string journal_folder;                 // made when absent
  KeyMemory key_memory;
  std::string behaviours = "{}";  // as decode_behaviours takes it
  std::uint64_t seed = 1;
};

class Sandbox {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> open(const SandboxConfig& config,
                                                             const Clock& clock);
  ~Sandbox();

  [[nodiscard]] std::uint16_t port() const { return server_.port_of(listener_); }
  [[nodiscard]] std::optional<std::uint16_t> control_port() const;
  // Called on POST /quit.
  void on_quit(std::function<void()> quit) { quit_ = std::move(quit); }

  // Until stop(), or until a journal fails.
  [[nodiscard]] Result<void> run();
  void stop() { server_.stop(); }
  // One round of run(), for tests that move the clock themselves.
  [[nodiscard]] Result<void> run_once(Nanos wait_max);

  struct Desk;  // one service and all that belongs to it
  [[nodiscard]] const std::vector<std::unique_ptr<Desk>>& desks() const { return desks_; }

 private:
  // A call or a query on its way through a service.
  struct Incoming {
    access::HttpTicket ticket;
    bool is_query = false;
    bool is_batch = false;
    bool reused_connection = false;
    std::vector<Call> calls;  // of a batch all, else one; a query has the request id only
  };
  struct Outgoing {
    access::HttpTicket ticket;
    ReplyPlan plan;
    Instant due{};
  };

  Sandbox(const SandboxConfig& config, const Clock& clock);
  [[nodiscard]] Result<void> start(const SandboxConfig& config);
  void route(const access::HttpRequest& request, access::HttpTicket ticket);
  void route_service(Desk& desk, std::string_view rest, const access::HttpRequest& request,
                     access::HttpTicket ticket);
  void take(Desk& desk, Incoming incoming);
  void carry_out(Desk& desk, Incoming incoming);
  [[nodiscard]] Answer answer_of(Desk& desk, const Incoming& incoming, const FaultRule* rule,
                                 WallTime wall);
  [[nodiscard]] Answer answer_call(Desk& desk, const Call& call, bool executes, WallTime wall);
  [[nodiscard]] std::optional<ReplyPlan> fault_plan(Desk& desk, const Incoming& incoming,
                                                    const FaultRule& rule, const Answer& answer,
                                                    WallTime wall);
  void send(Desk& desk, access::HttpTicket ticket, ReplyPlan plan, Instant due);
  void serve_statement(Desk& desk, bool as_csv, const access::HttpRequest& request,
                       access::HttpTicket ticket);
  [[nodiscard]] Instant end_round(Instant now);
  void broken(Error error);

  // control_routes.cpp
  [[nodiscard]] access::HttpResponse serve_control(const access::HttpRequest& request);
  [[nodiscard]] access::HttpResponse serve_faults(const access::HttpRequest& request);
  [[nodiscard]] access::HttpResponse put_faults(const access::HttpRequest& request);
  [[nodiscard]] access::HttpResponse serve_pause(const access::HttpRequest& request, bool pause);
  [[nodiscard]] access::HttpResponse serve_refuse(const access::HttpRequest& request);
  [[nodiscard]] std::string faults_document() const;
  [[nodiscard]] std::string statistics_document() const;
  void set_behaviour(Desk& desk, ServiceBehaviour behaviour);
  void release_held(Desk& desk);
  [[nodiscard]] Desk* find_desk(std::string_view name) const;

  const Clock& clock_;
  access::HttpServer server_;
  access::ListenerId listener_ = 0;
  std::optional<access::ListenerId> control_listener_;
  int folder_lock_ = -1;
  std::uint64_t seed_;
  SeededRandom trace_ids_;
  std::vector<std::unique_ptr<Desk>> desks_;
  std::optional<FaultWriter> writer_;
  StatementStreams statements_{server_};
  std::vector<Outgoing> outgoing_;  // executed in this round; goes out after the sync
  std::optional<Error> failure_;
  std::function<void()> quit_;
  Instant started_{};
};

struct Sandbox::Desk {
  Desk(IssuingService its_service, std::uint64_t seed)
      : service{std::move(its_service)}, random{seed} {}

  IssuingService service;
  ServiceBehaviour behaviour;
  CapacityMeter capacity;
  CallStatistics statistics;
  SeededRandom random;
  std::vector<Incoming> held;  // taken while paused
};

// So many calls wait in a paused service; more are answered 503.
inline constexpr std::size_t kHeldCallsMax = 100'000;

}  // namespace vouch::sandbox
