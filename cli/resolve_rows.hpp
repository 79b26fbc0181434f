// resolve_rows.hpp: which rows people settle: gathered from the ledger, counted, and set aside on
// the disk until they are sent.
//
// Rows are read page by page and never held in memory; what was shown before the question is
// exactly what is sent after it.
//
// Threads: main's.
// Errors:  those of the stores and of the temporary file; usage for filters that are not
//          understood; invalid, with the line, for a file of references.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/control_call.hpp"
#include "cli/session.hpp"
#include "common/plan/campaign.hpp"
#include "common/set_digest.hpp"
#include "common/store/spool_file.hpp"

namespace vouch::cli {

// --where: all of them must hold.
struct ResolveFilter {
  std::optional<Outcome> outcome;  // of the last call or query
  std::vector<int> items;          // empty: any
  std::optional<WallTime> before;  // the call was made before
};
[[nodiscard]] Result<ResolveFilter> parse_resolve_filter(const std::vector<std::string>& texts,
                                                         const plan::Campaign& campaign,
                                                         const Session& session);

// Downstreams' references that people found out, by request id or recipient.
class References {
 public:
  static constexpr std::size_t kLinesMax = 100'000;
  // A CSV with the columns request_id or recipient_id, and reference.
  [[nodiscard]] static Result<References> read(Session& session, const std::string& path);

  // Null when the file has none for this row.
  [[nodiscard]] const std::string* find(const store::IssuanceRow& row) const;
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }
  [[nodiscard]] bool by_recipient() const { return by_recipient_; }

 private:
  bool by_recipient_ = false;
  std::map<std::string, std::string> by_name_;  // request id, or bytes of the recipient key
};

struct ItemSum {
  std::int64_t rows = 0;
  std::int64_t amount_minor = 0;
};

class ResolveRows {
 public:
  [[nodiscard]] static Result<ResolveRows> create();

  [[nodiscard]] Result<void> add(const store::IssuanceRow& row, const std::string& reference);
  // Every row of the job in that state that the filter lets through; with `references` only those
  // it names.
  [[nodiscard]] Result<void> gather(store::LedgerView& ledger, ObjectId job, IssuanceState state,
                                    const ResolveFilter& filter, const References* references);

  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t referenced() const { return referenced_; }
  [[nodiscard]] const std::map<int, ItemSum>& items() const { return items_; }
  [[nodiscard]] std::string digest() const { return digest_.text(); }

  // Makes the proposal `draft` of them and opens it; its id.
  [[nodiscard]] Result<std::string> send(const ControlCall& vouchd, const Json& draft);

 private:
  explicit ResolveRows(store::SpoolFile file) : file_{std::move(file)} {}
  store::SpoolFile file_;
  std::int64_t size_ = 0;
  std::int64_t referenced_ = 0;
  std::map<int, ItemSum> items_;
  SetDigest digest_;
};

}  // namespace vouch::cli
