// code_segment.hpp: one sealed segment of a pool of redemption codes, pools/<digest>.db.
//
// A segment never changes.  Its codes are known by their ordinal, from 0, and are encrypted by the
// page; a segment's digest, also its name, covers what is in the file, so that a changed file is
// found without the key.
//
// Threads: one at a time; any number of readers may read one file.
// Errors:  not_found when there is no such file; store for one of another version; corrupt when it
//          is not as it was sealed; conflict when the key is another's; io.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/result.hpp"
#include "common/secret_box.hpp"
#include "common/store/database.hpp"
#include "common/store/pool_key.hpp"

namespace vouch::store {

inline constexpr std::int64_t kPageCodes = 512;
inline constexpr std::size_t kCodeBytesMax = 128;

struct SegmentMeta {
  std::string digest;       // 32 hexadecimal letters
  std::string pool;         // "pool_7h3k9q2x"
  std::string fingerprint;  // of the key
  std::string salt;         // hexadecimal; the segment's own key follows from it
  std::int64_t codes = 0;
  std::string origin;  // generated, imported
};

[[nodiscard]] inline std::string segment_path(const std::string& folder,
                                              const std::string& digest) {
  return folder + "/" + digest + ".db";
}

class CodeSegment {
 public:
  // `path` is <store>/pools/<digest>.db.  Without a key the codes cannot be read.
  [[nodiscard]] static Result<CodeSegment> open(const std::string& path);

  CodeSegment(CodeSegment&&) noexcept = default;
  CodeSegment& operator=(CodeSegment&&) noexcept = default;
  ~CodeSegment();

  [[nodiscard]] const SegmentMeta& meta() const { return meta_; }

  // From now on codes can be read; conflict when it is not the key that they were sealed under.
  [[nodiscard]] Result<void> unlock(const PoolKey& key);
  // The code of an ordinal below meta().codes; valid until the next call.  Neighbours are read
  // together: in the order of ordinals each page is read once.
  [[nodiscard]] Result<std::string_view> code(std::int64_t ordinal);
  // Reads all through and compares it with the digest; needs no key.
  [[nodiscard]] Result<void> verify();

 private:
  explicit CodeSegment(Database database) : database_{std::move(database)} {}
  [[nodiscard]] Result<void> read_meta();
  [[nodiscard]] Result<void> read_page(std::int64_t page);

  Database database_;
  SegmentMeta meta_;
  std::optional<SecretBox> box_;
  std::int64_t page_ = -1;  // the one that is held
  std::string text_;
  std::vector<std::string_view> codes_;  // of it, into text_
};

// Writes one segment.  The file is of use to nobody until finish() has returned.
class CodeSegmentWriter {
 public:
  [[nodiscard]] static Result<CodeSegmentWriter> create(const std::string& path,
                                                        std::string_view pool,
                                                        std::string_view origin, const PoolKey& key,
                                                        Random& random, WallTime now);
  CodeSegmentWriter(CodeSegmentWriter&&) noexcept = default;
  CodeSegmentWriter& operator=(CodeSegmentWriter&&) = delete;
  ~CodeSegmentWriter();

  // The next ordinal's code, of 1 to kCodeBytesMax bytes.
  [[nodiscard]] Result<void> add(std::string_view code);
  [[nodiscard]] std::int64_t size() const { return meta_.codes; }
  // When it returns, the file is complete and on disk; its name may not be.
  [[nodiscard]] Result<SegmentMeta> finish();

 private:
  CodeSegmentWriter(Database database, SegmentMeta meta, const Digest256& key);
  [[nodiscard]] Result<void> write_page();

  Database database_;
  SegmentMeta meta_;
  SecretBox box_;
  std::unique_ptr<Sha256> hash_;
  std::string page_text_;
  std::string sealed_;
};

}  // namespace vouch::store
