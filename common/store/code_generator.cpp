#include "common/store/code_generator.hpp"

#include <algorithm>
#include <filesystem>

#include "common/store/import_folder.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnfinishedName = "segment.db";
constexpr std::int64_t kObserveCodes = 50'000;
// Drawn in advance, since a few may be there already: at the density that is allowed, of a hundred
// million codes one is.
constexpr std::int64_t kSpareCodes = 1'000;

Result<void> draw_codes(const PoolPlace& place, const CodeForm& form, std::int64_t count,
                        CodeMerge& merge) {
  CodeDraw draw{form, place.random};
  for (std::int64_t i = 1; i <= count + kSpareCodes; ++i) {
    VOUCH_CHECK(merge.add(draw.next(), static_cast<std::uint64_t>(i)));
    if (place.observe && i % kObserveCodes == 0) place.observe(i / 2, count);
  }
  return merge.finish();
}

Result<SegmentMeta> seal_codes(const PoolPlace& place, std::int64_t count, CodeMerge& merge,
                               CodeSegmentWriter& writer) {
  while (writer.size() < count) {
    VOUCH_TRY(const bool more, merge.next());
    if (!more) {
      return fail(Errc::failure, "too many of the codes drawn were there already",
                  "draw more letters: --length");
    }
    if (!merge.item().is_new()) continue;
    VOUCH_CHECK(writer.add(merge.item().code));
    if (place.observe && writer.size() % kObserveCodes == 0) {
      place.observe((count + writer.size()) / 2, count);
    }
  }
  return writer.finish();
}

}  // namespace

Result<void> add_known_codes(const PoolPlace& place, CodeMerge& merge) {
  for (const PoolSegmentRow& row : place.pool.segments) {
    VOUCH_TRY(CodeSegment segment, CodeSegment::open(segment_path(place.folder, row.digest)));
    VOUCH_CHECK(segment.unlock(place.key));
    for (std::int64_t ordinal = 0; ordinal < row.codes; ++ordinal) {
      VOUCH_TRY(const std::string_view code, segment.code(ordinal));
      VOUCH_CHECK(merge.add_known(code));
    }
  }
  return {};
}

void remove_unknown_segments(const PoolPlace& place) {
  const std::string pool = format_id(ObjectKind::pool, place.pool.id);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{place.folder, error}) {
    if (entry.path().extension() != ".db") continue;
    const std::string digest = entry.path().stem().string();
    const auto same = [&](const PoolSegmentRow& row) { return row.digest == digest; };
    if (std::ranges::any_of(place.pool.segments, same)) continue;
    const auto segment = CodeSegment::open(entry.path().string());
    if (!segment || segment->meta().pool != pool) continue;
    std::error_code ignored;  // what cannot be removed does no harm: nobody knows it
    fs::remove(entry.path(), ignored);
  }
}

Result<SegmentMeta> generate_codes(const PoolPlace& place, const CodeForm& form,
                                   std::int64_t count) {
  VOUCH_ASSERT(count > 0 && count <= kCodesMax);
  VOUCH_CHECK(form.check_density(place.pool.codes() + count));
  VOUCH_TRY(const ImportFolder folder, ImportFolder::create(place.folder));
  remove_unknown_segments(place);
  CodeMerge merge{folder.path(), place.random, place.run_bytes};
  VOUCH_CHECK(add_known_codes(place, merge));
  VOUCH_CHECK(draw_codes(place, form, count, merge));
  SegmentMeta meta;
  {
    VOUCH_TRY(CodeSegmentWriter writer,
              CodeSegmentWriter::create(folder.path() + "/" + kUnfinishedName,
                                        format_id(ObjectKind::pool, place.pool.id), "generated",
                                        place.key, place.random, place.clock.wall_now()));
    VOUCH_TRY(meta, seal_codes(place, count, merge, writer));
  }
  VOUCH_CHECK(folder.publish(kUnfinishedName, meta.digest + ".db"));
  return meta;
}

}  // namespace vouch::store
