#include "common/store/ledger_copy.hpp"

#include <string>

#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kMark = R"sql(
  INSERT OR REPLACE INTO ledger_meta (key, value) VALUES ('copied_ms', :value)
)sql";
constexpr std::string_view kMarked = "SELECT value FROM ledger_meta WHERE key = 'copied_ms'";
constexpr std::string_view kUnmark = "DELETE FROM ledger_meta WHERE key = 'copied_ms'";

}  // namespace

Result<void> mark_copy(Database& ledger, WallTime at) {
  return ledger.prepared(kMark).bind(":value", std::to_string(to_ms(at))).run();
}

Result<std::optional<WallTime>> copied_at(Database& ledger) {
  Statement& select = ledger.prepared(kMarked);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<WallTime>{};
  VOUCH_TRY(const std::int64_t at_ms, parse_integer(select.string(0)));
  select.reset();
  return std::optional{from_ms(at_ms)};
}

Result<void> unmark_copy(Database& ledger) {
  return ledger.prepared(kUnmark).run();
}

}  // namespace vouch::store
