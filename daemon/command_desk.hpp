// command_desk.hpp: what an operator asked for in the control store is carried out.
//
// Each command goes to the thread that can do it: the ledger writer, the engine or the intake,
// which answers it when what it did is durable.  One that cannot be carried out is refused through
// the ledger writer too, so that every answer stands in the ledger before it is given.
//
// Threads: the control thread's.
// Errors:  none; a refusal is an answer.
#pragma once

#include <string>

#include "common/clock.hpp"
#include "common/store/control_store.hpp"
#include "daemon/data/ledger_writer.hpp"
#include "daemon/definitions.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/strategy/intake.hpp"
#include "daemon/submissions.hpp"

namespace vouch::daemon {

// By which the ledger knows a command.
[[nodiscard]] data::CommandName name_of(const store::CommandRow& command);

class CommandDesk {
 public:
  struct Parts {
    store::ControlStore& control;
    const Definitions& definitions;
    Submissions& submissions;
    data::LedgerWriter& writer;
    service::Engine& engine;
    strategy::Intake& intake;
    const Clock& clock;
  };

  // `policy`: the one in force (common/policy.hpp).
  CommandDesk(Parts parts, std::string policy) : parts_{parts}, policy_{std::move(policy)} {}

  void carry_out(const store::CommandRow& command);

 private:
  [[nodiscard]] Result<void> change(const store::CommandRow& command, data::JobAction action);
  [[nodiscard]] Result<void> issue(const store::CommandRow& command);
  [[nodiscard]] Result<void> test(const store::CommandRow& command);
  [[nodiscard]] Result<void> settle(const store::CommandRow& command);
  [[nodiscard]] Result<void> close(const store::CommandRow& command);
  void refuse(const store::CommandRow& command, const Error& error);

  Parts parts_;
  std::string policy_;
};

}  // namespace vouch::daemon
