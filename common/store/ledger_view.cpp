#include "common/store/ledger_view.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/plan/campaign.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

// A resent call that is out keeps its row in the index of what is due with a date of the year 9999,
// and so does what waits for an export.
static_assert(kExportMarksEndMs <= kNeverMs);

constexpr std::string_view kCodesOut = "SELECT next_ordinal FROM pool WHERE id = :id";
constexpr std::string_view kJobs = R"sql(
  SELECT j.id, j.state, j.pause_reason, j.pause_detail, j.rows_accepted, j.items, j.pilot_left,
         j.submitted_ms, j.started_ms, j.ended_ms,
         coalesce(sum(r.rows_planned), 0), coalesce(sum(r.repeats), 0), coalesce(sum(r.moved), 0),
         coalesce(sum(r.issued_minor), 0),
         coalesce(sum(r.planned), 0), coalesce(sum(r.sending), 0), coalesce(sum(r.waiting), 0),
         coalesce(sum(r.in_doubt), 0), coalesce(sum(r.held), 0), coalesce(sum(r.issued), 0),
         coalesce(sum(r.declined), 0), coalesce(sum(r.failed), 0), coalesce(sum(r.cancelled), 0),
         coalesce(sum(r.expired), 0), coalesce(sum(r.skipped), 0)
    FROM job AS j LEFT JOIN job_range AS r ON r.job = j.number
   GROUP BY j.number ORDER BY j.number
)sql";
constexpr std::string_view kJob = R"sql(
  SELECT j.id, j.state, j.pause_reason, j.pause_detail, j.rows_accepted, j.items, j.pilot_left,
         j.submitted_ms, j.started_ms, j.ended_ms,
         coalesce(sum(r.rows_planned), 0), coalesce(sum(r.repeats), 0), coalesce(sum(r.moved), 0),
         coalesce(sum(r.issued_minor), 0),
         coalesce(sum(r.planned), 0), coalesce(sum(r.sending), 0), coalesce(sum(r.waiting), 0),
         coalesce(sum(r.in_doubt), 0), coalesce(sum(r.held), 0), coalesce(sum(r.issued), 0),
         coalesce(sum(r.declined), 0), coalesce(sum(r.failed), 0), coalesce(sum(r.cancelled), 0),
         coalesce(sum(r.expired), 0), coalesce(sum(r.skipped), 0)
    FROM job AS j LEFT JOIN job_range AS r ON r.job = j.number
   WHERE j.id = :id GROUP BY j.number
)sql";
constexpr int kFirstStateColumn = 14;

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
constexpr std::string_view kCampaignOfJob =
    "SELECT c.id FROM job AS j JOIN campaign AS c ON c.number = j.campaign WHERE j.id = :job";

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
constexpr std::string_view kDownstreams =
    "SELECT downstream, condition, since_ms, next_ms, detail FROM downstream_state";
constexpr std::string_view kLastEvent = "SELECT coalesce(max(seq), 0) FROM event";
constexpr std::string_view kMeta = "SELECT value FROM ledger_meta WHERE key = :key";

std::optional<WallTime> wall_or_null(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.wall(column);
}

JobProgress read_job(const Statement& row) {
  JobProgress job;
  job.id = static_cast<ObjectId>(row.integer(0));
  job.state = static_cast<JobState>(row.integer(1));
  job.pause_reason = static_cast<PauseReason>(row.integer(2));
  job.pause_detail = row.string(3);
  job.rows_accepted = row.integer(4);
  job.items = static_cast<int>(row.integer(5));
  job.pilot_left = row.integer_or_null(6);
  job.submitted = row.wall(7);
  job.started = wall_or_null(row, 8);
  job.ended = wall_or_null(row, 9);
  job.rows_planned = row.integer(10);
  job.repeats = row.integer(11);
  job.moved = row.integer(12);
  job.issued_minor = row.integer(13);
  for (int i = 0; i < kIssuanceStates; ++i) {
    job.by_state[static_cast<std::size_t>(i)] = row.integer(kFirstStateColumn + i);
  }
  return job;
}

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

// Copies every row and leaves the statement reset: no read lock outlives this call.
template <typename Read>
auto copy_rows(Statement& statement, Read read) -> Result<std::vector<decltype(read(statement))>> {
  std::vector<decltype(read(statement))> rows;
  while (true) {
    VOUCH_TRY(const bool more, statement.step());
    if (!more) return rows;
    rows.push_back(read(statement));
  }
}

template <typename T>
std::optional<T> first_of(std::vector<T> rows) {
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

Statement& bind_after(Statement& statement, const std::optional<IssuanceKey>& after) {
  // Before the first key: an empty blob is smaller than any.
  return statement.bind(":recipient", after ? as_blob(after->recipient) : Blob{})
      .bind(":occurrence", after ? static_cast<std::int64_t>(after->occurrence) : -1)
      .bind(":item", after ? std::int64_t{after->item} : -1);
}

std::string group_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "the store's group";
  const group* entry = ::getgrgid(status.st_gid);
  return entry != nullptr ? std::string{"the group "} + entry->gr_name
                          : "the group " + std::to_string(status.st_gid);
}

}  // namespace

std::int64_t JobProgress::total() const {
  return std::accumulate(by_state.begin(), by_state.end(), std::int64_t{0}) + repeats + moved +
         not_planned();
}

bool JobProgress::balanced() const {
  return rows_accepted * items == total();
}

Result<LedgerView> LedgerView::open(const StorePaths& paths, std::string_view instance) {
  const std::string path = paths.ledger_db(instance);
  if (::access(path.c_str(), R_OK) != 0) {
    if (errno == EACCES) {
      return fail(Errc::not_permitted, path + ": this account may not read it",
                  "join " + group_of(paths.root + "/ledger") + ", then log in again");
    }
    return fail(Errc::store, "the instance \"" + std::string{instance} + "\" has no ledger yet",
                "it is made when its vouchd first starts");
  }
  VOUCH_TRY(Database database, Database::open(path, {.mode = OpenMode::read_only, .vfs = {}}));
  VOUCH_CHECK(check_migrated(database, embedded::ledger_migrations));
  return LedgerView{std::move(database)};
}

Result<std::optional<JobProgress>> LedgerView::job(ObjectId id) {
  VOUCH_TRY(
      auto rows,
      copy_rows(database_.prepared(kJob).bind(":id", static_cast<std::int64_t>(id)), read_job));
  return first_of(std::move(rows));
}

Result<std::vector<JobProgress>> LedgerView::jobs() {
  return copy_rows(database_.prepared(kJobs), read_job);
}

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

Result<std::int64_t> LedgerView::codes_out(ObjectId pool) {
  Statement& select = database_.prepared(kCodesOut);
  select.bind(":id", static_cast<std::int64_t>(pool));
  VOUCH_TRY(const bool found, select.step());
  const std::int64_t out = found ? select.integer(0) : 0;
  select.reset();
  return out;
}

Result<ObjectId> LedgerView::campaign_of(ObjectId job) {
  VOUCH_TRY(
      const auto ids,
      copy_rows(database_.prepared(kCampaignOfJob).bind(":job", static_cast<std::int64_t>(job)),
                [](const Statement& row) { return static_cast<ObjectId>(row.integer(0)); }));
  return ids.empty() ? 0 : ids.front();
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

Result<std::vector<DownstreamState>> LedgerView::downstreams() {
  return copy_rows(database_.prepared(kDownstreams), [](const Statement& row) {
    return DownstreamState{.downstream = static_cast<ObjectId>(row.integer(0)),
                           .condition = static_cast<DownstreamCondition>(row.integer(1)),
                           .since = row.wall(2),
                           .next = wall_or_null(row, 3),
                           .detail = row.string(4)};
  });
}

Result<std::int64_t> LedgerView::last_event() {
  VOUCH_TRY(const auto rows, copy_rows(database_.prepared(kLastEvent),
                                       [](const Statement& row) { return row.integer(0); }));
  return rows.front();
}

Result<std::string> LedgerView::meta(std::string_view key) {
  VOUCH_TRY(auto rows, copy_rows(database_.prepared(kMeta).bind(":key", key),
                                 [](const Statement& row) { return row.string(0); }));
  return first_of(std::move(rows)).value_or("");
}

}  // namespace vouch::store
