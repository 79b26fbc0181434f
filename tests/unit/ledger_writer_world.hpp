// ledger_writer_world.hpp: a ledger writer with what stands around it, started and stopped at will.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/data/ledger_file.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/ledger_samples.hpp"

namespace vouch::test {

inline constexpr ObjectId kSampleJob = 0xa1;
inline constexpr std::string_view kFirstJobState = "SELECT state FROM job WHERE number = 1";

// The writer and what stands around it, from a start to a stop.
struct WriterLife {
  WriterLife(const std::string& path, const std::string& vfs, const std::string& spool_path,
             bool after_fault, const Clock& clock, Random& random, data::CodeShelf shelf)
      : database{data::open_ledger(path, clock.wall_now(), random, vfs).value()},
        durable{data::open_ledger_reader(path, vfs).value()},
        spool{data::OutcomeSpool::open(spool_path).value()},
        writer{database, ready, health, clock, std::move(shelf)} {
    // What a sync is for is tested on crash_vfs; real ones only cost time here.
    if (vfs.empty()) REQUIRE(database.exec("PRAGMA synchronous = OFF"));
    auto recovery = writer.load_and_recover(&spool, after_fault);
    REQUIRE(recovery);
    recovered = recovery->in_doubt;
    settled = recovery->settled;
  }
  store::Database database;
  store::Database durable;  // a reader: what has been committed
  data::Health health;
  data::ReadyQueue ready{[] {}};
  data::OutcomeSpool spool;
  data::LedgerWriter writer;
  int recovered = 0;
  int settled = 0;
};

struct WriterWorld {
  explicit WriterWorld(std::string vfs = {})
      : vfs_{std::move(vfs)}, path_{vfs_.empty() ? folder / "ledger.db" : "/ledger/ledger.db"} {
    restart();
  }
  TemporaryFolder folder;
  ManualClock clock;
  SeededRandom random{1};
  std::unique_ptr<WriterLife> life;
  // Of tests that hand out codes; taken at the next restart.
  std::string pools_folder{};
  std::string pool_key{};

  void restart(bool after_fault = false) {
    life.reset();
    life = std::make_unique<WriterLife>(path_, vfs_, folder / "outcomes.spool", after_fault, clock,
                                        random, data::CodeShelf{pools_folder, pool_key});
  }
  data::LedgerWriter& writer() { return life->writer; }
  Instant run() { return writer().run_once(clock.now()); }
  std::int64_t count(std::string_view sql) { return count_of(life->durable, sql); }
  JobState job_state() { return static_cast<JobState>(count(kFirstJobState)); }
  IssuanceState state_of(const data::Intent& intent) {
    return test::state_of(life->durable, intent);
  }

  // Writes one message, whatever it waits for; the answers that it caused.
  std::vector<std::string> write(data::LedgerMessage message) {
    const std::uint64_t ticket = writer().push(std::move(message));
    clock.advance(data::kOutcomeDelay);
    run();
    REQUIRE(life->health.store_ok());
    REQUIRE(writer().committed() == ticket);
    REQUIRE(wrong_totals(life->durable) == 0);
    std::vector<std::string> answers;
    for (data::CommandAnswer& answer : writer().take_answers()) answers.push_back(answer.answer);
    return answers;
  }
  // Job 1, running, of one range.
  void submit(bool start_later = false, std::int32_t ranges = 1) {
    write(submission(0, start_later, ranges));
  }
  static data::SubmitJob submission(std::int64_t command, bool start_later = false,
                                    std::int32_t ranges = 1) {
    data::SubmitJob message;
    message.command = command;
    message.id = kSampleJob;
    message.campaign = kSampleCampaign;
    message.ranges = ranges;
    message.rows_accepted = 10;
    message.items = 1;
    message.start_later = start_later;
    return message;
  }
  static data::ChangeJob change(data::JobAction action, std::int64_t command) {
    data::ChangeJob message;
    message.command = command;
    message.id = kSampleJob;
    message.action = action;
    message.words = "because";
    return message;
  }
  // As intake does: room first, then the page.
  data::PlanPage page(std::vector<int> recipients) {
    data::PlanPage made = sample_page(std::move(recipients));
    for (const data::Intent& intent : made.intents) {
      REQUIRE(life->ready.reserve({{owner_of(intent), 1}}));
    }
    return made;
  }
  std::vector<data::Intent> take_ready() {
    std::vector<data::Intent> rows;
    life->ready.take_all(rows);
    return rows;
  }
  std::vector<data::Intent> start(std::vector<int> recipients) {
    write(page(std::move(recipients)));
    return take_ready();
  }
  data::AttemptsEnded ended(const data::Intent& intent, IssuanceEvent step) {
    return {{sample_end(intent, step, clock.wall_now())}};
  }
  // A row that has ended in this state, as intake finds it.
  data::Intent row_in(int recipient, IssuanceEvent step, IssuanceState state) {
    data::Intent intent = start({recipient}).front();
    life->ready.release(owner_of(intent), 1);
    write(ended(intent, step));
    intent.fresh = false;
    intent.from = state;
    return intent;
  }
  data::IssueSingle single(int recipient, std::int64_t command) {
    data::Intent intent = sample_intent(recipient);
    intent.single = true;
    intent.job_number = 0;
    REQUIRE(life->ready.reserve({{owner_of(intent), 1}}));
    return {.command = command,
            .campaign = kSampleCampaign,
            .items = 1,
            .input = "{}",
            .intents = {intent}};
  }

 private:
  std::string vfs_;
  std::string path_;
};

inline data::Note note(std::int64_t command = 0) {
  return {.command = command, .kind = EventKind::daemon, .words = "words", .answer = ""};
}

}  // namespace vouch::test
