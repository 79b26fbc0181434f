// ledger_samples.hpp: what a test may ask of a ledger, and how it fills one.
//
// The questions go to any connection: the writer's own sees its transaction, another one sees
// what is durable.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/store/database.hpp"
#include "common/store/sealed_list.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/job_book.hpp"
#include "tests/unit/intent_samples.hpp"

namespace vouch::test {

struct SeenRow {
  IssuanceState state = IssuanceState::planned;
  int round = 0;
  std::int64_t job = 0;
  std::int64_t intent_ms = 0;
  int attempts = 0;
  int strikes = 0;
  std::optional<std::int64_t> doubt_ms;
  std::optional<std::int64_t> next_at_ms;
  std::optional<std::int64_t> last_event;
  Digest128 call_digest{};
  bool operator==(const SeenRow&) const = default;
};

[[nodiscard]] inline std::optional<SeenRow> row_of(store::Database& ledger,
                                                   const data::Intent& intent) {
  static constexpr std::string_view kRow = R"sql(
    SELECT state, round, job, intent_ms, attempts, strikes, doubt_ms, next_at_ms, last_event,
           call_digest
      FROM issuance
     WHERE campaign = ?1 AND recipient_key = ?2 AND occurrence = ?3 AND item = ?4
  )sql";
  store::Statement& row = ledger.prepared(kRow);
  row.bind(1, intent.campaign_number).bind(2, store::as_blob(intent.key.recipient));
  row.bind(3, static_cast<std::int64_t>(intent.key.occurrence));
  row.bind(4, std::int64_t{intent.key.item});
  if (!row.step().value()) return std::nullopt;
  SeenRow seen{.state = static_cast<IssuanceState>(row.integer(0)),
               .round = static_cast<int>(row.integer(1)),
               .job = row.integer(2),
               .intent_ms = row.integer(3),
               .attempts = static_cast<int>(row.integer(4)),
               .strikes = static_cast<int>(row.integer(5)),
               .doubt_ms = row.integer_or_null(6),
               .next_at_ms = row.integer_or_null(7),
               .last_event = row.integer_or_null(8),
               .call_digest = row.digest(9)};
  row.reset();
  return seen;
}

// The state of a row that must be there.
[[nodiscard]] inline IssuanceState state_of(store::Database& ledger, const data::Intent& intent) {
  const auto row = row_of(ledger, intent);
  REQUIRE(row);
  return row->state;
}

struct SeenEvent {
  std::int64_t seq = 0;
  EventKind kind = EventKind::attempt;
  std::int64_t job = 0;
  IssuanceState from = IssuanceState::planned;
  IssuanceState to = IssuanceState::planned;
  std::optional<std::int64_t> outcome, http_status, transport, sends, duration_us, previous;
  std::int64_t at_ms = 0;
  std::string reference;
  std::string detail;
  std::optional<Digest128> reply_digest;
};

// The history of one issuance, oldest first.
[[nodiscard]] inline std::vector<SeenEvent> events_of(store::Database& ledger,
                                                      const data::Intent& intent) {
  static constexpr std::string_view kEvents = R"sql(
    SELECT seq, kind, job, from_state, to_state, outcome, http_status, transport, sends,
           duration_us, prev_seq, at_ms, reference, detail, reply_digest
      FROM event
     WHERE campaign = ?1 AND recipient_key = ?2 AND occurrence = ?3 AND item = ?4
     ORDER BY seq
  )sql";
  store::Statement& row = ledger.prepared(kEvents);
  row.bind(1, intent.campaign_number).bind(2, store::as_blob(intent.key.recipient));
  row.bind(3, static_cast<std::int64_t>(intent.key.occurrence));
  row.bind(4, std::int64_t{intent.key.item});
  std::vector<SeenEvent> events;
  while (row.step().value()) {
    events.push_back({.seq = row.integer(0),
                      .kind = static_cast<EventKind>(row.integer(1)),
                      .job = row.integer(2),
                      .from = static_cast<IssuanceState>(row.integer(3)),
                      .to = static_cast<IssuanceState>(row.integer(4)),
                      .outcome = row.integer_or_null(5),
                      .http_status = row.integer_or_null(6),
                      .transport = row.integer_or_null(7),
                      .sends = row.integer_or_null(8),
                      .duration_us = row.integer_or_null(9),
                      .previous = row.integer_or_null(10),
                      .at_ms = row.integer(11),
                      .reference = row.string(12),
                      .detail = row.string(13),
                      .reply_digest = row.is_null(14) ? std::optional<Digest128>{}
                                                      : std::optional<Digest128>{row.digest(14)}});
  }
  return events;
}

// What `sql`, a constant, counts.
[[nodiscard]] inline std::int64_t count_of(store::Database& ledger, std::string_view sql) {
  store::Statement& row = ledger.prepared(sql);
  REQUIRE(row.step().value());
  const std::int64_t count = row.integer(0);
  row.reset();
  return count;
}

// Invariant I2: the totals of every job are what its rows say.  A row of the result is a
// difference.
[[nodiscard]] inline std::int64_t wrong_totals(store::Database& ledger) {
  static constexpr std::string_view kWrongTotals = R"sql(
    WITH booked (job, state, rows) AS (
           SELECT job, 0, planned FROM job_range UNION ALL
           SELECT job, 1, sending FROM job_range UNION ALL
           SELECT job, 2, waiting FROM job_range UNION ALL
           SELECT job, 3, in_doubt FROM job_range UNION ALL
           SELECT job, 4, held FROM job_range UNION ALL
           SELECT job, 5, issued FROM job_range UNION ALL
           SELECT job, 6, declined FROM job_range UNION ALL
           SELECT job, 7, failed FROM job_range UNION ALL
           SELECT job, 8, cancelled FROM job_range UNION ALL
           SELECT job, 9, expired FROM job_range UNION ALL
           SELECT job, 10, skipped FROM job_range),
         change (job, state, rows) AS (
           SELECT job, state, rows FROM booked UNION ALL
           SELECT job, state, -1 FROM issuance)
    SELECT count(*) FROM (SELECT 1 FROM change GROUP BY job, state HAVING sum(rows) <> 0)
  )sql";
  return count_of(ledger, kWrongTotals);
}

// A page of a list whose rows are these recipients, one issuance each.
[[nodiscard]] inline data::PlanPage sample_page(std::vector<int> recipients, std::int64_t job = 1) {
  data::PlanPage page;
  page.job_number = job;
  page.campaign_number = 1;
  page.rows = static_cast<int>(recipients.size());
  page.planned_from = sample_recipient(recipients.front());
  page.planned_to = store::RowKey{sample_recipient(recipients.back()), ""}.to_bytes();
  for (const int recipient : recipients) {
    page.intents.push_back(sample_intent(recipient));
    page.intents.back().job_number = job;
  }
  return page;
}

// The end of a call that was answered; the caller fills what follows from the step.
[[nodiscard]] inline data::AttemptEnd sample_end(const data::Intent& intent, IssuanceEvent step,
                                                 WallTime at) {
  data::AttemptEnd end;
  end.intent = intent;
  end.step = step;
  end.at = at;
  end.http_status = 200;
  end.sends = 1;
  end.duration_us = 1'500;
  end.reply_digest = sha256_128("reply");
  const auto to = next_state(IssuanceState::sending, step);
  if (to == IssuanceState::issued) {
    end.outcome = Outcome::issued;
    end.reference = "C-1";
  }
  if (to == IssuanceState::waiting) {
    end.outcome = Outcome::not_executed;
    end.next_at = at + Millis{500};
  }
  if (to == IssuanceState::in_doubt) {
    end.next_at = at + Millis{500};
    end.doubt_since = intent.doubt_since.value_or(intent.intent_at);
  }
  return end;
}

}  // namespace vouch::test
