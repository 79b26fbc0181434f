// checks.hpp: what `doctor` and `store check` look at.  Each check only reads.
//
// Threads: main's.   Errors: none; what cannot be looked at is a finding.
#pragma once

#include <string>
#include <vector>

#include "cli/output.hpp"

namespace vouch::cli {

class Session;

enum class Level : std::uint8_t { ok, warn, fail };

struct Finding {
  std::string check;  // "folders"
  Level level = Level::ok;
  std::string detail;  // what is
  std::string fix;     // what to do; empty when ok
};
using Findings = std::vector<Finding>;

// Settings, SQLite, time zones, clock, disk: the machine and this program.
void check_machine(Session& session, Findings& out);
// Folders, files and their modes, the recipient secret, the policy.
void check_files(Session& session, Findings& out);
// Structure of the control store and its audit chain; with `deep` every page and index.
void check_control(Session& session, bool deep, Findings& out);
// How many must agree about rows in doubt or held, and whether there are so many.
void check_policy(Session& session, Findings& out);
// Structure of the ledger and the balance of its jobs.  Unless `deep`, a ledger above 256 MiB is
// not read through, since that would hold back its WAL.
void check_ledger(Session& session, bool deep, Findings& out);
// Every list that is registered has its file.
void check_lists(Session& session, Findings& out);
// Every segment of a pool has its file, and its key is there; with `deep` each file is as it was
// sealed.  What is left of each pool.
void check_pools(Session& session, bool deep, Findings& out);
// Downstreams and their last test; what is stopped or paused.
void check_downstreams(Session& session, Findings& out);
void check_daemon(Session& session, Findings& out);

[[nodiscard]] Level worst_of(const Findings& findings);
[[nodiscard]] Result<void> print_findings(Session& session, const Findings& findings);

}  // namespace vouch::cli
