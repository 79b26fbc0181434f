// pool_key.hpp: the key under which redemption codes are kept.
//
// It stands in a file of its own outside the store, so that a copy of the store alone gives no
// code away: 64 hexadecimal digits, readable by its owner (and group) alone.  Each segment of a
// pool is sealed under a key of its own that follows from this one; a fingerprint, kept with pool
// and segment, tells a wrong key before anything is tried with it.
//
// Threads: immutable once read.
// Errors:  not_found when the file is missing, not_permitted when others may read it, corrupt.
#pragma once

#include <string>
#include <string_view>

#include "common/crypto.hpp"
#include "common/random.hpp"
#include "common/result.hpp"

namespace vouch::store {

class PoolKey {
 public:
  [[nodiscard]] static Result<PoolKey> read(const std::string& path);
  // Makes the file, which must not be there, with mode 0600.
  [[nodiscard]] static Result<PoolKey> create(const std::string& path, Random& random);

  PoolKey(PoolKey&&) noexcept = default;
  PoolKey& operator=(PoolKey&&) noexcept = default;
  ~PoolKey();

  // 16 hexadecimal letters, from which nobody can tell the key.
  [[nodiscard]] std::string fingerprint() const;
  // conflict when the fingerprint is another's.  `what` names whose it is: "the pool vip".
  [[nodiscard]] Result<void> check(std::string_view fingerprint, std::string_view what) const;
  // The key of the segment that has this salt.
  [[nodiscard]] Digest256 segment_key(std::string_view salt) const;
  // Under which the content of a partner's file is known again.
  [[nodiscard]] Digest256 content_key() const;

 private:
  PoolKey(std::string key, std::string path) : key_{std::move(key)}, path_{std::move(path)} {}
  std::string key_;  // 32 bytes
  std::string path_;
};

}  // namespace vouch::store
