#include "daemon/service/reply_judge.hpp"

#include <algorithm>
#include <ctime>

#include "common/text.hpp"

namespace vouch::service {
namespace {

Judgement without_answer(const wire::HttpEnd& end) {
  Judgement judged;
  judged.status = end.status;
  judged.ails = true;
  judged.detail = end.detail;
  if (end.sends > 0) return judged;  // bytes may have left: unknown
  judged.outcome =
      end.transport == wire::Transport::certificate ? Outcome::setup : Outcome::not_executed;
  return judged;
}

plan::CallFacts facts_of(const data::Intent& intent) {
  return {.request_id = intent.request_id,
          .amount_minor = intent.amount_minor,
          .currency = intent.item().amount.currency,
          .asks = intent.asks};
}

// A query that was turned away does not mean that calls would be.
bool ails(const data::Intent& intent, Outcome outcome, int status) {
  if (intent.asks) return outcome == Outcome::unknown && status >= 500;
  return outcome == Outcome::unknown || (outcome == Outcome::not_executed && status == 503);
}

Judgement judgement(const data::Intent& intent, const wire::HttpEnd& end,
                    plan::ReplyReading reading, const std::optional<Digest128>& whole,
                    WallTime now) {
  Judgement judged;
  judged.outcome = reading.outcome;
  judged.status = reading.result_status.value_or(end.status);
  judged.answered = true;
  judged.ails = ails(intent, reading.outcome, judged.status);
  judged.reference = std::move(reading.reference);
  judged.detail = std::move(reading.detail);
  judged.reply_digest = reading.result_digest ? reading.result_digest : whole;
  judged.known = reading.known;
  judged.retry_after = parse_retry_after(end.retry_after, now);
  return judged;
}

}  // namespace

std::span<const Judgement> ReplyJudge::judge(std::span<const data::Intent> intents,
                                             const wire::HttpEnd& end, WallTime now) {
  judged_.clear();
  if (end.transport != wire::Transport::complete) {
    judged_.assign(intents.size(), without_answer(end));
    return judged_;
  }
  const plan::Downstream& downstream = *intents.front().definition;
  const plan::Reply reply{.status = end.status, .content_type = end.content_type, .body = end.body};
  if (!downstream.batch || intents.front().asks) {
    VOUCH_ASSERT(intents.size() == 1);
    auto reading = reader_.read(downstream, reply, facts_of(intents.front()));
    judged_.push_back(
        judgement(intents.front(), end, std::move(reading), sha256_128(end.body), now));
    return judged_;
  }
  std::vector<plan::CallFacts> calls;
  calls.reserve(intents.size());
  for (const data::Intent& intent : intents) calls.push_back(facts_of(intent));
  auto readings = reader_.read_batch(downstream, reply, calls);
  std::optional<Digest128> whole;
  const auto has_result = [](const plan::ReplyReading& reading) {
    return reading.result_digest.has_value();
  };
  if (!std::ranges::all_of(readings, has_result)) whole = sha256_128(end.body);
  for (std::size_t i = 0; i < intents.size(); ++i) {
    judged_.push_back(judgement(intents[i], end, std::move(readings[i]), whole, now));
  }
  return judged_;
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
