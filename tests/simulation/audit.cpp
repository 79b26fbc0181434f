#include "tests/simulation/audit.hpp"

#include <algorithm>
#include <set>

#include "daemon/service/call_form.hpp"
#include "tests/simulation/audit_rows.hpp"
#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

using store::Statement;

constexpr std::string_view kCampaigns = "SELECT id, number FROM campaign";
constexpr std::string_view kRangeOf = R"sql(
  SELECT job.id, issuance.range, job_range.epoch, job.kind = 2 OR issuance.doubt_ms IS NOT NULL
    FROM issuance JOIN job ON job.number = issuance.job
    JOIN job_range ON job_range.job = issuance.job AND job_range.range = issuance.range
   WHERE issuance.campaign = :campaign
     AND recipient_key = :recipient AND occurrence = :occurrence AND item = :item
)sql";
constexpr std::string_view kRow = R"sql(
  SELECT state, round, call_digest, ordinal FROM issuance
   WHERE campaign = :campaign AND recipient_key = :recipient AND occurrence = :occurrence
     AND item = :item
)sql";
constexpr std::string_view kItems = R"sql(
  SELECT count(*) FROM issuance
   WHERE campaign = :campaign AND recipient_key = :recipient AND occurrence = :occurrence
)sql";
constexpr std::string_view kCountState = "SELECT count(*) FROM issuance WHERE state = :state";
constexpr std::string_view kJobs = R"sql(
  SELECT number, id, kind, state, pause_reason, items, rows_accepted, ranges, ranges_planned
    FROM job
)sql";
// Counted by hand: SQLite would sort all rows to group them.
constexpr std::string_view kRows =
    "SELECT job, range, state, next_at_ms IS NULL, amount_minor FROM issuance";
constexpr std::string_view kRanges = R"sql(
  SELECT job, range, planned, sending, waiting, in_doubt, held, issued, declined, failed,
         cancelled, expired, skipped, fresh, issued_minor, rows_planned, repeats, moved, epoch
    FROM job_range
)sql";
constexpr std::string_view kLastEvent = "SELECT ifnull(max(seq), 0) FROM event";
constexpr std::string_view kRowsPlanned = "SELECT ifnull(sum(rows_planned), 0) FROM job_range";
constexpr std::string_view kItemsInState = R"sql(
  SELECT c.id, i.item, count(*) FROM issuance AS i JOIN campaign AS c ON c.number = i.campaign
   WHERE i.state = :state GROUP BY c.id, i.item
)sql";

std::string words(std::string_view what, std::int64_t job, std::int64_t range) {
  return std::string{what} + " of job " + std::to_string(job) + " range " + std::to_string(range);
}

struct Recount {
  std::array<std::int64_t, kIssuanceStates> by_state{};
  std::int64_t fresh = 0;
  std::int64_t issued_minor = 0;
};
using Recounts = std::map<std::pair<std::int64_t, std::int64_t>, Recount>;  // by job and range

Recounts recount(Statement& rows) {
  Recounts counts;
  while (next(rows)) {
    Recount& range = counts[{rows.integer(0), rows.integer(1)}];
    const IssuanceState state = state_at(rows, 2);
    ++range.by_state[static_cast<std::size_t>(state)];
    if (state == IssuanceState::sending) range.fresh += rows.integer(3);
    if (state == IssuanceState::issued) range.issued_minor += rows.integer(4);
  }
  return counts;
}

}  // namespace

std::int64_t Audit::number(std::string_view constant_sql) {
  Statement& select = database_.prepared(constant_sql);
  VOUCH_ASSERT(next(select));
  const std::int64_t value = select.integer(0);
  select.reset();
  return value;
}

std::optional<std::int64_t> Audit::campaign_number(ObjectId campaign) {
  if (!campaigns_.contains(campaign)) {
    Statement& select = database_.prepared(kCampaigns);
    while (next(select)) {
      campaigns_[static_cast<ObjectId>(select.integer(0))] = select.integer(1);
    }
  }
  const auto found = campaigns_.find(campaign);
  if (found == campaigns_.end()) return std::nullopt;
  return found->second;
}

std::optional<Audit::Row> Audit::row_of(const IssuanceKey& key) {
  const auto campaign = campaign_number(key.campaign);
  if (!campaign) return std::nullopt;
  Statement& select = database_.prepared(kRow);
  select.bind(":campaign", *campaign)
      .bind(":recipient", store::as_blob(key.recipient))
      .bind(":occurrence", static_cast<std::int64_t>(key.occurrence))
      .bind(":item", std::int64_t{key.item});
  if (!next(select)) return std::nullopt;
  const Row row{.state = state_at(select, 0),
                .round = static_cast<int>(select.integer(1)),
                .digest = select.digest(2),
                .ordinal = select.integer_or_null(3)};
  select.reset();
  return row;
}

std::optional<IssuanceState> Audit::state_of(const IssuanceKey& key) {
  const auto row = row_of(key);
  if (!row) return std::nullopt;
  return row->state;
}

std::optional<Audit::Range> Audit::range_of(const IssuanceKey& key) {
  const auto campaign = campaign_number(key.campaign);
  if (!campaign) return std::nullopt;
  Statement& select = database_.prepared(kRangeOf);
  select.bind(":campaign", *campaign)
      .bind(":recipient", store::as_blob(key.recipient))
      .bind(":occurrence", static_cast<std::int64_t>(key.occurrence))
      .bind(":item", std::int64_t{key.item});
  if (!next(select)) return std::nullopt;
  const Range range{.job = static_cast<ObjectId>(select.integer(0)),
                    .range = select.integer(1),
                    .epoch = select.integer(2),
                    .is_alone = select.integer(3) != 0};
  select.reset();
  return range;
}

std::optional<std::string> Audit::call_may_leave(const wire::HttpCall& call) {
  const std::string id = key_of(call);
  const auto parsed = parse_request_id(id);
  if (!parsed) return "a call leaves under the key \"" + id + "\", which is no request id";
  const auto row = row_of(parsed->key);
  if (!row) return "call " + id + " leaves and the ledger has no such row";
  if (row->state != IssuanceState::sending) {
    return "call " + id + " leaves and its row is " + std::string{name_of(row->state)};
  }
  if (row->round != parsed->round) return "call " + id + " leaves in another round than its row's";
  return call_has_its_bytes(call, *parsed, *row);
}

// The digest covers the call as it is before its code is put in its place, and then which code.
std::optional<std::string> Audit::call_has_its_bytes(const wire::HttpCall& call,
                                                     const RequestId& id, const Row& row) {
  const std::string name = key_of(call);
  if (store_.is_code(id.key.campaign, id.key.item) != row.ordinal.has_value()) {
    return "call " + name + " leaves " + (row.ordinal ? "with" : "without") + " a code";
  }
  std::string body = call.body;
  if (row.ordinal) {
    const std::string& code = SamplePool::shared().code(*row.ordinal);
    const auto at = body.find('"' + code + '"');
    if (at == std::string::npos) return "call " + name + " leaves without the code of its row";
    body.replace(at + 1, code.size(), plan::code_place(name));
  }
  Digest128 digest = service::call_digest(call.url, name, body);
  if (row.ordinal) {
    const store::PoolSegmentRow& segment = SamplePool::shared().segment_of(*row.ordinal);
    digest = sha256_128(std::string{digest.begin(), digest.end()} + segment.digest + "/" +
                        std::to_string(*row.ordinal - segment.first));
  }
  if (row.digest != digest) return "call " + name + " leaves with other bytes than its digest's";
  return std::nullopt;
}

std::optional<std::string> Audit::query_may_leave(const wire::HttpCall& call) {
  const std::string id = key_of(call);
  const auto parsed = parse_request_id(id);
  if (!parsed) return "a query leaves about \"" + id + "\", which is no request id";
  const auto row = row_of(parsed->key);
  if (!row || row->state != IssuanceState::in_doubt || row->round != parsed->round) {
    return "a query leaves about " + id + ", which is not in doubt";
  }
  return std::nullopt;
}

std::int64_t Audit::count(IssuanceState state, plan::Contract contract) {
  Statement& select = database_.prepared(kItemsInState);
  select.bind(":state", static_cast<std::int64_t>(state));
  std::int64_t rows = 0;
  while (next(select)) {
    const auto campaign = static_cast<ObjectId>(select.integer(0));
    const auto item = static_cast<std::size_t>(select.integer(1));
    if (store_.is_by_export(campaign, item)) continue;  // nobody is called
    if (store_.contract_of(campaign, item) == contract) rows += select.integer(2);
  }
  return rows;
}

std::optional<std::string> Audit::is_sending(const std::string& request_id) {
  const auto parsed = parse_request_id(request_id);
  VOUCH_ASSERT(parsed.has_value());
  const auto row = row_of(parsed->key);
  if (!row) return "call " + request_id + " was out, and no row of it has survived";
  if (row->state == IssuanceState::sending && row->round == parsed->round) return std::nullopt;
  return "call " + request_id + " was out, and its row has survived as " +
         std::string{name_of(row->state)};
}

std::vector<AuditedJob> Audit::jobs() {
  std::map<std::int64_t, AuditedJob> jobs;
  Statement& select = database_.prepared(kJobs);
  while (next(select)) {
    AuditedJob& job = jobs[select.integer(0)];
    job.number = select.integer(0);
    job.id = static_cast<ObjectId>(select.integer(1));
    job.kind = static_cast<int>(select.integer(2));
    job.state = static_cast<JobState>(select.integer(3));
    job.pause_reason = static_cast<PauseReason>(select.integer(4));
    job.items = static_cast<int>(select.integer(5));
    job.rows_accepted = select.integer(6);
    job.ranges = static_cast<int>(select.integer(7));
    job.ranges_planned = static_cast<int>(select.integer(8));
  }
  for (const auto& [range, counted] : recount(database_.prepared(kRows))) {
    AuditedJob& job = jobs[range.first];
    for (std::size_t i = 0; i < job.by_state.size(); ++i) job.by_state[i] += counted.by_state[i];
  }
  std::vector<AuditedJob> all;
  for (auto& [number, job] : jobs) all.push_back(job);
  return all;
}

std::int64_t Audit::count(IssuanceState state) {
  Statement& select = database_.prepared(kCountState);
  select.bind(":state", static_cast<std::int64_t>(state));
  VOUCH_ASSERT(next(select));
  const std::int64_t rows = select.integer(0);
  select.reset();
  return rows;
}

std::int64_t Audit::items_of(ObjectId campaign, const RecipientKey& recipient,
                             std::uint64_t occurrence) {
  const auto of = campaign_number(campaign);
  if (!of) return 0;
  Statement& select = database_.prepared(kItems);
  select.bind(":campaign", *of)
      .bind(":recipient", store::as_blob(recipient))
      .bind(":occurrence", static_cast<std::int64_t>(occurrence));
  VOUCH_ASSERT(next(select));
  const std::int64_t items = select.integer(0);
  select.reset();
  return items;
}

std::optional<std::string> Audit::commit_holds() {
  const std::int64_t event = number(kLastEvent);
  const std::int64_t planned = number(kRowsPlanned);
  if (event < seen_.last_event || planned < seen_.rows_planned) {
    return "the ledger has lost what it had committed";
  }
  seen_.last_event = event;
  seen_.rows_planned = planned;
  return see_new_codes();
}

std::optional<std::string> Audit::balance() {
  Recounts rows = recount(database_.prepared(kRows));
  struct Sums {
    std::int64_t rows_planned = 0;
    std::int64_t accounted = 0;
  };
  std::map<std::int64_t, Sums> sums;
  std::optional<std::string> wrong;
  Statement& ranges = database_.prepared(kRanges);
  while (next(ranges)) {
    const std::int64_t job = ranges.integer(0);
    const std::int64_t range = ranges.integer(1);
    const Recount counted = rows[{job, range}];
    rows.erase({job, range});
    Sums& sum = sums[job];
    for (int i = 0; i < kIssuanceStates; ++i) {
      const auto state = static_cast<std::size_t>(i);
      if (ranges.integer(2 + i) != counted.by_state[state]) {
        wrong = words(name_of(static_cast<IssuanceState>(i)), job, range) + ": total " +
                std::to_string(ranges.integer(2 + i)) + ", rows " +
                std::to_string(counted.by_state[state]);
      }
      sum.accounted += counted.by_state[state];
    }
    if (ranges.integer(13) != counted.fresh) wrong = words("fresh rows", job, range);
    if (ranges.integer(14) != counted.issued_minor) wrong = words("issued amounts", job, range);
    std::int64_t& epoch = seen_.epochs[{job, range}];
    if (ranges.integer(18) < epoch) wrong = words("the epoch went back", job, range);
    epoch = ranges.integer(18);
    sum.rows_planned += ranges.integer(15);
    sum.accounted += ranges.integer(16) + ranges.integer(17);
  }
  if (!rows.empty()) wrong = "rows of a range that has no totals";
  for (const AuditedJob& job : jobs()) {
    const Sums& sum = sums[job.number];
    const std::string name = "job " + std::to_string(job.number);
    if (sum.rows_planned * job.items != sum.accounted) {
      wrong = name + ": " + std::to_string(sum.rows_planned) + " rows planned, " +
              std::to_string(sum.accounted) + " issuances accounted for";
    }
    if (job.state == JobState::done && sum.rows_planned != job.rows_accepted) {
      wrong = name + " is done with " + std::to_string(sum.rows_planned) + " of " +
              std::to_string(job.rows_accepted) + " rows planned";
    }
    if (is_over(job.state) && job.open() + job.count(IssuanceState::held) > 0) {
      wrong = name + " is over with open rows";
    }
  }
  return wrong;
}

}  // namespace vouch::test
