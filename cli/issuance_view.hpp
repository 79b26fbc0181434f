// issuance_view.hpp: an issuance as people see it: its row, the last event, and what the control
// store and the list know of it.
//
// Threads: main's.   Errors: those of the stores.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/job_view.hpp"
#include "cli/recipient_display.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::cli {

struct IssuanceView {
  store::IssuanceRow row;
  std::optional<store::EventRow> last;
  std::string campaign, item, downstream, pool, currency;
  std::string recipient;  // as it may be shown; empty when no list knows it any more
  std::int64_t line = 0;  // of the job's list; 0: none
  [[nodiscard]] std::string id() const { return format_request_id(row.key, row.round); }
};

class IssuanceBook {
 public:
  // Errc::store when the instance has no ledger yet.
  [[nodiscard]] static Result<IssuanceBook> open(Session& session, RecipientDisplay display);

  [[nodiscard]] store::LedgerView& ledger() { return *ledger_; }
  [[nodiscard]] JobBoard& jobs() { return jobs_; }
  [[nodiscard]] Result<IssuanceView> view_of(store::IssuanceRow row);
  // By its 40 letters, of any round.
  [[nodiscard]] Result<IssuanceView> find(std::string_view id);
  // The job that is responsible; nothing for a single issuance.
  [[nodiscard]] Result<std::optional<JobView>> job_of(const store::IssuanceRow& row);
  [[nodiscard]] Result<plan::Campaign> campaign_of(const store::IssuanceRow& row);

 private:
  IssuanceBook(Session& session, store::ControlStore& control, store::LedgerView& ledger,
               JobBoard jobs, RecipientDisplay display)
      : session_{&session},
        control_{&control},
        ledger_{&ledger},
        jobs_{std::move(jobs)},
        display_{std::move(display)} {}
  [[nodiscard]] Result<void> add_recipient(IssuanceView& view);
  [[nodiscard]] Result<store::SealedList*> list_of(ObjectId job);

  Session* session_;
  store::ControlStore* control_;
  store::LedgerView* ledger_;
  JobBoard jobs_;
  RecipientDisplay display_;
  std::map<std::pair<ObjectId, int>, plan::Campaign> campaigns_;
  std::map<ObjectId, std::optional<store::SealedList>> lists_;  // by job
};

// Usage where the text is no issuance's id; before anything is opened.
[[nodiscard]] Result<RequestId> parse_issuance_id(std::string_view id);

// A row of `issuance list`.
[[nodiscard]] Record summary_of(const IssuanceView& view);

}  // namespace vouch::cli
