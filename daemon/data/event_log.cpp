#include "daemon/data/event_log.hpp"

namespace vouch::data {
namespace {

constexpr std::string_view kLast = "SELECT ifnull(max(seq), 0) FROM event";

// One for every attempt: bound by position.
constexpr std::string_view kInsertAttempt = R"sql(
  INSERT INTO event (seq, at_ms, kind, job, campaign, recipient_key, occurrence, item, round,
                     from_state, to_state, outcome, http_status, transport, sends, duration_us,
                     reference, reply_digest, detail, prev_seq, shared_by)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?20, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
          ?21)
)sql";

constexpr std::string_view kInsertRow = R"sql(
  INSERT INTO event (seq, at_ms, kind, job, campaign, recipient_key, occurrence, item, round,
                     from_state, to_state, detail, prev_seq, reference)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
)sql";

constexpr std::string_view kInsertWords = R"sql(
  INSERT INTO event (seq, at_ms, kind, job, detail) VALUES (:seq, :at_ms, :kind, :job, :detail)
)sql";

std::int64_t number(auto value) {
  return static_cast<std::int64_t>(value);
}

void bind_or_null(store::Statement& statement, int index, std::string_view text) {
  if (text.empty()) {
    statement.bind(index, nullptr);
  } else {
    statement.bind(index, text);
  }
}

void bind_or_null(store::Statement& statement, int index, std::optional<std::int64_t> value) {
  if (value) {
    statement.bind(index, *value);
  } else {
    statement.bind(index, nullptr);
  }
}

}  // namespace

Result<void> EventLog::load() {
  store::Statement& last = database_.prepared(kLast);
  VOUCH_TRY(const bool row, last.step());
  VOUCH_ASSERT(row);
  last_ = last.integer(0);
  last.reset();
  return {};
}

Result<std::int64_t> EventLog::append(const AttemptEnd& end, IssuanceState to) {
  const Intent& intent = end.intent;
  const bool called = end.kind == EventKind::attempt || end.kind == EventKind::asked;
  store::Statement& insert = database_.prepared(kInsertAttempt);
  insert.bind(1, last_ + 1).bind(2, to_ms(end.at)).bind(3, number(end.kind));
  insert.bind(4, intent.job_number).bind(5, intent.campaign_number);
  insert.bind(6, store::as_blob(intent.key.recipient));
  insert.bind(7, number(intent.key.occurrence)).bind(8, number(intent.key.item));
  insert.bind(9, number(intent.round)).bind(10, number(to)).bind(11, number(end.outcome));
  bind_or_null(insert, 12,
               end.http_status == 0 ? std::nullopt : std::optional<std::int64_t>{end.http_status});
  bind_or_null(insert, 13,
               called ? std::optional<std::int64_t>{number(end.transport)} : std::nullopt);
  bind_or_null(insert, 14, called ? std::optional<std::int64_t>{end.sends} : std::nullopt);
  bind_or_null(insert, 15, called ? std::optional<std::int64_t>{end.duration_us} : std::nullopt);
  bind_or_null(insert, 16, end.reference);
  if (end.reply_digest) {
    insert.bind(17, store::as_blob(*end.reply_digest));
  } else {
    insert.bind(17, nullptr);
  }
  bind_or_null(insert, 18, end.detail);
  bind_or_null(insert, 19, intent.last_event);
  insert.bind(20, number(intent.asks ? IssuanceState::in_doubt : IssuanceState::sending));
  // An attempt alone is the rule; a query's call alone is worth a note.
  const bool says_shared = end.shared_by > (end.kind == EventKind::asked ? 0 : 1);
  bind_or_null(insert, 21, says_shared ? std::optional<std::int64_t>{end.shared_by} : std::nullopt);
  VOUCH_CHECK(insert.run());
  return ++last_;
}

Result<std::int64_t> EventLog::append(const RowEvent& event, WallTime at) {
  store::Statement& insert = database_.prepared(kInsertRow);
  insert.bind(1, last_ + 1).bind(2, to_ms(at)).bind(3, number(event.kind));
  insert.bind(4, event.job_number).bind(5, event.campaign_number);
  insert.bind(6, store::as_blob(event.key.recipient));
  insert.bind(7, number(event.key.occurrence)).bind(8, number(event.key.item));
  insert.bind(9, number(event.round)).bind(10, number(event.from)).bind(11, number(event.to));
  bind_or_null(insert, 12, event.detail);
  bind_or_null(insert, 13, event.previous);
  bind_or_null(insert, 14, event.reference);
  VOUCH_CHECK(insert.run());
  return ++last_;
}

Result<std::int64_t> EventLog::append(EventKind kind, std::int64_t job_number,
                                      std::string_view detail, WallTime at) {
  store::Statement& insert = database_.prepared(kInsertWords);
  insert.bind(":seq", last_ + 1).bind(":at_ms", at).bind(":kind", number(kind));
  if (job_number == 0) {
    insert.bind(":job", nullptr);
  } else {
    insert.bind(":job", job_number);
  }
  VOUCH_CHECK(insert.bind(":detail", detail).run());
  return ++last_;
}

}  // namespace vouch::data
