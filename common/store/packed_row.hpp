// packed_row.hpp: how rows are kept in few bytes.
//
// A number is a varint: seven bits a byte, lowest first, the top bit set on all but the last.
// The partner's fields are packed one after another in header order, each as its length plus one
// and its bytes; a lone 0 stands for "the same as the recipient id", which nearly every row has
// once and would store twice.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vouch::store {

inline void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// Takes a number from the front.  0 when there is none: the caller's data then ends early, which
// the lengths that follow find out.
[[nodiscard]] inline std::uint64_t take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// Takes a text that append_text wrote; cut short where the data ends early.
[[nodiscard]] inline std::string_view take_text(std::string_view& in) {
  const std::uint64_t size = take_varint(in);
  const std::string_view text = in.substr(0, size);
  in.remove_prefix(text.size());
  return text;
}
inline void append_text(std::string& out, std::string_view text) {
  append_varint(out, text.size());
  out.append(text);
}

inline void append_field(std::string& out, std::string_view field) {
  append_varint(out, field.size() + 1);
  out.append(field);
}
inline void append_recipient_field(std::string& out) {
  out.push_back('\0');
}

[[nodiscard]] inline std::string_view take_field(std::string_view& in,
                                                 std::string_view recipient_id) {
  const std::uint64_t size = take_varint(in);
  if (size == 0) return recipient_id;
  const std::string_view field = in.substr(0, size - 1);
  in.remove_prefix(field.size());
  return field;
}

}  // namespace vouch::store
