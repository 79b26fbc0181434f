#include "common/store/sealed_list_writer.hpp"

#include "common/embedded.hpp"
#include "common/store/list_meta.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::store {
namespace {

// Sixteen rows a statement: starting and ending one costs as much as the row itself, and the
// gain ends at about twenty.
constexpr std::size_t kGroupRows = 16;
constexpr int kRowParameters = 7;
constexpr std::string_view kInsertGroup = R"sql(
  INSERT INTO recipient
    (recipient_key, occurrence, line, recipient_id, amount, more_amounts, fields)
  VALUES (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?),
         (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?),
         (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?),
         (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?), (?,?,?,?,?,?,?)
)sql";
constexpr std::string_view kInsertRow = R"sql(
  INSERT INTO recipient
    (recipient_key, occurrence, line, recipient_id, amount, more_amounts, fields)
  VALUES (?,?,?,?,?,?,?)
)sql";
constexpr std::string_view kInsertReject = R"sql(
  INSERT INTO reject (line, "column", code, message, fields) VALUES (?1, ?2, ?3, ?4, ?5)
)sql";
constexpr std::string_view kInsertDuplicate = R"sql(
  INSERT INTO duplicate (line, first_line, recipient_key, conflicting, recipient_id, fields)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6)
)sql";
constexpr std::string_view kInsertBoundary = R"sql(
  INSERT INTO boundary (range, first_key, rows) VALUES (?1, ?2, ?3)
)sql";
constexpr std::string_view kInsertMeta = R"sql(
  INSERT INTO meta (key, value) VALUES (:key, :value)
)sql";

// Pages of 16 KiB: fewer to split and to write; one holds about 250 rows.
constexpr const char* kSettings = R"sql(
  PRAGMA page_size = 16384;
  PRAGMA journal_mode = MEMORY;
  PRAGMA synchronous = OFF;
  PRAGMA locking_mode = EXCLUSIVE;
)sql";

}  // namespace

SealedListWriter::SealedListWriter(Database database, std::size_t amounts)
    : database_{std::move(database)}, amounts_{amounts} {
  waiting_.reserve(kGroupRows);
}

Result<SealedListWriter> SealedListWriter::create(const std::string& path, std::size_t amounts,
                                                  WallTime now) {
  VOUCH_TRY(Database database,
            Database::open(path, {.mode = OpenMode::create, .vfs = {}, .cache_kib = 4096}));
  VOUCH_CHECK(database.exec(kSettings));
  VOUCH_CHECK(migrate(database, embedded::list_migrations, now));
  // One transaction for all: its pages are new, so the journal in memory stays empty.
  VOUCH_CHECK(database.exec("BEGIN IMMEDIATE"));
  return SealedListWriter{std::move(database), amounts};
}

Result<void> SealedListWriter::add(const Row& row) {
  count_for_boundaries(row);
  waiting_.push_back(
      {row.recipient_key, row.line, text_.size(), row.occurrence.size(), row.payload.size()});
  text_.append(row.occurrence).append(row.payload);
  return waiting_.size() == kGroupRows ? flush() : Result<void>{};
}

// A recipient's occurrences stay in one range, so that ranges can be told by recipient alone.
void SealedListWriter::count_for_boundaries(const Row& row) {
  const bool is_full = ranges_.empty() || ranges_.back().rows >= kRangeRows;
  if (is_full && (ranges_.empty() || row.recipient_key != last_key_)) {
    ranges_.push_back({static_cast<int>(ranges_.size()), row.recipient_key, 0});
  }
  ++ranges_.back().rows;
  last_key_ = row.recipient_key;
}

Result<void> SealedListWriter::flush() {
  if (waiting_.size() == kGroupRows) {
    Statement& insert = database_.prepared(kInsertGroup);
    int first = 1;
    for (const Waiting& row : waiting_) {
      bind_row(insert, first, row);
      first += kRowParameters;
    }
    VOUCH_CHECK(insert.run());
  } else {
    Statement& insert = database_.prepared(kInsertRow);
    for (const Waiting& row : waiting_) {
      bind_row(insert, 1, row);
      VOUCH_CHECK(insert.run());
    }
  }
  waiting_.clear();
  text_.clear();
  return {};
}

void SealedListWriter::bind_row(Statement& insert, int first, const Waiting& row) const {
  const std::string_view text = text_;
  std::string_view payload = text.substr(row.text + row.occurrence_bytes, row.payload_bytes);
  insert.bind(first, as_blob(row.recipient_key));
  insert.bind(first + 1, text.substr(row.text, row.occurrence_bytes));
  insert.bind(first + 2, row.line);
  insert.bind(first + 3, take_text(payload));
  if (amounts_ == 0) {
    insert.bind(first + 4, nullptr);
  } else {
    insert.bind(first + 4, static_cast<std::int64_t>(take_varint(payload)));
  }
  if (amounts_ <= 1) {
    insert.bind(first + 5, nullptr);
  } else {
    const std::string_view more = payload;
    for (std::size_t i = 1; i < amounts_; ++i) (void)take_varint(payload);
    insert.bind(first + 5, as_blob(more.substr(0, more.size() - payload.size())));
  }
  insert.bind(first + 6, as_blob(payload));
}

Result<void> SealedListWriter::add_duplicate(const Duplicate& duplicate) {
  return database_.prepared(kInsertDuplicate)
      .bind(1, duplicate.line)
      .bind(2, duplicate.first_line)
      .bind(3, as_blob(duplicate.recipient_key))
      .bind(4, std::int64_t{duplicate.is_conflicting ? 1 : 0})
      .bind(5, duplicate.recipient_id)
      .bind(6, as_blob(duplicate.fields))
      .run();
}

Result<void> SealedListWriter::add_reject(const Reject& reject) {
  return database_.prepared(kInsertReject)
      .bind(1, reject.line)
      .bind(2, reject.column)
      .bind(3, reject.code)
      .bind(4, reject.message)
      .bind(5, as_blob(reject.fields))
      .run();
}

Result<void> SealedListWriter::write_boundaries() {
  for (const ListRange& range : ranges_) {
    VOUCH_CHECK(database_.prepared(kInsertBoundary)
                    .bind(1, std::int64_t{range.range})
                    .bind(2, as_blob(range.first_key))
                    .bind(3, range.rows)
                    .run());
  }
  return {};
}

Result<void> SealedListWriter::finish(const ListMeta& meta) {
  VOUCH_CHECK(flush());
  VOUCH_CHECK(write_boundaries());
  VOUCH_CHECK(database_.exec("COMMIT"));
  // The one commit that syncs, and with it everything that was written before.
  VOUCH_CHECK(database_.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE"));
  for (const auto& [key, value] : meta_to_rows(meta)) {
    VOUCH_CHECK(database_.prepared(kInsertMeta).bind(":key", key).bind(":value", value).run());
  }
  return database_.exec("COMMIT");
}

}  // namespace vouch::store
