// audit.hpp: what must hold of a ledger at any moment, and of ledger and journals at the end.
//
// Reads the ledger through a connection of its own, as `vouchctl` would, and recounts everything
// from the rows: it trusts no total that the daemon keeps.  What is wrong is said in words.
// Which invariants of the protocol these are stands before each check.
//
// Threads: the simulation's only one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/store/database.hpp"
#include "tests/simulation/model_service.hpp"
#include "tests/simulation/model_store.hpp"

namespace vouch::test {

struct AuditedJob {
  std::int64_t number = 0;
  ObjectId id = 0;
  int kind = 0;
  JobState state = JobState::running;
  PauseReason pause_reason = PauseReason::none;
  int items = 0;
  std::int64_t rows_accepted = 0;
  int ranges = 0;
  int ranges_planned = 0;
  std::array<std::int64_t, kIssuanceStates> by_state{};  // recounted from the rows

  [[nodiscard]] std::int64_t count(IssuanceState wanted) const {
    return by_state[static_cast<std::size_t>(wanted)];
  }
  [[nodiscard]] std::int64_t open() const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < 4; ++i) sum += by_state[i];
    return sum;
  }
};

// An issuance within one ledger: number of its campaign, recipient, occurrence, item.
using Place = std::tuple<std::int64_t, RecipientKey, std::int64_t, std::int64_t>;

// What an audit has seen of a ledger and must find again ever after; it outlives the daemon's
// lives.
struct Seen {
  std::int64_t last_event = 0;
  std::int64_t rows_planned = 0;
  std::int64_t codes_out = 0;
  std::map<std::int64_t, Place> code_owners;                             // by ordinal
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> epochs;  // by job and range
  bool has_copy = false;     // somebody else may execute what waits here
  bool is_restored = false;  // an older copy, accepted: open rows are in doubt without an event
};

class Audit {
 public:
  using Journal = std::map<std::string, Execution>;  // by request id
  Audit(store::Database reader, const ModelStore& store, Seen& seen)
      : database_{std::move(reader)}, store_{store}, seen_{seen} {}

  // I3, I5 and I6, at the moment a call leaves: its row is `sending`, in this round, with this
  // digest, and the code in it is the row's.
  [[nodiscard]] std::optional<std::string> call_may_leave(const wire::HttpCall& call);
  // Only about a row in doubt, of this round, is anybody asked.
  [[nodiscard]] std::optional<std::string> query_may_leave(const wire::HttpCall& call);
  // After a stop, before anything is mended: the row of a call that was out is still `sending`.
  [[nodiscard]] std::optional<std::string> is_sending(const std::string& request_id);

  // After each commit: nothing that was committed is gone, and I6 for the codes that are new.
  [[nodiscard]] std::optional<std::string> commit_holds();
  // I2: every total equals a recount of the rows, and every row of a list is accounted for.
  // I9, the ledger's part: no range's epoch goes back.
  [[nodiscard]] std::optional<std::string> balance();
  // I6: each code has the one owner that it has always had, and its owner no other.
  [[nodiscard]] std::optional<std::string> codes_hold();
  // I1 and I4: what is issued has its evidence, a call's or an export's, and the journal agrees
  // with every state, with the code of each call too.  Takes what belongs to this ledger out of the
  // journal.
  [[nodiscard]] std::optional<std::string> agrees_with(Journal& journal);
  // I8, I12 and the transition table, from the events of each issuance.  What may have been
  // executed is called again only where its contract says that keys are honoured.  A code has who
  // was once `sending`, and nobody else.
  [[nodiscard]] std::optional<std::string> history();
  // I6 for the files of exports: what stands in one is the ledger's too, and what was confirmed is
  // issued for ever.
  [[nodiscard]] std::optional<std::string> files_hold();
  // Rows in a state whose downstream has this contract.
  [[nodiscard]] std::int64_t count(IssuanceState state, plan::Contract contract);

  [[nodiscard]] std::vector<AuditedJob> jobs();
  [[nodiscard]] std::int64_t count(IssuanceState state);
  // Items of a recipient that have an issuance.
  [[nodiscard]] std::int64_t items_of(ObjectId campaign, const RecipientKey& recipient,
                                      std::uint64_t occurrence);
  [[nodiscard]] std::optional<IssuanceState> state_of(const IssuanceKey& key);
  // The range that a row belongs to, with its epoch.
  struct Range {
    ObjectId job = 0;
    std::int64_t range = 0;
    std::int64_t epoch = 0;
    bool is_alone = false;  // called under a lock of its own: a single, or what was in doubt
  };
  [[nodiscard]] std::optional<Range> range_of(const IssuanceKey& key);
  [[nodiscard]] std::int64_t codes_out();
  // What an export reads of a ledger.
  struct OwnedCode {
    std::int64_t ordinal = 0;
    IssuanceKey owner;
    IssuanceState state = IssuanceState::planned;
    std::int64_t job = 0;  // by number
    bool by_export = false;
  };
  [[nodiscard]] std::vector<OwnedCode> owned_codes(std::int64_t from, std::int64_t upto);
  // Jobs with rows that an export has to do with; whether some of them have no code yet.
  struct OpenExports {
    std::int64_t job = 0;
    bool waits = false;
  };
  [[nodiscard]] std::vector<OpenExports> open_exports();
  // Rows whose codes an export has taken, and neither confirmed nor put in doubt.
  [[nodiscard]] std::int64_t taken_by_exports();
  [[nodiscard]] std::int64_t number(std::string_view constant_sql);

 private:
  struct Row {
    IssuanceState state = IssuanceState::planned;
    int round = 0;
    Digest128 digest{};
    std::optional<std::int64_t> ordinal;
  };
  [[nodiscard]] std::optional<std::string> call_has_its_bytes(const wire::HttpCall& call,
                                                              const RequestId& id, const Row& row);
  // I4 for a code that goes out in a file.
  struct Exported {
    IssuanceState state = IssuanceState::planned;
    std::optional<std::int64_t> ordinal;
    EventKind kind{};  // of its last event
    IssuanceState to = IssuanceState::planned;
    std::string reference;
  };
  [[nodiscard]] std::optional<std::string> was_exported_rightly(const std::string& name,
                                                                const Exported& row,
                                                                const IssuanceKey& key) const;
  [[nodiscard]] std::optional<std::string> see_new_codes();
  [[nodiscard]] std::optional<std::string> has_code_rightly(ObjectId campaign, std::int64_t item,
                                                            bool has_code, bool was_sending) const;
  [[nodiscard]] std::optional<Row> row_of(const IssuanceKey& key);
  [[nodiscard]] std::optional<std::int64_t> campaign_number(ObjectId campaign);

  store::Database database_;
  const ModelStore& store_;
  Seen& seen_;
  std::map<ObjectId, std::int64_t> campaigns_;
};

}  // namespace vouch::test
