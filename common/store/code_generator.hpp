// code_generator.hpp: new codes for a pool, sealed as one more segment.
//
// Codes are drawn from the operating system's chance, compared with all that the pool has, and
// sealed in an order that says nothing of one from the next.  Memory stays flat at any number.  The
// segment is written aside, synced and renamed: at any moment it is whole or not there; what a
// killed run left behind is removed by the next one, which begins anew.
//
// Threads: called by one; a second one inside is gone when a call returns.
// Errors:  see generate_codes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/store/code_form.hpp"
#include "common/store/code_merge.hpp"
#include "common/store/code_segment.hpp"
#include "common/store/pool_row.hpp"

namespace vouch::store {

inline constexpr std::int64_t kCodesMax = 100'000'000;  // of one run

// Called about every 50,000 codes, from the caller's thread.
using CodeObserver = std::function<void(std::int64_t done, std::int64_t total)>;

// The pool that codes are made for.  No other run may add to it meanwhile.
struct PoolPlace {
  std::string folder;  // <store>/pools; must exist
  const PoolRow& pool;
  const PoolKey& key;
  Random& random;
  const Clock& clock;
  CodeObserver observe;
  std::size_t run_bytes = 0;  // of the external sort; 0: its own.  Tests make it small.
};

// A new sealed file in the pools folder; nobody knows of it yet.
//   invalid    too many of the codes that there can be: nothing was made
//   not_found, corrupt, conflict   a segment of the pool cannot be read, or with this key
//   store      the pools folder is missing
//   io         a disk failed or is full
[[nodiscard]] Result<SegmentMeta> generate_codes(const PoolPlace& place, const CodeForm& form,
                                                 std::int64_t count);

// Adds all codes that the pool has.
[[nodiscard]] Result<void> add_known_codes(const PoolPlace& place, CodeMerge& merge);

// Removes sealed files of the pool that it does not know: of runs that were killed just before
// they had told of them.  Those of another account stay.
void remove_unknown_segments(const PoolPlace& place);

}  // namespace vouch::store
