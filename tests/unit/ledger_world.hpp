// ledger_world.hpp: a ledger on a real file, for tests of its single steps.
#pragma once

#include <doctest/doctest.h>

#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/ledger_file.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/ledger_samples.hpp"

namespace vouch::test {

// A ledger on a real file with two running jobs, 1 and 2, of one campaign.
struct LedgerWorld {
  TemporaryFolder folder;
  ManualClock clock;
  SeededRandom random{1};
  store::Database database =
      data::open_ledger(folder / "ledger.db", clock.wall_now(), random).value();
  data::EventLog events{database};
  data::JobBook jobs{database, events};
  data::PoolBook pools{database};
  data::CodeShelf shelf;
  data::IssuanceLedger ledger{database, events, jobs, pools, shelf};

  // One step in a transaction, as the ledger writer makes it; the totals must add up after it.
  template <typename Work>
  auto step(Work work) {
    auto transaction = store::Transaction::begin(database);
    REQUIRE(transaction);
    auto result = work();
    REQUIRE(result);
    REQUIRE(jobs.flush(now()));
    REQUIRE(transaction->commit());
    REQUIRE(wrong_totals(database) == 0);
    if constexpr (!std::is_same_v<decltype(result), Result<void>>) return std::move(*result);
  }

  LedgerWorld() {
    REQUIRE(events.load());
    REQUIRE(jobs.load());
    step([&]() -> Result<void> {
      VOUCH_TRY(const std::int64_t campaign, jobs.campaign_number(kSampleCampaign));
      for (const ObjectId id : {0xa1, 0xa2}) {
        data::JobRecord job;
        job.id = id;
        job.campaign_number = campaign;
        job.ranges = 3;
        job.items = 1;
        VOUCH_TRY(const data::JobRecord* made, jobs.create(job, now()));
        REQUIRE(made->number == static_cast<std::int64_t>(id - 0xa0));
      }
      return {};
    });
  }
  [[nodiscard]] WallTime now() const { return clock.wall_now(); }

  std::vector<data::Intent> plan(data::PlanPage page) {
    step([&] { return ledger.plan(page, now()); });
    return page.intents;
  }
  void settle(const data::AttemptEnd& end) {
    step([&] { return ledger.settle(end); });
  }
  data::Intent one(int recipient) { return plan(sample_page({recipient})).front(); }
  // A row that was planned, and has ended its first call in this state.
  data::Intent row_in(int recipient, IssuanceState state) {
    data::Intent intent = one(recipient);
    if (state == IssuanceState::sending) return intent;
    IssuanceEvent step = IssuanceEvent::confirm;
    if (state == IssuanceState::waiting) step = IssuanceEvent::defer;
    if (state == IssuanceState::in_doubt) step = IssuanceEvent::lose;
    if (state == IssuanceState::held) step = IssuanceEvent::hold;
    if (state == IssuanceState::declined) step = IssuanceEvent::decline;
    if (state == IssuanceState::failed) step = IssuanceEvent::give_up;
    if (state == IssuanceState::cancelled || state == IssuanceState::expired)
      step = IssuanceEvent::defer;
    settle(sample_end(intent, step, now()));
    if (state == IssuanceState::cancelled || state == IssuanceState::expired) {
      REQUIRE(this->step([&] { return ledger.end_open_rows(1, state, 1, now()); }) == 1);
    }
    REQUIRE(state_of(intent) == state);
    intent.fresh = false;
    intent.from = state;
    intent.last_event = row_of(intent)->last_event;
    intent.doubt_since =
        row_of(intent)->doubt_ms ? std::optional{from_ms(*row_of(intent)->doubt_ms)} : std::nullopt;
    return intent;
  }
  IssuanceState state_of(const data::Intent& intent) { return test::state_of(database, intent); }
  std::optional<SeenRow> row_of(const data::Intent& intent) {
    return test::row_of(database, intent);
  }
  std::int64_t count(std::string_view sql) { return count_of(database, sql); }
};

}  // namespace vouch::test
