#include "tests/simulation/model_service.hpp"

#include <algorithm>
#include <utility>

#include "common/identity.hpp"
#include "common/json.hpp"

namespace vouch::test {
namespace {

using wire::HttpEnd;
using wire::Transport;

std::string text_of(const Json& json, const char* member) {
  const auto found = json.find(member);
  if (found == json.end()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

Json parsed(const std::string& body) {
  auto json = parse_json(body);
  VOUCH_ASSERT(json.has_value());
  return std::move(*json);
}

// The request id of its first round: one for all rounds.
std::string issuance_of(const std::string& request_id) {
  const auto parsed = parse_request_id(request_id);
  return parsed ? format_request_id(parsed->key, 0) : request_id;
}

void end_without_answer(HttpEnd& end, Transport transport, int sends) {
  end.transport = transport;
  end.sends = sends;
  end.detail = "simulated: " + std::string{wire::name_of(transport)};
}

void end_with_answer(HttpEnd& end, int status, std::string body) {
  end.sends = 1;
  end.status = status;
  end.body = std::move(body);
  end.content_type = "application/json";
}

Fate fate_in(Outage outage, Random& random) {
  switch (outage) {
    case Outage::refused:
      return random.chance(0.8) ? Fate::refused : Fate::connect_slow;
    case Outage::bad_gateway:
      return Fate::same_error;
    case Outage::silence:
      return random.chance(0.5) ? Fate::swallowed : Fate::answer_lost;
    case Outage::resets:
      return random.chance(0.5) ? Fate::reset_before : Fate::half_answer;
    case Outage::unauthorised:
      return Fate::unauthorised;
  }
  return Fate::answered;
}

}  // namespace

std::string key_of(const wire::HttpCall& call) {
  constexpr std::string_view kKey = "Idempotency-Key: ";
  for (const std::string& header : call.headers) {
    if (header.starts_with(kKey)) return header.substr(kKey.size());
  }
  return call.get ? call.url.substr(call.url.rfind('/') + 1) : std::string{};
}

void ModelService::begin_outage(Outage kind, Instant until) {
  outage_ = kind;
  outage_until_ = until;
}

void ModelService::violation(std::string words) {
  violations_.push_back(name_ + ": " + std::move(words));
}

Fate ModelService::draw_fate(Instant now) {
  if (outage_ && now < outage_until_) return fate_in(*outage_, random_);
  double drawn = random_.unit();
  for (std::size_t fate = 1; fate < kFates; ++fate) {
    if (drawn < faults[fate]) return static_cast<Fate>(fate);
    drawn -= faults[fate];
  }
  return Fate::answered;
}

// FNV-1a, mixed: the same recipients in every run, whatever the order of calls.
bool ModelService::is_one_of(double share, std::string_view what,
                             const std::string& recipient_id) const {
  if (recipient_id.starts_with(kHealthy)) return false;
  std::uint64_t hash = 1469598103934665603U;
  for (const char c : std::string{what} + name_ + recipient_id) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  hash = (hash ^ (hash >> 31)) * 0x9e3779b97f4a7c15U;
  hash ^= hash >> 29;
  return static_cast<double>(hash >> 40) < share * static_cast<double>(1U << 24);
}

void ModelService::watch_call(Instant now, Caller caller) {
  watch_rate(starts_, limit, "calls", now);
  for (const Hold& hold : holds_) {
    const bool holds = hold.caller == caller && now > hold.read && now < hold.until;
    if (holds) violation("a call before Retry-After was over");
  }
  std::erase_if(holds_, [&](const Hold& hold) { return hold.until <= now; });
}

void ModelService::watch(const wire::HttpCall& call, const std::string& key, bool in_batch,
                         Caller caller) {
  if (key.empty()) violation("a call without a key");
  const auto [known, is_new] = bodies_.try_emplace(key, call.body);
  if (!is_new && known->second != call.body) violation("another body under key " + key);
  const auto [form, is_only] = forms_.try_emplace(key, in_batch);
  if (form->second != in_batch && executed(key)) violation("called again in another form: " + key);
  form->second = in_batch;
  const Json body = parsed(call.body);
  if (text_of(body, "request_id") != key) violation("key and request id differ: " + key);
  const auto [who, is_first] = instances_.try_emplace(key, caller.instance);
  if (who->second != caller.instance && !has_copies) violation("two instances call for " + key);
  watch_code(key, text_of(body, "code"));
  if (contract != plan::Contract::key) {
    const auto under_way = [&](const Visit& visit) { return !visit.asks && visit.key == key; };
    if (executed(key)) violation("called again after it was executed: " + key);
    if (std::ranges::any_of(visits_, under_way)) violation("called again too soon: " + key);
  }
}

// All rounds of an issuance have the same code, and nobody else ever has it.
void ModelService::watch_code(const std::string& key, const std::string& code) {
  if (code.empty()) return;
  const auto [owner, is_first] = code_owners_.try_emplace(code, issuance_of(key));
  if (owner->second != issuance_of(key)) {
    violation("the code of " + owner->second + " is sent for " + key);
  }
}

void ModelService::watch_effect(const std::string& key) {
  const auto [effect, is_first] = effects_.try_emplace(issuance_of(key), key);
  if (!is_first) violation("a second effect for one issuance: " + key + " after " + effect->second);
}

void ModelService::watch_rate(std::deque<Instant>& starts, double most, const char* what,
                              Instant now) {
  starts.push_back(now);
  while (starts.front() <= now - std::chrono::seconds{1}) starts.pop_front();
  if (static_cast<double>(starts.size()) > most + callers) {
    violation(std::string{"more "} + what + " than the limit");
  }
}

QueryFate ModelService::draw_query_fate(Instant now) {
  if (outage_ && now < outage_until_) {
    return *outage_ == Outage::bad_gateway ? QueryFate::error : QueryFate::lost;
  }
  double drawn = random_.unit();
  for (std::size_t fate = 1; fate < kQueryFates; ++fate) {
    if (drawn < query_faults[fate]) return static_cast<QueryFate>(fate);
    drawn -= query_faults[fate];
  }
  return QueryFate::answered;
}

std::shared_ptr<const Ending> ModelService::query(const wire::HttpCall& call, Instant now) {
  ++calls_;
  ++queries_;
  const std::string key = key_of(call);
  if (!can_be_asked || !call.body.empty()) violation("a query that was not agreed: " + key);
  watch_rate(starts_, limit, "calls", now);
  watch_rate(query_starts_, limit * query_share, "queries", now);
  auto ending = std::make_shared<Ending>();
  ending->end.tag = call.tag;
  const auto spread = static_cast<std::uint64_t>(Nanos{latency_max - latency_min}.count());
  const Nanos latency = latency_min + Nanos{static_cast<std::int64_t>(random_.below(spread + 1))};
  ending->at = now + latency;
  const QueryFate fate = draw_query_fate(now);
  if (fate == QueryFate::lost) {
    ending->at = now + call.timeout;
    end_without_answer(ending->end, Transport::timed_out, 1);
    return ending;
  }
  visits_.push_back(
      {.arrives = now + latency / 2, .asks = fate, .key = key, .body = {}, .ending = ending});
  return ending;
}

// As its journal has it at that moment, but for what is too young to be seen.
void ModelService::answer_query(const Visit& visit) {
  HttpEnd& end = visit.ending->end;
  if (visit.asks == QueryFate::error) {
    return end_with_answer(end, random_.chance(0.5) ? 500 : 503, R"({"code":"NOT_FOUND"})");
  }
  if (visit.asks == QueryFate::html) {
    end_with_answer(end, 200, "<html>we are back soon</html>");
    end.content_type = "text/html";
    return;
  }
  if (is_one_of(vague_share, "vague", visit.key)) {
    return end_with_answer(end, 200, R"({"status":"PENDING"})");
  }
  const auto found = journal_.find(visit.key);
  if (found == journal_.end() || visit.arrives < found->second.at + visible_after) {
    const std::string about = visit.asks == QueryFate::other_id ? "somebody-elses" : visit.key;
    return end_with_answer(end, 404, Json{{"code", "NOT_FOUND"}, {"request_id", about}}.dump());
  }
  const Execution& execution = found->second;
  Json reply = {{"request_id", visit.key}};
  if (visit.asks == QueryFate::pending) return end_with_answer(end, 200, reply.dump());
  if (visit.asks == QueryFate::other_id) reply["request_id"] = "somebody-elses";
  reply["reference"] = execution.reference;
  if (execution.amount_minor) {
    const int more = visit.asks == QueryFate::wrong_amount ? 1 : 0;
    reply["amount_minor"] = *execution.amount_minor + more;
    reply["currency"] = "EUR";
  }
  end_with_answer(end, 200, reply.dump());
}

std::shared_ptr<const Ending> ModelService::call(const wire::HttpCall& call, Instant now,
                                                 Caller caller) {
  ++calls_;
  watch_call(now, caller);
  watch(call, key_of(call), false, caller);
  return send(call, fate_of({call}, now), now, caller);
}

Fate ModelService::fate_of(const std::vector<wire::HttpCall>& parts, Instant now) {
  const auto is_silent = [&](const wire::HttpCall& part) {
    return is_one_of(silent_share, "silent", text_of(parsed(part.body), "recipient_id"));
  };
  if (silent_share > 0 && std::ranges::any_of(parts, is_silent)) return Fate::swallowed;
  const wire::HttpCall& call = parts.front();
  const bool elsewhere = !url.empty() && call.url != url;
  return elsewhere ? Fate::wrong_url : draw_fate(now);
}

std::shared_ptr<const Ending> ModelService::send(const wire::HttpCall& call, Fate fate, Instant now,
                                                 Caller caller) {
  auto ending = std::make_shared<Ending>();
  ending->end.tag = call.tag;
  const auto spread = static_cast<std::uint64_t>(Nanos{latency_max - latency_min}.count());
  const Nanos latency = latency_min + Nanos{static_cast<std::int64_t>(random_.below(spread + 1))};
  ending->at = now + latency;

  switch (fate) {
    case Fate::refused:
    case Fate::connect_slow:
    case Fate::tls_failed:
    case Fate::swallowed:
    case Fate::reset_before:
      fail_to_arrive(fate, call, now, *ending);
      break;
    default: {
      Visit visit{.arrives = now + latency / 2,
                  .fate = fate,
                  .key = key_of(call),
                  .body = call.body,
                  .caller = caller,
                  .ending = ending};
      if (fate == Fate::late) {
        visit.arrives = now + call.timeout +
                        Nanos{static_cast<std::int64_t>(random_.below(
                            static_cast<std::uint64_t>(Nanos{3 * call.timeout}.count())))};
      }
      if (fate == Fate::late || fate == Fate::answer_lost) {
        end_without_answer(ending->end, Transport::timed_out, 1);
        ending->at = now + call.timeout;
      }
      visits_.push_back(std::move(visit));
    }
  }
  ending->end.duration_us = (ending->at - now).count() / 1000;
  return ending;
}

void ModelService::fail_to_arrive(Fate fate, const wire::HttpCall& call, Instant now,
                                  Ending& ending) {
  switch (fate) {
    case Fate::refused:
      return end_without_answer(ending.end, Transport::unreachable, 0);
    case Fate::tls_failed:
      return end_without_answer(ending.end, Transport::tls, 0);
    case Fate::reset_before:
      return end_without_answer(ending.end, Transport::broken, 1);
    case Fate::connect_slow:
      ending.at = now + call.connect_timeout;
      return end_without_answer(ending.end, Transport::timed_out, 0);
    default:
      ending.at = now + call.timeout;
      return end_without_answer(ending.end, Transport::timed_out, 1);
  }
}

Instant ModelService::next_event() const {
  Instant next = Instant::max();
  for (const Visit& visit : visits_) next = std::min(next, visit.arrives);
  return next;
}

void ModelService::advance(Instant now) {
  while (true) {
    const auto first =
        std::min_element(visits_.begin(), visits_.end(),
                         [](const Visit& a, const Visit& b) { return a.arrives < b.arrives; });
    if (first == visits_.end() || first->arrives > now) return;
    Visit visit = std::move(*first);
    visits_.erase(first);
    arrive(visit);
  }
}

void ModelService::arrive(Visit& visit) {
  if (visit.asks) return answer_query(visit);
  HttpEnd& end = visit.ending->end;
  const bool carried = (visit.fate != Fate::error && visit.fate != Fate::same_error &&
                        visit.fate != Fate::redirected) ||
                       random_.chance(0.5);
  if (long_wait > 0) {
    end_with_answer(end, 429, R"({"code":"too_many"})");
    end.retry_after = std::to_string(std::exchange(long_wait, 0));
    return;
  }
  switch (visit.fate) {
    case Fate::too_many:
      end_with_answer(end, 429, R"({"code":"too_many"})");
      if (random_.chance(0.5)) {
        const auto seconds = static_cast<std::int64_t>(1 + random_.below(2));
        end.retry_after = std::to_string(seconds);
        // The caller may have taken its answer a moment late, never early.
        holds_.push_back({visit.caller, visit.ending->at + Millis{200},
                          visit.ending->at + std::chrono::seconds{seconds}});
      }
      return;
    case Fate::unauthorised:
      return end_with_answer(end, 401, R"({"code":"unauthorised"})");
    case Fate::wrong_url:
      return end_with_answer(end, 404, R"({"code":"no_such_page"})");
    default:
      break;
  }
  const Answer answer = carried ? carry_out(visit) : Answer{};
  if (visit.fate == Fate::answer_lost || visit.fate == Fate::late) return;
  if (visit.fate == Fate::answered && slow_share > 0 && answer.busy_until > visit.ending->at) {
    // Slower than the caller's patience or not: whichever comes first.
    visit.ending->at = std::min(answer.busy_until, visit.ending->at + std::chrono::seconds{1});
    if (answer.busy_until > visit.ending->at) {
      return end_without_answer(end, Transport::timed_out, 1);
    }
  }
  end_with_answer(end, answer.status, answer.body);
  if (visit.fate != Fate::answered) spoil(visit, end);
}

// Once a key, for as long as keys are kept.
ModelService::Answer ModelService::carry_out(const Visit& visit) {
  const Instant now = visit.arrives;
  const bool honours_keys = contract == plan::Contract::key;
  if (const auto known = answers_.find(visit.key); honours_keys && known != answers_.end()) {
    if (now < known->second.busy_until) {
      return {.status = 409, .body = R"({"code":"in_progress"})", .made = now, .busy_until = now};
    }
    if (now - known->second.made < key_lifetime) return known->second;
    answers_.erase(known);
  }
  const Json body = parsed(visit.body);
  const std::string recipient = text_of(body, "recipient_id");
  if (is_one_of(exhaust_share, "exhaust", recipient)) {
    return {.status = 429, .body = R"({"code":"too_many"})", .made = now, .busy_until = now};
  }
  if (is_one_of(unknown_share, "unknown", recipient)) {
    return {
        .status = 404, .body = R"({"code":"no_such_recipient"})", .made = now, .busy_until = now};
  }
  if (is_one_of(broken_share, "broken", recipient)) {
    return {.status = 500, .body = R"({"code":"broken"})", .made = now, .busy_until = now};
  }
  Answer answer{
      .status = 422, .body = R"({"code":"not_eligible"})", .made = now, .busy_until = now};
  if (!is_one_of(decline_share, "decline", recipient)) {
    Execution execution{.request_id = visit.key,
                        .recipient_id = recipient,
                        .amount_minor = {},
                        .code = text_of(body, "code"),
                        .reference = name_ + "-" + std::to_string(journal_.size() + 1),
                        .at = now};
    Json reply = {{"request_id", visit.key}, {"reference", execution.reference}};
    if (body.contains("amount_minor")) {
      execution.amount_minor = body["amount_minor"].get<std::int64_t>();
      reply["amount_minor"] = body["amount_minor"];
      reply["currency"] = body["currency"];
    }
    const auto [at, is_first] = journal_.emplace(visit.key, std::move(execution));
    if (!is_first) violation("executed twice: " + visit.key);
    watch_effect(visit.key);
    answer.status = 201;
    answer.body = reply.dump();
    if (random_.chance(slow_share)) {
      answer.busy_until = now + Millis{static_cast<std::int64_t>(random_.below(6000))};
    }
  }
  answers_[visit.key] = answer;
  return answer;
}

// What the faults make of the answer on its way back.
void ModelService::spoil(const Visit& visit, HttpEnd& end) {
  const auto without_answer = [&](Transport transport, int sends) {
    end.status = 0;
    end.body.clear();
    end.content_type.clear();
    end_without_answer(end, transport, sends);
  };
  switch (visit.fate) {
    case Fate::died_after:
      return without_answer(Transport::refused, 1);
    case Fate::gone_after:
      return without_answer(Transport::unreachable, 1);
    case Fate::half_answer:
      return without_answer(Transport::broken, 1);
    case Fate::redirected:
      return end_with_answer(end, 302, "");
    case Fate::same_error:
      return end_with_answer(end, 502, "<html>bad gateway</html>");
    case Fate::error:
      return end_with_answer(
          end, random_.chance(0.5) ? 500 : 503,
          R"({"code":"internal","trace":")" + std::to_string(random_.next()) + "\"}");
    default:
      break;
  }
  if (end.status != 201) return;  // wrong_answer of a refusal: let it be
  Json reply = parsed(end.body);
  switch (random_.below(6)) {
    case 0:
      end.body.resize(end.body.size() / 2);
      return;
    case 1:
      end.content_type = "text/html";
      return;
    case 2:
      reply["request_id"] = "somebody-elses";
      break;
    case 3:
      reply.erase("reference");
      break;
    case 4:
      reply["amount_minor"] = 7;
      break;
    default:
      reply["currency"] = "XTS";
      break;
  }
  // Without an amount the service may say of amounts what it likes.
  end.body = reply.dump();
}

}  // namespace vouch::test
