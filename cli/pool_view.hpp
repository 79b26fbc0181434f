// pool_view.hpp: a pool as people see it: what it has, and what is left of it.
//
// Threads: main's.
// Errors:  those of the stores.
#pragma once

#include <string>

#include "cli/output.hpp"
#include "cli/session.hpp"
#include "common/store/pool_row.hpp"

namespace vouch::cli {

class PoolView {
 public:
  [[nodiscard]] static Result<PoolView> of(Session& session, store::PoolRow pool);

  [[nodiscard]] Record record() const;
  [[nodiscard]] std::string segments_json() const;  // an array
  [[nodiscard]] bool is_low() const { return left() < pool_.low_water; }
  // "the pool vip has 12 codes left, fewer than its low water of 100", and what to do.
  [[nodiscard]] std::string low_words() const;
  [[nodiscard]] std::int64_t left() const { return pool_.codes() - out_; }

 private:
  PoolView(store::PoolRow pool, std::int64_t out) : pool_{std::move(pool)}, out_{out} {}
  [[nodiscard]] std::int64_t codes_of(std::string_view origin) const;

  store::PoolRow pool_;
  std::int64_t out_ = 0;  // codes that belong to an issuance
};

}  // namespace vouch::cli
