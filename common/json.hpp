// json.hpp: JSON from outside, read strictly.
//
// Duplicate keys, nesting deeper than 32 and bytes after the end are refused, since two readers
// could understand such a text differently.  Objects keep the order of their keys.  The typed
// readers below give errors that name the place as a JSON pointer.
//
// Threads: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace vouch {

using Json = nlohmann::ordered_json;

inline constexpr int kJsonDepthMax = 32;

enum class JsonComments : std::uint8_t { refused, allowed };

// Errc::invalid with line and column.
[[nodiscard]] Result<Json> parse_json(std::string_view text,
                                      JsonComments comments = JsonComments::refused);

// An object being read by a typed decoder.  Every key must be asked for: finish() refuses the
// others and names the nearest known one.
class JsonReader {
 public:
  // `pointer` is where the object stands: "" for the document, "/items/0".
  [[nodiscard]] static Result<JsonReader> object(const Json& value, std::string pointer);

  [[nodiscard]] Result<std::string> text(const char* key, std::size_t bytes_max = 4096);
  [[nodiscard]] Result<std::optional<std::string>> optional_text(const char* key,
                                                                 std::size_t bytes_max = 4096);
  [[nodiscard]] Result<std::int64_t> integer(const char* key, std::int64_t min, std::int64_t max);
  [[nodiscard]] Result<std::optional<std::int64_t>> optional_integer(const char* key,
                                                                     std::int64_t min,
                                                                     std::int64_t max);
  [[nodiscard]] Result<bool> boolean_or(const char* key, bool fallback);
  // Null when absent.
  [[nodiscard]] const Json* optional(const char* key);
  [[nodiscard]] Result<const Json*> required(const char* key);
  [[nodiscard]] Result<void> finish() const;

  [[nodiscard]] std::string at(const char* key) const { return pointer_ + "/" + key; }
  [[nodiscard]] tl::unexpected<Error> refuse(const char* key, std::string_view why) const;

 private:
  JsonReader(const Json& value, std::string pointer)
      : value_{&value}, pointer_{std::move(pointer)} {}

  const Json* value_;
  std::string pointer_;
  std::vector<std::string> asked_;
};

}  // namespace vouch
