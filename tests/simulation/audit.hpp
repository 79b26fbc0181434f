// audit.hpp: what must hold of a ledger at any moment, and of ledger and journals at the end.
//
// Reads the ledger through a connection of its own, as `vouchctl` would, and recounts everything
// from the rows: it trusts no total that the daemon keeps.  What is wrong is said in words.
//
// Threads: the simulation's only one.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/identity.hpp"
#include "common/issuance_state.hpp"
#include "common/store/database.hpp"
#include "tests/simulation/model_service.hpp"

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

class Audit {
 public:
  using Journals = std::vector<const ModelService*>;
  explicit Audit(store::Database reader) : database_{std::move(reader)} {}

  // I3 and I5, at the moment a call leaves: its row is `sending`, in this round, with this digest.
  [[nodiscard]] std::optional<std::string> call_may_leave(const wire::HttpCall& call);
  // Only about a row in doubt, of this round, is anybody asked.
  [[nodiscard]] std::optional<std::string> query_may_leave(const wire::HttpCall& call);
  // After a stop, before anything is mended: the row of a call that was out is still `sending`.
  [[nodiscard]] std::optional<std::string> is_sending(const std::string& request_id);

  // I2: every total equals a recount of the rows, and every row of a list is accounted for.
  [[nodiscard]] std::optional<std::string> balance();
  // I4: what is issued has its evidence, and the journals agree with every state.
  [[nodiscard]] std::optional<std::string> journals_agree(const Journals& journals);
  // I8, I12 and the transition table, from the events of each issuance.  What may have been
  // executed is called again only where `contract_of` the campaign's item says that keys are
  // honoured.
  using ContractOf = std::function<plan::Contract(ObjectId campaign, std::size_t item)>;
  [[nodiscard]] std::optional<std::string> history(const ContractOf& contract_of);
  // Nothing under contract none is left in doubt, and what is settled there is settled by its call.
  [[nodiscard]] std::int64_t count(IssuanceState state, const ContractOf& contract_of,
                                   plan::Contract contract);

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
  };
  [[nodiscard]] std::optional<Range> range_of(const IssuanceKey& key);
  [[nodiscard]] std::int64_t number(std::string_view constant_sql);

 private:
  struct Row {
    IssuanceState state = IssuanceState::planned;
    int round = 0;
    Digest128 digest{};
  };
  [[nodiscard]] std::optional<Row> row_of(const IssuanceKey& key);
  [[nodiscard]] std::optional<std::int64_t> campaign_number(ObjectId campaign);

  store::Database database_;
  std::map<ObjectId, std::int64_t> campaigns_;
};

}  // namespace vouch::test
