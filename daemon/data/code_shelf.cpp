#include "daemon/data/code_shelf.hpp"

#include <algorithm>

namespace vouch::data {
namespace {

// Each holds a file open and a page of codes.
constexpr std::size_t kOpenSegmentsMax = 16;

const store::PoolSegmentRow* segment_with(const store::PoolRow& pool, std::int64_t ordinal) {
  const auto has = [&](const store::PoolSegmentRow& row) {
    return ordinal >= row.first && ordinal < row.first + row.codes;
  };
  const auto found = std::ranges::find_if(pool.segments, has);
  return found == pool.segments.end() ? nullptr : &*found;
}

// A segment says which code an ordinal is: with both in the digest, no other code can be sent.
Digest128 digest_with_code(const Digest128& call, const std::string& segment,
                           std::int64_t ordinal) {
  std::string all{call.begin(), call.end()};
  all += segment + "/" + std::to_string(ordinal);
  return sha256_128(all);
}

}  // namespace

Result<store::CodeSegment*> CodeShelf::segment(const std::string& digest) {
  if (const auto found = open_.find(digest); found != open_.end()) return &found->second;
  VOUCH_TRY(const store::PoolKey key, store::PoolKey::read(key_file_));
  VOUCH_TRY(store::CodeSegment opened,
            store::CodeSegment::open(store::segment_path(folder_, digest)));
  VOUCH_CHECK(opened.unlock(key));
  if (open_.size() == kOpenSegmentsMax) open_.clear();
  return &open_.emplace(digest, std::move(opened)).first->second;
}

Result<void> CodeShelf::fill(Intent& intent, std::int64_t ordinal) {
  VOUCH_ASSERT(intent.pool != nullptr);
  const std::string where = "pool " + intent.pool->name;
  const store::PoolSegmentRow* row = segment_with(*intent.pool, ordinal);
  if (row == nullptr) {
    return fail(Errc::corrupt, where + ": has no code of the ordinal " + std::to_string(ordinal));
  }
  auto from = segment(row->digest);
  if (!from) return within(where, std::move(from).error());
  const std::int64_t place = ordinal - row->first;
  if (place >= (*from)->meta().codes) {
    return fail(Errc::corrupt, where + ": the segment " + row->digest + " has too few codes");
  }
  const auto code = (*from)->code(place);
  if (!code) return within(where, code.error());
  intent.ordinal = ordinal;
  intent.code = *code;
  intent.call_digest = digest_with_code(intent.call_digest, row->digest, place);
  return {};
}

}  // namespace vouch::data
