// IssuanceLedger's part for codes that go out by an export: declared in issuance_ledger.hpp.
//
// No call is made for such a row, so no engine, retry or query ever looks at it: its stage stands
// in its mark (common/export_mark.hpp), and only the steps here lead from one to the next.
#include "common/export_mark.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/issuance_rows.hpp"

namespace vouch::data {
namespace {

// By the index issuance_due: whoever has one mark is of one item and at one stage.
constexpr std::string_view kWaits = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event,
         ordinal
    FROM issuance
   WHERE job = ?1 AND next_at_ms = ?2
   LIMIT ?3
)sql";
constexpr std::string_view kTaken = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, round, range, amount_minor, last_event
    FROM issuance
   WHERE job = ?1 AND next_at_ms >= 253402300001000 AND next_at_ms < 253402300002000
   LIMIT ?2
)sql";
constexpr std::string_view kTake = R"sql(
  UPDATE issuance SET state = 1, intent_ms = ?1, next_at_ms = ?2, ordinal = ?3
   WHERE campaign = ?4 AND recipient_key = ?5 AND occurrence = ?6 AND item = ?7
     AND state IN (0, 2)
)sql";
constexpr std::string_view kDoubt = R"sql(
  UPDATE issuance SET state = 3, last_event = ?1, doubt_ms = ifnull(doubt_ms, intent_ms),
                      next_at_ms = ?2
   WHERE campaign = ?3 AND recipient_key = ?4 AND occurrence = ?5 AND item = ?6 AND state = 1
)sql";
// Each by its own primary key.
constexpr std::string_view kOwners = R"sql(
  SELECT i.campaign, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.range,
         i.amount_minor, i.last_event, i.job, i.downstream_version, code.ordinal
    FROM code JOIN issuance AS i ON i.campaign = code.campaign
                                AND i.recipient_key = code.recipient_key
                                AND i.occurrence = code.occurrence AND i.item = code.item
   WHERE code.pool = (SELECT number FROM pool WHERE id = ?1)
     AND code.ordinal >= ?2 AND code.ordinal < ?3
   ORDER BY code.ordinal
)sql";

// Every item has a mark of its own at each stage.
static_assert(static_cast<std::int64_t>(plan::kItemsMax) <= kExportStageMs);

struct CodeOwner {
  IssuanceRow row;
  std::int64_t job = 0;
  bool by_export = false;
  std::int64_t ordinal = 0;
};

// "exp_7h3k9q2x/<digest of the segment>/<ordinal in the pool>": the evidence of an exported code.
std::string reference_of(std::string_view export_id, const store::PoolRow& pool,
                         std::int64_t ordinal) {
  std::string reference{export_id};
  for (const store::PoolSegmentRow& segment : pool.segments) {
    if (ordinal < segment.first || ordinal >= segment.first + segment.codes) continue;
    reference += "/" + segment.digest;
  }
  return reference + "/" + std::to_string(ordinal);
}

}  // namespace

Result<IssuanceLedger::TakenForExport> IssuanceLedger::take_for_export(const ExportPage& page,
                                                                       WallTime now) {
  TakenForExport taken;
  for (int item = 0; item < static_cast<int>(plan::kItemsMax); ++item) {
    if (!page.items.contains(static_cast<std::size_t>(item)) || taken.rows == page.rows_max)
      continue;
    store::Statement& select = database_.prepared(kWaits);
    select.bind(1, page.job_number).bind(2, export_mark(ExportStage::waits, item));
    select.bind(3, std::int64_t{page.rows_max - taken.rows});
    std::vector<std::pair<IssuanceRow, std::optional<std::int64_t>>> rows;  // with their codes
    while (true) {
      VOUCH_TRY(const bool more, select.step());
      if (!more) break;
      rows.emplace_back(read_row(select), select.integer_or_null(9));
    }
    for (auto& [row, ordinal] : rows) {
      VOUCH_ASSERT(next_state(row.state, IssuanceEvent::send) == IssuanceState::sending);
      // One of a rerun has its code already, and keeps it.
      if (!ordinal) {
        VOUCH_TRY(const std::int64_t next, pools_.next(page.pool.id));
        taken.is_short = next >= page.pool.codes();
        if (taken.is_short) return taken;
        VOUCH_TRY(ordinal, pools_.take(page.pool.id, row.campaign, row.key));
      }
      store::Statement& update = database_.prepared(kTake);
      update.bind(1, to_ms(now)).bind(2, export_mark(ExportStage::taken, item)).bind(3, *ordinal);
      bind_key(update, 4, row.campaign, row.key);
      VOUCH_CHECK(update.run());
      VOUCH_ASSERT(database_.changes() == 1);
      jobs_.move(page.job_number, row.range, row.state, IssuanceState::sending, row.amount_minor);
      ++taken.rows;
    }
  }
  return taken;
}

Result<int> IssuanceLedger::confirm_export(const ExportedCodes& exported, WallTime now) {
  store::Statement& select = database_.prepared(kOwners);
  select.bind(1, static_cast<std::int64_t>(exported.pool.id)).bind(2, exported.first);
  select.bind(3, exported.first + exported.codes);
  std::vector<CodeOwner> owners;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    owners.push_back({.row = read_row(select),
                      .job = select.integer(9),
                      .by_export = is_by_export(select.integer(10)),
                      .ordinal = select.integer(11)});
  }
  int issued = 0;
  for (const CodeOwner& owner : owners) {
    const IssuanceRow& row = owner.row;
    if (row.state == IssuanceState::issued && owner.by_export) ++issued;
    if (row.state == IssuanceState::issued || !owner.by_export) continue;
    const std::string reference = reference_of(exported.export_id, exported.pool, owner.ordinal);
    RowEvent event = event_of(row, EventKind::exported, owner.job, IssuanceState::issued);
    event.reference = reference;
    VOUCH_TRY(const std::int64_t seq, events_.append(event, now));
    // Late evidence: the event stands.
    if (next_state(row.state, IssuanceEvent::confirm) != IssuanceState::issued) continue;
    VOUCH_CHECK(end_row(database_, IssuanceState::issued, seq, row.campaign, row.key));
    jobs_.move(owner.job, row.range, row.state, IssuanceState::issued, row.amount_minor);
    const JobRecord* job = jobs_.find(owner.job);
    if (job != nullptr && job->kind == JobKind::single) {
      Intent ended;
      ended.campaign_number = row.campaign;
      ended.key = row.key;
      VOUCH_CHECK(drop_input(ended));
    }
    ++issued;
  }
  return issued;
}

Result<int> IssuanceLedger::doubt_taken(std::int64_t job, int rows_max, std::string_view words,
                                        WallTime now) {
  store::Statement& select = database_.prepared(kTaken);
  select.bind(1, job).bind(2, std::int64_t{rows_max});
  VOUCH_TRY(const std::vector<IssuanceRow> rows, read_rows(select));
  for (const IssuanceRow& row : rows) {
    RowEvent event = event_of(row, EventKind::exported, job, IssuanceState::in_doubt);
    event.detail = words;
    VOUCH_TRY(const std::int64_t seq, events_.append(event, now));
    store::Statement& update = database_.prepared(kDoubt);
    update.bind(1, seq).bind(2, export_mark(ExportStage::in_doubt, row.key.item));
    bind_key(update, 3, row.campaign, row.key);
    VOUCH_CHECK(update.run());
    jobs_.move(job, row.range, row.state, IssuanceState::in_doubt, row.amount_minor);
  }
  return static_cast<int>(rows.size());
}

}  // namespace vouch::data
