#include "cli/sorted_statement.hpp"

#include <algorithm>

#include "common/crypto.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::cli {
namespace {

// Of a foreign request id, which may be any text.
constexpr std::size_t kForeignIdBytesMax = 200;

// The order of the ledger's primary key, as bytes: campaign, recipient, occurrence, item; the
// round behind it.  The first 16 are the sort's key, the rest its subkey.
struct SortPlace {
  store::SortKey key{};
  std::string subkey;
};

constexpr std::size_t kCampaignBytes = 5;
constexpr std::size_t kOccurrenceBytes = 6;

void append_number(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
}

SortPlace place_of(const RequestId& id) {
  std::string bytes;
  append_number(bytes, id.key.campaign, kCampaignBytes);
  bytes.append(reinterpret_cast<const char*>(id.key.recipient.data()), id.key.recipient.size());
  append_number(bytes, id.key.occurrence, kOccurrenceBytes);
  append_number(bytes, id.key.item, 1);
  append_number(bytes, id.round, 1);
  SortPlace place;
  std::copy_n(bytes.begin(), place.key.size(), place.key.begin());
  place.subkey = bytes.substr(place.key.size());
  return place;
}

// No campaign has the id 0: what is not Vouch's sorts before everything that is.
SortPlace place_of_foreign(std::string_view request_id) {
  SortPlace place;
  const Digest128 digest = sha256_128(request_id);
  std::copy_n(digest.begin(), place.key.size() - kCampaignBytes,
              place.key.begin() + kCampaignBytes);
  place.subkey = request_id.substr(0, kForeignIdBytesMax);
  return place;
}

std::string pack(const StatementEntry& entry) {
  std::string out;
  store::append_varint(
      out, entry.amount_minor ? 1 + static_cast<std::uint64_t>(*entry.amount_minor) : 0);
  store::append_varint(out, entry.time ? 1 + static_cast<std::uint64_t>(to_ms(*entry.time)) : 0);
  out.push_back(entry.is_of_another_recipient ? '\1' : '\0');
  store::append_text(out, entry.currency);
  store::append_text(out, entry.reference);
  return out;
}

// Nothing for what is not Vouch's.
std::optional<RequestId> unpack_id(const store::SortItem& item) {
  std::string bytes{item.key.begin(), item.key.end()};
  bytes += item.subkey;
  const auto number = [&](std::size_t from, std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : std::string_view{bytes}.substr(from, size)) {
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  };
  RequestId id;
  id.key.campaign = number(0, kCampaignBytes);
  if (id.key.campaign == 0) return std::nullopt;
  std::size_t from = kCampaignBytes;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), id.key.recipient.size(),
              id.key.recipient.begin());
  from += id.key.recipient.size();
  id.key.occurrence = number(from, kOccurrenceBytes);
  from += kOccurrenceBytes;
  id.key.item = static_cast<std::uint8_t>(number(from, 1));
  id.round = static_cast<std::uint8_t>(number(from + 1, 1));
  return id;
}

SortedLine unpack(const store::SortItem& item) {
  SortedLine line;
  line.id = unpack_id(item);
  if (!line.id) line.foreign_id = item.subkey;
  std::string_view in = item.payload;
  StatementEntry& entry = line.entry;
  if (const std::uint64_t amount = store::take_varint(in); amount != 0) {
    entry.amount_minor = static_cast<std::int64_t>(amount - 1);
  }
  if (const std::uint64_t time = store::take_varint(in); time != 0) {
    entry.time = from_ms(static_cast<std::int64_t>(time - 1));
  }
  entry.is_of_another_recipient = !in.empty() && in.front() != '\0';
  in.remove_prefix(std::min<std::size_t>(1, in.size()));
  entry.currency = store::take_text(in);
  entry.reference = store::take_text(in);
  entry.line = static_cast<std::int64_t>(item.number);
  entry.round = line.id ? line.id->round : 0;
  return line;
}

store::ExternalSort::Options sort_options(const std::string& folder, std::size_t run_bytes) {
  store::ExternalSort::Options out{.folder = folder};
  if (run_bytes > 0) out.run_bytes = run_bytes;
  return out;
}

}  // namespace

SortedStatement::SortedStatement(const std::string& folder, std::size_t run_bytes)
    : sort_{sort_options(folder, run_bytes)} {}

Result<void> SortedStatement::add(std::string_view request_id, const std::optional<RequestId>& id,
                                  const StatementEntry& entry) {
  const bool is_ours = id && id->key.campaign != 0;
  const SortPlace place = is_ours ? place_of(*id) : place_of_foreign(request_id);
  const std::string payload = pack(entry);
  return sort_.add({.key = place.key,
                    .subkey = place.subkey,
                    .number = static_cast<std::uint64_t>(entry.line),
                    .payload = payload});
}

Result<bool> SortedStatement::next() {
  VOUCH_TRY(const bool more, sort_.next());
  if (more) line_ = unpack(sort_.item());
  return more;
}

}  // namespace vouch::cli
