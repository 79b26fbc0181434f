#include "daemon/data/proposal_book.hpp"

#include "common/set_digest.hpp"
#include "common/text.hpp"

namespace vouch::data {
namespace {

// In the order of Proposal; the grant's columns are NULL until there is one.
constexpr std::string_view kOne = R"sql(
  SELECT p.id, p.state, j.id, p.to_state, p.reason, p.evidence, p.statement, p.scope, p.operator,
         p.account, p.uid, p.proposed_ms, p.rows, p.digest, p.rows_left, p.rows_applied, p.ended_ms,
         g.granted, g.operator, g.account, g.uid, g.at_ms, g.words
    FROM proposal AS p JOIN job AS j ON j.number = p.job
                       LEFT JOIN grant AS g ON g.proposal = p.id
   WHERE p.id = :id
)sql";
constexpr std::string_view kNewest = R"sql(
  SELECT p.id, p.state, j.id, p.to_state, p.reason, p.evidence, p.statement, p.scope, p.operator,
         p.account, p.uid, p.proposed_ms, p.rows, p.digest, p.rows_left, p.rows_applied, p.ended_ms,
         g.granted, g.operator, g.account, g.uid, g.at_ms, g.words
    FROM proposal AS p JOIN job AS j ON j.number = p.job
                       LEFT JOIN grant AS g ON g.proposal = p.id
   WHERE p.state > 0
   ORDER BY p.state > 2, p.proposed_ms DESC, p.id LIMIT :max
)sql";
constexpr std::string_view kItems = R"sql(
  SELECT item, rows, amount_minor FROM proposal_item WHERE proposal = :id ORDER BY item
)sql";
constexpr std::string_view kUnfinished = R"sql(
  SELECT id FROM proposal
   WHERE (state = 2 OR (state = 4 AND rows_left > 0)) ORDER BY proposed_ms LIMIT 1
)sql";
constexpr std::string_view kGiveUpDrafts = R"sql(
  UPDATE proposal SET state = 4, ended_ms = :now_ms WHERE state = 0
)sql";

constexpr std::string_view kInsert = R"sql(
  INSERT OR IGNORE INTO proposal (id, state, job, to_state, reason, evidence, statement, scope,
                                  operator, account, uid, proposed_ms, digest)
  SELECT :id, 0, number, :to_state, :reason, :evidence, :statement, :scope, :operator, :account,
         :uid, :at_ms, :digest
    FROM job WHERE id = :job
)sql";
constexpr std::string_view kInsertRow = R"sql(
  INSERT INTO proposal_row (proposal, place, request_id, state, seen, reference, amount_minor)
  VALUES (:proposal, :place, :request_id, :state, :seen, :reference, :amount_minor)
  ON CONFLICT (proposal, request_id) DO NOTHING
)sql";
constexpr std::string_view kAddToItem = R"sql(
  INSERT INTO proposal_item (proposal, item, rows, amount_minor)
  VALUES (:proposal, :item, 1, :amount_minor)
  ON CONFLICT (proposal, item) DO UPDATE SET
    rows = rows + 1, amount_minor = amount_minor + excluded.amount_minor
)sql";
constexpr std::string_view kCount = R"sql(
  UPDATE proposal SET rows = :rows, rows_left = :rows, digest = :digest
   WHERE id = :id AND state = 0
)sql";
constexpr std::string_view kOpen = "UPDATE proposal SET state = 1 WHERE id = :id AND state = 0";
constexpr std::string_view kGrantIt = R"sql(
  UPDATE proposal SET state = 2
   WHERE id = :id AND state = 1 AND digest = :digest
     AND (:four_eyes = 0 OR (operator <> :operator AND uid <> :uid))
)sql";
constexpr std::string_view kRefuseIt = R"sql(
  UPDATE proposal SET state = 4, ended_ms = :now_ms WHERE id = :id AND (state = 0 OR state = 1)
)sql";
constexpr std::string_view kInsertGrant = R"sql(
  INSERT INTO grant (at_ms, proposal, granted, operator, account, uid, rows, digest, words)
  SELECT :at_ms, id, :granted, :operator, :account, :uid, rows, digest, :words
    FROM proposal WHERE id = :id
)sql";

// By the primary key, from the first row that is left.
constexpr std::string_view kPage = R"sql(
  SELECT place, request_id, state, seen, reference, amount_minor FROM proposal_row
   WHERE proposal = :id ORDER BY place LIMIT :max
)sql";
constexpr std::string_view kDropPage =
    "DELETE FROM proposal_row WHERE proposal = :id AND place <= :place";
constexpr std::string_view kAdvance = R"sql(
  UPDATE proposal SET rows_left = :rows_left, rows_applied = rows_applied + :applied,
                      state = CASE WHEN state = 2 AND :rows_left = 0 THEN 3 ELSE state END,
                      ended_ms = CASE WHEN :rows_left = 0 THEN ifnull(ended_ms, :now_ms)
                                      ELSE ended_ms END
   WHERE id = :id
)sql";

constexpr std::string_view kJobNumber = "SELECT number FROM job WHERE id = :id";

std::int64_t number(ObjectId id) {
  return static_cast<std::int64_t>(id);
}

Authority read_authority(const store::Statement& row, int column) {
  return {row.string(column), row.string(column + 1),
          static_cast<std::uint32_t>(row.integer(column + 2))};
}

Proposal read_row(const store::Statement& row) {
  Proposal out;
  out.id = static_cast<ObjectId>(row.integer(0));
  out.state = static_cast<ProposalState>(row.integer(1));
  out.job = static_cast<ObjectId>(row.integer(2));
  out.to = static_cast<IssuanceState>(row.integer(3));
  out.reason = row.string(4);
  out.evidence = row.string(5);
  out.statement = row.string(6);
  out.scope = row.string(7);
  out.by = read_authority(row, 8);
  out.at = row.wall(11);
  out.rows = row.integer(12);
  out.digest = row.digest(13);
  out.rows_left = row.integer(14);
  out.rows_applied = row.integer(15);
  if (!row.is_null(16)) out.ended = row.wall(16);
  if (row.is_null(17)) return out;
  out.grant = Grant{.granted = row.integer(17) != 0,
                    .by = read_authority(row, 18),
                    .at = row.wall(21),
                    .words = row.string(22)};
  return out;
}

Result<void> read_items(store::Database& ledger, Proposal& proposal) {
  store::Statement& items = ledger.prepared(kItems).bind(":id", number(proposal.id));
  while (true) {
    VOUCH_TRY(const bool more, items.step());
    if (!more) return {};
    proposal.items.push_back(
        {static_cast<int>(items.integer(0)), items.integer(1), items.integer(2)});
  }
}

// What stands in the events of the rows: who wanted it, who said yes, and why.
std::string words_of(const Proposal& proposal) {
  const std::string id = format_id(ObjectKind::proposal, proposal.id);
  const std::string& by = proposal.by.operator_name;
  std::string words = proposal.evidence.empty() ? "" : proposal.evidence + ": ";
  words += proposal.statement.empty()
               ? proposal.reason + " (" + id + " by " + by
               : "statement " + proposal.statement + ", given by " + by + " (" + id;
  if (proposal.grant && proposal.grant->by.operator_name != proposal.by.operator_name) {
    words += ", confirmed by " + proposal.grant->by.operator_name;
  }
  return words + ")";
}

}  // namespace

Result<std::optional<Proposal>> read_proposal(store::Database& ledger, ObjectId id) {
  store::Statement& select = ledger.prepared(kOne).bind(":id", number(id));
  VOUCH_TRY(const bool found, select.step());
  if (!found) return std::optional<Proposal>{};
  Proposal proposal = read_row(select);
  select.reset();
  VOUCH_CHECK(read_items(ledger, proposal));
  return std::optional{std::move(proposal)};
}

Result<std::vector<Proposal>> read_proposals(store::Database& ledger, int max) {
  store::Statement& select = ledger.prepared(kNewest).bind(":max", std::int64_t{max});
  std::vector<Proposal> all;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    all.push_back(read_row(select));
  }
  for (Proposal& proposal : all) VOUCH_CHECK(read_items(ledger, proposal));
  return all;
}

Result<ObjectId> unfinished_proposal(store::Database& ledger) {
  store::Statement& select = ledger.prepared(kUnfinished);
  VOUCH_TRY(const bool found, select.step());
  const auto id = found ? static_cast<ObjectId>(select.integer(0)) : ObjectId{0};
  select.reset();
  return id;
}

Result<void> ProposalBook::load(WallTime now) {
  return database_.prepared(kGiveUpDrafts).bind(":now_ms", now).run();
}

Result<void> ProposalBook::draft(const Proposal& proposal) {
  return database_.prepared(kInsert)
      .bind(":id", number(proposal.id))
      .bind(":job", number(proposal.job))
      .bind(":to_state", static_cast<std::int64_t>(proposal.to))
      .bind(":reason", proposal.reason)
      .bind(":evidence", proposal.evidence)
      .bind(":statement", proposal.statement)
      .bind(":scope", proposal.scope)
      .bind(":operator", proposal.by.operator_name)
      .bind(":account", proposal.by.account)
      .bind(":uid", std::int64_t{proposal.by.uid})
      .bind(":at_ms", proposal.at)
      .bind(":digest", store::as_blob(SetDigest{}.value()))
      .run();
}

Result<std::int64_t> ProposalBook::job_number(ObjectId job) {
  store::Statement& select = database_.prepared(kJobNumber).bind(":id", number(job));
  VOUCH_TRY(const bool found, select.step());
  VOUCH_ASSERT(found);  // a foreign key
  const std::int64_t job_number = select.integer(0);
  select.reset();
  return job_number;
}

Result<void> ProposalBook::add_rows(ObjectId id, const std::vector<ProposedRow>& rows) {
  VOUCH_TRY(const auto found, read_proposal(database_, id));
  if (!found || found->state != ProposalState::draft) return {};
  VOUCH_TRY(const std::int64_t job, job_number(found->job));
  SetDigest digest{found->digest};
  std::int64_t count = found->rows;
  for (const ProposedRow& row : rows) {
    const auto name = parse_request_id(row.request_id);
    if (!name) continue;
    VOUCH_TRY(const auto issuance, ledger_.find(name->key, job));
    if (!issuance) continue;
    VOUCH_CHECK(database_.prepared(kInsertRow)
                    .bind(":proposal", number(id))
                    .bind(":place", count + 1)
                    .bind(":request_id", row.request_id)
                    .bind(":state", static_cast<std::int64_t>(row.state))
                    .bind(":seen", row.last_event)
                    .bind(":reference", row.reference)
                    .bind(":amount_minor", row.amount_minor)
                    .run());
    if (database_.changes() == 0) continue;  // it is there already
    ++count;
    VOUCH_CHECK(database_.prepared(kAddToItem)
                    .bind(":proposal", number(id))
                    .bind(":item", std::int64_t{name->key.item})
                    .bind(":amount_minor", issuance->amount_minor.value_or(0))
                    .run());
    digest.add(proposal_member(row.request_id, row.reference));
  }
  const Digest128 value = digest.value();
  return database_.prepared(kCount)
      .bind(":id", number(id))
      .bind(":rows", count)
      .bind(":digest", store::as_blob(value))
      .run();
}

Result<void> ProposalBook::open(ObjectId id) {
  return database_.prepared(kOpen).bind(":id", number(id)).run();
}

Result<void> ProposalBook::decide(const Decision& decision, WallTime now) {
  const Grant& grant = decision.grant;
  if (grant.granted) {
    VOUCH_CHECK(database_.prepared(kGrantIt)
                    .bind(":id", number(decision.id))
                    .bind(":digest", store::as_blob(decision.digest))
                    .bind(":four_eyes", std::int64_t{decision.four_eyes ? 1 : 0})
                    .bind(":operator", grant.by.operator_name)
                    .bind(":uid", std::int64_t{grant.by.uid})
                    .run());
  } else {
    VOUCH_CHECK(
        database_.prepared(kRefuseIt).bind(":id", number(decision.id)).bind(":now_ms", now).run());
  }
  if (database_.changes() == 0) return {};
  VOUCH_CHECK(database_.prepared(kInsertGrant)
                  .bind(":id", number(decision.id))
                  .bind(":at_ms", grant.at)
                  .bind(":granted", std::int64_t{grant.granted ? 1 : 0})
                  .bind(":operator", grant.by.operator_name)
                  .bind(":account", grant.by.account)
                  .bind(":uid", std::int64_t{grant.by.uid})
                  .bind(":words", grant.words)
                  .run());
  return page(decision.id, now).map([](int) {});
}

Result<bool> ProposalBook::apply_row(const Proposal& proposal, std::int64_t job,
                                     const ProposedRow& row, const std::string& words,
                                     WallTime now) {
  VOUCH_TRY(const RequestId name, parse_request_id(row.request_id));
  return ledger_.resolve({.key = name.key,
                          .round = name.round,
                          .job_number = job,
                          .from = row.state,
                          .last_event = row.last_event,
                          .to = proposal.to,
                          .by_statement = !proposal.statement.empty(),
                          .amount_minor = row.amount_minor,
                          .reference = row.reference,
                          .words = words},
                         now);
}

Result<ProposalBook::Page> ProposalBook::read_page(ObjectId id) {
  store::Statement& select = database_.prepared(kPage);
  select.bind(":id", number(id)).bind(":max", std::int64_t{kProposalRowsPage});
  Page page;
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) return page;
    page.last = select.integer(0);
    page.rows.push_back({.request_id = select.string(1),
                         .state = static_cast<IssuanceState>(select.integer(2)),
                         .last_event = select.integer_or_null(3),
                         .reference = select.string(4),
                         .amount_minor = select.integer_or_null(5)});
  }
}

Result<int> ProposalBook::page(ObjectId id, WallTime now) {
  VOUCH_TRY(const auto found, read_proposal(database_, id));
  if (!found) return 0;
  const bool granted = found->state == ProposalState::granted;
  if (!granted && found->state != ProposalState::refused) return 0;
  VOUCH_TRY(const std::int64_t job, job_number(found->job));
  VOUCH_TRY(const Page page, read_page(id));
  const std::string words = words_of(*found);
  std::int64_t applied = 0;
  for (const ProposedRow& row : page.rows) {
    if (!granted) break;
    VOUCH_TRY(const bool done, apply_row(*found, job, row, words, now));
    applied += done ? 1 : 0;
  }
  const auto rows = static_cast<std::int64_t>(page.rows.size());
  VOUCH_CHECK(
      database_.prepared(kDropPage).bind(":id", number(id)).bind(":place", page.last).run());
  VOUCH_CHECK(database_.prepared(kAdvance)
                  .bind(":id", number(id))
                  .bind(":rows_left", found->rows_left - rows)
                  .bind(":applied", applied)
                  .bind(":now_ms", now)
                  .run());
  return static_cast<int>(rows);
}

}  // namespace vouch::data
