#include "examples/sandbox/sandbox.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/text.hpp"
#include "examples/sandbox/batch.hpp"

namespace vouch::sandbox {
namespace {

using access::HttpRequest;
using access::HttpResponse;
using access::HttpTicket;

// Callers keep connections while a campaign rests, and many may be lost in a lost answer.
constexpr access::HttpLimits kLimits{.connections_max = 8192, .idle_max = std::chrono::minutes{10}};

ReplyPlan whole(HttpResponse response) {
  ReplyPlan plan;
  plan.response = std::move(response);
  return plan;
}

HttpResponse response_of(const Answer& answer) {
  HttpResponse response = HttpResponse::json(answer.status, answer.body);
  if (answer.from == Answer::From::replay) {
    response.headers.emplace_back("Idempotent-Replayed", "true");
  }
  return response;
}

HttpResponse mistake(int status, std::string_view code, std::string_view message) {
  return HttpResponse::json(status, refusal_body(code, message));
}

HttpResponse over_capacity(const Capacity& capacity) {
  HttpResponse response = mistake(capacity.status, "OVER_CAPACITY", "too many calls a second");
  if (!capacity.retry_after.empty()) {
    response.headers.emplace_back("Retry-After", capacity.retry_after);
  }
  return response;
}

// Two sandboxes on one folder would both believe their own key memory.
Result<int> lock_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(Errc::io, "journal folder " + folder + ": " + error.message());
  const std::string path = folder + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return fail(Errc::io, path + ": " + std::strerror(errno));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return fail(Errc::locked, "journal folder " + folder + ": another sandbox uses it",
                "stop that one, or choose another --journal-dir");
  }
  return fd;
}

}  // namespace

Sandbox::Sandbox(const SandboxConfig& config, const Clock& clock)
    : clock_{clock},
      server_{clock, kLimits},
      seed_{config.seed},
      trace_ids_{config.seed},
      started_{clock.now()} {}

Sandbox::~Sandbox() {
  if (folder_lock_ >= 0) ::close(folder_lock_);
}

Result<std::unique_ptr<Sandbox>> Sandbox::open(const SandboxConfig& config, const Clock& clock) {
  std::unique_ptr<Sandbox> sandbox{new Sandbox{config, clock}};
  VOUCH_CHECK(sandbox->start(config));
  return sandbox;
}

Result<void> Sandbox::start(const SandboxConfig& config) {
  VOUCH_TRY(std::vector<ServiceBehaviour> behaviours, decode_behaviours(config.behaviours));
  VOUCH_TRY(folder_lock_, lock_folder(config.journal_folder));
  for (const ServiceKind& kind : kServiceKinds) {
    VOUCH_TRY(IssuingService service,
              IssuingService::open(kind, config.journal_folder, config.key_memory));
    desks_.push_back(std::make_unique<Desk>(std::move(service), seed_));
    set_behaviour(*desks_.back(), std::move(behaviours[desks_.size() - 1]));
  }
  // Last: whoever can connect is served.
  VOUCH_TRY(listener_, server_.listen_tcp(config.address, config.port));
  if (config.control_port) {
    VOUCH_TRY(control_listener_, server_.listen_tcp(config.address, *config.control_port));
  }
  writer_.emplace(server_, listener_);
  server_.serve_later(
      [this](const HttpRequest& request, HttpTicket ticket) { route(request, ticket); });
  server_.on_round([this](Instant now) { return end_round(now); });
  return {};
}

std::optional<std::uint16_t> Sandbox::control_port() const {
  if (!control_listener_) return std::nullopt;
  return server_.port_of(*control_listener_);
}

Result<void> Sandbox::run() {
  server_.run();
  if (!failure_) (void)end_round(clock_.now());
  if (failure_) return tl::unexpected<Error>(*failure_);
  return {};
}

Result<void> Sandbox::run_once(Nanos wait_max) {
  server_.run_once(wait_max);
  if (failure_) return tl::unexpected<Error>(*failure_);
  return {};
}

void Sandbox::broken(Error error) {
  if (!failure_) failure_ = std::move(error);
  outgoing_.clear();
  server_.stop();
}

Instant Sandbox::end_round(Instant now) {
  for (const auto& desk : desks_) {
    if (failure_ || desk->service.is_synced()) continue;
    if (auto synced = desk->service.sync(); !synced) broken(std::move(synced.error()));
  }
  if (failure_) return Instant::max();
  for (Outgoing& out : outgoing_) writer_->add(out.ticket, std::move(out.plan), out.due);
  outgoing_.clear();
  const Instant next = writer_->play(now);
  auto fed = statements_.feed(now);
  if (!fed) {
    broken(std::move(fed.error()));
    return Instant::max();
  }
  return std::min(next, *fed);
}

Sandbox::Desk* Sandbox::find_desk(std::string_view name) const {
  for (const auto& desk : desks_) {
    if (desk->service.kind().name == name) return desk.get();
  }
  return nullptr;
}

void Sandbox::route(const HttpRequest& request, HttpTicket ticket) {
  if (failure_) return;  // nothing may be answered any more
  const std::string_view path = request.path.substr(1);
  const auto slash = path.find('/');
  if (Desk* desk = find_desk(path.substr(0, slash))) {
    const auto rest = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    return route_service(*desk, rest, request, ticket);
  }
  if (path == "statement" || path == "statement.csv") {
    const auto name = request.query_value("service");
    Desk* desk = name ? find_desk(name->value_or("")) : nullptr;
    if (desk != nullptr) return serve_statement(*desk, path == "statement.csv", request, ticket);
    return server_.reply(ticket, mistake(400, "SERVICE_MISSING", "service=coupons is needed"));
  }
  server_.reply(ticket, serve_control(request));
}

void Sandbox::route_service(Desk& desk, std::string_view rest, const HttpRequest& request,
                            HttpTicket ticket) {
  const bool is_get = request.method == "GET";
  const bool is_batch = rest == "batch";
  const bool takes_calls = rest.empty() || is_batch;
  if (!(takes_calls ? request.method == "POST" : is_get)) {
    HttpResponse response = mistake(405, "METHOD", "POST a call, or GET what was executed");
    response.headers.emplace_back("Allow", takes_calls ? "POST" : "GET");
    return server_.reply(ticket, response);
  }
  if (rest == "statement" || rest == "statement.csv") {
    return serve_statement(desk, rest == "statement.csv", request, ticket);
  }
  Incoming incoming{.ticket = ticket,
                    .is_query = is_get,
                    .is_batch = is_batch,
                    .reused_connection = request.sequence > 1,
                    .calls = {}};
  const auto alone = [](Call call) { return std::vector<Call>{std::move(call)}; };
  auto calls = is_batch ? parse_batch(request)
               : is_get ? access::percent_decode(rest).map([&](std::string id) {
                   Call query;
                   query.request_id = std::move(id);
                   return alone(std::move(query));
                 })
                        : parse_call(request).map(alone);
  if (!calls) {
    desk.statistics.answered(400);
    return server_.reply(ticket, mistake(400, "INVALID", calls.error().message));
  }
  incoming.calls = std::move(*calls);
  take(desk, std::move(incoming));
}

void Sandbox::take(Desk& desk, Incoming incoming) {
  if (incoming.is_query) {
    desk.statistics.queried();
  } else {
    desk.statistics.arrived(clock_.now(), clock_.wall_now());
  }
  if (!desk.behaviour.paused) return carry_out(desk, std::move(incoming));
  if (desk.held.size() < kHeldCallsMax) {
    desk.held.push_back(std::move(incoming));
    return;
  }
  const HttpTicket ticket = incoming.ticket;
  send(desk, ticket, whole(mistake(503, "PAUSED", "too many calls wait")), clock_.now());
}

void Sandbox::carry_out(Desk& desk, Incoming incoming) {
  const Instant now = clock_.now();
  const WallTime wall = clock_.wall_now();
  ServiceBehaviour& behaviour = desk.behaviour;
  if (behaviour.capacity && !desk.capacity.admit(*behaviour.capacity, now)) {
    desk.statistics.turned_away();
    return send(desk, incoming.ticket, whole(over_capacity(*behaviour.capacity)), now);
  }
  const FaultRule* rule =
      behaviour.draw_fault(desk.random, {.is_query = incoming.is_query,
                                         .is_batch = incoming.is_batch,
                                         .reused_connection = incoming.reused_connection});
  const Instant due = now + behaviour.latency.draw(desk.random);
  const Answer answer = answer_of(desk, incoming, rule, wall);
  if (failure_) return;
  if (rule == nullptr) {
    return send(desk, incoming.ticket, whole(response_of(answer)), due);
  }
  desk.statistics.struck(static_cast<std::size_t>(rule->kind));
  if (auto plan = fault_plan(desk, incoming, *rule, answer, wall)) {
    send(desk, incoming.ticket, std::move(*plan), due);
  }
}

Answer Sandbox::answer_of(Desk& desk, const Incoming& incoming, const FaultRule* rule,
                          WallTime wall) {
  const bool executes = rule == nullptr || rule->executes;
  if (incoming.is_query) {
    auto answer =
        desk.service.find(incoming.calls.front().request_id, wall, desk.behaviour.visible_after);
    if (answer) return std::move(*answer);
    broken(std::move(answer.error()));
    return {};
  }
  if (!incoming.is_batch) return answer_call(desk, incoming.calls.front(), executes, wall);
  const std::size_t count = incoming.calls.size();
  const bool halfway = rule != nullptr && rule->kind == FaultKind::halfway;
  const bool partial = rule != nullptr && rule->kind == FaultKind::partial;
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < count; ++i) {
    const bool reached = !halfway || i < (count + 1) / 2;
    answers.push_back(answer_call(desk, incoming.calls[i], executes && reached, wall));
  }
  Answer answer;
  answer.body = batch_body(incoming.calls, answers, partial ? 2 : 1);
  return answer;
}

Answer Sandbox::answer_call(Desk& desk, const Call& call, bool executes, WallTime wall) {
  Result<Answer> answer = Answer{};
  if (executes) {
    answer = desk.service.perform(call, wall, desk.behaviour.refusal_of(call.recipient_id));
    if (answer && answer->from == Answer::From::execution) desk.statistics.executed(wall);
  } else {
    // What an honest answer would look like, for faults that bend it: nothing was executed.
    answer->body = issued_body({.time = wall, .reference = "none-000000", .call = call});
  }
  if (!answer) {
    broken(std::move(answer.error()));
    return {};
  }
  return std::move(*answer);
}

std::optional<ReplyPlan> Sandbox::fault_plan(Desk& desk, const Incoming& incoming,
                                             const FaultRule& rule, const Answer& answer,
                                             WallTime wall) {
  FaultContext context;
  context.honest = response_of(answer);
  const std::uint64_t trace = trace_ids_.next();
  context.trace_id = std::to_string(trace);
  context.redirect_target = "/" + std::string{desk.service.kind().name} + "/moved";
  if (rule.kind == FaultKind::swapped) {
    auto other = desk.service.answer_of_another(incoming.calls.front());
    if (!other) {
      broken(std::move(other.error()));
      return std::nullopt;
    }
    context.other = std::move(*other);
  }
  if (rule.sticky && !incoming.is_query) {
    for (const Call& call : incoming.calls) {
      desk.service.remember_failure(call, wall, error_of(rule, context.trace_id));
    }
  }
  return plan_reply(rule, std::move(context));
}

void Sandbox::send(Desk& desk, HttpTicket ticket, ReplyPlan plan, Instant due) {
  if (plan.response) desk.statistics.answered(plan.response->status);
  outgoing_.push_back({.ticket = ticket, .plan = std::move(plan), .due = due});
}

void Sandbox::serve_statement(Desk& desk, bool as_csv, const HttpRequest& request,
                              HttpTicket ticket) {
  const WallTime wall = clock_.wall_now();
  if (as_csv) {
    return statements_.begin(ticket, desk.service, wall, desk.behaviour.visible_after);
  }
  const auto page = parse_statement_page(request);
  if (!page) return server_.reply(ticket, mistake(400, "INVALID", page.error().message));
  auto body = statement_page(desk.service, *page, wall, desk.behaviour.visible_after);
  if (!body) return broken(std::move(body.error()));
  server_.reply(ticket, HttpResponse::json(200, std::move(*body)));
}

}  // namespace vouch::sandbox
