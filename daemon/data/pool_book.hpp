// pool_book.hpp: which codes of the pools are out, and whose they are.
//
// A pool's codes go out in the order of their ordinals, each in the transaction that makes its
// issuance `sending`: then it belongs to that issuance for ever, whatever becomes of it.  The
// primary key of the table is a second guard: no ordinal has two owners.
//
// Threads: the ledger writer alone, inside its transaction.
// Errors:  those of the database.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "common/result.hpp"
#include "common/store/database.hpp"
#include "common/store/pool_row.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::data {

// How many codes of a pool are out, on any connection to a ledger; 0 for one it has not seen.
[[nodiscard]] Result<std::int64_t> codes_out(store::Database& ledger, ObjectId pool);

// The ledger is an older copy: any code that the pool had may be out since then.
[[nodiscard]] Result<void> pass_over_codes(store::Database& ledger, ObjectId pool,
                                           std::int64_t codes);

class PoolBook {
 public:
  explicit PoolBook(store::Database& database) : database_{database} {}

  // The ordinal of the next code; the pool may have fewer codes.
  [[nodiscard]] Result<std::int64_t> next(ObjectId pool);
  // The next code, intent.ordinal, becomes the intent's.
  [[nodiscard]] Result<void> take(const Intent& intent);
  // The next code becomes that issuance's; returns its ordinal.
  [[nodiscard]] Result<std::int64_t> take(ObjectId pool, std::int64_t campaign_number,
                                          const IssuanceKey& key);
  // Writes the cursors that have moved.
  [[nodiscard]] Result<void> flush();

 private:
  struct Cursor {
    std::int64_t number = 0;  // of this ledger
    std::int64_t next = 0;
    bool moved = false;
  };
  [[nodiscard]] Result<Cursor*> cursor(ObjectId pool);

  store::Database& database_;
  std::map<ObjectId, Cursor> cursors_;
};

}  // namespace vouch::data
