#include "common/store/content_digest.hpp"

#include "common/identity.hpp"
#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kGatherBytes = std::size_t{16} * 1024;
constexpr std::size_t kDigestBytes = 16;

}  // namespace

ContentDigest::ContentDigest(const ColumnPlan& plan, const ImportRequest& request) {
  std::string head = "vouch list, normalisation " + std::to_string(kNormalisationVersion);
  append_text(head, id_type_name(request));
  append_text(head, amount_unit_name(request));
  for (const AmountColumn& amount : request.amount_columns) {
    append_text(head, amount.column + "/" + std::to_string(amount.digits));
  }
  for (const ListColumn& column : plan.kept()) {
    append_text(head, column.name);
    append_text(head, column.called);
    append_varint(head, static_cast<std::uint64_t>(column.role));
  }
  put('h', head);
}

// Length first, so that no two different files give the same bytes.
void ContentDigest::put(char kind, std::string_view bytes) {
  gathered_.push_back(kind);
  append_text(gathered_, bytes);
  if (gathered_.size() < kGatherBytes) return;
  hash_.update(gathered_);
  gathered_.clear();
}

std::string ContentDigest::finish() {
  hash_.update(gathered_);
  const Digest256 digest = hash_.finish();
  return hex(std::span{digest}.first(kDigestBytes));
}

std::string id_type_name(const ImportRequest& request) {
  return request.id_type == IdType::phone ? "phone/" + request.country : "opaque";
}

std::string amount_unit_name(const ImportRequest& request) {
  if (request.amount_columns.empty()) return "";
  return request.amount_unit == AmountUnit::major ? "major" : "minor";
}

}  // namespace vouch::store
