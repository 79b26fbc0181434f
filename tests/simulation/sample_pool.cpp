#include "tests/simulation/sample_pool.hpp"

#include <algorithm>

#include "common/store/code_generator.hpp"

namespace vouch::test {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) std::fprintf(stderr, "sample pool: %s\n", result.error().message.c_str());
  VOUCH_ASSERT(result.has_value());
  return std::move(*result);
}

}  // namespace

const SamplePool& SamplePool::shared() {
  static const SamplePool pool;
  return pool;
}

// A few that are soon empty, and one that is not.
SamplePool::SamplePool() {
  std::filesystem::create_directory(folder());
  SeededRandom random{77};
  whole_.id = 77;
  whole_.name = kPoolName;
  whole_.fingerprint = must(store::PoolKey::create(key_file(), random)).fingerprint();
  std::uint64_t seed = 1;
  for (const std::int64_t codes : {25, 40, 7, 90, 3000}) add_segment(codes, seed++);
}

void SamplePool::add_segment(std::int64_t codes, std::uint64_t seed) {
  const store::PoolKey key = must(store::PoolKey::read(key_file()));
  SeededRandom random{seed};
  const SystemClock clock;
  const store::SegmentMeta meta =
      must(store::generate_codes({.folder = folder(),
                                  .pool = whole_,
                                  .key = key,
                                  .random = random,
                                  .clock = clock,
                                  .observe = {}},
                                 must(store::CodeForm::make({})), codes));
  whole_.segments.push_back({.digest = meta.digest, .first = whole_.codes(), .codes = codes});
  store::CodeSegment segment =
      must(store::CodeSegment::open(store::segment_path(folder(), meta.digest)));
  VOUCH_ASSERT(segment.unlock(key).has_value());
  for (std::int64_t i = 0; i < codes; ++i) codes_.emplace_back(must(segment.code(i)));
}

std::shared_ptr<const store::PoolRow> SamplePool::with(std::size_t segments) const {
  auto row = std::make_shared<store::PoolRow>(whole_);
  row->segments.resize(std::min(segments, whole_.segments.size()));
  return row;
}

const store::PoolSegmentRow& SamplePool::segment_of(std::int64_t ordinal) const {
  const auto found = std::ranges::find_if(whole_.segments, [&](const store::PoolSegmentRow& row) {
    return ordinal >= row.first && ordinal < row.first + row.codes;
  });
  VOUCH_ASSERT(found != whole_.segments.end());
  return *found;
}

}  // namespace vouch::test
