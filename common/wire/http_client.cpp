#include "common/wire/http_client.hpp"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <utility>
#include <vector>

#include "common/failpoint.hpp"
#include "common/result.hpp"
#include "common/wire/connection.hpp"
#include "common/wire/network.hpp"
#include "common/wire/reply_parser.hpp"
#include "common/wire/trust.hpp"

namespace vouch::wire {

// A call on its way.  Kept and used again.
struct Exchange {
  HttpCall call;
  HttpEnd end;
  ReplyParser parser;
  std::string request;
  std::shared_ptr<Connection> connection;  // null: not on its way
  Instant started;
  Instant connect_by;
  Instant answer_by;
};

namespace {

// A connection that nobody used for so long may have been forgotten on its way, without a word.
constexpr Millis kIdleMax{30'000};
constexpr Millis kSweep{1'000};
constexpr int kTurnsMax = 4096;  // of the loop in one step
// Distinct endpoints are few; a URL with an id in it is another one each time.
constexpr std::size_t kTargetsMax = 1024;

}  // namespace

struct HttpClient::State final : ConnectionUser {
  State(const Clock& the_clock, const HttpSettings& settings)
      : clock{the_clock}, calls_max{settings.calls_max}, trust{make_trust(settings.authorities)} {}

  const Clock& clock;
  std::function<std::string(std::uint64_t)> guard;
  int calls_max;
  asio::ssl::context trust;
  // Before what its handlers refer to goes, the loop is emptied: see the destructor.
  asio::io_context io{1};  // one thread runs it; posting from others stays safe
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::map<std::string, Target> targets;                             // by URL
  std::map<std::string, Origin> origins;                             // by scheme and authority
  std::map<Origin*, std::vector<std::shared_ptr<Connection>>> idle;  // the latest used last
  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::vector<Exchange*> free;
  std::vector<HttpEnd> ended;
  int in_flight = 0;
  Instant next_limit = Instant::max();  // no call's time is over before
  Instant next_sweep{};

  ~State() {
    for (auto& exchange : exchanges) {
      if (exchange->connection) exchange->connection->close();
    }
    for (auto& [origin, connections] : idle) {
      for (auto& connection : connections) connection->close();
    }
    io.poll();
  }

  void start(HttpCall call);
  void dispatch(Exchange& exchange, const Target& target);
  void open(Exchange& exchange, Origin& origin);
  void send(Exchange& exchange);
  void finish(Exchange& exchange, Transport transport, std::string words);
  void release(Exchange& exchange);
  void look_at_limits(Instant now);
  [[nodiscard]] Result<const Target*> target_of(const std::string& url);
  [[nodiscard]] Origin& origin_of(const Target& target);
  [[nodiscard]] std::shared_ptr<Connection> take_idle(Origin& origin);

  void opened(Connection& connection) override;
  void received(Connection& connection, std::string_view bytes) override;
  void lost(Connection& connection, Transport why, std::string words, bool ended_well) override;
};

Result<const Target*> HttpClient::State::target_of(const std::string& url) {
  const auto found = targets.find(url);
  if (found != targets.end()) return &found->second;
  VOUCH_TRY(Target target, parse_target(url));
  if (targets.size() >= kTargetsMax) targets.clear();
  return &targets.emplace(url, std::move(target)).first->second;
}

Origin& HttpClient::State::origin_of(const Target& target) {
  const std::string key = (target.tls ? "s " : "p ") + target.authority;
  return origins.try_emplace(key, io, clock, target).first->second;
}

std::shared_ptr<Connection> HttpClient::State::take_idle(Origin& origin) {
  auto& connections = idle[&origin];
  while (!connections.empty()) {
    std::shared_ptr<Connection> connection = std::move(connections.back());
    connections.pop_back();
    // Bytes that wait there would be taken for this call's answer, and behind an end it would be
    // lost: the loop may not have turned since they came.
    if (connection->is_quiet()) return connection;
    connection->close();
  }
  return nullptr;
}

void HttpClient::State::start(HttpCall call) {
  VOUCH_ASSERT(in_flight < calls_max);
  if (free.empty()) {
    exchanges.push_back(std::make_unique<Exchange>());
    free.push_back(exchanges.back().get());
  }
  Exchange& exchange = *free.back();
  free.pop_back();
  ++in_flight;
  exchange.call = std::move(call);
  exchange.end = HttpEnd{};
  exchange.end.tag = exchange.call.tag;
  exchange.started = clock.now();
  exchange.connect_by = exchange.started + exchange.call.connect_timeout;
  exchange.answer_by = exchange.started + exchange.call.timeout;
  next_limit = std::min({next_limit, exchange.connect_by, exchange.answer_by});

  const auto target = target_of(exchange.call.url);
  if (!target) return finish(exchange, Transport::refused, target.error().message);
  if (!(*target)->tls && !exchange.call.http_allowed) {
    return finish(exchange, Transport::refused, "plain http is not allowed");
  }
  auto text = request_text(**target, exchange.call);
  if (!text) return finish(exchange, Transport::refused, text.error().message);
  exchange.request = std::move(*text);
  dispatch(exchange, **target);
}

void HttpClient::State::dispatch(Exchange& exchange, const Target& target) {
  Origin& origin = origin_of(target);
  if (!exchange.call.fresh_connection) exchange.connection = take_idle(origin);
  if (!exchange.connection) return open(exchange, origin);
  exchange.connection->exchange = &exchange;
  send(exchange);
}

void HttpClient::State::open(Exchange& exchange, Origin& origin) {
  exchange.connection = std::make_shared<Connection>(io, trust, origin, *this);
  exchange.connection->exchange = &exchange;
  reach_failpoint("connecting");
  exchange.connection->open();
}

void HttpClient::State::opened(Connection& connection) {
  send(*connection.exchange);
}

// The one place where a call leaves: what forbids it is looked at here, and it is counted before
// its first byte goes.
void HttpClient::State::send(Exchange& exchange) {
  const HttpCall& call = exchange.call;
  Connection& connection = *exchange.connection;
  if (!call.address_allow.empty() && !in_network(connection.peer_address(), call.address_allow)) {
    return finish(exchange, Transport::refused,
                  "peer address " + connection.peer_address() + " is not allowed");
  }
  if (guard) {
    if (std::string why = guard(call.tag); !why.empty()) {
      return finish(exchange, Transport::refused, std::move(why));
    }
  }
  exchange.parser.begin(exchange.end);
  ++exchange.end.sends;
  VOUCH_ASSERT(exchange.end.sends == 1);
  reach_failpoint("first-byte");
  if (failpoint_is_now("half-request")) {
    static_cast<void>(connection.send(exchange.request.substr(0, exchange.request.size() / 2)));
    die_at_failpoint();
  }
  const error_code error = connection.send(exchange.request);
  reach_failpoint("request-sent");
  if (!error) return;
  --exchange.end.sends;
  // A used one that was dead before the first byte is as if it had never been there.  Were a new
  // one given up for another, a server that resets each would see them as fast as we can connect.
  if (!connection.was_used) return finish(exchange, Transport::unreachable, error.message());
  Origin& origin = connection.origin();
  connection.close();
  open(exchange, origin);
}

void HttpClient::State::received(Connection& connection, std::string_view bytes) {
  Exchange* exchange = connection.exchange;
  if (exchange == nullptr || exchange->end.sends == 0) {
    // An answer that nobody has asked for: whose would the next one be?
    std::erase_if(idle[&connection.origin()],
                  [&](const auto& one) { return one.get() == &connection; });
    connection.close();
    if (exchange != nullptr) finish(*exchange, Transport::broken, "an answer before the call");
    return;
  }
  reach_failpoint("reply-begun");
  switch (exchange->parser.take(bytes)) {
    case ReplyParser::Progress::more:
      reach_failpoint("half-reply");
      return;
    case ReplyParser::Progress::done:
      return finish(*exchange, Transport::complete, {});
    case ReplyParser::Progress::broken:
      return finish(*exchange, Transport::broken, exchange->parser.problem());
  }
}

void HttpClient::State::lost(Connection& connection, Transport why, std::string words,
                             bool ended_well) {
  Exchange* exchange = connection.exchange;
  if (exchange == nullptr) {
    std::erase_if(idle[&connection.origin()],
                  [&](const auto& one) { return one.get() == &connection; });
    return;
  }
  if (exchange->end.sends == 0) return finish(*exchange, why, std::move(words));
  if (ended_well && exchange->parser.take_end() == ReplyParser::Progress::done) {
    return finish(*exchange, Transport::complete, {});
  }
  if (ended_well) words = "closed by the peer: " + exchange->parser.problem();
  finish(*exchange, Transport::broken, std::move(words));
}

void HttpClient::State::finish(Exchange& exchange, Transport transport, std::string words) {
  exchange.end.transport = transport;
  exchange.end.detail = std::move(words);
  exchange.end.duration_us =
      std::chrono::duration_cast<std::chrono::microseconds>(clock.now() - exchange.started).count();
  if (exchange.connection) release(exchange);
  ended.push_back(std::move(exchange.end));
  free.push_back(&exchange);
  --in_flight;
}

void HttpClient::State::release(Exchange& exchange) {
  const std::shared_ptr<Connection> connection = std::move(exchange.connection);
  exchange.connection = nullptr;
  connection->exchange = nullptr;
  const bool keep = exchange.end.transport == Transport::complete &&
                    !exchange.call.fresh_connection && connection->is_open() &&
                    connection->all_sent() && exchange.parser.connection_is_reusable();
  if (!keep) return connection->close();
  connection->was_used = true;
  connection->idle_since = clock.now();
  idle[&connection->origin()].push_back(connection);
}

void HttpClient::State::look_at_limits(Instant now) {
  if (now >= next_limit) {
    next_limit = Instant::max();
    for (const auto& exchange : exchanges) {
      if (!exchange->connection) continue;
      const bool is_sent = exchange->end.sends > 0;
      const Instant limit =
          is_sent ? exchange->answer_by : std::min(exchange->connect_by, exchange->answer_by);
      if (now < limit) {
        next_limit = std::min(next_limit, limit);
      } else if (is_sent) {
        finish(*exchange, Transport::timed_out, "no complete answer within the time allowed");
      } else {
        finish(*exchange, Transport::unreachable, "no connection within the time allowed");
      }
    }
  }
  if (now < next_sweep) return;
  next_sweep = now + kSweep;
  for (auto& [origin, connections] : idle) {
    while (!connections.empty() && now >= connections.front()->idle_since + kIdleMax) {
      connections.front()->close();
      connections.erase(connections.begin());
    }
  }
}

HttpClient::HttpClient(const Clock& clock, HttpSettings settings)
    : state_{std::make_unique<State>(clock, settings)} {}
HttpClient::~HttpClient() = default;

void HttpClient::set_guard(std::function<std::string(std::uint64_t)> guard) {
  state_->guard = std::move(guard);
}

void HttpClient::start(HttpCall call) {
  state_->start(std::move(call));
}

void HttpClient::step(std::vector<HttpEnd>& ended) {
  State& s = *state_;
  // Not until nothing is ready: a peer that sends without end must not keep us from the others.
  for (int turn = 0; turn < kTurnsMax && s.io.poll_one() > 0; ++turn) {
  }
  s.look_at_limits(s.clock.now());
  std::move(s.ended.begin(), s.ended.end(), std::back_inserter(ended));
  s.ended.clear();
}

void HttpClient::wait(Millis limit) {
  State& s = *state_;
  if (!s.ended.empty()) return;
  const Nanos left = std::min<Nanos>(limit, s.next_limit - s.clock.now());
  if (left > Nanos::zero()) s.io.run_one_for(left);
}

void HttpClient::wake() {
  boost::asio::post(state_->io, [] {});
}

int HttpClient::in_flight() const {
  return state_->in_flight;
}

}  // namespace vouch::wire
