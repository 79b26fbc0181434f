// job_results.hpp: what became of every line of a partner's file.
//
// Lines come out in the file's order, refused and repeated ones too, in flat memory: the sealed
// list is read beside the ledger in the order of both, what comes of it is sorted by line on disk,
// and refused lines and duplicates are merged in.
//
// Threads: main's.
// Units:   amounts in minor units.
// Errors:  those of list and ledger; io where there is no room for the sort.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/plan/campaign.hpp"
#include "common/store/ledger_view.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::cli {

// One item of one line; a line that gave no issuances has one of these without an item.
struct LineResult {
  std::int64_t line = 0;
  std::string_view recipient_id;         // as the partner wrote it; may be empty in a refused line
  std::vector<std::string_view> fields;  // the partner's, by the list's columns
  std::string_view item;
  std::string_view result;  // a state, or rejected, duplicate, repeat, not_planned
  std::string_view code, words, reference, currency, issuance;
  std::optional<std::int64_t> amount_minor;
  std::optional<WallTime> at;
  ObjectId job = 0;  // that holds the issuance; 0: none
};

struct ResultsRequest {
  const plan::Campaign& campaign;
  ObjectId campaign_id = 0;
  std::uint64_t occurrence = 0;  // of the job
  std::set<ObjectId> own;        // the job and the reruns of it
  bool whole_file = true;        // false for a rerun: only the lines it took over
  std::string not_planned;       // why a line has no issuance yet, in words
  std::string folder;            // for the sort
  std::size_t run_bytes = 0;     // of the sort; 0: its own.  Tests make it small.
};

// Without a ledger (vouchd has taken no job yet) every line is not planned.
// `observe` hears of lines read, `emit` of every result in the order of lines and items; views are
// valid during the call.
[[nodiscard]] Result<void> job_results(const ResultsRequest& request, store::SealedList& list,
                                       store::LedgerView* ledger,
                                       const std::function<void(std::int64_t)>& observe,
                                       const std::function<void(const LineResult&)>& emit);

}  // namespace vouch::cli
