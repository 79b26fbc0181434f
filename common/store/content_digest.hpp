// content_digest.hpp: the name of a list by its content, so that the same rows are recognised
// whatever their file is called, and however it is encoded, separated or compressed.
//
// Hashed are the columns and what they were taken for, then every row in the file's order,
// refused ones too.
//
// Threads: one at a time.
#pragma once

#include <string>
#include <string_view>

#include "common/crypto.hpp"
#include "common/store/column_plan.hpp"

namespace vouch::store {

class ContentDigest {
 public:
  ContentDigest(const ColumnPlan& plan, const ImportRequest& request);

  enum class Row : char { accepted = 'a', refused = 'r' };
  // Both as they are packed for keeping.
  void add(Row kind, std::string_view packed) { put(static_cast<char>(kind), packed); }

  // 32 hexadecimal letters: the first half of SHA-256.
  [[nodiscard]] std::string finish();

 private:
  void put(char kind, std::string_view bytes);

  Sha256 hash_;
  std::string gathered_;
};

// As they are kept with the list: "opaque" or "phone/DE"; "major", "minor" or "".
[[nodiscard]] std::string id_type_name(const ImportRequest& request);
[[nodiscard]] std::string amount_unit_name(const ImportRequest& request);

}  // namespace vouch::store
