#include "daemon/data/downstream_book.hpp"

#include <string_view>

namespace vouch::data {
namespace {

constexpr std::string_view kRecord = R"sql(
  INSERT OR REPLACE INTO downstream_state (downstream, condition, since_ms, next_ms, detail)
  VALUES (:downstream, :condition, :since_ms, :next_ms, :detail)
)sql";

constexpr std::string_view kRead =
    "SELECT downstream, condition, since_ms, next_ms, detail FROM downstream_state";

}  // namespace

Result<void> record_downstream(store::Database& ledger, const DownstreamState& state) {
  store::Statement& record = ledger.prepared(kRecord);
  record.bind(":downstream", static_cast<std::int64_t>(state.downstream))
      .bind(":condition", static_cast<std::int64_t>(state.condition))
      .bind(":since_ms", state.since)
      .bind(":detail", state.detail);
  if (state.next) {
    record.bind(":next_ms", *state.next);
  } else {
    record.bind(":next_ms", nullptr);
  }
  return record.run();
}

Result<std::vector<DownstreamState>> read_downstreams(store::Database& ledger) {
  store::Statement& read = ledger.prepared(kRead);
  std::vector<DownstreamState> states;
  while (true) {
    VOUCH_TRY(const bool more, read.step());
    if (!more) break;
    DownstreamState& state = states.emplace_back();
    state.downstream = static_cast<ObjectId>(read.integer(0));
    state.condition = static_cast<DownstreamCondition>(read.integer(1));
    state.since = read.wall(2);
    if (!read.is_null(3)) state.next = read.wall(3);
    state.detail = read.string(4);
  }
  return states;
}

}  // namespace vouch::data
