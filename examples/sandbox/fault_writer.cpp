#include "examples/sandbox/fault_writer.hpp"

#include "common/json.hpp"
#include "examples/sandbox/issuing_service.hpp"

namespace vouch::sandbox {
namespace {

using access::HttpResponse;

ReplyPlan whole(HttpResponse response) {
  ReplyPlan plan;
  plan.response = std::move(response);
  return plan;
}

ReplyPlan bytes_of(const HttpResponse& response) {
  ReplyPlan plan;
  const auto rendered = render(response, access::HttpFraming{});
  VOUCH_ASSERT(rendered.has_value());  // the answers of our own services
  plan.bytes = *rendered;
  return plan;
}

// The honest body with one field changed, in a batch that of its first result; an answer that has
// no such field stays as it is.
template <typename Change>
HttpResponse changed(HttpResponse honest, const char* field, const Change& change) {
  auto body = parse_json(honest.body);
  if (!body || !body->is_object()) return honest;
  const auto results = body->find("results");
  Json& told = results == body->end() ? *body : results->front();
  if (told.contains(field)) {
    change(told[field]);
    honest.body = body->dump();
  }
  return honest;
}

HttpResponse error_reply(const FaultRule& rule, const FaultContext& context) {
  const Refusal error = error_of(rule, context.trace_id);
  HttpResponse response = HttpResponse::json(rule.status, refusal_body(error.code, error.message));
  if (!rule.retry_after.empty()) response.headers.emplace_back("Retry-After", rule.retry_after);
  return response;
}

HttpResponse throttled_reply(const FaultRule& rule) {
  HttpResponse response =
      HttpResponse::json(429, refusal_body("THROTTLED", "too many calls, come back later"));
  if (!rule.retry_after.empty()) response.headers.emplace_back("Retry-After", rule.retry_after);
  return response;
}

HttpResponse swapped_reply(FaultContext context) {
  if (context.other) {
    context.honest.body = *context.other;
    return context.honest;
  }
  return changed(std::move(context.honest), "request_id", [](Json& id) {
    std::string text = id.get<std::string>();  // nobody else has called yet: an id of nobody
    text.back() = text.back() == 'x' ? 'y' : 'x';
    id = text;
  });
}

HttpResponse redirect_reply(const FaultRule& rule, const FaultContext& context) {
  HttpResponse response = HttpResponse::text(rule.status, "elsewhere\n");
  response.headers.emplace_back("Location", context.redirect_target);
  return response;
}

ReplyPlan ended(ReplyEnd end, Millis listener_closed) {
  ReplyPlan plan;
  plan.end = end;
  plan.listener_closed = listener_closed;
  return plan;
}

}  // namespace

Refusal error_of(const FaultRule& rule, std::string_view trace_id) {
  Refusal error{rule.status, rule.status >= 500 ? "INTERNAL" : "REFUSED", "something went wrong"};
  if (!rule.fixed_body) error.message += ", trace " + std::string{trace_id};
  return error;
}

ReplyPlan plan_reply(const FaultRule& rule, FaultContext context) {
  HttpResponse& honest = context.honest;
  switch (rule.kind) {
    case FaultKind::throttled:
      return whole(throttled_reply(rule));
    case FaultKind::error:
    case FaultKind::halfway:
      return whole(error_reply(rule, context));
    case FaultKind::lost:
      return ended(ReplyEnd::silence, Millis{0});
    case FaultKind::closed:
      return ended(ReplyEnd::fin, rule.listener_closed);
    case FaultKind::reset:
      return ended(ReplyEnd::reset, rule.listener_closed);
    case FaultKind::cut: {
      ReplyPlan plan = bytes_of(honest);
      if (plan.bytes.size() > rule.bytes) plan.bytes.resize(rule.bytes);
      plan.end = rule.end == access::ConnectionEnd::fin ? ReplyEnd::fin : ReplyEnd::reset;
      return plan;
    }
    case FaultKind::slow: {
      ReplyPlan plan = bytes_of(honest);
      plan.piece_bytes = 1;
      plan.gap = rule.byte_gap;
      return plan;
    }
    case FaultKind::malformed:
      honest.body = "{\"reference\":c-1,}<html>";
      return whole(honest);
    case FaultKind::truncated:
      honest.body.resize(honest.body.size() / 2);
      return whole(honest);
    case FaultKind::wrong_type:
      honest.body = "[" + honest.body + "]";
      return whole(honest);
    case FaultKind::swapped:
      return whole(swapped_reply(std::move(context)));
    case FaultKind::wrong_amount:
      return whole(changed(std::move(honest), "amount_minor",
                           [](Json& amount) { amount = amount.get<std::int64_t>() + 1; }));
    case FaultKind::wrong_currency:
      return whole(changed(std::move(honest), "currency", [](Json& currency) {
        currency = currency.get<std::string>() == "EUR" ? "USD" : "EUR";
      }));
    case FaultKind::unauthorized:
      return whole(HttpResponse::json(401, refusal_body("UNAUTHORIZED", "the key is not valid")));
    case FaultKind::forbidden:
      return whole(HttpResponse::json(403, refusal_body("FORBIDDEN", "not for this account")));
    case FaultKind::redirect:
      return whole(redirect_reply(rule, context));
    case FaultKind::partial:  // what is left out of it, it never held
      break;
  }
  return whole(honest);
}

void FaultWriter::add(access::HttpTicket ticket, ReplyPlan plan, Instant due) {
  agenda_.emplace(due, Playing{.ticket = ticket, .plan = std::move(plan)});
}

void FaultWriter::close_listener(Instant until) {
  // Failing here means that nobody can connect any more, which is what was asked for.
  (void)server_.suspend_listener(listener_);
  reopen_ = until;
}

Instant FaultWriter::play(Instant now) {
  while (!agenda_.empty() && agenda_.begin()->first <= now) {
    auto first = agenda_.extract(agenda_.begin());
    step(std::move(first.mapped()), now);
  }
  if (reopen_ && *reopen_ <= now) {
    // Taken by another meanwhile: tried again in a while.
    const bool open = server_.resume_listener(listener_).has_value();
    reopen_ = open ? std::optional<Instant>{} : now + std::chrono::milliseconds{100};
  }
  const Instant next = agenda_.empty() ? Instant::max() : agenda_.begin()->first;
  return reopen_ ? std::min(next, *reopen_) : next;
}

void FaultWriter::step(Playing playing, Instant now) {
  if (playing.plan.response) {
    server_.reply(playing.ticket, *playing.plan.response);
    return;
  }
  const std::string& bytes = playing.plan.bytes;
  if (playing.sent < bytes.size()) {
    const auto piece = std::string_view{bytes}.substr(playing.sent, playing.plan.piece_bytes);
    if (!server_.reply_part(playing.ticket, piece)) return;  // the caller has gone
    playing.sent += piece.size();
  }
  if (playing.sent < bytes.size()) {
    const Instant due = now + playing.plan.gap;
    agenda_.emplace(due, std::move(playing));
    return;
  }
  finish(playing, now);
}

void FaultWriter::finish(const Playing& playing, Instant now) {
  // The listener goes first: whoever sees the connection end must not get through any more.
  if (playing.plan.listener_closed > Millis{0}) close_listener(now + playing.plan.listener_closed);
  switch (playing.plan.end) {
    case ReplyEnd::kept:
      server_.end_reply(playing.ticket);
      break;
    case ReplyEnd::fin:
      server_.end(playing.ticket, access::ConnectionEnd::fin);
      break;
    case ReplyEnd::reset:
      server_.end(playing.ticket, access::ConnectionEnd::reset);
      break;
    case ReplyEnd::silence:
      server_.abandon(playing.ticket);
      break;
  }
}

}  // namespace vouch::sandbox
