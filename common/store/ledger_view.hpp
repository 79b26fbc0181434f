// ledger_view.hpp: reading a ledger from outside the daemon that owns it.
//
// Opened mode=ro, never `immutable`.  No read lives longer than one page of kPageRows: rows are
// copied, the statement is reset, and the next page goes on by key, so that a paused reader never
// keeps the WAL from being reset.  Works while vouchd runs, is stopped or was killed.
//
// Threads: one LedgerView per thread.
// Errors:  store when the instance has no ledger yet; not_permitted when the account may not read
//          it (the hint names the group).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/downstream_state.hpp"
#include "common/export_mark.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"
#include "common/store/database.hpp"

namespace vouch::store {

inline constexpr int kPageRows = 1000;

// Open issuances whose codes go out by an export, of one item and at one stage.
struct ExportRows {
  ExportStage stage = ExportStage::waits;
  int item = 0;
  std::int64_t rows = 0;
};

// A job's present state and totals.
struct JobProgress {
  ObjectId id = 0;
  JobState state = JobState::scheduled;
  PauseReason pause_reason = PauseReason::none;
  std::string pause_detail;
  std::int64_t rows_accepted = 0;  // of the list
  int items = 0;
  std::int64_t rows_planned = 0;  // rows looked at so far
  std::int64_t repeats = 0;       // issuances held by another job already
  std::int64_t moved = 0;         // taken over by a rerun
  std::array<std::int64_t, kIssuanceStates> by_state{};
  std::int64_t issued_minor = 0;
  std::optional<std::int64_t> pilot_left;
  WallTime submitted;
  std::optional<WallTime> started, ended;

  // I2: accepted rows x items = issuances by state + repeats + moved + not yet planned.
  [[nodiscard]] std::int64_t total() const;
  [[nodiscard]] std::int64_t not_planned() const { return (rows_accepted - rows_planned) * items; }
  [[nodiscard]] bool balanced() const;
};

struct IssuanceRow {
  IssuanceKey key;
  IssuanceState state = IssuanceState::planned;
  std::uint8_t round = 0;
  ObjectId job = 0;
  int campaign_version = 0;
  int downstream_version = 0;
  bool by_export = false;  // nobody is called for it
  std::optional<std::int64_t> amount_minor;
  WallTime intent;
  std::optional<WallTime> doubt;
  int attempts = 0;
  int strikes = 0;
  std::optional<WallTime> next_at;  // nothing while a call is out, or for an export
  std::optional<std::int64_t> last_event;
};

// An issuance with the evidence of its last event, for reconciliation.
struct EvidenceRow {
  IssuanceRow row;
  std::optional<WallTime> event_at;  // when its state came about
  std::string reference;             // the downstream's, where the event has one
};

struct EventRow {
  std::int64_t seq = 0;
  WallTime at;
  EventKind kind = EventKind::attempt;
  ObjectId job = 0;  // 0: none
  std::optional<IssuanceKey> key;
  std::optional<int> round, from_state, to_state, outcome, http_status, transport, sends;
  std::optional<std::int64_t> duration_us;
  std::string reference, detail;
  std::string reply_digest;  // hex
  std::optional<std::int64_t> prev_seq;
  std::optional<int> shared_by;  // issuances that the call held, where they were several
};

class LedgerView {
 public:
  [[nodiscard]] static Result<LedgerView> open(const StorePaths& paths, std::string_view instance);

  [[nodiscard]] Result<std::optional<JobProgress>> job(ObjectId id);
  [[nodiscard]] Result<std::vector<JobProgress>> jobs();

  // The job's open issuances that are delivered by export, counted by their index entries.
  [[nodiscard]] Result<std::vector<ExportRows>> exports(ObjectId job);
  // Of one of these, how many have no code yet.  Looks at each row.
  [[nodiscard]] Result<std::int64_t> exports_without_code(ObjectId job, const ExportRows& of);
  // The job's issuances that were exported.  Walks through its campaign.
  [[nodiscard]] Result<std::int64_t> exported(ObjectId campaign, ObjectId job);
  // Whose single issuance it is, while that is open; empty when it is not kept any more.
  [[nodiscard]] Result<std::string> single_recipient(const IssuanceKey& key);

  [[nodiscard]] Result<std::optional<IssuanceRow>> issuance(const IssuanceKey& key);
  // All issuances of a recipient in one campaign.
  [[nodiscard]] Result<std::vector<IssuanceRow>> of_recipient(ObjectId campaign,
                                                              const RecipientKey& recipient);
  // A page of a campaign in key order, after `after` (exclusive); filters are applied to the page,
  // so that it may hold fewer rows and not be the last: `*last` says where to go on, or nothing.
  struct Page {
    std::vector<IssuanceRow> rows;
    std::optional<IssuanceKey> next_after;
  };
  struct Filter {
    ObjectId job = 0;  // 0: any
    std::optional<IssuanceState> state;
  };
  [[nodiscard]] Result<Page> page(ObjectId campaign, const std::optional<IssuanceKey>& after,
                                  const Filter& filter, int rows_max = kPageRows);
  // A page of a campaign in key order, after `after` (exclusive); fewer rows than asked for: the
  // last one.
  [[nodiscard]] Result<std::vector<EvidenceRow>> evidence(ObjectId campaign,
                                                          const std::optional<IssuanceKey>& after,
                                                          int rows_max = kPageRows);
  // Of one job, those in a state that has an index: held, declined, failed, cancelled, expired,
  // skipped.
  [[nodiscard]] Result<std::vector<IssuanceRow>> unissued(ObjectId job, IssuanceState state,
                                                          const std::optional<IssuanceKey>& after,
                                                          int rows_max = kPageRows);
  // In doubt, waiting or planned rows of a job, soonest first.
  [[nodiscard]] Result<std::vector<IssuanceRow>> due(ObjectId job, int rows_max = kPageRows);

  [[nodiscard]] Result<std::optional<EventRow>> event(std::int64_t seq);
  // The events of one issuance, newest first, following prev_seq.
  [[nodiscard]] Result<std::vector<EventRow>> history(const IssuanceRow& row, int max = 200);
  // Events after `after` in order.
  [[nodiscard]] Result<std::vector<EventRow>> events(std::int64_t after, int rows_max = kPageRows);
  [[nodiscard]] Result<std::int64_t> last_event();
  // Of downstreams that were ever in trouble; as vouchd saw them last, while it runs.
  [[nodiscard]] Result<std::vector<DownstreamState>> downstreams();
  // instance id and other facts (table ledger_meta); empty when absent.
  [[nodiscard]] Result<std::string> meta(std::string_view key);
  [[nodiscard]] Database& database() { return database_; }
  // How many codes of a pool are out; 0 for a pool that the ledger has not seen.
  [[nodiscard]] Result<std::int64_t> codes_out(ObjectId pool);
  // The campaign whose issuances a job gives; 0 when the ledger does not know the job.
  [[nodiscard]] Result<ObjectId> campaign_of(ObjectId job);

 private:
  explicit LedgerView(Database database) : database_{std::move(database)} {}
  [[nodiscard]] Result<std::int64_t> count_marked(std::string_view page, ObjectId job,
                                                  std::int64_t mark);
  Database database_;
};

}  // namespace vouch::store
