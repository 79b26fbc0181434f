// vouchctl doctor: what is wrong, and what to do about it.
#include "cli/checks.hpp"
#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/result.hpp"

namespace vouch::cli {
namespace {

Result<int> doctor(Session& session, bool only_trouble) {
  Findings findings;
  check_machine(session, findings);
  check_files(session, findings);
  check_control(session, false, findings);
  check_policy(session, findings);
  check_ledger(session, false, findings);
  check_lists(session, findings);
  check_pools(session, false, findings);
  check_downstreams(session, findings);
  check_daemon(session, findings);
  const Level worst = worst_of(findings);
  if (only_trouble) std::erase_if(findings, [](const Finding& f) { return f.level == Level::ok; });
  VOUCH_CHECK(print_findings(session, findings));
  return worst == Level::fail ? exit_code_of(Errc::failure) : 0;
}

}  // namespace

void add_doctor_commands(CommandLine& line) {
  auto only_trouble = std::make_shared<bool>(false);
  line.top()
      .leaf({.name = "doctor",
             .summary = "Check the installation; each finding comes with its fix",
             .description = "Exit status 1 when anything fails, 0 with warnings alone.",
             .examples = {"vouchctl doctor", "vouchctl doctor --trouble -o json"}},
            [only_trouble](Session& session) { return doctor(session, *only_trouble); })
      .flag("--trouble", *only_trouble, "only warnings and failures");
}

}  // namespace vouch::cli
