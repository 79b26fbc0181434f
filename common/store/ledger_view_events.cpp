// The part of LedgerView for events and the history of an issuance: declared in ledger_view.hpp.
#include "common/store/ledger_view.hpp"
#include "common/store/ledger_view_rows.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kEvent = R"sql(
  SELECT e.seq, e.at_ms, e.kind, j.id, c.id, e.recipient_key, e.occurrence, e.item, e.round,
         e.from_state, e.to_state, e.outcome, e.http_status, e.transport, e.sends, e.duration_us,
         e.reference, e.reply_digest, e.detail, e.prev_seq, e.shared_by
    FROM event AS e LEFT JOIN job AS j ON j.number = e.job
                    LEFT JOIN campaign AS c ON c.number = e.campaign
   WHERE e.seq = :seq
)sql";
constexpr std::string_view kEvents = R"sql(
  SELECT e.seq, e.at_ms, e.kind, j.id, c.id, e.recipient_key, e.occurrence, e.item, e.round,
         e.from_state, e.to_state, e.outcome, e.http_status, e.transport, e.sends, e.duration_us,
         e.reference, e.reply_digest, e.detail, e.prev_seq, e.shared_by
    FROM event AS e LEFT JOIN job AS j ON j.number = e.job
                    LEFT JOIN campaign AS c ON c.number = e.campaign
   WHERE e.seq > :after ORDER BY e.seq LIMIT :max
)sql";
constexpr std::string_view kLastEvent = "SELECT coalesce(max(seq), 0) FROM event";

std::optional<int> small(const Statement& row, int column) {
  const auto value = row.integer_or_null(column);
  if (!value) return std::nullopt;
  return static_cast<int>(*value);
}

EventRow read_event(const Statement& row) {
  EventRow out;
  out.seq = row.integer(0);
  out.at = row.wall(1);
  out.kind = static_cast<EventKind>(row.integer(2));
  out.job = static_cast<ObjectId>(row.integer(3));
  if (!row.is_null(4) && !row.is_null(5)) {
    out.key = IssuanceKey{static_cast<ObjectId>(row.integer(4)), row.digest(5),
                          static_cast<std::uint64_t>(row.integer(6)),
                          static_cast<std::uint8_t>(row.integer(7))};
  }
  out.round = small(row, 8);
  out.from_state = small(row, 9);
  out.to_state = small(row, 10);
  out.outcome = small(row, 11);
  out.http_status = small(row, 12);
  out.transport = small(row, 13);
  out.sends = small(row, 14);
  out.duration_us = row.integer_or_null(15);
  out.reference = row.string(16);
  const Blob digest = row.blob(17);
  out.reply_digest = hex(digest);
  out.detail = row.string(18);
  out.prev_seq = row.integer_or_null(19);
  out.shared_by = small(row, 20);
  return out;
}

}  // namespace

Result<std::optional<EventRow>> LedgerView::event(std::int64_t seq) {
  VOUCH_TRY(auto rows, copy_rows(database_.prepared(kEvent).bind(":seq", seq), read_event));
  return first_of(std::move(rows));
}

Result<std::vector<EventRow>> LedgerView::history(const IssuanceRow& row, int max) {
  std::vector<EventRow> events;
  std::optional<std::int64_t> seq = row.last_event;
  while (seq && static_cast<int>(events.size()) < max) {
    VOUCH_TRY(auto found, event(*seq));
    if (!found) break;
    // A chain only leads back; anything else is damage, and must not become an endless loop.
    if (found->prev_seq && *found->prev_seq >= found->seq) found->prev_seq.reset();
    seq = found->prev_seq;
    events.push_back(std::move(*found));
  }
  return events;
}

Result<std::vector<EventRow>> LedgerView::events(std::int64_t after, int rows_max) {
  return copy_rows(
      database_.prepared(kEvents).bind(":after", after).bind(":max", std::int64_t{rows_max}),
      read_event);
}

Result<std::int64_t> LedgerView::last_event() {
  VOUCH_TRY(const auto rows, copy_rows(database_.prepared(kLastEvent),
                                       [](const Statement& row) { return row.integer(0); }));
  return rows.front();
}

}  // namespace vouch::store
