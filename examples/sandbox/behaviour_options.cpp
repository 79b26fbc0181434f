// The command line's short form of a behaviour, turned into the JSON form: one decoder judges both.
#include <algorithm>
#include <charconv>

#include "common/json.hpp"
#include "common/text.hpp"
#include "examples/sandbox/behaviour.hpp"
#include "examples/sandbox/issuing_service.hpp"

namespace vouch::sandbox {
namespace {

enum class ParameterType : std::uint8_t { integer, boolean, text, duration };

struct Parameter {
  std::string_view name;  // on the command line
  ParameterType type;
  const char* json_key;
};

constexpr Parameter kFaultParameters[] = {
    {"after", ParameterType::integer, "after"},
    {"count", ParameterType::integer, "count"},
    {"status", ParameterType::integer, "status"},
    {"bytes", ParameterType::integer, "bytes"},
    {"executes", ParameterType::boolean, "executes"},
    {"reused_only", ParameterType::boolean, "reused_only"},
    {"sticky", ParameterType::boolean, "sticky"},
    {"fixed_body", ParameterType::boolean, "fixed_body"},
    {"applies_to", ParameterType::text, "applies_to"},
    {"retry_after", ParameterType::text, "retry_after"},
    {"end", ParameterType::text, "end"},
    {"byte_gap", ParameterType::duration, "byte_gap_ms"},
    {"listener_closed", ParameterType::duration, "listener_closed_ms"},
};
constexpr Parameter kCapacityParameters[] = {
    {"burst", ParameterType::integer, "burst"},
    {"status", ParameterType::integer, "status"},
    {"retry_after", ParameterType::text, "retry_after"},
};
constexpr Parameter kRefusalParameters[] = {
    {"status", ParameterType::integer, "status"},
    {"code", ParameterType::text, "code"},
    {"message", ParameterType::text, "message"},
};

// "0.1%" or "0.001".
Result<double> parse_probability(std::string_view text) {
  const bool percent = text.ends_with('%');
  const std::string_view digits = percent ? text.substr(0, text.size() - 1) : text;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is no probability",
                "write it as 0.1% or 0.001");
  }
  return percent ? value / 100 : value;
}

Result<Json> parse_value(ParameterType type, std::string_view text) {
  switch (type) {
    case ParameterType::integer: {
      VOUCH_TRY(const std::int64_t value, parse_integer(text));
      return Json(value);
    }
    case ParameterType::boolean:
      if (text == "yes" || text == "true") return Json(true);
      if (text == "no" || text == "false") return Json(false);
      return fail(Errc::invalid, "\"" + std::string{text} + "\" must be yes or no");
    case ParameterType::duration: {
      VOUCH_TRY(const Millis value, parse_duration(text));
      return Json(value.count());
    }
    case ParameterType::text:
      break;
  }
  return Json(std::string{text});
}

Result<void> set_parameter(Json& json, std::span<const Parameter> known, std::string_view name,
                           std::string_view value) {
  std::vector<std::string> names;
  for (const Parameter& parameter : known) {
    names.emplace_back(parameter.name);
    if (parameter.name != name) continue;
    VOUCH_TRY(json[parameter.json_key], parse_value(parameter.type, value));
    return {};
  }
  const std::string near = nearest(name, names);
  return fail(Errc::invalid, "unknown parameter \"" + std::string{name} + "\"",
              near.empty() ? "one of " + join(names, ", ") : "did you mean \"" + near + "\"?");
}

// name=value, or name alone with an empty value.
std::pair<std::string_view, std::string_view> split_parameter(std::string_view part) {
  const auto equals = part.find('=');
  if (equals == std::string_view::npos) return {part, {}};
  return {part.substr(0, equals), part.substr(equals + 1)};
}

Result<void> set_parameters(Json& json, std::span<const Parameter> known,
                            std::span<const std::string_view> parts) {
  for (const std::string_view part : parts) {
    const auto [name, value] = split_parameter(part);
    VOUCH_CHECK(set_parameter(json, known, name, value));
  }
  return {};
}

// lost=0.1%,count=3
Result<Json> fault_json(std::span<const std::string_view> parts) {
  const auto [kind, probability] = split_parameter(parts[0]);
  Json json = {{"kind", kind}};
  if (!probability.empty()) {
    VOUCH_TRY(json["probability"], parse_probability(probability));
  }
  VOUCH_CHECK(set_parameters(json, kFaultParameters, parts.subspan(1)));
  return json;
}

// 20ms   5ms..80ms   median=20ms,p99=200ms
Result<Json> latency_json(std::span<const std::string_view> parts) {
  constexpr Parameter kLognormal[] = {{"median", ParameterType::duration, "median_ms"},
                                      {"p99", ParameterType::duration, "p99_ms"}};
  if (parts[0].find('=') != std::string_view::npos) {
    Json json = {{"kind", "lognormal"}};
    VOUCH_CHECK(set_parameters(json, kLognormal, parts));
    return json;
  }
  if (parts.size() > 1) return fail(Errc::invalid, "one latency, without parameters");
  const auto dots = parts[0].find("..");
  if (dots == std::string_view::npos) {
    VOUCH_TRY(const Millis fixed, parse_duration(parts[0]));
    return Json{{"kind", "fixed"}, {"ms", fixed.count()}};
  }
  VOUCH_TRY(const Millis least, parse_duration(parts[0].substr(0, dots)));
  VOUCH_TRY(const Millis most, parse_duration(parts[0].substr(dots + 2)));
  return Json{{"kind", "uniform"}, {"min_ms", least.count()}, {"max_ms", most.count()}};
}

// 500/s,burst=20,status=503
Result<Json> capacity_json(std::span<const std::string_view> parts) {
  VOUCH_TRY(const double rate, parse_rate(parts[0]));
  Json json = {{"calls_per_second", rate}};
  VOUCH_CHECK(set_parameters(json, kCapacityParameters, parts.subspan(1)));
  return json;
}

// 1%,code=NO_ACCOUNT   recipient=u-17,recipient=u-18
Result<Json> refusal_json(std::span<const std::string_view> parts) {
  Json json = {{"recipients", Json::array()}};
  for (const std::string_view part : parts) {
    const auto [name, value] = split_parameter(part);
    if (name == "recipient") {
      json["recipients"].push_back(value);
    } else if (part.find('=') == std::string_view::npos) {
      VOUCH_TRY(json["probability"], parse_probability(part));
    } else {
      VOUCH_CHECK(set_parameter(json, kRefusalParameters, name, value));
    }
  }
  return json;
}

// The services meant, and what is said of them.
struct Scope {
  std::vector<std::string> services;
  std::string_view rest;
};

Result<Scope> split_scope(std::string_view text) {
  Scope scope{.services = {}, .rest = text};
  std::vector<std::string> all;
  for (const ServiceKind& kind : kServiceKinds) all.emplace_back(kind.name);
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.find_first_of("=,") < colon) {
    scope.services = all;
    return scope;
  }
  const std::string name{text.substr(0, colon)};
  if (std::find(all.begin(), all.end(), name) == all.end()) {
    return fail(Errc::invalid, "\"" + name + "\" is no service", "one of " + join(all, ", "));
  }
  scope.services = {name};
  scope.rest = text.substr(colon + 1);
  return scope;
}

Result<void> add_option(Json& document, const BehaviourOption& option) {
  VOUCH_TRY(const Scope scope, split_scope(option.text));
  const std::vector<std::string_view> parts = split(scope.rest, ',');
  Json piece;
  const bool is_list = option.option == "fault" || option.option == "refusals";
  const std::string key = option.option == "fault" ? "faults" : std::string{option.option};
  if (option.option == "fault") {
    VOUCH_TRY(piece, fault_json(parts));
  } else if (option.option == "latency") {
    VOUCH_TRY(piece, latency_json(parts));
  } else if (option.option == "capacity") {
    VOUCH_TRY(piece, capacity_json(parts));
  } else {
    VOUCH_TRY(piece, refusal_json(parts));
  }
  // Judged alone first, so that the error speaks of this option.
  const Json alone = {{key, is_list ? Json::array({piece}) : piece}};
  VOUCH_CHECK(decode_behaviour(alone.dump()).map([](const ServiceBehaviour&) {}));
  for (const std::string& service : scope.services) {
    if (is_list) {
      document[service][key].push_back(piece);
    } else {
      document[service][key] = piece;
    }
  }
  return {};
}

}  // namespace

Result<std::string> document_from_options(std::span<const BehaviourOption> options,
                                          std::string_view base_document) {
  VOUCH_TRY(Json document, parse_json(base_document, JsonComments::allowed));
  // Judged before anything is added: adding to what is no object would be a mistake of ours.
  VOUCH_CHECK(decode_behaviours(base_document).map([](const auto&) {}));
  for (const BehaviourOption& option : options) {
    if (auto added = add_option(document, option); !added) {
      return within("--" + std::string{option.option} + " " + std::string{option.text},
                    std::move(added.error()));
    }
  }
  return document.dump();
}

}  // namespace vouch::sandbox
