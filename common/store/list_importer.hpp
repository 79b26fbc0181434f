// list_importer.hpp: a partner's file becomes a sealed recipient list.
//
// One call reads, checks and seals: input (file or standard input, gzip or not, any encoding) ->
// CSV rows -> checks -> recipient keys -> external sort -> recipients/<digest>.db.  Memory stays
// flat at any size (below 96 MiB).  The list is written aside, fsynced and renamed: at any moment
// it is whole or not there, and what a killed import left behind is removed by the next one.
//
// Threads: called by one; uses a second one inside, which is gone when the call returns.
// Units:   amounts in minor units; lines are physical lines, header = 1.
// Errors:  see import_recipients.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::store {

// Rows which the summary shows at once; all of them are in the sealed list, and the refused ones
// in the rejects file.
inline constexpr std::size_t kFirstRejectsMax = 20;
inline constexpr std::size_t kFirstDuplicatesMax = 20;

// Columns that our own rejects file adds and a later import passes over.
inline constexpr std::string_view kRejectLineColumn = "vouch_line";
inline constexpr std::string_view kRejectErrorColumn = "vouch_error";

enum class IdType : std::uint8_t {
  opaque,  // blanks trimmed at both ends, Unicode NFC, case kept
  phone,   // E.164 with the help of a country
};
enum class AmountUnit : std::uint8_t {
  minor,  // "1250"
  major,  // "12.50"
};
enum class OnError : std::uint8_t { all_or_nothing, skip };

// `--map partner_column=our_column`.
struct ColumnMapping {
  std::string partner;
  std::string ours;
};

// An amount that a campaign's item takes from a column.
struct AmountColumn {
  std::string column;  // what the campaign calls it
  int digits = 2;      // of the currency's minor unit
};

struct ImportRequest {
  std::string input;              // path, or "-" for standard input
  std::string recipients_folder;  // <store>/recipients; must exist
  std::string secret;             // of the recipient keys; never written
  std::string source_name;        // for people; the input's file name when empty
  std::string importer;           // for people: who

  std::string encoding;  // an iconv name; UTF-8 when empty.  A byte order mark goes before it.
  char delimiter = ',';  // ',', ';' or '\t'
  std::vector<ColumnMapping> mappings;
  IdType id_type = IdType::opaque;
  std::string country;                       // "DE": required for phone, refused for opaque
  std::vector<AmountColumn> amount_columns;  // what the campaign's items ask for
  std::optional<AmountUnit> amount_unit;     // required when there is an amount column
  std::string occurrence_column;             // of `once_per`; empty: one row a recipient

  OnError on_error = OnError::all_or_nothing;
  std::optional<double> rejects_percent_max;  // of all rows; with OnError::skip
  std::int64_t accepted_min = 0;              // --min-rows
  std::string rejects_file;                   // path; empty: none is written
  bool dry_run = false;                       // reads and checks everything, seals nothing

  std::size_t run_bytes = 0;  // of the external sort; 0: its own.  Tests make it small.
};

struct ImportProgress {
  enum class Phase : std::uint8_t { reading, sealing };
  Phase phase = Phase::reading;
  std::int64_t rows = 0;         // read, or sealed, in this phase
  std::int64_t rows_total = 0;   // while sealing; 0 while reading: nobody knows yet
  std::int64_t bytes = 0;        // read of the input, compressed if it is
  std::int64_t bytes_total = 0;  // of the input; 0 when unknown (a pipe)
};
// Called about every 20,000 rows, from the thread that called import_recipients.  False stops the
// import (Errc::failure), which then leaves nothing behind.
using ImportObserver = std::function<bool(const ImportProgress&)>;

struct ImportSummary {
  ListMeta meta;  // of the sealed list, and so of its first import where it was sealed before
  // The sealed file.  Empty after a dry run or a refusal: then nothing was sealed.
  std::string path;
  bool was_sealed_before = false;  // the same content was here already; `path` is that list
  // Why the file was refused as a whole although it could be read: rejected rows, too few rows.
  std::optional<Error> refusal;
  std::vector<std::pair<std::string, std::int64_t>> rejects_by_code;
  std::vector<RejectedRow> first_rejects;  // in line order; without fields where they are long
  std::vector<DuplicateRow> first_duplicates;
  std::vector<std::string> warnings;  // whole sentences without a full stop
  Millis took{0};
};

// Reads the whole input in any case, so that all that is wrong with it is told at once.
//
// A summary with `refusal` set means: read to the end, nothing sealed, exit with that error.  An
// error instead of a summary means that reading could not go on:
//   usage      options that contradict each other, an unknown encoding or country
//   not_found  no such input
//   invalid    the file as a whole is wrong: empty, no header, no recipient column, bad gzip
//   busy       the input changed while it was read
//   store      the recipients folder is missing
//   io         a disk failed or is full
[[nodiscard]] Result<ImportSummary> import_recipients(const ImportRequest& request,
                                                      const Clock& clock,
                                                      const ImportObserver& observer = {});

}  // namespace vouch::store
