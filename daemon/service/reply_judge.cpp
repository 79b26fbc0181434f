#include "daemon/service/reply_judge.hpp"

#include <algorithm>
#include <ctime>

#include "common/text.hpp"

namespace vouch::service {
namespace {

Judgement without_answer(const wire::HttpEnd& end) {
  Judgement judged;
  judged.ails = true;
  judged.detail = end.detail;
  if (end.sends > 0) return judged;  // bytes may have left: unknown
  judged.outcome =
      end.transport == wire::Transport::certificate ? Outcome::setup : Outcome::not_executed;
  return judged;
}

// A query that was turned away does not mean that calls would be.
bool ails(const data::Intent& intent, Outcome outcome, int status) {
  if (intent.asks) return outcome == Outcome::unknown && status >= 500;
  return outcome == Outcome::unknown || (outcome == Outcome::not_executed && status == 503);
}

}  // namespace

Judgement ReplyJudge::judge(const data::Intent& intent, const wire::HttpEnd& end, WallTime now) {
  if (end.transport != wire::Transport::complete) return without_answer(end);
  plan::ReplyReading reading =
      reader_.read(*intent.definition,
                   {.status = end.status, .content_type = end.content_type, .body = end.body},
                   {.request_id = intent.request_id,
                    .amount_minor = intent.amount_minor,
                    .currency = intent.item().amount.currency,
                    .asks = intent.asks});
  Judgement judged;
  judged.outcome = reading.outcome;
  judged.answered = true;
  judged.ails = ails(intent, reading.outcome, end.status);
  judged.reference = std::move(reading.reference);
  judged.detail = std::move(reading.detail);
  judged.reply_digest = sha256_128(end.body);
  judged.known = reading.known;
  judged.retry_after = parse_retry_after(end.retry_after, now);
  return judged;
}

std::optional<Millis> parse_retry_after(const std::string& value, WallTime now) {
  if (value.empty()) return std::nullopt;
  Millis after{0};
  constexpr std::int64_t kDay = 86'400;
  const bool all_digits = std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (all_digits) {
    // More digits than a number holds are a long time all the same.
    after = std::chrono::seconds{std::min(parse_integer(value).value_or(kDay), kDay)};
  } else {
    std::tm tm{};
    const char* rest = strptime(value.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (rest == nullptr || *rest != '\0') return std::nullopt;
    const WallTime until = from_ms(static_cast<std::int64_t>(timegm(&tm)) * 1000);
    if (until <= now) return std::nullopt;
    after = until - now;
  }
  return std::min(after, kRetryAfterMax);
}

}  // namespace vouch::service
