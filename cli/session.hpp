// session.hpp: what every command shares: settings, the store, who acts, clock, output.
//
// The control store is opened when a command first asks for it, so that `version` works without
// one.  Made once, in main.
//
// Threads: main's.
// Errors:  store when there is none; not_permitted when the account is no operator; usage where a
//          question cannot be asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command_line.hpp"
#include "cli/daemon_state.hpp"
#include "cli/output.hpp"
#include "cli/settings.hpp"
#include "cli/terminal.hpp"
#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/store/control_store.hpp"
#include "common/store/ledger_view.hpp"

namespace vouch::cli {

// How long vouchctl waits for vouchd's answer where a command does not say.
inline constexpr Millis kAnswerTimeout{10'000};

class Session {
 public:
  struct Parts {
    const CommandLine& commands;
    GlobalOptions options;
    Settings settings;
    Terminal terminal;
    Clock& clock;
    Random& random;
    Output& output;
  };
  explicit Session(Parts parts);

  [[nodiscard]] Output& out() { return parts_.output; }
  [[nodiscard]] const Clock& clock() const { return parts_.clock; }
  [[nodiscard]] WallTime now() const { return parts_.clock.wall_now(); }
  [[nodiscard]] Random& random() { return parts_.random; }
  [[nodiscard]] const Terminal& terminal() const { return parts_.terminal; }
  [[nodiscard]] const Settings& settings() const { return parts_.settings; }
  [[nodiscard]] const CommandLine& commands() const { return parts_.commands; }
  [[nodiscard]] const store::StorePaths& paths() const { return paths_; }
  [[nodiscard]] const std::string& instance() const { return parts_.settings.value("instance"); }

  [[nodiscard]] bool dry_run() const { return parts_.options.dry_run; }
  [[nodiscard]] bool quiet() const { return parts_.options.quiet; }
  [[nodiscard]] int verbose() const { return parts_.options.verbose; }

  // The control store; opened at the first call, then the same.
  [[nodiscard]] Result<store::ControlStore*> control();
  // The instance's ledger, read only; opened at the first call.
  [[nodiscard]] Result<store::LedgerView*> ledger();

  // The operating system account, by its user id.
  [[nodiscard]] std::string account() const;
  // The operator of this account at this moment, for a change.
  [[nodiscard]] Result<store::Actor> actor();

  // True when the answer is yes, or --yes was given.  Without a terminal: usage, naming --yes.
  [[nodiscard]] Result<bool> confirm(std::string_view question);
  // The same, with "no" as an error: conflict, nothing was changed.
  [[nodiscard]] Result<void> require_yes(std::string_view question);

  // A time from an option; `flag` names it in the error (usage).
  [[nodiscard]] Result<WallTime> time(std::string_view flag, std::string_view text) const;
  // The text of a file, or of stdin for "-".
  [[nodiscard]] Result<std::string> read_input(const std::string& path,
                                               std::size_t bytes_max) const;

  // Hands vouchd a command and waits for its answer.  The answer's JSON when it is ok; vouchd's
  // error when not; unavailable when none runs, timed_out when it did not answer in time.  The
  // command is void after `row.expires`, which is now + timeout unless the caller sets it.
  [[nodiscard]] Result<std::string> ask(store::CommandRow row, Millis timeout = kAnswerTimeout);
  // Waits for the answer to a command that stands in the store already.
  [[nodiscard]] Result<std::string> await_answer(std::int64_t command, Millis timeout);

  [[nodiscard]] DaemonState daemon(std::string_view of_instance) const;
  // False when it is certain that no vouchd runs for this session's instance.
  [[nodiscard]] bool daemon_runs() const { return !daemon(instance()).is_absent(); }

 private:
  Parts parts_;
  store::StorePaths paths_;
  std::optional<store::ControlStore> control_;
  std::optional<store::LedgerView> ledger_;
};

// The same error as a mistake of the command line (exit status 2), with the flag before it.
[[nodiscard]] tl::unexpected<Error> usage(std::string_view flag, Error error);

}  // namespace vouch::cli
