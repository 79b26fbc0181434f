#include "cli/job_verdict.hpp"

#include <array>

#include "cli/open_exports.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::array kWithoutVoucher = {IssuanceState::declined, IssuanceState::failed,
                                        IssuanceState::cancelled, IssuanceState::expired,
                                        IssuanceState::skipped};

// Rows that a cancelled job never came to ended by the cancelling too.
std::int64_t count_of(const store::JobProgress& job, IssuanceState state) {
  std::int64_t count = job.by_state[static_cast<std::size_t>(state)];
  if (state == IssuanceState::cancelled && job.state == JobState::cancelled) {
    count += job.not_planned();
  }
  return count;
}

std::string command(std::string_view verb, const store::JobProgress& job) {
  return "vouchctl job " + std::string{verb} + " " + format_id(ObjectKind::job, job.id);
}

std::optional<Obstacle> unsettled(const JobStanding& job) {
  const std::int64_t held = count_of(job, IssuanceState::held);
  const std::int64_t in_doubt = count_of(job, IssuanceState::in_doubt);
  std::vector<std::string> parts;
  if (held > 0) parts.push_back(format_count(held) + " held");
  if (in_doubt > 0) parts.push_back(format_count(in_doubt) + " in doubt");
  Obstacle out{"everything was tried, and " + join(parts, ", ") + " are left", ""};
  const std::string id = format_id(ObjectKind::job, job.id);
  out.advice = held > 0
                   ? "see why: vouchctl issuance list --job " + id +
                         " --state held; then decide: vouchctl issuance resolve --job " + id
                   : "repeat those in doubt: " + command("cancel", job) + " --settle-by-repeat";
  if (const std::string exports = export_advice(job); !exports.empty()) {
    const bool calls_too = held > 0 || in_doubt > job.exports.rows();
    out.advice = calls_too ? out.advice + "; what an export has taken: " + exports
                           : "what an export has taken: " + exports;
  }
  return out;
}

}  // namespace

Result<Tolerance> Tolerance::parse(const std::vector<std::string>& texts) {
  Tolerance out;
  for (const std::string& text : texts) {
    const auto at = text.find('=');
    const auto state = issuance_state_of(text.substr(0, at));
    const bool known = state && std::find(kWithoutVoucher.begin(), kWithoutVoucher.end(), *state) !=
                                    kWithoutVoucher.end();
    if (at == std::string::npos || !known) {
      return fail(Errc::usage, "--tolerate: \"" + text + "\" names no way to end without a voucher",
                  "such as declined=2%; there are declined, failed, cancelled, expired, skipped");
    }
    std::string_view amount = std::string_view{text}.substr(at + 1);
    Limit limit;
    const bool is_percent = amount.ends_with('%');
    if (is_percent) amount.remove_suffix(1);
    const auto number = is_percent ? parse_major_amount(amount, 2) : parse_integer(amount);
    if (!number || *number < 0 || (is_percent && *number > 10'000)) {
      return fail(Errc::usage, "--tolerate: \"" + text + "\" has no part that is understood",
                  "write declined=2% or declined=10");
    }
    if (is_percent) {
      limit.percent = static_cast<double>(*number) / 100.0;
    } else {
      limit.count = *number;
    }
    out.limits_[*state] = limit;
  }
  return out;
}

std::int64_t Tolerance::beyond(const store::JobProgress& job) const {
  const double total = static_cast<double>(job.total());
  std::int64_t sum = 0;
  for (const IssuanceState state : kWithoutVoucher) {
    const std::int64_t count = count_of(job, state);
    const auto found = limits_.find(state);
    bool tolerated = false;
    if (found != limits_.end()) {
      const Limit& limit = found->second;
      tolerated = limit.count ? count <= *limit.count
                              : static_cast<double>(count) * 100.0 <= limit.percent * total;
    }
    if (!tolerated) sum += count;
  }
  return sum;
}

std::optional<Obstacle> obstacle_of(const JobStanding& job) {
  if (job.state == JobState::unsettled) return unsettled(job);
  if (job.state != JobState::paused) return export_obstacle(job);
  const std::string detail = job.pause_detail.empty() ? "" : ": " + job.pause_detail;
  switch (job.pause_reason) {
    case PauseReason::operator_request:
      return Obstacle{"an operator paused it" + detail, command("resume", job)};
    case PauseReason::setup:
      return Obstacle{"the downstream refuses its credentials, URL or form" + detail,
                      "mend the downstream; one call a minute tries, and the job goes on by itself "
                      "when it succeeds; an answer that is about one recipient alone belongs in "
                      "its outcome table"};
    case PauseReason::pilot:
      return Obstacle{"the pilot's rows are settled: look at them before the others follow",
                      command("results", job) + ", then " + command("resume", job)};
    case PauseReason::failures:
      return Obstacle{"too many rows end without a voucher" + detail,
                      "see why: vouchctl job results " + format_id(ObjectKind::job, job.id) +
                          " --only not-issued; then " + command("resume", job) +
                          ", or first: vouchctl job update " + format_id(ObjectKind::job, job.id) +
                          " --pause-at-failures 100"};
    case PauseReason::approval:
      return Obstacle{"it waits for approval" + detail, "vouchctl approval list"};
    case PauseReason::budget:
      return Obstacle{"the campaign's budget is used up" + detail,
                      "raise the budget, then " + command("resume", job)};
    case PauseReason::store:
      return Obstacle{job.pause_detail.empty() ? "its ledger is an older copy" : job.pause_detail,
                      "see what was stopped since, then " + command("resume", job)};
    case PauseReason::coordination:
      return Obstacle{"the daemons cannot agree on their shares" + detail,
                      "it goes on by itself when they can"};
    case PauseReason::pool:
      return Obstacle{"it cannot take codes from a pool" + detail,
                      "add codes with `vouchctl pool generate` or `pool import`, or put the key "
                      "back, then " +
                          command("resume", job)};
    case PauseReason::none:
      break;
  }
  return Obstacle{"it is paused" + detail, command("resume", job)};
}

std::string without_voucher_text(const store::JobProgress& job) {
  std::vector<std::string> parts;
  for (const IssuanceState state : kWithoutVoucher) {
    const std::int64_t count = count_of(job, state);
    if (count > 0) parts.push_back(format_count(count) + " " + std::string{name_of(state)});
  }
  return join(parts, ", ");
}

Verdict judge(const JobStanding& job, WaitFor wait_for, const Tolerance& tolerance) {
  if (wait_for == WaitFor::paused) {
    if (job.state == JobState::paused) return {Verdict::Kind::good, "", ""};
    if (const auto waits = export_obstacle(job)) {
      return {Verdict::Kind::person, waits->why, waits->advice};
    }
    if (!is_over(job.state) && job.state != JobState::unsettled) return {};
    return {Verdict::Kind::never,
            "it is " + std::string{name_of(job.state)} + " and will not pause", ""};
  }
  if (wait_for == WaitFor::started && job.started) return {Verdict::Kind::good, "", ""};
  if (const auto obstacle = obstacle_of(job)) {
    // What mends itself is waited for.
    if (job.pause_reason == PauseReason::coordination) return {};
    return {Verdict::Kind::person, obstacle->why, obstacle->advice};
  }
  if (!is_over(job.state)) return {};
  if (wait_for == WaitFor::started) {
    return {Verdict::Kind::never, "it is " + std::string{name_of(job.state)} + " and never started",
            ""};
  }
  if (tolerance.beyond(job) == 0) return {Verdict::Kind::good, "", ""};
  return {Verdict::Kind::shortage, without_voucher_text(job) + " of " + format_count(job.total()),
          "which ones: " + command("results", job) + " -o csv --only not-issued"};
}

}  // namespace vouch::cli
