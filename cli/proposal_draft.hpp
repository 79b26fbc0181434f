// proposal_draft.hpp: a proposal while its rows are handed to vouchd, a page of them in a call.
//
// Until open() it is a draft, of which nobody can say yes or no; vouchd gives up those that were
// never opened when it starts again.
//
// Threads: main's.
// Errors:  vouchd's; conflict when it has not taken every row.
#pragma once

#include <string>

#include "cli/control_call.hpp"

namespace vouch::cli {

class ProposalDraft {
 public:
  // `draft` as POST /proposals takes it (daemon/control_socket.hpp).
  [[nodiscard]] static Result<ProposalDraft> begin(const ControlCall& vouchd, const Json& draft);

  [[nodiscard]] const std::string& id() const { return id_; }
  // Keeps the row, and sends those it has when they fill a call.
  [[nodiscard]] Result<void> add(Json row);
  // Sends what is left.
  [[nodiscard]] Result<void> flush();
  // The end: it waits for a yes.  `rows` and `digest` are what the proposer has counted.
  [[nodiscard]] Result<void> open(std::int64_t rows, const std::string& digest);

 private:
  ProposalDraft(const ControlCall& vouchd, std::string id) : vouchd_{&vouchd}, id_{std::move(id)} {}

  const ControlCall* vouchd_;
  std::string id_;
  Json rows_ = Json::array();
  std::size_t bytes_ = 0;  // of their references
};

}  // namespace vouch::cli
