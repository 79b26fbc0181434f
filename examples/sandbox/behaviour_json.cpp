// The JSON form of a behaviour, both ways.
#include <algorithm>

#include "common/json.hpp"
#include "common/text.hpp"
#include "examples/sandbox/behaviour.hpp"
#include "examples/sandbox/issuing_service.hpp"

namespace vouch::sandbox {
namespace {

constexpr std::int64_t kMsMax = 24 * 3600 * 1000;
constexpr std::int64_t kCountMax = 1'000'000'000'000;

Result<std::optional<double>> optional_number(JsonReader& reader, const char* key, double min,
                                              double max) {
  const Json* found = reader.optional(key);
  if (found == nullptr) return std::optional<double>{};
  if (!found->is_number()) return reader.refuse(key, "must be a number");
  const auto value = found->get<double>();
  if (!(value >= min && value <= max)) {
    return reader.refuse(key, "must be from " + Json(min).dump() + " to " + Json(max).dump());
  }
  return std::optional<double>{value};
}

Result<void> read_probability(JsonReader& reader, double& probability) {
  VOUCH_TRY(const auto given, optional_number(reader, "probability", 0, 1));
  probability = given.value_or(probability);
  return {};
}

template <typename T>
Result<void> read_integer(JsonReader& reader, const char* key, T& target, std::int64_t min,
                          std::int64_t max) {
  VOUCH_TRY(const auto given, reader.optional_integer(key, min, max));
  if (given) target = static_cast<T>(*given);
  return {};
}

Result<void> read_ms(JsonReader& reader, const char* key, Millis& target) {
  VOUCH_TRY(const auto given, reader.optional_integer(key, 0, kMsMax));
  if (given) target = Millis{*given};
  return {};
}

// A text that ends up in a header.
Result<void> read_header_text(JsonReader& reader, const char* key, std::string& target) {
  VOUCH_TRY(auto given, reader.optional_text(key, 128));
  if (!given) return {};
  if (has_control_bytes(*given)) return reader.refuse(key, "holds control bytes");
  target = std::move(*given);
  return {};
}

Result<FaultKind> read_kind(JsonReader& reader) {
  VOUCH_TRY(const std::string name, reader.text("kind"));
  std::vector<std::string> known;
  for (const FaultKindTraits& traits : fault_kinds()) {
    if (traits.name == name) return traits.kind;
    known.emplace_back(traits.name);
  }
  const std::string near = nearest(name, known);
  return fail(Errc::invalid, reader.at("kind") + ": \"" + name + "\" is no fault",
              near.empty() ? "one of " + join(known, ", ") : "did you mean \"" + near + "\"?");
}

constexpr std::string_view kAppliesTo[] = {"calls", "queries", "all"};

Result<void> read_applies_to(JsonReader& reader, AppliesTo& target) {
  VOUCH_TRY(const auto name, reader.optional_text("applies_to"));
  if (!name) return {};
  const auto* found = std::find(std::begin(kAppliesTo), std::end(kAppliesTo), *name);
  if (found == std::end(kAppliesTo)) {
    return reader.refuse("applies_to", "must be calls, queries or all");
  }
  target = static_cast<AppliesTo>(found - std::begin(kAppliesTo));
  return {};
}

Result<void> read_end(JsonReader& reader, access::ConnectionEnd& target) {
  VOUCH_TRY(const auto name, reader.optional_text("end"));
  if (!name) return {};
  if (*name != "fin" && *name != "reset") return reader.refuse("end", "must be fin or reset");
  target = *name == "fin" ? access::ConnectionEnd::fin : access::ConnectionEnd::reset;
  return {};
}

Result<FaultRule> decode_fault(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  FaultRule rule;
  VOUCH_TRY(rule.kind, read_kind(reader));
  const FaultKindTraits& traits = traits_of(rule.kind);
  VOUCH_CHECK(read_probability(reader, rule.probability));
  VOUCH_CHECK(read_integer(reader, "after", rule.after, 0, kCountMax));
  VOUCH_CHECK(read_integer(reader, "count", rule.count, 0, kCountMax));
  VOUCH_CHECK(read_applies_to(reader, rule.applies_to));
  VOUCH_TRY(rule.executes, reader.boolean_or("executes", traits.executes));
  VOUCH_TRY(rule.reused_only, reader.boolean_or("reused_only", traits.reused_only));
  rule.status = traits.status;
  if (rule.kind == FaultKind::error || rule.kind == FaultKind::halfway) {
    VOUCH_CHECK(read_integer(reader, "status", rule.status, 400, 599));
    rule.retry_after.clear();
  }
  if (rule.kind == FaultKind::error) {
    VOUCH_TRY(rule.sticky, reader.boolean_or("sticky", false));
    VOUCH_TRY(rule.fixed_body, reader.boolean_or("fixed_body", false));
  }
  if (rule.kind == FaultKind::redirect) {
    VOUCH_CHECK(read_integer(reader, "status", rule.status, 300, 399));
  }
  if (rule.kind == FaultKind::error || rule.kind == FaultKind::throttled) {
    VOUCH_CHECK(read_header_text(reader, "retry_after", rule.retry_after));
  }
  if (rule.kind == FaultKind::cut) {
    VOUCH_CHECK(read_integer(reader, "bytes", rule.bytes, 0, 1'000'000));
    VOUCH_CHECK(read_end(reader, rule.end));
  }
  if (rule.kind == FaultKind::slow) VOUCH_CHECK(read_ms(reader, "byte_gap_ms", rule.byte_gap));
  if (rule.kind == FaultKind::closed || rule.kind == FaultKind::reset) {
    VOUCH_CHECK(read_ms(reader, "listener_closed_ms", rule.listener_closed));
  }
  // What GET /faults adds may be sent back.
  (void)reader.optional("seen");
  (void)reader.optional("fired");
  VOUCH_CHECK(reader.finish());
  return rule;
}

Json encode_fault(const FaultRule& rule) {
  Json json = {{"kind", traits_of(rule.kind).name}, {"probability", rule.probability}};
  if (rule.after > 0) json["after"] = rule.after;
  if (rule.count) json["count"] = *rule.count;
  json["applies_to"] = kAppliesTo[static_cast<std::size_t>(rule.applies_to)];
  json["executes"] = rule.executes;
  json["reused_only"] = rule.reused_only;
  if (rule.kind == FaultKind::error || rule.kind == FaultKind::halfway ||
      rule.kind == FaultKind::redirect) {
    json["status"] = rule.status;
  }
  if (rule.kind == FaultKind::error) {
    json["sticky"] = rule.sticky;
    json["fixed_body"] = rule.fixed_body;
  }
  if (rule.kind == FaultKind::error || rule.kind == FaultKind::throttled) {
    json["retry_after"] = rule.retry_after;
  }
  if (rule.kind == FaultKind::cut) {
    json["bytes"] = rule.bytes;
    json["end"] = rule.end == access::ConnectionEnd::fin ? "fin" : "reset";
  }
  if (rule.kind == FaultKind::slow) json["byte_gap_ms"] = rule.byte_gap.count();
  if (rule.kind == FaultKind::closed || rule.kind == FaultKind::reset) {
    json["listener_closed_ms"] = rule.listener_closed.count();
  }
  json["seen"] = rule.seen;
  json["fired"] = rule.fired;
  return json;
}

struct LatencyForm {
  std::string_view kind;
  const char* first;
  const char* second;  // null where there is none
};
// In the order of LatencyModel::Kind.
constexpr LatencyForm kLatencyForms[] = {{"none", nullptr, nullptr},
                                         {"fixed", "ms", nullptr},
                                         {"uniform", "min_ms", "max_ms"},
                                         {"lognormal", "median_ms", "p99_ms"}};

Result<double> required_ms(JsonReader& reader, const char* key, double min) {
  VOUCH_TRY(const auto value, optional_number(reader, key, min, kMsMax));
  if (!value) return reader.refuse(key, "is missing");
  return *value;
}

Result<LatencyModel> decode_latency(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  VOUCH_TRY(const std::string kind, reader.text("kind"));
  const auto* form = std::find_if(std::begin(kLatencyForms), std::end(kLatencyForms),
                                  [&](const LatencyForm& known) { return known.kind == kind; });
  if (form == std::end(kLatencyForms)) {
    return reader.refuse("kind", "must be none, fixed, uniform or lognormal");
  }
  LatencyModel model;
  model.kind = static_cast<LatencyModel::Kind>(form - std::begin(kLatencyForms));
  const bool is_lognormal = model.kind == LatencyModel::Kind::lognormal;
  if (form->first != nullptr) {
    VOUCH_TRY(model.first_ms, required_ms(reader, form->first, is_lognormal ? 0.001 : 0));
  }
  if (form->second != nullptr) {
    VOUCH_TRY(model.second_ms, required_ms(reader, form->second, model.first_ms));
  }
  VOUCH_CHECK(reader.finish());
  return model;
}

Json encode_latency(const LatencyModel& model) {
  const LatencyForm& form = kLatencyForms[static_cast<std::size_t>(model.kind)];
  Json json = {{"kind", form.kind}};
  if (form.first != nullptr) json[form.first] = model.first_ms;
  if (form.second != nullptr) json[form.second] = model.second_ms;
  return json;
}

Result<Capacity> decode_capacity(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  Capacity capacity;
  VOUCH_TRY(const auto rate, optional_number(reader, "calls_per_second", 0.001, 10'000'000));
  if (!rate) return reader.refuse("calls_per_second", "is missing");
  capacity.calls_per_second = *rate;
  // Without a word about it: what comes in a tenth of a second may come at once.
  VOUCH_TRY(const auto burst, optional_number(reader, "burst", 1, 10'000'000));
  capacity.burst = burst.value_or(std::max(1.0, *rate / 10));
  VOUCH_CHECK(read_integer(reader, "status", capacity.status, 400, 599));
  VOUCH_CHECK(read_header_text(reader, "retry_after", capacity.retry_after));
  VOUCH_CHECK(reader.finish());
  return capacity;
}

Json encode_capacity(const Capacity& capacity) {
  return {{"calls_per_second", capacity.calls_per_second},
          {"burst", capacity.burst},
          {"status", capacity.status},
          {"retry_after", capacity.retry_after}};
}

Result<RefusalRule> decode_refusal(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  RefusalRule rule;
  VOUCH_CHECK(read_probability(reader, rule.probability));
  if (const Json* recipients = reader.optional("recipients")) {
    if (!recipients->is_array()) return reader.refuse("recipients", "must be a list");
    for (const Json& recipient : *recipients) {
      if (!recipient.is_string()) return reader.refuse("recipients", "must be a list of texts");
      rule.recipients.push_back(recipient.get<std::string>());
    }
  }
  VOUCH_CHECK(read_integer(reader, "status", rule.refusal.status, 400, 499));
  VOUCH_CHECK(read_header_text(reader, "code", rule.refusal.code));
  VOUCH_CHECK(read_header_text(reader, "message", rule.refusal.message));
  VOUCH_CHECK(reader.finish());
  return rule;
}

Json encode_refusal(const RefusalRule& rule) {
  return {{"probability", rule.probability},
          {"recipients", rule.recipients},
          {"status", rule.refusal.status},
          {"code", rule.refusal.code},
          {"message", rule.refusal.message}};
}

// A list of at most kFaultRulesMax, or nothing.
template <typename T, typename Decode>
Result<void> read_list(JsonReader& reader, const char* key, std::vector<T>& target,
                       const Decode& decode) {
  const Json* list = reader.optional(key);
  if (list == nullptr) return {};
  if (!list->is_array() || list->size() > kFaultRulesMax) {
    return reader.refuse(key, "must be a list of at most " + std::to_string(kFaultRulesMax));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    VOUCH_TRY(T rule, decode((*list)[i], reader.at(key) + "/" + std::to_string(i)));
    target.push_back(std::move(rule));
  }
  return {};
}

Result<ServiceBehaviour> decode(const Json& json, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, pointer));
  ServiceBehaviour behaviour;
  if (const Json* latency = reader.optional("latency")) {
    VOUCH_TRY(behaviour.latency, decode_latency(*latency, reader.at("latency")));
  }
  if (const Json* capacity = reader.optional("capacity")) {
    VOUCH_TRY(behaviour.capacity, decode_capacity(*capacity, reader.at("capacity")));
  }
  VOUCH_CHECK(read_list(reader, "refusals", behaviour.refusals, decode_refusal));
  VOUCH_CHECK(read_list(reader, "faults", behaviour.faults, decode_fault));
  VOUCH_CHECK(read_ms(reader, "visible_after_ms", behaviour.visible_after));
  VOUCH_TRY(behaviour.paused, reader.boolean_or("paused", false));
  VOUCH_CHECK(reader.finish());
  return behaviour;
}

}  // namespace

Result<ServiceBehaviour> decode_behaviour(std::string_view text, const std::string& pointer) {
  VOUCH_TRY(const Json json, parse_json(text, JsonComments::allowed));
  return decode(json, pointer);
}

std::string encode_behaviour(const ServiceBehaviour& behaviour) {
  Json json = {{"latency", encode_latency(behaviour.latency)}};
  if (behaviour.capacity) json["capacity"] = encode_capacity(*behaviour.capacity);
  json["refusals"] = Json::array();
  for (const RefusalRule& rule : behaviour.refusals) {
    json["refusals"].push_back(encode_refusal(rule));
  }
  json["faults"] = Json::array();
  for (const FaultRule& rule : behaviour.faults) json["faults"].push_back(encode_fault(rule));
  json["visible_after_ms"] = behaviour.visible_after.count();
  json["paused"] = behaviour.paused;
  return json.dump();
}

Result<std::vector<ServiceBehaviour>> decode_behaviours(std::string_view text) {
  VOUCH_TRY(const Json json, parse_json(text, JsonComments::allowed));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  std::vector<ServiceBehaviour> all(std::size(kServiceKinds));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string name{kServiceKinds[i].name};
    if (const Json* found = reader.optional(name.c_str())) {
      VOUCH_TRY(all[i], decode(*found, "/" + name));
    }
  }
  VOUCH_CHECK(reader.finish());
  return all;
}

}  // namespace vouch::sandbox
