// The part of LedgerView for issuances, one by one and by the page: declared in ledger_view.hpp.
#include <algorithm>

#include "common/export_mark.hpp"
#include "common/json.hpp"
#include "common/plan/campaign.hpp"
#include "common/store/ledger_view.hpp"
#include "common/store/ledger_view_rows.hpp"

namespace vouch::store {
namespace {

// A resent call that is out keeps its row in the index of what is due with a date of the year 9999,
// and so does what waits for an export.
static_assert(kExportMarksEndMs <= kNeverMs);

// By the primary key, whose first part is the campaign's number in this ledger.
constexpr std::string_view kIssuance = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, j.id, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event
    FROM issuance AS i JOIN job AS j ON j.number = i.job
   WHERE i.campaign = (SELECT number FROM campaign WHERE id = :campaign)
     AND i.recipient_key = :recipient AND i.occurrence = :occurrence AND i.item = :item
)sql";
constexpr std::string_view kOfRecipient = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, j.id, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event
    FROM issuance AS i JOIN job AS j ON j.number = i.job
   WHERE i.campaign = (SELECT number FROM campaign WHERE id = :campaign)
     AND i.recipient_key = :recipient
   ORDER BY i.occurrence, i.item LIMIT 1000
)sql";
// Walks the primary key; the join is a left one so that it cannot change that order.
constexpr std::string_view kPage = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, j.id, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event
    FROM issuance AS i LEFT JOIN job AS j ON j.number = i.job
   WHERE i.campaign = (SELECT number FROM campaign WHERE id = :campaign)
     AND (i.recipient_key, i.occurrence, i.item) > (:recipient, :occurrence, :item)
   ORDER BY i.recipient_key, i.occurrence, i.item LIMIT :max
)sql";
constexpr std::string_view kEvidence = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, j.id, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event, e.at_ms, e.reference
    FROM issuance AS i LEFT JOIN job AS j ON j.number = i.job
                       LEFT JOIN event AS e ON e.seq = i.last_event
   WHERE i.campaign = (SELECT number FROM campaign WHERE id = :campaign)
     AND (i.recipient_key, i.occurrence, i.item) > (:recipient, :occurrence, :item)
   ORDER BY i.recipient_key, i.occurrence, i.item LIMIT :max
)sql";
// Uses issuance_unissued: the states are written as in the index, or it could not be.
constexpr std::string_view kUnissued = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, :job, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event
    FROM issuance AS i
   WHERE i.job = (SELECT number FROM job WHERE id = :job)
     AND i.campaign = (SELECT campaign FROM job WHERE id = :job)
     AND i.state = :state AND (i.state = 4 OR i.state > 5)
     AND (i.recipient_key, i.occurrence, i.item) > (:recipient, :occurrence, :item)
   ORDER BY i.recipient_key, i.occurrence, i.item LIMIT :max
)sql";
// Uses issuance_due.
constexpr std::string_view kDue = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item, i.state, i.round, :job, i.campaign_version,
         i.downstream_version, i.amount_minor, i.intent_ms, i.doubt_ms, i.attempts, i.strikes,
         i.next_at_ms, i.last_event
    FROM issuance AS i
   WHERE i.job = (SELECT number FROM job WHERE id = :job)
     AND i.next_at_ms IS NOT NULL AND i.state IN (0, 2, 3)
   ORDER BY i.next_at_ms LIMIT :max
)sql";
// By the index issuance_due, which has all that is asked for but the code.
constexpr std::string_view kMarked = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item FROM issuance AS i
   WHERE i.job = (SELECT number FROM job WHERE id = :job) AND i.next_at_ms = :mark
     AND i.campaign = (SELECT campaign FROM job WHERE id = :job)
     AND (i.recipient_key, i.occurrence, i.item) > (:recipient, :occurrence, :item)
   ORDER BY i.recipient_key, i.occurrence, i.item LIMIT :max
)sql";
constexpr std::string_view kMarkedWithoutCode = R"sql(
  SELECT i.recipient_key, i.occurrence, i.item FROM issuance AS i
   WHERE i.job = (SELECT number FROM job WHERE id = :job) AND i.next_at_ms = :mark
     AND i.campaign = (SELECT campaign FROM job WHERE id = :job) AND i.ordinal IS NULL
     AND (i.recipient_key, i.occurrence, i.item) > (:recipient, :occurrence, :item)
   ORDER BY i.recipient_key, i.occurrence, i.item LIMIT :max
)sql";
constexpr std::string_view kSingleInput = R"sql(
  SELECT input FROM issuance_input
   WHERE campaign = (SELECT number FROM campaign WHERE id = :campaign)
     AND recipient_key = :recipient AND occurrence = :occurrence
)sql";

IssuanceRow read_issuance(const Statement& row, ObjectId campaign) {
  IssuanceRow out;
  out.key.campaign = campaign;
  out.key.recipient = row.digest(0);
  out.key.occurrence = static_cast<std::uint64_t>(row.integer(1));
  out.key.item = static_cast<std::uint8_t>(row.integer(2));
  out.state = static_cast<IssuanceState>(row.integer(3));
  out.round = static_cast<std::uint8_t>(row.integer(4));
  out.job = static_cast<ObjectId>(row.integer(5));
  out.campaign_version = static_cast<int>(row.integer(6));
  out.downstream_version = static_cast<int>(row.integer(7));
  out.by_export = is_by_export(out.downstream_version);
  out.amount_minor = row.integer_or_null(8);
  out.intent = row.wall(9);
  out.doubt = wall_or_null(row, 10);
  out.attempts = static_cast<int>(row.integer(11));
  out.strikes = static_cast<int>(row.integer(12));
  const auto next_at_ms = row.integer_or_null(13);
  if (next_at_ms && *next_at_ms < kExportMarksMs) out.next_at = from_ms(*next_at_ms);
  out.last_event = row.integer_or_null(14);
  return out;
}

Statement& bind_after(Statement& statement, const std::optional<IssuanceKey>& after) {
  // Before the first key: an empty blob is smaller than any.
  return statement.bind(":recipient", after ? as_blob(after->recipient) : Blob{})
      .bind(":occurrence", after ? static_cast<std::int64_t>(after->occurrence) : -1)
      .bind(":item", after ? std::int64_t{after->item} : -1);
}

}  // namespace

// A page at a time, so that no read lasts, however many they are.
Result<std::int64_t> LedgerView::count_marked(std::string_view page, ObjectId job,
                                              std::int64_t mark) {
  std::int64_t count = 0;
  std::optional<IssuanceKey> after;
  while (true) {
    Statement& statement = database_.prepared(page);
    statement.bind(":job", static_cast<std::int64_t>(job)).bind(":mark", mark);
    statement.bind(":max", std::int64_t{kPageRows});
    VOUCH_TRY(const auto keys, copy_rows(bind_after(statement, after), [](const Statement& row) {
                return IssuanceKey{.campaign = 0,
                                   .recipient = row.digest(0),
                                   .occurrence = static_cast<std::uint64_t>(row.integer(1)),
                                   .item = static_cast<std::uint8_t>(row.integer(2))};
              }));
    count += static_cast<std::int64_t>(keys.size());
    if (static_cast<int>(keys.size()) < kPageRows) return count;
    after = keys.back();
  }
}

Result<std::vector<ExportRows>> LedgerView::exports(ObjectId job) {
  std::vector<ExportRows> out;
  for (int stage = 0; stage < kExportStages; ++stage) {
    for (int item = 0; item < static_cast<int>(plan::kItemsMax); ++item) {
      ExportRows part{.stage = static_cast<ExportStage>(stage), .item = item};
      VOUCH_TRY(part.rows, count_marked(kMarked, job, export_mark(part.stage, item)));
      if (part.rows > 0) out.push_back(part);
    }
  }
  return out;
}

Result<std::int64_t> LedgerView::exports_without_code(ObjectId job, const ExportRows& of) {
  return count_marked(kMarkedWithoutCode, job, export_mark(of.stage, of.item));
}

Result<std::int64_t> LedgerView::exported(ObjectId campaign, ObjectId job) {
  std::int64_t count = 0;
  Page rows;
  do {
    VOUCH_TRY(rows, page(campaign, rows.next_after, {.job = job, .state = IssuanceState::issued}));
    count += std::ranges::count_if(
        rows.rows, [](const IssuanceRow& row) { return is_by_export(row.downstream_version); });
  } while (rows.next_after);
  return count;
}

Result<std::string> LedgerView::single_recipient(const IssuanceKey& key) {
  VOUCH_TRY(auto rows,
            copy_rows(database_.prepared(kSingleInput)
                          .bind(":campaign", static_cast<std::int64_t>(key.campaign))
                          .bind(":recipient", as_blob(key.recipient))
                          .bind(":occurrence", static_cast<std::int64_t>(key.occurrence)),
                      [](const Statement& row) { return row.string(0); }));
  if (rows.empty()) return std::string{};
  VOUCH_TRY(const Json input, parse_json(rows.front()));
  return input.value("recipient_id", std::string{});
}

Result<std::optional<IssuanceRow>> LedgerView::issuance(const IssuanceKey& key) {
  VOUCH_TRY(auto rows,
            copy_rows(database_.prepared(kIssuance)
                          .bind(":campaign", static_cast<std::int64_t>(key.campaign))
                          .bind(":recipient", as_blob(key.recipient))
                          .bind(":occurrence", static_cast<std::int64_t>(key.occurrence))
                          .bind(":item", std::int64_t{key.item}),
                      [&](const Statement& row) { return read_issuance(row, key.campaign); }));
  return first_of(std::move(rows));
}

Result<std::vector<IssuanceRow>> LedgerView::of_recipient(ObjectId campaign,
                                                          const RecipientKey& recipient) {
  return copy_rows(database_.prepared(kOfRecipient)
                       .bind(":campaign", static_cast<std::int64_t>(campaign))
                       .bind(":recipient", as_blob(recipient)),
                   [&](const Statement& row) { return read_issuance(row, campaign); });
}

Result<LedgerView::Page> LedgerView::page(ObjectId campaign,
                                          const std::optional<IssuanceKey>& after,
                                          const Filter& filter, int rows_max) {
  Statement& statement = database_.prepared(kPage)
                             .bind(":campaign", static_cast<std::int64_t>(campaign))
                             .bind(":max", std::int64_t{rows_max});
  VOUCH_TRY(auto rows, copy_rows(bind_after(statement, after), [&](const Statement& row) {
              return read_issuance(row, campaign);
            }));
  Page page;
  if (static_cast<int>(rows.size()) == rows_max) page.next_after = rows.back().key;
  for (IssuanceRow& row : rows) {
    if (filter.job != 0 && row.job != filter.job) continue;
    if (filter.state && row.state != *filter.state) continue;
    page.rows.push_back(std::move(row));
  }
  return page;
}

Result<std::vector<EvidenceRow>> LedgerView::evidence(ObjectId campaign,
                                                      const std::optional<IssuanceKey>& after,
                                                      int rows_max) {
  Statement& statement = database_.prepared(kEvidence)
                             .bind(":campaign", static_cast<std::int64_t>(campaign))
                             .bind(":max", std::int64_t{rows_max});
  return copy_rows(bind_after(statement, after), [&](const Statement& row) {
    return EvidenceRow{.row = read_issuance(row, campaign),
                       .event_at = wall_or_null(row, 15),
                       .reference = row.string(16)};
  });
}

Result<std::vector<IssuanceRow>> LedgerView::unissued(ObjectId job, IssuanceState state,
                                                      const std::optional<IssuanceKey>& after,
                                                      int rows_max) {
  VOUCH_TRY(const ObjectId campaign, campaign_of(job));
  Statement& statement = database_.prepared(kUnissued)
                             .bind(":job", static_cast<std::int64_t>(job))
                             .bind(":state", static_cast<std::int64_t>(state))
                             .bind(":max", std::int64_t{rows_max});
  return copy_rows(bind_after(statement, after),
                   [&](const Statement& row) { return read_issuance(row, campaign); });
}

Result<std::vector<IssuanceRow>> LedgerView::due(ObjectId job, int rows_max) {
  VOUCH_TRY(const ObjectId campaign, campaign_of(job));
  return copy_rows(database_.prepared(kDue)
                       .bind(":job", static_cast<std::int64_t>(job))
                       .bind(":max", std::int64_t{rows_max}),
                   [&](const Statement& row) { return read_issuance(row, campaign); });
}

}  // namespace vouch::store
