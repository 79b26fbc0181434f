#include "examples/sandbox/issuing_service.hpp"

#include <array>
#include <cstdio>
#include <cstring>

#include "common/text.hpp"

namespace vouch::sandbox {
namespace {

std::string format_reference(char prefix, std::uint64_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%c-%06llu", prefix,
                static_cast<unsigned long long>(number));
  return text.data();
}

Answer mistake(int status, std::string_view code, std::string_view message) {
  return {.status = status, .body = refusal_body(code, message), .from = Answer::From::mistake};
}

}  // namespace

std::string issued_body(const Execution& execution) {
  const Call& call = execution.call;
  std::string body = "{\"reference\":";
  body.reserve(192);
  append_json_text(body, execution.reference);
  body += ",\"request_id\":";
  append_json_text(body, call.request_id);
  if (call.amount_minor) {
    body += ",\"amount_minor\":" + std::to_string(*call.amount_minor) + ",\"currency\":";
    append_json_text(body, call.currency);
  }
  body += ",\"status\":\"issued\"}";
  return body;
}

std::string refusal_body(std::string_view code, std::string_view message) {
  std::string body = "{\"code\":";
  append_json_text(body, code);
  body += ",\"message\":";
  append_json_text(body, message);
  return body + "}";
}

std::size_t IssuingService::DigestHash::operator()(const Digest128& digest) const {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

Result<IssuingService> IssuingService::open(const ServiceKind& kind, const std::string& folder,
                                            KeyMemory memory) {
  const std::string base = folder + "/" + std::string{kind.name};
  VOUCH_TRY(AppendedFile executions, AppendedFile::open(base + ".csv", kExecutionHeader));
  VOUCH_TRY(AppendedFile refusals, AppendedFile::open(base + ".refusals.csv", kRefusalHeader));
  IssuingService service{kind, memory, std::move(executions), std::move(refusals)};
  VOUCH_CHECK(service.read_back());
  return service;
}

Result<void> IssuingService::read_back() {
  VOUCH_CHECK(
      executions_.read_all([&](std::uint64_t offset, std::string_view line) -> Result<void> {
        VOUCH_TRY(const Execution execution, parse_execution(line));
        note_execution(execution.call, offset);
        remember(execution.call, execution.time, {.offset = offset});
        return {};
      }));
  return refusals_.read_all([&](std::uint64_t offset, std::string_view line) -> Result<void> {
    VOUCH_TRY(const RefusalRecord record, parse_refusal(line));
    remember(record.call, record.time, {.offset = offset, .is_refusal = true});
    return {};
  });
}

void IssuingService::note_execution(const Call& call, std::uint64_t offset) {
  KnownRequest& known = requests_[call.request_digest];
  if (known.executions++ == 0) {
    known.first = offsets_.size();
  } else {
    ++counters_.doubles;
  }
  offsets_.push_back(offset);
  ++counters_.executions;
}

void IssuingService::remember(const Call& call, WallTime now, KnownKey known) {
  if (call.key.empty() || memory_.keys_max == 0 || memory_.age_max <= Millis::zero()) return;
  known.generation = ++generation_;
  keys_[call.key_digest] = known;
  by_age_.push_back({call.key_digest, now, known.generation});
  forget_old(now);
}

void IssuingService::forget_old(WallTime now) {
  while (!by_age_.empty()) {
    const RememberedKey& oldest = by_age_.front();
    const auto known = keys_.find(oldest.key);
    const bool superseded = known == keys_.end() || known->second.generation != oldest.generation;
    const bool too_old = now - oldest.since >= memory_.age_max;
    if (!superseded && !too_old && keys_.size() <= memory_.keys_max) return;
    if (!superseded) keys_.erase(known);
    by_age_.pop_front();
  }
}

Result<Answer> IssuingService::perform(const Call& call, WallTime now,
                                       const std::optional<Refusal>& refusal) {
  forget_old(now);
  if (!call.key.empty()) {
    const auto known = keys_.find(call.key_digest);
    if (known != keys_.end()) {
      ++counters_.replays;
      return replay(call, known->second);
    }
  }
  if (kind_.amount_required && !call.amount_minor) {
    return mistake(400, "AMOUNT_MISSING", "amount_minor and currency are needed here");
  }
  if (kind_.code_required && call.code.empty()) {
    return mistake(400, "CODE_MISSING", "code is needed here");
  }
  if (refusal) {
    ++counters_.refusals;
    remember_failure(call, now, *refusal);
    return Answer{.status = refusal->status,
                  .body = refusal_body(refusal->code, refusal->message),
                  .from = Answer::From::refusal};
  }
  const Execution execution{
      .time = now,
      .reference = format_reference(kind_.reference_prefix, offsets_.size() + 1),
      .call = call};
  const std::uint64_t offset = executions_.append(format_execution(execution));
  note_execution(call, offset);
  remember(call, now, {.offset = offset});
  return Answer{.body = issued_body(execution)};
}

void IssuingService::remember_failure(const Call& call, WallTime now, const Refusal& failure) {
  const std::uint64_t offset =
      refusals_.append(format_refusal({.time = now, .refusal = failure, .call = call}));
  remember(call, now, {.offset = offset, .is_refusal = true});
}

Result<Answer> IssuingService::replay(const Call& call, const KnownKey& known) const {
  const Answer other_body = mistake(422, "KEY_REUSED", "the key was used with another body");
  if (known.is_refusal) {
    VOUCH_TRY(const std::string line, refusals_.line_at(known.offset));
    VOUCH_TRY(const RefusalRecord record, parse_refusal(line));
    if (record.call.body_digest != call.body_digest) return other_body;
    return Answer{.status = record.refusal.status,
                  .body = refusal_body(record.refusal.code, record.refusal.message),
                  .from = Answer::From::replay};
  }
  VOUCH_TRY(const std::string line, executions_.line_at(known.offset));
  VOUCH_TRY(const Execution execution, parse_execution(line));
  if (execution.call.body_digest != call.body_digest) return other_body;
  return Answer{.body = issued_body(execution), .from = Answer::From::replay};
}

Result<Answer> IssuingService::find(std::string_view request_id, WallTime now,
                                    Millis age_min) const {
  const Answer absent = mistake(404, "NOT_FOUND", "nothing was executed under this request id");
  const Digest128 digest = sha256_128(request_id);
  const auto known = requests_.find(digest);
  if (known == requests_.end()) return find_refusal(digest, absent);
  VOUCH_TRY(const Execution first, execution(known->second.first));
  if (now - first.time < age_min) return absent;
  return Answer{.body = issued_body(first)};
}

// A refusal is found where the key was the request id, as it is with vouchd.
Result<Answer> IssuingService::find_refusal(const Digest128& digest, const Answer& absent) const {
  const auto known = keys_.find(digest);
  if (known == keys_.end() || !known->second.is_refusal) return absent;
  VOUCH_TRY(const std::string line, refusals_.line_at(known->second.offset));
  VOUCH_TRY(const RefusalRecord record, parse_refusal(line));
  if (record.refusal.status >= 500) return absent;  // an error says nothing about an execution
  std::string body = "{\"request_id\":";
  append_json_text(body, record.call.request_id);
  body += ",\"status\":\"refused\"," +
          refusal_body(record.refusal.code, record.refusal.message).substr(1);
  return Answer{.body = body};
}

Result<std::optional<std::string>> IssuingService::answer_of_another(const Call& call) const {
  for (std::uint64_t index = offsets_.size(); index > 0; --index) {
    VOUCH_TRY(const Execution other, execution(index - 1));
    if (other.call.request_id != call.request_id) return issued_body(other);
  }
  return std::optional<std::string>{};
}

Result<void> IssuingService::sync() {
  VOUCH_CHECK(executions_.sync());
  return refusals_.sync();
}

bool IssuingService::is_synced() const {
  return executions_.is_synced() && refusals_.is_synced();
}

Result<Execution> IssuingService::execution(std::uint64_t index) const {
  VOUCH_TRY(const std::string line, executions_.line_at(offsets_.at(index)));
  return parse_execution(line);
}

std::uint64_t IssuingService::torn_bytes() const {
  return executions_.torn_bytes() + refusals_.torn_bytes();
}

}  // namespace vouch::sandbox
