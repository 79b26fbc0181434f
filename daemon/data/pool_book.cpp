#include "daemon/data/pool_book.hpp"

#include "daemon/data/issuance_rows.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kPool = "SELECT number, next_ordinal FROM pool WHERE id = :id";
constexpr std::string_view kInsertPool = R"sql(
  INSERT INTO pool (id, next_ordinal) VALUES (:id, 0) ON CONFLICT DO NOTHING
)sql";
constexpr std::string_view kMove =
    "UPDATE pool SET next_ordinal = :next_ordinal WHERE number = :number";
constexpr std::string_view kPassOver = R"sql(
  UPDATE pool SET next_ordinal = max(next_ordinal, :codes) WHERE id = :id
)sql";
// Ordinals grow: each row goes behind the last.
constexpr std::string_view kTake = R"sql(
  INSERT INTO code (pool, ordinal, campaign, recipient_key, occurrence, item)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6)
)sql";

struct PoolPlace {
  std::int64_t number = 0;
  std::int64_t next = 0;
};

Result<std::optional<PoolPlace>> find_pool(store::Database& ledger, ObjectId pool) {
  store::Statement& select = ledger.prepared(kPool);
  select.bind(":id", static_cast<std::int64_t>(pool));
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<PoolPlace>{};
  const PoolPlace place{select.integer(0), select.integer(1)};
  select.reset();
  return std::optional{place};
}

Result<void> insert_pool(store::Database& ledger, ObjectId pool) {
  return ledger.prepared(kInsertPool).bind(":id", static_cast<std::int64_t>(pool)).run();
}

}  // namespace

Result<std::int64_t> codes_out(store::Database& ledger, ObjectId pool) {
  VOUCH_TRY(const auto place, find_pool(ledger, pool));
  return place ? place->next : 0;
}

Result<void> pass_over_codes(store::Database& ledger, ObjectId pool, std::int64_t codes) {
  VOUCH_CHECK(insert_pool(ledger, pool));
  return ledger.prepared(kPassOver)
      .bind(":codes", codes)
      .bind(":id", static_cast<std::int64_t>(pool))
      .run();
}

Result<PoolBook::Cursor*> PoolBook::cursor(ObjectId pool) {
  if (const auto known = cursors_.find(pool); known != cursors_.end()) return &known->second;
  VOUCH_CHECK(insert_pool(database_, pool));
  VOUCH_TRY(const auto place, find_pool(database_, pool));
  VOUCH_ASSERT(place.has_value());
  return &cursors_.emplace(pool, Cursor{place->number, place->next}).first->second;
}

Result<std::int64_t> PoolBook::next(ObjectId pool) {
  VOUCH_TRY(const Cursor* at, cursor(pool));
  return at->next;
}

Result<void> PoolBook::take(const Intent& intent) {
  VOUCH_ASSERT(intent.pool != nullptr && intent.ordinal);
  VOUCH_TRY(const std::int64_t ordinal, take(intent.pool->id, intent.campaign_number, intent.key));
  VOUCH_ASSERT(*intent.ordinal == ordinal);
  return {};
}

Result<std::int64_t> PoolBook::take(ObjectId pool, std::int64_t campaign_number,
                                    const IssuanceKey& key) {
  VOUCH_TRY(Cursor * at, cursor(pool));
  store::Statement& insert = database_.prepared(kTake);
  insert.bind(1, at->number).bind(2, at->next);
  bind_key(insert, 3, campaign_number, key);
  VOUCH_CHECK(insert.run());
  at->moved = true;
  return at->next++;
}

Result<void> PoolBook::flush() {
  for (auto& [id, at] : cursors_) {
    if (!at.moved) continue;
    VOUCH_CHECK(
        database_.prepared(kMove).bind(":next_ordinal", at.next).bind(":number", at.number).run());
    at.moved = false;
  }
  return {};
}

}  // namespace vouch::data
