// sealed_list_writer.hpp: writes one list, in its order, for sealing.
//
// The file is of use to nobody until finish() has returned, so nothing is synced before and no
// journal is kept: whoever is killed leaves a file that is removed.
//
// Threads: one at a time.
// Errors:  io when the disk failed or is full.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/store/database.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::store {

class SealedListWriter {
 public:
  // An accepted row; `payload` as RowChecker packs it.
  struct Row {
    RecipientKey recipient_key{};
    std::string_view occurrence;
    std::int64_t line = 0;
    std::string_view payload;
  };
  struct Duplicate {
    RecipientKey recipient_key{};
    std::int64_t line = 0;
    std::int64_t first_line = 0;
    bool is_conflicting = false;
    std::string_view recipient_id;
    std::string_view fields;  // packed
  };
  struct Reject {
    std::int64_t line = 0;
    std::string_view column;
    std::string_view code;
    std::string_view message;
    std::string_view fields;  // packed
  };

  // `amounts` is the number of amounts in each row's payload.
  [[nodiscard]] static Result<SealedListWriter> create(const std::string& path, std::size_t amounts,
                                                       WallTime now);

  // Rows in the order of recipient_key and occurrence, each pair once.
  [[nodiscard]] Result<void> add(const Row& row);
  // Both in the order of lines.
  [[nodiscard]] Result<void> add_duplicate(const Duplicate& duplicate);
  [[nodiscard]] Result<void> add_reject(const Reject& reject);

  // Writes the rest.  When it returns, the file is complete and on disk; its name may not be.
  [[nodiscard]] Result<void> finish(const ListMeta& meta);

 private:
  // A row waiting for its group, its texts in text_.
  struct Waiting {
    RecipientKey recipient_key{};
    std::int64_t line = 0;
    std::size_t text = 0;
    std::size_t occurrence_bytes = 0;
    std::size_t payload_bytes = 0;
  };

  SealedListWriter(Database database, std::size_t amounts);
  [[nodiscard]] Result<void> flush();
  void bind_row(Statement& insert, int first, const Waiting& row) const;
  void count_for_boundaries(const Row& row);
  [[nodiscard]] Result<void> write_boundaries();

  Database database_;
  std::size_t amounts_;
  std::vector<Waiting> waiting_;
  std::string text_;
  std::vector<ListRange> ranges_;
  RecipientKey last_key_{};
};

}  // namespace vouch::store
