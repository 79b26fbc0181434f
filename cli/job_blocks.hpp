// job_blocks.hpp: what keeps a job that runs from starting calls: something is paused or stopped,
// or vouchd or a downstream does not work.
//
// Threads: main's.   Errors: those of the store.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/job_view.hpp"
#include "common/downstream_state.hpp"

namespace vouch::cli {

// What keeps everything comes first: vouchd's trouble, then what people stopped or paused, then
// downstreams that do not answer, which nothing tries meanwhile.  Empty when nothing keeps
// the job.
[[nodiscard]] Result<std::vector<Block>> blocks_of(Session& session, JobBoard& board,
                                                   const JobView& view);
// That of vouchd alone, for what belongs to no job.
[[nodiscard]] std::vector<Block> daemon_blocks(const DaemonState& state, std::string_view instance);
// That of one downstream, to which nothing is tried while it `is_halted`; nothing when it is well.
[[nodiscard]] std::optional<Block> lane_block(const DownstreamState& state, const std::string& name,
                                              WallTime now, bool is_halted);
// Their words, one after the other.
[[nodiscard]] std::vector<std::string> words_of(const std::vector<Block>& blocks);

// For commands that wait: says on stderr what keeps a job, each thing once.
class BlockTeller {
 public:
  // `before` is called in front of the first line: it takes a progress bar away.
  template <typename Before>
  void tell(Session& session, const JobView& view, Before before) {
    for (const Block& block : fresh(session, view)) {
      before();
      say(session, view, block);
    }
  }

 private:
  [[nodiscard]] std::vector<Block> fresh(const Session& session, const JobView& view);
  static void say(Session& session, const JobView& view, const Block& block);
  std::set<std::string> told_;
};

// The downstreams of the campaign's items, each once.
[[nodiscard]] Result<std::vector<store::DownstreamRow>> downstreams_of(
    store::ControlStore& control, const plan::Campaign& campaign);

}  // namespace vouch::cli
