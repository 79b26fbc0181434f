// ledger_messages.hpp: what the other threads ask of the ledger writer.
//
// Threads: values, moved into the writer's queue.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/downstream_state.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/item_set.hpp"
#include "daemon/data/intent.hpp"
#include "daemon/data/issuance_ledger.hpp"
#include "daemon/data/proposal_book.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::data {

// From intake: a range is about to be locked.  Its epoch is durable before anybody is asked.
struct ClaimRange {
  std::int64_t job_number = 0;
  std::int32_t range = 0;
  std::int64_t epoch = 0;
  std::string owner;
};

// From intake: rows that are due again.
struct SendAgain {
  std::vector<Intent> intents;
};

// From intake: a row in doubt that nothing automatic can settle.
struct HoldRow {
  Intent intent;
  std::string reason;
};

// From the engine.
struct AttemptsEnded {
  std::vector<AttemptEnd> ends;
};

// From intake: a job was cancelled, or its finish_by has passed: end a page of its open rows.
struct EndOpenRows {
  std::int64_t job_number = 0;
  IssuanceState to = IssuanceState::cancelled;
};

// From intake: take over a page of the rows that a rerun is about.
struct GatherRerun {
  std::int64_t job_number = 0;
  ObjectId from_job = 0;
  std::vector<IssuanceState> states;
  plan::ItemSet exports{};  // items that are delivered by export
};

// From the control thread: a job enters the ledger.
struct SubmitJob {
  CommandName command = {};
  ObjectId id = 0;
  ObjectId campaign = 0;
  JobKind kind = JobKind::list;
  std::int32_t ranges = 0;
  std::int64_t rows_accepted = 0;
  int items = 0;
  std::optional<std::int64_t> pilot;
  bool start_later = false;  // scheduled, until start_at
  ObjectId rerun_of = 0;
  bool is_lost = false;  // unknown to an older ledger: paused until people have looked
};
// All that an older ledger did not know is back in it.
struct LostJobsBack {};

enum class JobAction : std::uint8_t { start, pause, resume, cancel, note };

// From the control thread (a command), intake (start) or the engine (setup).
struct ChangeJob {
  CommandName command = {};  // 0: from inside
  ObjectId id = 0;           // one of id and number
  std::int64_t number = 0;
  JobAction action = JobAction::note;
  PauseReason reason = PauseReason::operator_request;  // to pause for; to resume from, when inside
  bool settle_by_repeat = false;
  std::string words;
};

// From intake: a single issuance, planned.
struct IssueSingle {
  CommandName command = {};
  ObjectId campaign = 0;
  int items = 0;
  std::string input;  // JSON, kept until the issuance is final
  std::vector<Intent> intents;
};

// From the control thread: what a downstream's statement says of rows in doubt or held.
struct SettleByStatement {
  struct Row {
    IssuanceKey key;
    std::uint8_t round = 0;
    bool was_executed = true;
    std::optional<std::int64_t> amount_minor;  // as the statement has it; nothing: it does not say
    std::string reference;
    std::optional<std::int64_t> last_event{};  // of one that was not executed, as it was compared
  };
  CommandName command = {};
  std::string words;  // which statement, given by whom
  std::vector<Row> rows;
};
inline constexpr std::size_t kStatementRowsMax = 500;

// From the control thread: a job balances against its downstreams, by the statements that
// vouchctl has compared; it is closed if nothing has changed since.
struct CloseJob {
  CommandName command = {};
  ObjectId id = 0;
  std::int64_t issued = 0;  // rows that the statements have
  std::string words;
};

// From the redis thread: Redis was lost, or is there.  Without `where` there is none.
struct CoordinationTurned {
  std::string where;
  bool is_up = true;
  std::string why;
};

// From any: a line for the history, and an answer when a command asked for it.
struct Note {
  CommandName command = {};
  EventKind kind = EventKind::daemon;
  std::string words;
  std::string answer;  // JSON; empty: {"ok":true}
};

// From the control thread: how a downstream fares has changed.
struct DownstreamChange {
  DownstreamState state;
  std::string words;  // for the history; empty: nothing is written there
};

// From the control socket: the steps of a proposal, each as ProposalBook has it.  What became of
// one is read in the ledger once it is committed.
struct DraftProposal {
  Proposal proposal;
};
struct AddProposedRows {
  ObjectId id = 0;
  std::vector<ProposedRow> rows;
};
struct OpenProposal {
  ObjectId id = 0;
};
struct DecideProposal {
  ProposalBook::Decision decision;
};
struct ProposalPage {
  ObjectId id = 0;
};

// From the control socket: the steps of an export.  What became of one is written into `done`
// before its ticket is committed, for the thread that waits for that.
struct ExportStep {
  std::int64_t rows = 0;         // taken, or confirmed
  std::optional<Error> refusal;  // nothing, or nothing more, was done
};
struct TakeForExport {
  std::int64_t job_number = 0;
  plan::ItemSet items;  // whose codes are taken
  std::shared_ptr<const store::PoolRow> pool;
  std::string words;  // of the history: who exports, and which export it is
  std::shared_ptr<ExportStep> done;
};
struct ConfirmExport {
  struct Run {
    std::int64_t first = 0;
    std::int64_t codes = 0;
  };
  std::shared_ptr<const store::PoolRow> pool;
  std::string export_id;
  std::string words;      // whose export it is, for the history
  std::vector<Run> runs;  // of ordinals, those that the file has
  std::shared_ptr<ExportStep> done;
};
inline constexpr int kExportRowsPage = 1000;

using LedgerMessage =
    std::variant<PlanPage, ClaimRange, SendAgain, HoldRow, AttemptsEnded, EndOpenRows, GatherRerun,
                 SubmitJob, LostJobsBack, ChangeJob, IssueSingle, SettleByStatement, CloseJob,
                 DownstreamChange, CoordinationTurned, Note, DraftProposal, AddProposedRows,
                 OpenProposal, DecideProposal, ProposalPage, TakeForExport, ConfirmExport>;

// A command's answer, durable with its effect; the control thread passes it on.
struct CommandAnswer {
  std::int64_t command = 0;
  std::string answer;
};

}  // namespace vouch::data
