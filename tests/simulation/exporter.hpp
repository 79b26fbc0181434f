// exporter.hpp: somebody who exports codes, again and again, and may be killed at any step.
//
// Does what vouchctl does (pool_export.hpp, code_export.hpp), a step at a time, so that anything
// may come in between: another exporter, a stop of vouchd, a long pause.  Its messages reach the
// ledger writer as those of the control socket do (export_desk.hpp).  Pages are short, since the
// lists are.
//
// Threads: the simulation's only one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/instance.hpp"

namespace vouch::test {

class Exporter {
 public:
  struct Surroundings {
    ManualClock& clock;
    Random& random;
    ModelStore& store;
    Counts& counts;
    std::function<void(std::string)> wrong;
  };
  explicit Exporter(const Surroundings& around) : around_{around} {}

  // Begins an export, perhaps, unless one is under way; of the instance that has the pool.
  void look_for_work(Instance& instance);
  [[nodiscard]] Instant due() const { return phase_ == Phase::idle ? Instant::max() : due_; }
  // One step of it.
  void run(Instance& instance);

 private:
  enum class Phase { idle, taking, writing, confirming };

  void take(Instance& instance);
  [[nodiscard]] bool ask_for_codes(Instance& instance, std::int64_t job);
  void write(Instance& instance);
  void confirm(Instance& instance);
  void ask(Instance& instance, data::LedgerMessage message);
  // Gives up where vouchd has died meanwhile, or its store has failed.
  [[nodiscard]] bool is_answered(Instance& instance);
  void go_away(const char* why);
  [[nodiscard]] ExportedFile& file() { return around_.store.files()[id_]; }

  Surroundings around_;
  Instant due_{};
  int deaths_left_ = 3;
  Phase phase_ = Phase::idle;
  std::string id_;
  std::optional<std::int64_t> job_;      // of this one only, by its number
  std::vector<std::int64_t> targets_;    // jobs whose rows are still to be taken
  std::int64_t next_ordinal_ = 0;        // to be written
  std::int64_t out_ = 0;                 // codes that were out when writing began
  std::vector<std::int64_t> noted_;      // in the file, and not confirmed yet
  std::vector<std::int64_t> in_page_;    // asked about
  int life_ = 0;                         // of vouchd, when it was asked
  std::optional<std::uint64_t> ticket_;  // while there is no answer
  std::shared_ptr<data::ExportStep> answer_;
};

}  // namespace vouch::test
