// vouchctl job wait: until jobs are done, started or paused, with an exit status that a script can
// trust.
#include <algorithm>

#include "cli/job_blocks.hpp"
#include "cli/job_commands.hpp"
#include "cli/job_verdict.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kPoll{200};

struct Waited {
  JobView view;
  Tolerance tolerance;
  Verdict verdict;
};

WaitFor wait_for_of(const std::string& word) {
  if (word == "started") return WaitFor::started;
  return word == "paused" ? WaitFor::paused : WaitFor::done;
}

Result<void> look(JobBoard& board, WaitFor wait_for, Waited& waited) {
  VOUCH_CHECK(board.refresh(waited.view));
  if (waited.view.refusal) return within(waited.view.id(), *waited.view.refusal);
  if (waited.view.progress) {
    waited.verdict = judge(*waited.view.progress, wait_for, waited.tolerance);
  }
  return {};
}

bool is_decided(const Waited& waited) {
  return waited.verdict.kind != Verdict::Kind::wait_on;
}

// A person is needed at once, whatever the other jobs do.
bool is_urgent(const Waited& waited) {
  return waited.verdict.kind == Verdict::Kind::person ||
         waited.verdict.kind == Verdict::Kind::never;
}

bool nobody_drains(const std::vector<Waited>& all) {
  return std::any_of(all.begin(), all.end(), [](const Waited& waited) {
    return !is_decided(waited) && waited.view.daemon.is_absent();
  });
}

Result<void> print(Session& session, const std::vector<Waited>& all) {
  if (session.quiet() && session.out().is_for_people()) return {};
  VOUCH_TRY(Listing listing, session.out().list(columns_of(summary_of(all.front().view))));
  for (const Waited& waited : all) listing.row(values_of(summary_of(waited.view)));
  listing.end();
  return {};
}

Result<int> conclude(Session& session, const std::vector<Waited>& all) {
  VOUCH_CHECK(print(session, all));
  for (const Waited& waited : all) {
    if (!is_urgent(waited)) continue;
    const bool person = waited.verdict.kind == Verdict::Kind::person;
    return fail(person ? Errc::attention : Errc::conflict,
                waited.view.id() + ": " + waited.verdict.words, waited.verdict.hint);
  }
  int status = 0;
  for (const Waited& waited : all) {
    if (waited.verdict.kind != Verdict::Kind::shortage) continue;
    session.out().warn(waited.view.id() + ": ended without a voucher: " + waited.verdict.words);
    session.out().note("hint: " + waited.verdict.hint);
    status = 3;
  }
  return status;
}

Result<int> time_is_up(Session& session, const std::vector<Waited>& all, Millis timeout) {
  VOUCH_CHECK(print(session, all));
  std::vector<std::string> parts;
  for (const Waited& waited : all) {
    if (!is_decided(waited)) parts.push_back(waited.view.id() + " is " + waited.view.state());
  }
  return fail(Errc::timed_out, "after " + format_duration(timeout) + ": " + join(parts, ", "),
              nobody_drains(all)
                  ? "no vouchd runs for the instance \"" + session.instance() + "\": start it"
                  : "it goes on; wait again, or see `vouchctl job show`");
}

void show_progress(Session& session, const std::vector<Waited>& all, Progress& progress) {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::int64_t without = 0;
  for (const Waited& waited : all) {
    if (!waited.view.progress) continue;
    const store::JobProgress& job = *waited.view.progress;
    total += job.total();
    done += job.repeats + job.moved;
    for (int i = static_cast<int>(IssuanceState::issued); i < kIssuanceStates; ++i) {
      const std::int64_t count = job.by_state[static_cast<std::size_t>(i)];
      done += count;
      if (i != static_cast<int>(IssuanceState::issued)) without += count;
    }
  }
  const std::string detail = without == 0 ? "" : format_count(without) + " without a voucher";
  progress.update(done, total, detail, session.clock().now());
}

}  // namespace

Result<int> wait_for_jobs(Session& session, const WaitOptions& options) {
  const WaitFor wait_for = wait_for_of(options.until);
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  std::vector<Waited> all;
  for (const std::string& job : options.jobs) {
    Waited& waited = all.emplace_back();
    VOUCH_TRY(waited.view, board.find(job));
    const auto& texts =
        options.tolerate.empty() ? waited.view.row.options.tolerate : options.tolerate;
    VOUCH_TRY(waited.tolerance, Tolerance::parse(texts));
  }
  const Instant begin = session.clock().now();
  Progress progress{session.out(), session.terminal(), "waiting"};
  BlockTeller teller;
  while (true) {
    for (Waited& waited : all) {
      if (!is_decided(waited)) VOUCH_CHECK(look(board, wait_for, waited));
    }
    const bool decided = std::all_of(all.begin(), all.end(), is_decided);
    if (decided || std::any_of(all.begin(), all.end(), is_urgent)) break;
    for (Waited& waited : all) {
      if (is_decided(waited)) continue;
      VOUCH_TRY(waited.view.blocks, blocks_of(session, board, waited.view));
      teller.tell(session, waited.view, [&] { progress.clear(); });
    }
    show_progress(session, all, progress);
    const Instant now = session.clock().now();
    if (options.timeout && now >= begin + *options.timeout) {
      progress.clear();
      return time_is_up(session, all, *options.timeout);
    }
    const Instant next = now + kPoll;
    sleep_until(session.clock(),
                options.timeout ? std::min(next, begin + Nanos{*options.timeout}) : next);
  }
  progress.clear();
  return conclude(session, all);
}

void add_job_wait(Group& job) {
  auto options = std::make_shared<WaitOptions>();
  job.leaf({.name = "wait",
            .summary = "Wait until jobs are done, and say by the exit status how they ended",
            .description =
                "0: every row has its voucher, or what has not is tolerated; 3: rows ended "
                "without one; 8: the time limit has passed; 9, at once: a person is needed (rows "
                "are held or wait for an export, or the job is paused).",
            .examples = {"vouchctl job wait birthday-november --timeout 30m --tolerate declined=2%",
                         "vouchctl job wait birthday-november --for started --timeout 10s"}},
           [options](Session& session) -> Result<int> {
             if (options->jobs.empty()) {
               return fail(Errc::usage, "which job?", "vouchctl job list shows them");
             }
             return wait_for_jobs(session, *options);
           })
      .remaining("JOB", options->jobs, kJobHelp)
      .one_of("--for", options->until, {"done", "started", "paused"}, "done unless said")
      .duration("--timeout", options->timeout, "exit 8 after this time; none unless said")
      .list("--tolerate", "STATE=PART", options->tolerate,
            "a success all the same: declined=2%,skipped=100%; as submitted unless said");
}

}  // namespace vouch::cli
