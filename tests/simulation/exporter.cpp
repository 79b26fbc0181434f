#include "tests/simulation/exporter.hpp"

#include <algorithm>

#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

constexpr std::int64_t kWritePage = 40;   // codes
constexpr std::size_t kConfirmPage = 30;  // likewise, at most
constexpr double kBegins = 0.3;           // each time that there is something to export
constexpr double kDies = 0.05;            // at each step
constexpr double kPauses = 0.05;          // likewise

// As pool_export.cpp has it: what the file delivers when it is confirmed.
bool is_delivered_by_file(const Audit::OwnedCode& code) {
  return code.by_export && next_state(code.state, IssuanceEvent::confirm).has_value();
}

std::vector<data::ConfirmExport::Run> runs_of(const std::vector<std::int64_t>& ordinals) {
  std::vector<data::ConfirmExport::Run> runs;
  for (const std::int64_t ordinal : ordinals) {
    if (!runs.empty() && runs.back().first + runs.back().codes == ordinal) {
      ++runs.back().codes;
    } else {
      runs.push_back({ordinal, 1});
    }
  }
  return runs;
}

}  // namespace

void Exporter::run(Instance& instance) {
  Random& random = around_.random;
  due_ = around_.clock.now() + Millis{1 + static_cast<std::int64_t>(random.below(40))};
  if (deaths_left_ > 0 && random.chance(kDies)) {
    --deaths_left_;
    return go_away("exporter killed");
  }
  if (random.chance(kPauses)) due_ += Millis{static_cast<std::int64_t>(random.below(2000))};
  if (ticket_ && !is_answered(instance)) return;
  if (phase_ == Phase::taking) return take(instance);
  if (phase_ == Phase::writing) return write(instance);
  confirm(instance);
}

void Exporter::look_for_work(Instance& instance) {
  if (phase_ != Phase::idle || !around_.random.chance(kBegins)) return;
  const std::vector<Audit::OpenExports> open = instance.audit().open_exports();
  if (open.empty()) return;
  id_ = format_id(ObjectKind::code_export, new_object_id(around_.random));
  job_.reset();
  if (around_.random.chance(0.5)) job_ = open[around_.random.below(open.size())].job;
  targets_.clear();
  for (const Audit::OpenExports& one : open) {
    if (one.waits && (!job_ || *job_ == one.job)) targets_.push_back(one.job);
  }
  noted_.clear();
  next_ordinal_ = 0;
  due_ = around_.clock.now();
  phase_ = Phase::taking;
}

// --- taking --------------------------------------------------------------------------------------

void Exporter::take(Instance& instance) {
  if (const auto answer = std::exchange(answer_, nullptr)) {
    if (answer->refusal && answer->refusal->code == Errc::attention) {
      ++around_.counts.happened["pool filled up for an export"];
      around_.store.fill_pool();
      return go_away("export without codes");
    }
    if (answer->refusal || answer->rows < data::kExportRowsPage) targets_.pop_back();
  }
  while (!targets_.empty()) {
    if (ask_for_codes(instance, targets_.back())) return;
    targets_.pop_back();
  }
  out_ = instance.audit().codes_out();
  phase_ = Phase::writing;
}

// As export_desk.cpp: false where the job may start nothing now.
bool Exporter::ask_for_codes(Instance& instance, std::int64_t number) {
  const auto snapshot = instance.life().board.read();
  const auto found = snapshot->jobs.find(number);
  if (found == snapshot->jobs.end()) return false;
  const data::JobNow& job = found->second;
  const bool is_kept = !job.blocked.empty() || !job.ended.empty();
  if (is_kept || job.is_late(around_.clock.wall_now())) return false;
  data::TakeForExport message{.job_number = number,
                              .items = job.exports,
                              .pool = std::make_shared<const store::PoolRow>(around_.store.pool()),
                              .words = "the export " + id_ + " by the simulation",
                              .done = std::make_shared<data::ExportStep>()};
  answer_ = message.done;
  ask(instance, std::move(message));
  return true;
}

// --- writing -------------------------------------------------------------------------------------

void Exporter::write(Instance& instance) {
  const std::int64_t end = std::min(out_, next_ordinal_ + kWritePage);
  ExportedFile& written = file();
  for (const Audit::OwnedCode& code : instance.audit().owned_codes(next_ordinal_, end)) {
    if (job_ && *job_ != code.job) continue;
    written.codes.emplace(code.ordinal, code.owner);
    if (is_delivered_by_file(code)) noted_.push_back(code.ordinal);
  }
  next_ordinal_ = end;
  if (next_ordinal_ < out_) return;
  written.is_complete = true;
  phase_ = Phase::confirming;
}

// --- confirming ----------------------------------------------------------------------------------

void Exporter::confirm(Instance& instance) {
  if (const auto answer = std::exchange(answer_, nullptr)) {
    if (answer->rows != static_cast<std::int64_t>(in_page_.size())) {
      return around_.wrong(id_ + ": " + std::to_string(answer->rows) + " rows issued of " +
                           std::to_string(in_page_.size()) + " that were confirmed");
    }
    file().confirmed.insert(in_page_.begin(), in_page_.end());
    std::erase_if(noted_, [&](std::int64_t ordinal) { return file().confirmed.contains(ordinal); });
  }
  if (noted_.empty()) return go_away("exported");
  const std::size_t codes =
      std::min(noted_.size(), std::size_t{1} + around_.random.below(kConfirmPage));
  in_page_.assign(noted_.begin(), noted_.begin() + static_cast<std::ptrdiff_t>(codes));
  data::ConfirmExport message{.pool = std::make_shared<const store::PoolRow>(around_.store.pool()),
                              .export_id = id_,
                              .words = "the export " + id_ + " by the simulation",
                              .runs = runs_of(in_page_),
                              .done = std::make_shared<data::ExportStep>()};
  answer_ = message.done;
  ask(instance, std::move(message));
}

// --- vouchd --------------------------------------------------------------------------------------

void Exporter::ask(Instance& instance, data::LedgerMessage message) {
  life_ = instance.lives();
  ticket_ = instance.write(std::move(message));
}

bool Exporter::is_answered(Instance& instance) {
  const bool is_same = instance.lives() == life_;
  if (is_same && instance.life().writer.committed() >= *ticket_) {
    ticket_.reset();
    return true;
  }
  if (!is_same || !instance.store_ok()) go_away("export cut off by vouchd");
  return false;
}

// What stands in its file stands there for ever.
void Exporter::go_away(const char* why) {
  ++around_.counts.happened[why];
  phase_ = Phase::idle;
  ticket_.reset();
  answer_.reset();
}

}  // namespace vouch::test
