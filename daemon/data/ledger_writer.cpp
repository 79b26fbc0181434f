#include "daemon/data/ledger_writer.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <utility>

#include "common/failpoint.hpp"

namespace vouch::data {
namespace {

bool is_urgent(const LedgerMessage& message) {
  return !std::holds_alternative<AttemptsEnded>(message) &&
         !std::holds_alternative<DownstreamChange>(message) &&
         !std::holds_alternative<Note>(message);
}

template <typename Kind>
bool has(const std::vector<LedgerMessage>& group) {
  return std::ranges::any_of(
      group, [](const LedgerMessage& message) { return std::holds_alternative<Kind>(message); });
}

}  // namespace

LedgerWriter::LedgerWriter(store::Database& database, ReadyQueue& ready, Health& health,
                           const Clock& clock, CodeShelf shelf)
    : database_{database},
      ready_{ready},
      health_{health},
      clock_{clock},
      events_{database},
      jobs_{database, events_},
      pools_{database},
      shelf_{std::move(shelf)},
      ledger_{database, events_, jobs_, pools_, shelf_},
      proposals_{database, jobs_, ledger_} {}

Result<LedgerWriter::Recovered> LedgerWriter::load_and_recover(OutcomeSpool* spool,
                                                               bool after_fault) {
  VOUCH_CHECK(events_.load());
  VOUCH_CHECK(jobs_.load());
  spool_ = spool;
  Recovered recovered;
  VOUCH_TRY(recovered.settled, settle_spooled());
  VOUCH_CHECK(proposals_.load(clock_.wall_now()));
  const WallTime now = clock_.wall_now();
  // One transaction a job: a stop in between is only another recovery.
  for (const std::int64_t number : jobs_.open_numbers()) {
    VOUCH_TRY(store::Transaction transaction, store::Transaction::begin(database_));
    VOUCH_TRY(const int rows, ledger_.recover(number, after_fault, now));
    VOUCH_CHECK(jobs_.flush(now));
    VOUCH_CHECK(transaction.commit());
    recovered.in_doubt += rows;
  }
  return recovered;
}

// A stop between the commit and the clearing does it again: what is settled already stays as it is.
Result<int> LedgerWriter::settle_spooled() {
  if (spool_ == nullptr) return 0;
  VOUCH_TRY(const std::vector<AttemptEnd> ends, spool_->read());
  int settled = 0;
  if (!ends.empty()) {
    VOUCH_TRY(store::Transaction transaction, store::Transaction::begin(database_));
    for (const AttemptEnd& end : ends) {
      VOUCH_TRY(const bool is_new, ledger_.settle_late(end));
      settled += is_new ? 1 : 0;
    }
    VOUCH_CHECK(jobs_.flush(clock_.wall_now()));
    VOUCH_CHECK(transaction.commit());
  }
  VOUCH_CHECK(spool_->clear());
  return settled;
}

std::uint64_t LedgerWriter::push(LedgerMessage message) {
  const std::scoped_lock lock{mutex_};
  if (queue_.empty()) oldest_ = clock_.now();
  const bool wakes = queue_.empty() || (!urgent_ && is_urgent(message));
  urgent_ = urgent_ || is_urgent(message);
  queue_.push_back(std::move(message));
  if (wakes) {
    woken_ = true;
    wake_.notify_one();
  }
  return ++pushed_;
}

std::vector<CommandAnswer> LedgerWriter::take_answers() {
  const std::scoped_lock lock{mutex_};
  return std::exchange(answered_, {});
}

std::size_t LedgerWriter::queued() const {
  const std::scoped_lock lock{mutex_};
  return queue_.size();
}

bool LedgerWriter::idle() const {
  const std::scoped_lock lock{mutex_};
  const auto& done = health_.store_ok() ? committed_ : spooled_;
  return done.load(std::memory_order_acquire) == pushed_;
}

void LedgerWriter::wake() {
  const std::scoped_lock lock{mutex_};
  woken_ = true;
  wake_.notify_one();
}

void LedgerWriter::wait_until(Instant until) {
  std::unique_lock lock{mutex_};
  const Nanos left = until - clock_.now();
  if (!woken_ && left > Nanos::zero()) {
    wake_.wait_for(lock, std::min<Nanos>(left, std::chrono::seconds{1}), [&] { return woken_; });
  }
  woken_ = false;
}

std::vector<LedgerMessage> LedgerWriter::take_group() {
  const std::scoped_lock lock{mutex_};
  std::vector<LedgerMessage> group;
  if (queue_.size() <= kGroupMessagesMax) {
    group = std::exchange(queue_, {});
  } else {
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(kGroupMessagesMax);
    group.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
  }
  urgent_ = std::any_of(queue_.begin(), queue_.end(), is_urgent);
  taken_ += group.size();
  return group;
}

Instant LedgerWriter::run_once(Instant now) {
  if (!health_.store_ok()) {
    std::vector<LedgerMessage> group = take_group();
    spool(group);
    return Instant::max();
  }
  {
    const std::scoped_lock lock{mutex_};
    if (queue_.empty()) return Instant::max();
    if (!urgent_ && queue_.size() < kGroupMessagesMax && now < oldest_ + kOutcomeDelay) {
      return oldest_ + kOutcomeDelay;
    }
  }
  std::vector<LedgerMessage> group = take_group();
  now_ = clock_.wall_now();
  auto written = write_group(group);
  if (!written) {
    health_.store_failed(std::move(written).error());
    spool(group);
    return Instant::max();
  }
  const std::int64_t spent = (clock_.now() - now).count();
  slowest_commit_ = std::max(slowest_commit_.load() - slowest_commit_.load() / 4096, spent);
  publish_group();

  if (rows_since_checkpoint_ >= kCheckpointRows) {
    rows_since_checkpoint_ = 0;
    reach_failpoint_soon("checkpointing");
    if (auto done = database_.checkpoint(); !done) {
      health_.store_failed(std::move(done).error());
      return Instant::max();
    }
  }
  return now;  // there may be more
}

Result<void> LedgerWriter::write_group(std::vector<LedgerMessage>& group) {
  started_.clear();
  answers_.clear();
  VOUCH_TRY(store::Transaction transaction, store::Transaction::begin(database_));
  for (LedgerMessage& message : group) {
    VOUCH_CHECK(std::visit([this](auto& content) { return apply(content); }, message));
  }
  VOUCH_CHECK(jobs_.flush(now_));
  VOUCH_CHECK(pools_.flush());
  const bool ends = has<AttemptsEnded>(group);
  const bool takes = has<TakeForExport>(group);
  const bool confirms = has<ConfirmExport>(group);
  if (!started_.empty()) reach_failpoint("claim-not-committed");
  if (!started_.empty()) reach_failpoint_soon("claim-syncing");
  if (ends) reach_failpoint("outcome-not-committed");
  if (ends) reach_failpoint_soon("outcome-syncing");
  if (takes) reach_failpoint("export-take-not-committed");
  if (takes) reach_failpoint_soon("export-take-syncing");
  if (confirms) reach_failpoint("export-confirm-not-committed");
  if (confirms) reach_failpoint_soon("export-confirm-syncing");
  VOUCH_CHECK(transaction.commit());
  if (!started_.empty()) reach_failpoint("claim-committed");
  if (ends) reach_failpoint("outcome-committed");
  if (!answers_.empty()) reach_failpoint("command-applied");
  return {};
}

void LedgerWriter::spool(std::vector<LedgerMessage>& group) {
  std::vector<AttemptEnd> ends;
  for (LedgerMessage& message : group) {
    auto* ended = std::get_if<AttemptsEnded>(&message);
    if (ended == nullptr) continue;
    std::ranges::move(ended->ends, std::back_inserter(ends));
  }
  if (spool_ != nullptr && !ends.empty()) {
    if (auto kept = spool_->append(ends); !kept) health_.spool_failed(std::move(kept).error());
  }
  spooled_.store(taken_, std::memory_order_release);
}

// After the commit, and only then: rows may start, commands are answered.
void LedgerWriter::publish_group() {
  commits_.fetch_add(1, std::memory_order_relaxed);
  ready_.push(std::move(started_));
  started_ = {};
  {
    const std::scoped_lock lock{mutex_};
    std::move(answers_.begin(), answers_.end(), std::back_inserter(answered_));
  }
  committed_.store(taken_, std::memory_order_release);
}

void LedgerWriter::drop(const std::vector<Intent>& intents) {
  for (const Intent& intent : intents) {
    if (!intent.by_export) ready_.release(owner_of(intent), 1);
  }
}

Result<void> LedgerWriter::apply(PlanPage& page) {
  const bool sending = page.state == IssuanceState::sending;
  JobRecord* job = jobs_.find(page.job_number);
  // What comes behind a page that was cut short waits for the rest of that page.
  if (job == nullptr || !job->takes_fresh_rows() || page.replans != job->replans) {
    if (sending) drop(page.intents);
    return {};
  }
  ReadyRows repeats;
  for (const Intent& intent : page.intents) {
    if (!intent.by_export) ++repeats[owner_of(intent)];
  }
  VOUCH_CHECK(ledger_.plan(page, now_));
  if (!page.cut.empty()) {
    ++job->replans;
    VOUCH_CHECK(pause_for_pool(*job, page.cut));
  }
  rows_since_checkpoint_ += static_cast<std::int64_t>(page.intents.size());
  if (!sending) return {};
  for (const Intent& intent : page.intents) --repeats[owner_of(intent)];
  for (const auto& [owner, rows] : repeats) {
    if (rows > 0) ready_.release(owner, rows);
  }
  std::move(page.intents.begin(), page.intents.end(), std::back_inserter(started_));
  return {};
}

Result<void> LedgerWriter::apply(ClaimRange& message) {
  return jobs_.claim_range(message.job_number, message.range, message.epoch, message.owner);
}

Result<void> LedgerWriter::pause_for_pool(JobRecord& job, const std::string& why) {
  job.changed = true;
  // A probe of a wrong set-up needs a code too: without one it would never find the set-up mended.
  const bool probes = job.state == JobState::paused && job.pause_reason == PauseReason::setup;
  if (job.state != JobState::running && !probes) return {};
  return jobs_.set_state(job, JobState::paused, PauseReason::pool, why, now_);
}

// A row of a rerun may have been planned without ever having had a code.
Result<bool> LedgerWriter::send_with_code(JobRecord& job, Intent& intent) {
  if (intent.pool != nullptr && !intent.ordinal) {
    // Nothing is taken for a row that is somewhere else meanwhile.
    VOUCH_TRY(const bool waits, ledger_.is_in(intent, intent.from));
    if (!waits) return false;
    VOUCH_TRY(const std::string why, ledger_.give_codes({&intent, 1}));
    if (!why.empty()) {
      VOUCH_CHECK(pause_for_pool(job, why));
      return false;
    }
  }
  return ledger_.send_again(intent, now_);
}

Result<void> LedgerWriter::apply(SendAgain& message) {
  for (Intent& intent : message.intents) {
    JobRecord* job = jobs_.find(intent.job_number);
    bool taken = job != nullptr && (intent.asks || job->takes_rows_again());
    if (taken && intent.asks) {
      VOUCH_TRY(taken, ledger_.ask(intent));
    } else if (taken) {
      VOUCH_TRY(taken, send_with_code(*job, intent));
    }
    if (taken) {
      started_.push_back(std::move(intent));
      ++rows_since_checkpoint_;
    } else {
      ready_.release(owner_of(intent), 1);
    }
  }
  return {};
}

Result<void> LedgerWriter::apply(HoldRow& message) {
  return ledger_.hold(message.intent, message.reason, now_);
}

Result<void> LedgerWriter::apply(AttemptsEnded& message) {
  for (const AttemptEnd& end : message.ends) VOUCH_CHECK(ledger_.settle(end));
  rows_since_checkpoint_ += 2 * static_cast<std::int64_t>(message.ends.size());
  return {};
}

Result<void> LedgerWriter::apply(EndOpenRows& message) {
  VOUCH_TRY(const int rows,
            ledger_.end_open_rows(message.job_number, message.to, kEndRowsPage, now_));
  rows_since_checkpoint_ += 2 * rows;
  if (JobRecord* job = jobs_.find(message.job_number); job != nullptr) job->changed = true;
  return {};
}

}  // namespace vouch::data
