// external_sort.hpp: sorts any number of items in flat memory.
//
// Items are gathered in memory; a full run is sorted and written to an unnamed temporary file by
// a second thread while the next run fills; finish() merges the runs.  What fits into one run
// never touches the disk.  Importing sorts rows by recipient key, so that duplicates are
// neighbours; whoever prints a list in its file's order sorts by line (see key_of_number).
//
// Threads: one at a time; the second thread is inside.
// Errors:  io when the temporary file cannot be written or read.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto.hpp"
#include "common/result.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::store {

using SortKey = Digest128;

// In the order of the numbers.
[[nodiscard]] SortKey key_of_number(std::uint64_t number);

// Items are ordered by key, then subkey, then number.
struct SortItem {
  SortKey key{};
  std::string_view subkey;   // at most 65,535 bytes
  std::uint64_t number = 0;  // below 2^48
  std::string_view payload;
};

class ExternalSort {
 public:
  struct Options {
    std::string folder;  // for the temporary file
    // Of items in a run, two of which are in memory at a time.
    std::size_t run_bytes = std::size_t{12} << 20;
    std::size_t fan_in = 1024;  // runs merged at a time, at least 2
    // Of all runs' read buffers together.
    std::size_t merge_bytes = std::size_t{12} << 20;
  };

  explicit ExternalSort(Options options);
  ~ExternalSort();
  ExternalSort(const ExternalSort&) = delete;
  ExternalSort& operator=(const ExternalSort&) = delete;

  // The views are copied.
  [[nodiscard]] Result<void> add(const SortItem& item);
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Ends adding.  Then next() moves from item to item and is false behind the last; item() is
  // valid until next() is called again.
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] const SortItem& item() const { return item_; }

 private:
  class Run;
  class Merge;
  struct Extent {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  struct Written {
    std::unique_ptr<Run> run;  // emptied, to be filled again
    Result<void> result;
  };

  [[nodiscard]] Result<void> spill();
  [[nodiscard]] Result<void> await_spilled();
  [[nodiscard]] Result<void> merge_runs_on_disk();

  Options options_;
  std::uint64_t size_ = 0;
  std::unique_ptr<Run> filling_;
  std::unique_ptr<Run> spare_;
  std::unique_ptr<SpoolFile> file_;  // while a run is being written, its thread's alone
  std::vector<Extent> extents_;      // of the runs in it; likewise
  std::future<Written> writing_;     // joins its thread when it goes; so it stands last of these
  std::unique_ptr<Merge> merge_;
  SortItem item_;
};

}  // namespace vouch::store
