#include "daemon/data/issuance_rows.hpp"

#include <utility>

namespace vouch::data {
namespace {

constexpr std::string_view kEndRow = R"sql(
  UPDATE issuance SET state = ?1, last_event = ?2, next_at_ms = NULL
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6
)sql";

}  // namespace

IssuanceRow read_row(const store::Statement& select) {
  IssuanceRow row;
  row.campaign = select.integer(0);
  row.key.recipient = select.digest(1);
  row.key.occurrence = static_cast<std::uint64_t>(select.integer(2));
  row.key.item = static_cast<std::uint8_t>(select.integer(3));
  row.state = static_cast<IssuanceState>(select.integer(4));
  row.round = static_cast<std::uint8_t>(select.integer(5));
  row.range = static_cast<std::int32_t>(select.integer(6));
  row.amount_minor = select.integer_or_null(7);
  row.last_event = select.integer_or_null(8);
  return row;
}

Result<std::vector<IssuanceRow>> read_rows(store::Statement& select) {
  std::vector<IssuanceRow> rows;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return rows;
    rows.push_back(read_row(select));
  }
}

RowEvent event_of(const IssuanceRow& row, EventKind kind, std::int64_t job, IssuanceState to) {
  return {.kind = kind,
          .job_number = job,
          .campaign_number = row.campaign,
          .key = row.key,
          .round = row.round,
          .from = row.state,
          .to = to,
          .detail = {},
          .previous = row.last_event};
}

void bind_key(store::Statement& statement, int index, std::int64_t campaign,
              const IssuanceKey& key) {
  statement.bind(index, campaign);
  statement.bind(index + 1, store::as_blob(key.recipient));
  statement.bind(index + 2, static_cast<std::int64_t>(key.occurrence));
  statement.bind(index + 3, std::int64_t{key.item});
}

void bind_or_null(store::Statement& statement, int index,
                  const std::optional<std::int64_t>& number) {
  if (number) {
    statement.bind(index, *number);
  } else {
    statement.bind(index, nullptr);
  }
}

void bind_time(store::Statement& statement, int index, const std::optional<WallTime>& time) {
  bind_or_null(statement, index, time ? std::optional{to_ms(*time)} : std::nullopt);
}

Result<void> end_row(store::Database& database, IssuanceState to, std::int64_t event,
                     std::int64_t campaign, const IssuanceKey& key) {
  store::Statement& update = database.prepared(kEndRow);
  update.bind(1, static_cast<std::int64_t>(to)).bind(2, event);
  bind_key(update, 3, campaign, key);
  return update.run();
}

}  // namespace vouch::data
