// code_importer.hpp: a partner's file of redemption codes becomes a sealed segment of a pool.
//
// One call reads, checks and seals: input (gzip or not, any encoding) -> CSV rows -> checks ->
// comparison with the file itself and with all that the pool has -> pools/<digest>.db.  A code
// that stands twice, or that the pool has, is a refused row like one that is no code: two people
// would be given one code.  Memory stays flat; the segment is whole or not there.
//
// Threads: called by one; a second one inside is gone when the call returns.
// Errors:  see import_codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "common/store/code_generator.hpp"
#include "common/store/list_importer.hpp"

namespace vouch::store {

inline constexpr std::string_view kCodeColumn = "code";

struct CodeImportRequest {
  std::string input;  // path, or "-" for standard input
  std::string encoding{};
  char delimiter = ',';
  std::string code_column{kCodeColumn};  // the partner's name of it
  OnError on_error = OnError::all_or_nothing;
  std::string rejects_file{};  // path; empty: none is written
  bool dry_run = false;        // reads and checks everything, seals nothing
};

struct RefusedCode {
  std::int64_t line = 0;
  std::string code;  // stable word: "duplicate", "in_pool", "code_empty", "code_letters", ...
  std::string message;
};

struct CodeImportSummary {
  std::optional<SegmentMeta> segment;  // none after a dry run, a refusal, or when it was there
  // Of the segment that this very file is already; nothing was sealed then.
  std::string was_imported;
  std::string content;  // by which the file is known again
  std::string source;
  std::int64_t rows = 0;
  std::int64_t accepted = 0;
  std::int64_t refused = 0;
  std::vector<RefusedCode> first_refused;  // in the order of lines
  std::optional<Error> refusal;            // why the file was refused as a whole
};

// A summary with `refusal` set means: read to the end, nothing sealed, exit with that error.
//   usage      an unknown encoding
//   not_found  no such input, or a segment's file is missing
//   invalid    the file as a whole is wrong: empty, no header, no column of codes
//   conflict, corrupt   a segment of the pool cannot be read with this key
//   busy       the input changed while it was read
//   io         a disk failed or is full
[[nodiscard]] Result<CodeImportSummary> import_codes(const PoolPlace& place,
                                                     const CodeImportRequest& request);

}  // namespace vouch::store
