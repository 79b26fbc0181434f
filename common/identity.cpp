#include "common/identity.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "common/text.hpp"

namespace vouch {
namespace {

// Crockford's base32: no i, l, o, u.
constexpr std::string_view kBase32 = "0123456789abcdefghjkmnpqrstvwxyz";
// RFC 4648, section 5.
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::size_t kIdLetters = 8;
constexpr std::size_t kRequestIdBytes = 30;

constexpr std::array<std::int8_t, 256> kBase64Values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kBase64Url.size(); ++i) {
    values[static_cast<unsigned char>(kBase64Url[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}();

std::string_view prefix_of(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::campaign:
      return "cmp_";
    case ObjectKind::job:
      return "job_";
    case ObjectKind::list:
      return "lst_";
    case ObjectKind::client:
      return "cli_";
    case ObjectKind::downstream:
      return "dst_";
    case ObjectKind::operator_account:
      return "opr_";
    case ObjectKind::pool:
      return "pol_";
    case ObjectKind::proposal:
      return "prp_";
    case ObjectKind::code_export:
      return "exp_";
  }
  return "";
}

// CRC-8, polynomial 0x07: catches any single mistyped letter.
std::uint8_t crc8(const std::uint8_t* bytes, std::size_t size) {
  std::uint8_t crc = 0;
  for (std::size_t i = 0; i < size; ++i) {
    crc = static_cast<std::uint8_t>(crc ^ bytes[i]);
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<std::uint8_t>((crc & 0x80) != 0 ? (crc << 1) ^ 0x07 : crc << 1);
    }
  }
  return crc;
}

void put(std::uint8_t*& at, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) *at++ = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint64_t take(const std::uint8_t*& at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = (value << 8) | *at++;
  return value;
}

}  // namespace

ObjectId new_object_id(Random& random) {
  ObjectId id = 0;
  // A campaign's first six bits are the first letter of its issuances' ids, and 62 is "-": a
  // command line would take such an id for an option.
  while (id == 0 || id >> 34 == 62) id = random.next() >> 24;
  return id;
}

std::string format_id(ObjectKind kind, ObjectId id) {
  std::string out{prefix_of(kind)};
  for (int shift = 35; shift >= 0; shift -= 5) out += kBase32[(id >> shift) & 31];
  return out;
}

Result<ObjectId> parse_id(ObjectKind kind, std::string_view text) {
  const std::string_view prefix = prefix_of(kind);
  const std::string lower = lower_ascii(text);
  ObjectId id = 0;
  if (lower.size() == prefix.size() + kIdLetters && lower.starts_with(prefix)) {
    for (const char letter : std::string_view{lower}.substr(prefix.size())) {
      const auto value = kBase32.find(letter);
      if (value == std::string_view::npos) {
        id = 0;
        break;
      }
      id = (id << 5) | value;
    }
  }
  if (id == 0) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not an id of the form " +
                                   std::string{prefix} + "xxxxxxxx");
  }
  return id;
}

std::string format_request_id(const IssuanceKey& key, std::uint8_t round) {
  std::array<std::uint8_t, kRequestIdBytes> bytes;
  std::uint8_t* at = bytes.data();
  put(at, key.campaign, 5);
  at = std::copy(key.recipient.begin(), key.recipient.end(), at);
  put(at, key.occurrence, 6);
  put(at, key.item, 1);
  put(at, round, 1);
  *at = crc8(bytes.data(), kRequestIdBytes - 1);

  std::string out(kRequestIdBytes / 3 * 4, '\0');
  for (std::size_t i = 0, o = 0; i < kRequestIdBytes; i += 3, o += 4) {
    const std::uint32_t triple = static_cast<std::uint32_t>(bytes[i]) << 16 |
                                 static_cast<std::uint32_t>(bytes[i + 1]) << 8 | bytes[i + 2];
    out[o] = kBase64Url[triple >> 18];
    out[o + 1] = kBase64Url[(triple >> 12) & 63];
    out[o + 2] = kBase64Url[(triple >> 6) & 63];
    out[o + 3] = kBase64Url[triple & 63];
  }
  return out;
}

Result<RequestId> parse_request_id(std::string_view text) {
  std::array<std::uint8_t, kRequestIdBytes> bytes{};
  bool good = text.size() == kRequestIdBytes / 3 * 4;
  for (std::size_t i = 0, o = 0; good && i < text.size(); i += 4, o += 3) {
    std::uint32_t triple = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const int value = kBase64Values[static_cast<unsigned char>(text[i + k])];
      good = good && value >= 0;
      triple = triple << 6 | static_cast<std::uint32_t>(value & 63);
    }
    bytes[o] = static_cast<std::uint8_t>(triple >> 16);
    bytes[o + 1] = static_cast<std::uint8_t>(triple >> 8);
    bytes[o + 2] = static_cast<std::uint8_t>(triple);
  }
  if (!good || crc8(bytes.data(), kRequestIdBytes - 1) != bytes.back()) {
    return fail(Errc::invalid, "\"" + std::string{text} + "\" is not an issuance id",
                "copy all 40 letters; the last ones are a check");
  }
  const std::uint8_t* at = bytes.data();
  RequestId id;
  id.key.campaign = take(at, 5);
  std::copy_n(at, id.key.recipient.size(), id.key.recipient.begin());
  at += id.key.recipient.size();
  id.key.occurrence = take(at, 6);
  id.key.item = static_cast<std::uint8_t>(take(at, 1));
  id.round = static_cast<std::uint8_t>(take(at, 1));
  return id;
}

Result<std::string> normalise_recipient(std::string_view recipient_id) {
  const std::string_view trimmed = trim_blanks(recipient_id);
  const bool ascii = std::all_of(trimmed.begin(), trimmed.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) return std::string{trimmed};

  utf8proc_uint8_t* mapped = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(trimmed.data()),
                   static_cast<utf8proc_ssize_t>(trimmed.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (size < 0) return fail(Errc::invalid, "recipient id is not valid UTF-8");
  std::string out{reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size)};
  std::free(mapped);
  return out;
}

}  // namespace vouch
