// code_shelf.hpp: the codes of the pools, read from their sealed segments.
//
// Which code an issuance has stands in the ledger as an ordinal; here it becomes text, on its way
// into a call and nowhere else.  Segments and the key are opened when they are first needed, and
// tried again where that failed: a missing key file can be put in its place while vouchd runs.
//
// Threads: one at a time; the ledger writer and intake have one each.
// Errors:  those of the key and of the segments; the pool's name stands before them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/result.hpp"
#include "common/store/code_segment.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::data {

class CodeShelf {
 public:
  CodeShelf() = default;
  CodeShelf(std::string folder, std::string key_file)
      : folder_{std::move(folder)}, key_file_{std::move(key_file)} {}

  // Gives the intent the code of this ordinal of its pool.  Its digest, so far that of the call
  // without the code, becomes the whole call's.
  [[nodiscard]] Result<void> fill(Intent& intent, std::int64_t ordinal);

 private:
  [[nodiscard]] Result<store::CodeSegment*> segment(const std::string& digest);

  std::string folder_;
  std::string key_file_;
  std::map<std::string, store::CodeSegment> open_;  // by digest
};

}  // namespace vouch::data
