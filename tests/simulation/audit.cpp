#include "tests/simulation/audit.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "daemon/service/call_form.hpp"

namespace vouch::test {
namespace {

using store::Statement;

constexpr std::string_view kCampaigns = "SELECT id, number FROM campaign";
constexpr std::string_view kRangeOf = R"sql(
  SELECT job.id, issuance.range, job_range.epoch
    FROM issuance JOIN job ON job.number = issuance.job
    JOIN job_range ON job_range.job = issuance.job AND job_range.range = issuance.range
   WHERE issuance.campaign = :campaign
     AND recipient_key = :recipient AND occurrence = :occurrence AND item = :item
)sql";
constexpr std::string_view kRow = R"sql(
  SELECT state, round, call_digest FROM issuance
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
         cancelled, expired, skipped, fresh, issued_minor, rows_planned, repeats, moved
    FROM job_range
)sql";
constexpr std::string_view kRowsWithEvidence = R"sql(
  SELECT c.id, i.recipient_key, i.occurrence, i.item, i.state, i.round, i.amount_minor,
         e.kind, e.outcome, e.to_state, e.reference, e.reply_digest
    FROM issuance AS i JOIN campaign AS c ON c.number = i.campaign
    LEFT JOIN event AS e ON e.seq = i.last_event
)sql";
constexpr std::string_view kEvents = R"sql(
  SELECT seq, kind, campaign, recipient_key, occurrence, item, from_state, to_state, prev_seq,
         (SELECT id FROM campaign WHERE number = event.campaign)
    FROM event WHERE recipient_key IS NOT NULL ORDER BY seq
)sql";
constexpr std::string_view kItemsInState = R"sql(
  SELECT c.id, i.item, count(*) FROM issuance AS i JOIN campaign AS c ON c.number = i.campaign
   WHERE i.state = :state GROUP BY c.id, i.item
)sql";
constexpr std::string_view kGaps = "SELECT max(seq) - count(*) FROM event";
constexpr std::string_view kLastEvents = R"sql(
  SELECT campaign, recipient_key, occurrence, item, state, last_event FROM issuance
)sql";

bool next(Statement& select) {
  auto row = select.step();
  if (!row) std::fprintf(stderr, "audit: %s\n", row.error().message.c_str());
  VOUCH_ASSERT(row.has_value());
  return *row;
}

IssuanceState state_at(const Statement& row, int column) {
  return static_cast<IssuanceState>(row.integer(column));
}

// Within one ledger.
using Place = std::tuple<std::int64_t, RecipientKey, std::int64_t, std::int64_t>;
Place place_at(const Statement& row, int column) {
  return {row.integer(column), row.digest(column + 1), row.integer(column + 2),
          row.integer(column + 3)};
}

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
                .digest = select.digest(2)};
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
                    .epoch = select.integer(2)};
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
  if (row->digest != service::call_digest(call.url, id, call.body)) {
    return "call " + id + " leaves with other bytes than the ledger's digest";
  }
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

std::int64_t Audit::count(IssuanceState state, const ContractOf& contract_of,
                          plan::Contract contract) {
  Statement& select = database_.prepared(kItemsInState);
  select.bind(":state", static_cast<std::int64_t>(state));
  std::int64_t rows = 0;
  while (next(select)) {
    const auto campaign = static_cast<ObjectId>(select.integer(0));
    if (contract_of(campaign, static_cast<std::size_t>(select.integer(1))) == contract) {
      rows += select.integer(2);
    }
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

std::optional<std::string> Audit::journals_agree(const Journals& journals) {
  std::map<std::string, Execution> executed;
  for (const ModelService* service : journals) {
    executed.insert(service->journal().begin(), service->journal().end());
  }
  std::optional<std::string> wrong;
  Statement& row = database_.prepared(kRowsWithEvidence);
  while (next(row)) {
    const IssuanceKey key{.campaign = static_cast<ObjectId>(row.integer(0)),
                          .recipient = row.digest(1),
                          .occurrence = static_cast<std::uint64_t>(row.integer(2)),
                          .item = static_cast<std::uint8_t>(row.integer(3))};
    const IssuanceState state = state_at(row, 4);
    const auto round = static_cast<std::uint8_t>(row.integer(5));
    const std::string id = format_request_id(key, round);
    int effects = 0;
    std::optional<Execution> last;
    for (int r = 0; r <= round; ++r) {
      const auto found = executed.find(format_request_id(key, static_cast<std::uint8_t>(r)));
      if (found == executed.end()) continue;
      ++effects;
      if (r == round) last = found->second;
      executed.erase(found);
    }
    const bool unknown = state == IssuanceState::sending || state == IssuanceState::in_doubt ||
                         state == IssuanceState::held;
    if (effects > 1) wrong = id + " has had " + std::to_string(effects) + " effects";
    if (!unknown && state != IssuanceState::issued && effects > 0) {
      wrong = id + " is " + std::string{name_of(state)} + " and was executed";
    }
    if (state != IssuanceState::issued) continue;
    if (!last) {
      wrong = id + " is issued and was not executed";
    } else if ((row.integer(7) != 1 && row.integer(7) != 9) || row.integer(8) != 0 ||
               row.integer(9) != static_cast<std::int64_t>(IssuanceState::issued) ||
               row.is_null(11)) {
      wrong = id + " is issued without evidence";
    } else if (row.text(10) != last->reference || row.integer_or_null(6) != last->amount_minor) {
      wrong = id + " is issued with somebody else's evidence";
    }
  }
  if (!executed.empty()) wrong = executed.begin()->first + " was executed and the ledger lacks it";
  return wrong;
}

std::optional<std::string> Audit::history(const ContractOf& contract_of) {
  if (number(kGaps) != 0) return "the events have gaps";
  struct Last {
    std::int64_t seq = 0;
    IssuanceState state = IssuanceState::planned;
  };
  std::map<Place, Last> lasts;
  std::optional<std::string> wrong;
  Statement& event = database_.prepared(kEvents);
  while (next(event)) {
    const std::int64_t seq = event.integer(0);
    const auto kind = static_cast<EventKind>(event.integer(1));
    const IssuanceState from = state_at(event, 6);
    const IssuanceState to = state_at(event, 7);
    const std::string name = "event " + std::to_string(seq);
    const bool listed = std::ranges::any_of(
        kTransitions, [&](const Transition& t) { return t.from == from && t.to == to; });
    const bool rerun = kind == EventKind::rerun && is_final(from) &&
                       from != IssuanceState::issued && to == IssuanceState::planned;
    const bool recovered = kind == EventKind::recovered && from == IssuanceState::sending &&
                           to == IssuanceState::in_doubt;
    if (!listed && !rerun && !recovered) wrong = name + ": no such transition";
    const auto [last, is_first] = lasts.try_emplace(place_at(event, 2));
    if (is_first) {
      if (!event.is_null(8)) wrong = name + " names an event before the first";
    } else {
      if (event.integer(8) != last->second.seq) wrong = name + " does not follow the one before";
      const bool sent = from == IssuanceState::sending &&
                        next_state(last->second.state, IssuanceEvent::send) == from;
      if (from != last->second.state && !sent) wrong = name + " starts in another state";
      const auto contract = contract_of(static_cast<ObjectId>(event.integer(9)),
                                        static_cast<std::size_t>(event.integer(5)));
      const bool twice = from == IssuanceState::sending && contract != plan::Contract::key &&
                         last->second.state == IssuanceState::in_doubt;
      if (twice) wrong = name + " ends a second call of what may have been executed";
      if (is_final(last->second.state) && !rerun) wrong = name + " changes a final state";
    }
    last->second = {seq, to};
  }
  Statement& row = database_.prepared(kLastEvents);
  while (next(row)) {
    const auto last = lasts.find(place_at(row, 0));
    const IssuanceState state = state_at(row, 4);
    if (last == lasts.end()) {
      const bool silent = state == IssuanceState::sending || state == IssuanceState::expired;
      if (!silent || !row.is_null(5))
        wrong = "a row without events is " + std::string{name_of(state)};
    } else if (row.integer(5) != last->second.seq ||
               (state != last->second.state && state != IssuanceState::sending)) {
      wrong = "a row does not stand where its last event, " + std::to_string(last->second.seq) +
              ", has left it";
    }
  }
  return wrong;
}

}  // namespace vouch::test
