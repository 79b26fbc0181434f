#include "examples/sandbox/behaviour.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "common/crypto.hpp"

namespace vouch::sandbox {
namespace {

constexpr FaultKindTraits kFaultKinds[] = {
    {FaultKind::throttled, "throttled", false, false, false, 429, "answer 429 with Retry-After"},
    {FaultKind::error, "error", false, false, false, 500, "answer a chosen status, 400 to 599"},
    {FaultKind::lost, "lost", true, false, false, 0, "execute, then never answer"},
    {FaultKind::closed, "closed", true, true, false, 0, "execute, then end the connection (FIN)"},
    {FaultKind::reset, "reset", true, true, false, 0, "execute, then reset the connection (RST)"},
    {FaultKind::cut, "cut", true, false, false, 0,
     "execute, send some bytes of the answer, then end"},
    {FaultKind::slow, "slow", true, false, false, 0, "execute, send the answer byte by byte"},
    {FaultKind::malformed, "malformed", true, false, false, 0, "execute, answer what is no JSON"},
    {FaultKind::truncated, "truncated", true, false, false, 0, "execute, answer half the JSON"},
    {FaultKind::wrong_type, "wrong_type", true, false, false, 0,
     "execute, answer JSON of another form"},
    {FaultKind::swapped, "swapped", true, false, false, 0, "execute, answer another call's answer"},
    {FaultKind::wrong_amount, "wrong_amount", true, false, false, 0,
     "execute, answer another amount"},
    {FaultKind::wrong_currency, "wrong_currency", true, false, false, 0,
     "execute, answer another currency"},
    {FaultKind::unauthorized, "unauthorized", false, false, false, 401, "answer 401"},
    {FaultKind::forbidden, "forbidden", false, false, false, 403, "answer 403"},
    {FaultKind::redirect, "redirect", false, false, false, 307, "answer 3xx with Location"},
    {FaultKind::partial, "partial", true, false, true, 0,
     "of a batch: execute, answer half of the results"},
    {FaultKind::halfway, "halfway", true, false, true, 500,
     "of a batch: execute the first half, answer a chosen status"},
};

// Of the standard normal distribution.
constexpr double kQuantile99 = 2.3263478740408408;
constexpr double kLatencyMsMax = 600'000;

double standard_normal(Random& random) {  // Box and Muller
  const double u = 1.0 - random.unit();   // in (0, 1]: the logarithm must exist
  const double v = random.unit();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace

std::span<const FaultKindTraits> fault_kinds() {
  return kFaultKinds;
}

const FaultKindTraits& traits_of(FaultKind kind) {
  return kFaultKinds[static_cast<std::size_t>(kind)];
}

static_assert(std::ranges::is_sorted(kFaultKinds, {}, &FaultKindTraits::kind));
static_assert(std::size(kFaultKinds) == kFaultKindCount);

Nanos LatencyModel::draw(Random& random) const {
  double ms = 0;
  switch (kind) {
    case Kind::none:
      return Nanos::zero();
    case Kind::fixed:
      ms = first_ms;
      break;
    case Kind::uniform:
      ms = first_ms + (second_ms - first_ms) * random.unit();
      break;
    case Kind::lognormal: {
      const double sigma = std::log(second_ms / first_ms) / kQuantile99;
      ms = first_ms * std::exp(sigma * standard_normal(random));
      break;
    }
  }
  return std::chrono::duration_cast<Nanos>(
      std::chrono::duration<double, std::milli>{std::min(ms, kLatencyMsMax)});
}

bool RefusalRule::hits(std::string_view recipient_id) const {
  if (std::find(recipients.begin(), recipients.end(), recipient_id) != recipients.end()) {
    return true;
  }
  if (probability <= 0) return false;
  // The code is part of it, so that two rules strike different people.
  const Digest128 digest = sha256_128(refusal.code + "\n" + std::string{recipient_id});
  std::uint64_t word = 0;
  std::memcpy(&word, digest.data(), sizeof word);
  return static_cast<double>(word >> 11) * 0x1.0p-53 < probability;
}

std::optional<Refusal> ServiceBehaviour::refusal_of(std::string_view recipient_id) const {
  for (const RefusalRule& rule : refusals) {
    if (rule.hits(recipient_id)) return rule.refusal;
  }
  return std::nullopt;
}

const FaultRule* ServiceBehaviour::draw_fault(Random& random, const Struck& call) {
  const AppliesTo other = call.is_query ? AppliesTo::calls : AppliesTo::queries;
  for (FaultRule& rule : faults) {
    if (rule.applies_to == other) continue;
    if (rule.reused_only && !call.reused_connection) continue;
    if (traits_of(rule.kind).batch_only && !call.is_batch) continue;
    if (rule.seen++ < rule.after) continue;
    if (rule.count && rule.fired >= *rule.count) continue;
    if (!random.chance(rule.probability)) continue;
    ++rule.fired;
    return &rule;
  }
  return nullptr;
}

bool CapacityMeter::admit(const Capacity& capacity, Instant now) {
  const auto interval = std::chrono::duration_cast<Nanos>(
      std::chrono::duration<double>{1.0 / capacity.calls_per_second});
  const auto tolerance = std::chrono::duration_cast<Nanos>(
      std::chrono::duration<double>{(capacity.burst - 1) / capacity.calls_per_second});
  const Instant due = std::max(theoretical_, now);
  if (due - now > tolerance) return false;
  theoretical_ = due + interval;
  return true;
}

}  // namespace vouch::sandbox
