// The audit trail: who did what, each row's hash over the one before.
#include <algorithm>

#include "common/store/control_change.hpp"
#include "common/store/control_store.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kPage = R"sql(
  SELECT seq, at_ms, operator, action, object, detail, hash
    FROM audit WHERE seq > :after ORDER BY seq LIMIT :max
)sql";

constexpr std::string_view kLastTime = "SELECT at_ms FROM audit ORDER BY seq DESC LIMIT 1";

constexpr int kVerifyPage = 1000;

struct HashedRow {
  AuditRow row;
  Digest256 hash{};
};

HashedRow read_audit(const Statement& row) {
  HashedRow out;
  out.row = {row.integer(0), row.wall(1),   row.string(2),
             row.string(3),  row.string(4), row.string(5)};
  const Blob hash = row.blob(6);
  std::copy_n(hash.begin(), std::min(hash.size(), out.hash.size()), out.hash.begin());
  return out;
}

Result<std::vector<HashedRow>> read_page(Database& database, std::int64_t after, int max) {
  return all_rows(database.prepared(kPage).bind(":after", after).bind(":max", std::int64_t{max}),
                  read_audit);
}

}  // namespace

Result<std::vector<AuditRow>> ControlStore::audit(std::int64_t after, int max) {
  VOUCH_TRY(auto hashed, read_page(database_, after, max));
  std::vector<AuditRow> rows;
  for (HashedRow& row : hashed) rows.push_back(std::move(row.row));
  return rows;
}

Result<void> ControlStore::verify_audit() {
  Digest256 previous{};
  std::int64_t last = 0;
  while (true) {
    VOUCH_TRY(const auto page, read_page(database_, last, kVerifyPage));
    for (const HashedRow& hashed : page) {
      if (hashed.row.seq != last + 1 || audit_hash(previous, hashed.row) != hashed.hash) {
        return fail(Errc::corrupt,
                    "audit row " + std::to_string(last + 1) + ": changed, or a row is missing",
                    "compare the store with its last backup; the rows before this one are sound");
      }
      previous = hashed.hash;
      last = hashed.row.seq;
    }
    if (page.size() < kVerifyPage) return {};
  }
}

Result<std::optional<WallTime>> ControlStore::last_audit_time() {
  return first_row(database_.prepared(kLastTime), [](const Statement& row) { return row.wall(0); });
}

Result<void> ControlStore::record(const Actor& actor, std::string_view action,
                                  std::string_view object, std::string_view detail_json) {
  VOUCH_TRY(ControlChange change, ControlChange::begin(database_, actor));
  return change.commit(action, object, detail_json);
}

}  // namespace vouch::store
