// decode.hpp: what the JSON decoders of this folder share.  Included by their .cpp files only,
// since it brings nlohmann's header with it.
//
// Threads: pure functions.   Errors: invalid, naming the place as a JSON pointer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::plan {

// "coupon, balance or other"
[[nodiscard]] inline std::string choice_of(std::span<const std::string_view> names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += names[i];
  }
  return out;
}

// The place of `text` in `names`, which stand in the order of the enum.
template <typename Enum, std::size_t N>
[[nodiscard]] std::optional<Enum> enum_of(std::string_view text,
                                          const std::array<std::string_view, N>& names) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

// A member whose text must be one of `names`.
template <typename Enum, std::size_t N>
[[nodiscard]] Result<Enum> read_enum(JsonReader& reader, const char* key,
                                     const std::array<std::string_view, N>& names) {
  VOUCH_TRY(const std::string text, reader.text(key));
  if (const auto value = enum_of<Enum>(text, names)) return *value;
  return reader.refuse(key, "must be " + choice_of(names) + ", not \"" + text + "\"");
}

// Text of one line: what would break a log line, a header or a terminal is refused.
[[nodiscard]] inline Result<std::string> read_line(JsonReader& reader, const char* key,
                                                   std::string fallback, std::size_t bytes_max) {
  VOUCH_TRY(const auto text, reader.optional_text(key, bytes_max));
  if (!text) return fallback;
  if (has_control_bytes(*text)) return reader.refuse(key, "must not hold control characters");
  return *text;
}

inline constexpr std::size_t kPointerBytesMax = 200;

// RFC 6901: a slash before every step, "~" only as ~0 or ~1.
[[nodiscard]] inline bool is_pointer(std::string_view text) {
  if (text.empty() || text.front() != '/' || has_control_bytes(text)) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '~') continue;
    if (i + 1 == text.size() || (text[i + 1] != '0' && text[i + 1] != '1')) return false;
  }
  return true;
}

// Whether a pointer may be empty, which means the whole document.
enum class Whole : std::uint8_t { refused, allowed };

// A JSON pointer; `out` stays what it is when there is none.
[[nodiscard]] inline Result<void> read_pointer(JsonReader& reader, const char* key,
                                               std::string& out, Whole whole = Whole::refused) {
  VOUCH_TRY(const auto text, reader.optional_text(key, kPointerBytesMax));
  if (!text) return {};
  if (!is_pointer(*text) && !(text->empty() && whole == Whole::allowed)) {
    return reader.refuse(key, "must be a JSON pointer such as /voucher/id");
  }
  out = *text;
  return {};
}

}  // namespace vouch::plan
