#include "common/store/code_merge.hpp"

#include <span>

namespace vouch::store {
namespace {

Digest256 draw_key(Random& random) {
  Digest256 key{};
  random.fill(std::as_writable_bytes(std::span{key}));
  return key;
}

std::string_view as_text(const Digest256& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

ExternalSort::Options sort_options(const std::string& folder, std::size_t run_bytes) {
  ExternalSort::Options options{.folder = folder};
  if (run_bytes > 0) options.run_bytes = run_bytes;
  return options;
}

}  // namespace

CodeMerge::CodeMerge(const std::string& folder, Random& random, std::size_t run_bytes)
    : CodeMerge{folder, draw_key(random), draw_key(random), run_bytes} {}

CodeMerge::CodeMerge(const std::string& folder, const Digest256& order, const Digest256& key,
                     std::size_t run_bytes)
    : order_{as_text(order)}, box_{key}, sort_{sort_options(folder, run_bytes)} {}

Result<void> CodeMerge::add_known(std::string_view code) {
  return sort_.add({.key = order_.sign_128(code), .subkey = {}, .number = 0, .payload = {}});
}

Result<void> CodeMerge::add(std::string_view code, std::uint64_t number) {
  VOUCH_ASSERT(number > 0);
  box_.seal(number, code, sealed_);
  return sort_.add(
      {.key = order_.sign_128(code), .subkey = {}, .number = number, .payload = sealed_});
}

Result<void> CodeMerge::finish() {
  return sort_.finish();
}

Result<bool> CodeMerge::next() {
  while (true) {
    VOUCH_TRY(const bool more, sort_.next());
    if (!more) return false;
    const SortItem& item = sort_.item();
    if (!has_last_ || item.key != last_key_) {
      has_last_ = true;
      last_key_ = item.key;
      first_ = item.number;  // the smallest: what the pool has comes before all
    }
    if (item.number == 0) continue;
    VOUCH_CHECK(box_.open(item.number, item.payload, plain_));
    item_ = {.number = item.number, .code = plain_, .first = first_};
    return true;
  }
}

}  // namespace vouch::store
