// outcome_spool.hpp: where the ends of calls are kept when the ledger can be written no more.
//
// After the ledger's first failed write no call starts, but those that are out still end, and what
// is known of them must not be lost: the daemon would come back with rows in doubt whose answers it
// had seen.  The file's room is taken in advance, so that a full disk does not matter.  The next
// start settles from it before anything else, in one transaction, and empties it.
//
// A record is a line: 32 hexadecimal digits of the digest of what follows, a blank, JSON.  Behind
// the last record the file is nought.  A record that was torn ends the reading; its row is in
// doubt.
//
// Threads: one at a time.
// Errors:  io.
#pragma once

#include <string>
#include <vector>

#include "common/files.hpp"
#include "common/result.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::data {

// Rows in flight, those that are ready and ends that wait to be written, at about 600 bytes each:
// 64 calls of 500 issuances, and a ready queue.
inline constexpr std::size_t kSpoolBytes = std::size_t{32} << 20;

class OutcomeSpool {
 public:
  // Makes the file, with all its room, where there is none.
  [[nodiscard]] static Result<OutcomeSpool> open(const std::string& path);

  // Durable when it returns; io when not all of them had room, those before are kept then.
  [[nodiscard]] Result<void> append(const std::vector<AttemptEnd>& ends);
  // What settling needs of them: without definitions, requests and campaigns.
  [[nodiscard]] Result<std::vector<AttemptEnd>> read() const;
  [[nodiscard]] Result<void> clear();

 private:
  OutcomeSpool(std::string path, FileDescriptor file)
      : path_{std::move(path)}, file_{std::move(file)} {}
  // Those that are whole, from the start.
  [[nodiscard]] Result<std::string> read_records() const;
  [[nodiscard]] Result<void> write_nought(std::size_t from, std::size_t upto);

  std::string path_;
  FileDescriptor file_;
  std::size_t used_ = 0;
};

}  // namespace vouch::data
