#include "common/store/text_decoder.hpp"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/text.hpp"

namespace vouch::store {
namespace {

using namespace std::string_view_literals;

struct ByteOrderMark {
  std::string_view bytes;
  std::string_view encoding;
};
constexpr ByteOrderMark kMarks[] = {
    {"\xef\xbb\xbf"sv, "UTF-8"},
    {"\xff\xfe"sv, "UTF-16LE"},
    {"\xfe\xff"sv, "UTF-16BE"},
};
constexpr std::size_t kMarkBytesMax = 3;
constexpr std::size_t kReadBytesMin = 64;
constexpr std::size_t kConvertBytes = std::size_t{64} * 1024;
constexpr std::string_view kReplacement = "\xef\xbf\xbd"sv;

// An undecodable byte on its way to the checker: 0xff, which UTF-8 never contains, and the byte in
// two halves.  None of the three is a quote, a delimiter or a line end, so a row's shape stays.
constexpr std::size_t kBadMarkBytes = 3;
constexpr char kBadMark = '\xff';

void put_bad_mark(char*& out, char byte) {
  const auto value = static_cast<std::uint8_t>(byte);
  *out++ = kBadMark;
  *out++ = static_cast<char>(0x80 | (value >> 4));
  *out++ = static_cast<char>(0x90 | (value & 15));
}

bool is_bad_mark(std::string_view text) {
  const auto top_half = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]) >> 4; };
  return text.size() >= kBadMarkBytes && text[0] == kBadMark && top_half(1) == 8 &&
         top_half(2) == 9;
}

// The bytes of the valid UTF-8 sequence at the front; 0 when there is none.
std::size_t sequence_bytes(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(4, text.size()); ++n) {
    if (is_valid_utf8(text.substr(0, n))) return n;
  }
  return 0;
}

bool is_utf8_name(std::string_view encoding) {
  const std::string lower = lower_ascii(encoding);
  return lower.empty() || lower == "utf-8" || lower == "utf8";
}

}  // namespace

struct TextDecoder::Converter {
  iconv_t handle;
  std::size_t unit;  // bytes to pass over where one cannot be decoded
  std::array<char, kConvertBytes> bytes;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool input_ended = false;

  explicit Converter(iconv_t h, std::size_t u) : handle{h}, unit{u} {}
  ~Converter() { iconv_close(handle); }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;
};

TextDecoder::TextDecoder(InputFile input) : input_{std::move(input)} {}
TextDecoder::TextDecoder(TextDecoder&&) noexcept = default;
TextDecoder& TextDecoder::operator=(TextDecoder&&) noexcept = default;
TextDecoder::~TextDecoder() = default;

Result<TextDecoder> TextDecoder::open(InputFile input, const std::string& encoding) {
  TextDecoder decoder{std::move(input)};
  std::array<char, kMarkBytesMax> head;
  while (decoder.head_.size() < kMarkBytesMax) {
    VOUCH_TRY(const std::size_t n,
              decoder.input_.read(std::span{head}.first(kMarkBytesMax - decoder.head_.size())));
    if (n == 0) break;
    decoder.head_.append(head.data(), n);
  }
  decoder.encoding_ = is_utf8_name(encoding) ? "UTF-8" : encoding;
  for (const ByteOrderMark& mark : kMarks) {
    if (!decoder.head_.starts_with(mark.bytes)) continue;
    decoder.encoding_ = mark.encoding;
    decoder.head_.erase(0, mark.bytes.size());
    break;
  }
  if (decoder.encoding_ == "UTF-8") return decoder;

  // "//" would begin iconv's options, and with //TRANSLIT letters would silently become others.
  const bool plain = decoder.encoding_.find('/') == std::string::npos;
  const iconv_t handle =
      plain ? iconv_open("UTF-8", decoder.encoding_.c_str()) : reinterpret_cast<iconv_t>(-1);
  if (handle == reinterpret_cast<iconv_t>(-1)) {
    return fail(Errc::usage, "\"" + decoder.encoding_ + "\" is not an encoding known here",
                "gb18030, windows-1252, shift_jis, big5 are; `iconv -l` lists them all");
  }
  const std::string lower = lower_ascii(decoder.encoding_);
  const std::size_t unit = lower.starts_with("utf-16") || lower.starts_with("ucs-2")   ? 2
                           : lower.starts_with("utf-32") || lower.starts_with("ucs-4") ? 4
                                                                                       : 1;
  decoder.converter_ = std::make_unique<Converter>(handle, unit);
  std::copy(decoder.head_.begin(), decoder.head_.end(), decoder.converter_->bytes.begin());
  decoder.converter_->end = decoder.head_.size();
  return decoder;
}

Result<std::size_t> TextDecoder::read(std::span<char> into) {
  if (converter_) return convert(into);
  if (!head_.empty()) {
    const std::size_t n = std::min(head_.size(), into.size());
    std::copy_n(head_.data(), n, into.data());
    head_.erase(0, n);
    return n;
  }
  return input_.read(into);
}

// Moves what is left (the start of a letter) to the front and reads more behind it.
Result<void> TextDecoder::refill() {
  Converter& c = *converter_;
  std::memmove(c.bytes.data(), c.bytes.data() + c.begin, c.end - c.begin);
  c.end -= c.begin;
  c.begin = 0;
  VOUCH_TRY(const std::size_t n, input_.read(std::span{c.bytes}.subspan(c.end)));
  c.input_ended = n == 0;
  c.end += n;
  return {};
}

Result<std::size_t> TextDecoder::convert(std::span<char> into) {
  Converter& c = *converter_;
  VOUCH_ASSERT(into.size() >= kReadBytesMin);
  char* out = into.data();
  bool need_more = c.begin == c.end;
  while (out == into.data()) {
    if (need_more && !c.input_ended) VOUCH_CHECK(refill());
    if (c.begin == c.end) return 0;
    char* in = c.bytes.data() + c.begin;
    std::size_t in_left = c.end - c.begin;
    // Room is kept for the marks of one undecodable unit.
    std::size_t out_left = into.size() - 4 * kBadMarkBytes;
    const std::size_t code = iconv(c.handle, &in, &in_left, &out, &out_left);
    const int error = code == static_cast<std::size_t>(-1) ? errno : 0;
    c.begin = c.end - in_left;
    const bool cut_off = error == EINVAL && c.input_ended;
    need_more = in_left == 0 || error == EINVAL;
    if (error != EILSEQ && !cut_off) continue;
    const std::size_t skip = cut_off ? in_left : std::min(c.unit, in_left);
    for (std::size_t i = 0; i < std::min<std::size_t>(skip, 4); ++i) put_bad_mark(out, in[i]);
    c.begin += skip;
    iconv(c.handle, nullptr, nullptr, nullptr, nullptr);  // back to the initial shift state
  }
  return static_cast<std::size_t>(out - into.data());
}

std::optional<Undecodable> find_undecodable(std::string_view text) {
  if (is_valid_utf8(text)) return std::nullopt;
  std::size_t at = 0;
  while (const std::size_t n = sequence_bytes(text.substr(at))) at += n;
  Undecodable found{at, static_cast<std::uint8_t>(text[at])};
  if (is_bad_mark(text.substr(at))) {
    found.byte = static_cast<std::uint8_t>((text[at + 1] & 15) << 4 | (text[at + 2] & 15));
  }
  return found;
}

std::string replace_undecodable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t n = sequence_bytes(text);
    if (n > 0) {
      out.append(text.substr(0, n));
    } else {
      out.append(kReplacement);
      n = is_bad_mark(text) ? kBadMarkBytes : 1;
    }
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace vouch::store
