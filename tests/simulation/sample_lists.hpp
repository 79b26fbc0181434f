// sample_lists.hpp: small sealed recipient lists, made once and shared by all seeds.
//
// They are imported as a partner's file would be.  Only their ranges are cut anew, much shorter
// than 10,000 rows, so that a small list has several and planning wraps round.
//
// Threads: made by the first caller; immutable afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/identity.hpp"
#include "common/store/sealed_list.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

inline constexpr std::string_view kRecipientSecret = "a secret of the simulation's store";

struct SampleRow {
  RecipientKey recipient{};
  std::string occurrence;  // '' unless the list has such a column
  std::string recipient_id;
  std::int64_t amount_minor = 0;
};

struct SampleList {
  std::string digest;
  std::string path;
  std::int32_t ranges = 0;
  std::vector<SampleRow> rows;
};

class SampleLists {
 public:
  // The places of the lists in at().  `spring` and `summer` share a half of their recipients.
  enum Name : std::size_t { spring, summer, many, tiny, orders, empty, kCount };

  [[nodiscard]] static const SampleLists& shared();
  [[nodiscard]] const SampleList& at(std::size_t name) const { return lists_[name]; }
  [[nodiscard]] const SampleList& by_digest(const std::string& digest) const;

 private:
  SampleLists();
  [[nodiscard]] SampleList make(const std::string& name, int first, int rows, int range_rows,
                                bool with_orders);

  TemporaryFolder folder_;
  std::vector<SampleList> lists_;
};

}  // namespace vouch::test
