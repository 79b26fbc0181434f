// What `doctor` and `store check` say of pools: declared in checks.hpp.
#include "cli/checks.hpp"
#include "cli/pool_view.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"
#include "common/store/code_segment.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

void add(Findings& out, Level level, std::string detail, std::string fix = {}) {
  out.push_back({"pools", level, std::move(detail), std::move(fix)});
}

Result<void> check_segment(Session& session, const store::PoolSegmentRow& row, bool deep) {
  const std::string path = session.paths().pool_file(row.digest);
  VOUCH_TRY(store::CodeSegment segment, store::CodeSegment::open(path));
  if (segment.meta().digest != row.digest || segment.meta().codes != row.codes) {
    return fail(Errc::corrupt, path + ": is another segment than its name says",
                "restore it from a backup");
  }
  return deep ? segment.verify() : Result<void>{};
}

// True when all of it is as it should be.
bool check_pool(Session& session, const store::PoolRow& pool, bool deep, Findings& out) {
  bool is_sound = true;
  for (const store::PoolSegmentRow& segment : pool.segments) {
    const auto checked = check_segment(session, segment, deep);
    if (checked) continue;
    is_sound = false;
    add(out, Level::fail, pool.name + ": " + checked.error().message,
        checked.error().hint.empty() ? "restore it from a backup" : checked.error().hint);
  }
  const auto view = PoolView::of(session, pool);
  if (view && view->is_low()) {
    is_sound = false;
    add(out, Level::warn, view->low_words(), "vouchctl pool generate " + pool.name + " --count N");
  }
  return is_sound;
}

}  // namespace

void check_pools(Session& session, bool deep, Findings& out) {
  const auto control = session.control();
  if (!control) return;  // said by check_control
  const auto pools = (*control)->pools();
  if (!pools) return add(out, Level::fail, pools.error().message, "see the message");
  if (pools->empty()) return;
  bool all_sound = true;
  for (const store::PoolRow& pool : *pools) {
    all_sound = check_pool(session, pool, deep, out) && all_sound;
  }
  const std::string& path = session.settings().value("pool-key");
  const auto key = store::PoolKey::read(path);
  if (!key && key.error().code == Errc::not_permitted && path_exists(path)) {
    // That it is not for this account is as it may be: vouchd's is the one that needs it.
    add(out, Level::ok, "the key in " + path + " is not for this account to read");
  } else if (!key) {
    all_sound = false;
    add(out, Level::fail, key.error().message, key.error().hint);
  }
  if (all_sound) {
    const auto count = static_cast<std::int64_t>(pools->size());
    add(out, Level::ok,
        format_count(count) + (count == 1 ? " pool" : " pools") +
            (deep ? ", every segment as it was sealed" : ", each with its segments"));
  }
}

}  // namespace vouch::cli
