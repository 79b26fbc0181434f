// vouchctl job: campaigns run over lists.  Each kind of leaf stands in a file of its own.
#include "cli/job_commands.hpp"
#include "cli/commands.hpp"

namespace vouch::cli {

void add_job_commands(CommandLine& line) {
  Group job = line.top().group("job", "Campaigns run over recipient lists");
  add_job_submit(job);
  add_job_views(job);
  add_job_wait(job);
  add_job_changes(job);
  add_job_rerun(job);
  add_job_results(job);
  add_job_close(job);
}

}  // namespace vouch::cli
