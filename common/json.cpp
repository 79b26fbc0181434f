#include "common/json.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "common/text.hpp"

namespace vouch {
namespace {

struct Strictness {
  std::vector<std::set<std::string>> open;  // keys seen in each object that is open
  std::string refusal;

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kJsonDepthMax && refusal.empty()) {
      refusal = "nested deeper than " + std::to_string(kJsonDepthMax);
    }
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key &&
        !open.back().insert(parsed.get<std::string>()).second && refusal.empty()) {
      refusal = "the key \"" + parsed.get<std::string>() + "\" stands twice in one object";
    }
    return true;
  }
};

// nlohmann's messages read "[json.exception.parse_error.101] parse error at line 3, column 5: ...".
std::string plain_message(const std::string& what) {
  const auto bracket = what.find("] ");
  return bracket == std::string::npos ? what : what.substr(bracket + 2);
}

// Nesting is refused before the parser recurses into the destructor of a hostile document.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kJsonDepthMax) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text, JsonComments comments) {
  if (comments == JsonComments::refused && too_deep(text)) {
    return fail(Errc::invalid, "nested deeper than " + std::to_string(kJsonDepthMax));
  }
  Strictness strict;
  try {
    Json json = Json::parse(text.begin(), text.end(), std::ref(strict), true,
                            comments == JsonComments::allowed);
    if (!strict.refusal.empty()) return fail(Errc::invalid, strict.refusal);
    return json;
  } catch (const Json::exception& error) {
    return fail(Errc::invalid, plain_message(error.what()));
  }
}

Result<JsonReader> JsonReader::object(const Json& value, std::string pointer) {
  if (!value.is_object()) {
    return fail(Errc::invalid,
                (pointer.empty() ? "the document" : pointer) + std::string{": must be an object"});
  }
  return JsonReader{value, std::move(pointer)};
}

const Json* JsonReader::optional(const char* key) {
  asked_.emplace_back(key);
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

Result<const Json*> JsonReader::required(const char* key) {
  const Json* found = optional(key);
  if (found == nullptr) return refuse(key, "is missing");
  return found;
}

Result<std::optional<std::string>> JsonReader::optional_text(const char* key,
                                                             std::size_t bytes_max) {
  const Json* found = optional(key);
  if (found == nullptr) return std::optional<std::string>{};
  if (!found->is_string()) return refuse(key, "must be text");
  auto value = found->get<std::string>();
  if (value.size() > bytes_max) {
    return refuse(key, "is longer than " + std::to_string(bytes_max) + " bytes");
  }
  return std::optional<std::string>{std::move(value)};
}

Result<std::string> JsonReader::text(const char* key, std::size_t bytes_max) {
  VOUCH_TRY(auto value, optional_text(key, bytes_max));
  if (!value) return refuse(key, "is missing");
  return std::move(*value);
}

Result<std::optional<std::int64_t>> JsonReader::optional_integer(const char* key, std::int64_t min,
                                                                 std::int64_t max) {
  const Json* found = optional(key);
  if (found == nullptr) return std::optional<std::int64_t>{};
  const bool too_big = found->is_number_unsigned() &&
                       found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  if (!found->is_number_integer() || too_big) return refuse(key, "must be a whole number");
  const auto value = found->get<std::int64_t>();
  if (value < min || value > max) {
    return refuse(key, "must be from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return std::optional<std::int64_t>{value};
}

Result<std::int64_t> JsonReader::integer(const char* key, std::int64_t min, std::int64_t max) {
  VOUCH_TRY(const auto value, optional_integer(key, min, max));
  if (!value) return refuse(key, "is missing");
  return *value;
}

Result<bool> JsonReader::boolean_or(const char* key, bool fallback) {
  const Json* found = optional(key);
  if (found == nullptr) return fallback;
  if (!found->is_boolean()) return refuse(key, "must be true or false");
  return found->get<bool>();
}

Result<void> JsonReader::finish() const {
  for (const auto& [key, value] : value_->items()) {
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
    const std::string near = nearest(key, asked_);
    return fail(Errc::invalid, pointer_ + "/" + key + ": unknown key",
                near.empty() ? "remove it" : "did you mean \"" + near + "\"?");
  }
  return {};
}

tl::unexpected<Error> JsonReader::refuse(const char* key, std::string_view why) const {
  return fail(Errc::invalid, at(key) + ": " + std::string{why});
}

}  // namespace vouch
