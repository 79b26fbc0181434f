// code_export.hpp: an export that gives rows their codes: what vouchctl asks of vouchd for it.
//
//   find      which rows wait for an export from this pool, and which another has taken already
//   take      vouchd gives those that wait their codes, in its ledger, before any is in a file
//   note      for each code that the file has and that is not confirmed yet
//   confirm   the file is on the disk: vouchd makes the rows noted `issued`
//
// Whoever stops in between has lost nothing: the next export finds the rows taken, with the same
// codes.  Two at once take different rows, write both what both have taken, and confirm no more
// than their own file has.
//
// Threads: main's.
// Errors:  attention when the pool has too few codes, before one is taken; those of vouchd.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/control_call.hpp"
#include "cli/session.hpp"
#include "common/store/ledger_view.hpp"
#include "common/store/pool_row.hpp"

namespace vouch::cli {

class CodeExport {
 public:
  // Called with how much is done of how much.
  using Observe = std::function<void(std::int64_t, std::int64_t)>;

  // Of one job of the ledger; 0: of all, single issuances too.
  [[nodiscard]] static Result<CodeExport> find(Session& session, store::LedgerView& ledger,
                                               const store::PoolRow& pool, ObjectId job);

  [[nodiscard]] std::int64_t waiting() const { return waiting_; }
  [[nodiscard]] std::int64_t taken() const { return taken_; }
  // Of those that wait, how many get a code that is new.
  [[nodiscard]] std::int64_t codes_wanted() const { return codes_wanted_; }
  // In doubt since before this copy of the ledger: no export can know their codes.
  [[nodiscard]] std::int64_t unknown() const { return unknown_; }
  [[nodiscard]] bool is_needed() const { return waiting_ + taken_ > 0; }
  [[nodiscard]] const std::string& id() const { return id_; }

  // Whether vouchd is there to take and to confirm, and the pool has the codes.
  [[nodiscard]] Result<void> check(Session& session, std::int64_t codes_left);
  // Of several jobs, one that may start nothing now is left out, and told by left_out().
  [[nodiscard]] Result<void> take(const Observe& observe);
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }
  void note(std::int64_t ordinal);
  // How many of the rows noted are issued now.
  [[nodiscard]] Result<std::int64_t> confirm(Session& session, const Observe& observe);
  [[nodiscard]] std::int64_t noted() const { return noted_; }

 private:
  struct Target {
    ObjectId job = 0;
    std::string name;  // as vouchd knows it
  };
  struct Run {
    std::int64_t first = 0;
    std::int64_t codes = 0;
  };
  CodeExport(const store::PoolRow& pool, std::string id) : pool_{&pool}, id_{std::move(id)} {}
  [[nodiscard]] Result<void> add(store::LedgerView& ledger, const plan::Campaign& campaign,
                                 Target target);
  [[nodiscard]] Result<std::int64_t> confirm_page(const Json& runs);

  const store::PoolRow* pool_;
  std::string id_;
  std::vector<Target> targets_;  // those with rows that wait
  bool of_one_job_ = false;
  std::vector<std::string> left_out_;
  std::int64_t waiting_ = 0;
  std::int64_t taken_ = 0;
  std::int64_t codes_wanted_ = 0;
  std::int64_t unknown_ = 0;
  [[nodiscard]] Result<void> open(Session& session);

  std::optional<ControlCall> vouchd_;
  std::vector<Run> runs_;  // neighbours are one: few, however many codes
  std::int64_t noted_ = 0;
};

}  // namespace vouch::cli
