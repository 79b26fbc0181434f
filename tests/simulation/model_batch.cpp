// Batches: how a call is taken apart and its answer put together, and what becomes of one at a
// service (declared in model_service.hpp).
#include "tests/simulation/model_batch.hpp"

#include <algorithm>

#include "common/json.hpp"
#include "tests/simulation/model_service.hpp"

namespace vouch::test {
namespace {

// Of the issuances in an answered batch, so many may fare otherwise: with the batch's own bad luck
// more would make a downstream of which nobody hears that it is well again.
constexpr double kOwnFates = 0.3;

// The elements of a JSON array, each with its own bytes.
std::vector<std::string> elements_of(std::string_view array) {
  std::vector<std::string> elements;
  int depth = 0;
  bool in_text = false;
  std::size_t begin = 1;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const char c = array[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
      continue;
    }
    in_text = c == '"';
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if ((c == ',' && depth == 1) || depth == 0) {
      elements.emplace_back(array.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  return elements;
}

bool has_answer(const CallEnding::Result& result) {
  return result.of->end.transport == wire::Transport::complete;
}

// The members of its own answer, with its key and status; what is no JSON has none.
std::string result_text(const CallEnding::Result& result) {
  const wire::HttpEnd& end = result.of->end;
  std::string text = "{\"http_status\":" + std::to_string(end.status);
  if (end.body.find("\"request_id\"") == std::string::npos) {
    text += ",\"request_id\":\"" + result.key + "\"";
  }
  if (!end.body.starts_with('{')) return text + "}";
  return text + "," + end.body.substr(1);
}

// Of these nothing arrives, or all is turned away.
bool is_of_the_whole(Fate fate) {
  constexpr std::array kFates = {Fate::refused,      Fate::connect_slow, Fate::tls_failed,
                                 Fate::swallowed,    Fate::reset_before, Fate::too_many,
                                 Fate::unauthorised, Fate::wrong_url};
  return std::ranges::find(kFates, fate) != kFates.end();
}

// What a fate of whole calls is for one issuance of an answered batch.
Fate fate_in_batch(Fate fate) {
  switch (fate) {
    case Fate::refused:
    case Fate::connect_slow:
    case Fate::tls_failed:
    case Fate::reset_before:
      return Fate::swallowed;
    case Fate::died_after:
    case Fate::gone_after:
    case Fate::half_answer:
      return Fate::answer_lost;
    case Fate::too_many:  // its Retry-After is the whole call's
      return Fate::answered;
    default:
      return fate;
  }
}

}  // namespace

std::vector<wire::HttpCall> parts_of(const wire::HttpCall& call) {
  if (call.get || !call.body.starts_with(kBatchHead)) return {call};
  std::vector<wire::HttpCall> parts;
  const std::string_view body = call.body;
  for (std::string& element : elements_of(
           body.substr(kBatchHead.size(), body.size() - kBatchHead.size() - kBatchTail.size()))) {
    wire::HttpCall& part = parts.emplace_back(call);
    const auto json = parse_json(element);
    VOUCH_ASSERT(json.has_value());
    part.headers.push_back("Idempotency-Key: " + (*json)["request_id"].get<std::string>());
    part.body = std::move(element);
  }
  return parts;
}

// Of an issuance that takes longer than the caller waits there is no result.
Instant CallEnding::at() const {
  if (whole) return whole->at;
  Instant last = Instant::min();
  for (const Result& result : results) {
    if (has_answer(result)) last = std::max(last, result.of->at);
  }
  return last == Instant::min() ? gives_up : std::min(last, gives_up);
}

wire::HttpEnd CallEnding::end() const {
  if (whole) return whole->end;
  const Instant ended = at();
  wire::HttpEnd end;
  end.tag = results.front().of->end.tag;
  end.sends = 1;
  end.duration_us = (ended - begun).count() / 1000;
  std::string list;
  for (const Result& result : results) {
    if (!has_answer(result) || result.of->at > ended) continue;
    end.content_type = result.of->end.content_type;
    list += (list.empty() ? "" : ",") + result_text(result);
  }
  if (list.empty()) {
    end.transport = wire::Transport::timed_out;
    end.detail = "simulated: no result of any";
    return end;
  }
  end.status = 200;
  end.body = "{\"results\":[" + list + "]}";
  return end;
}

CallEnding ModelService::call_batch(const std::vector<wire::HttpCall>& parts, Instant now,
                                    Caller caller) {
  ++calls_;
  ++batches_;
  watch_call(now, caller);
  for (const wire::HttpCall& part : parts) watch(part, key_of(part), true, caller);
  const Fate fate = fate_of(parts, now);
  CallEnding ending{.begun = now, .gives_up = now + parts.front().timeout};
  if (is_of_the_whole(fate)) {
    ending.whole = send(parts.front(), fate, now, caller);
    return ending;
  }
  const bool has_results = fate == Fate::answered || fate == Fate::wrong_answer;
  for (const wire::HttpCall& part : parts) {
    const bool as_all = !has_results || !random_.chance(kOwnFates);
    const Fate all = has_results ? Fate::answered : fate;
    const Fate own = as_all ? all : fate_in_batch(draw_fate(now));
    ending.results.push_back({key_of(part), send(part, own, now, caller)});
  }
  if (!has_results) {
    ending.whole = ending.results.front().of;
    return ending;
  }
  for (std::size_t i = ending.results.size(); i > 1; --i) {
    std::swap(ending.results[i - 1], ending.results[random_.below(i)]);
  }
  if (fate == Fate::wrong_answer) ending.results.push_back(ending.results.front());
  return ending;
}

}  // namespace vouch::test
