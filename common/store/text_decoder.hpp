// text_decoder.hpp: a partner's bytes as UTF-8.
//
// A byte order mark decides (UTF-8, UTF-16); without one, the encoding that the operator named.
// UTF-8 passes through untouched and unchecked: a row that is all ASCII, the usual case, is
// known by a cheap test, so the rows' checker does the validation.  Everything else goes through
// iconv.  A byte that cannot be decoded must not stop the import, since its row and column are to
// be told: it is handed on as a mark that no valid UTF-8 contains, and find_undecodable() and
// replace_undecodable() know it.
//
// Threads: one at a time.
// Errors:  usage for an unknown encoding; those of InputFile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/result.hpp"
#include "common/store/input_file.hpp"

namespace vouch::store {

class TextDecoder {
 public:
  // `encoding` is an iconv name; UTF-8 when empty.  Reads the first bytes of `input`.
  [[nodiscard]] static Result<TextDecoder> open(InputFile input, const std::string& encoding);
  TextDecoder(TextDecoder&&) noexcept;
  TextDecoder& operator=(TextDecoder&&) noexcept;
  ~TextDecoder();

  // Some bytes of text, at least one; 0 at the end.  `into` must have room for 64 bytes.
  [[nodiscard]] Result<std::size_t> read(std::span<char> into);

  // In force: "UTF-8", or the iconv name.
  [[nodiscard]] const std::string& encoding() const { return encoding_; }
  [[nodiscard]] const InputFile& input() const { return input_; }

 private:
  struct Converter;
  explicit TextDecoder(InputFile input);
  [[nodiscard]] Result<std::size_t> convert(std::span<char> into);
  [[nodiscard]] Result<void> refill();

  InputFile input_;
  std::string encoding_;
  std::string head_;  // read at open to look for a byte order mark, not handed out yet
  std::unique_ptr<Converter> converter_;  // null for UTF-8
};

struct Undecodable {
  std::size_t offset = 0;  // in the text
  std::uint8_t byte = 0;   // of the partner's file
};
// The first place that is no valid UTF-8, or a mark left by the decoder.
[[nodiscard]] std::optional<Undecodable> find_undecodable(std::string_view text);
// The text with U+FFFD for each such byte.
[[nodiscard]] std::string replace_undecodable(std::string_view text);

}  // namespace vouch::store
