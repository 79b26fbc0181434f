// code_merge.hpp: which of many codes are new.
//
// Codes go through an external sort by a keyed hash, so that equal ones become neighbours at any
// number and in flat memory; the key is drawn anew each time, so that the order in which the new
// ones come out is nobody's guess.  What reaches the disk meanwhile is encrypted under another key
// that is never written.
//
// Threads: one at a time; the sort has a second one inside.
// Errors:  those of ExternalSort.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/random.hpp"
#include "common/result.hpp"
#include "common/secret_box.hpp"
#include "common/store/external_sort.hpp"

namespace vouch::store {

class CodeMerge {
 public:
  // `folder` is for temporary files; `run_bytes` 0: as many as the sort takes by itself.
  CodeMerge(const std::string& folder, Random& random, std::size_t run_bytes = 0);

  // A code that the pool has.
  [[nodiscard]] Result<void> add_known(std::string_view code);
  // A code that may be new; `number` from 1, each once.
  [[nodiscard]] Result<void> add(std::string_view code, std::uint64_t number);

  struct Item {
    std::uint64_t number = 0;
    std::string_view code;    // valid until the next call
    std::uint64_t first = 0;  // the number that was first with it; 0: the pool has it
    [[nodiscard]] bool is_new() const { return first == number; }
  };
  // Ends adding.  Then next() gives those that were added with a number, in no order that anyone
  // could foresee; false behind the last.
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] const Item& item() const { return item_; }

 private:
  CodeMerge(const std::string& folder, const Digest256& order, const Digest256& key,
            std::size_t run_bytes);

  HmacKey order_;
  SecretBox box_;
  ExternalSort sort_;
  std::string sealed_;
  std::string plain_;
  SortKey last_key_{};
  std::uint64_t first_ = 0;  // of last_key_
  bool has_last_ = false;
  Item item_;
};

}  // namespace vouch::store
