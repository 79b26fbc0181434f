// vouchctl explain RECIPIENT: everything that is known of a person: lists, jobs, issuances.
#include <algorithm>

#include "cli/commands.hpp"
#include "cli/issuance_facts.hpp"
#include "cli/issuance_view.hpp"
#include "cli/issuance_words.hpp"
#include "cli/job_forecast.hpp"
#include "common/store/phone_number.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr int kPageRows = 1000;
constexpr std::string_view kPhone = "phone/";

struct ExplainOptions {
  std::string recipient, campaign;
  bool reveal = false;
};

// One thing that is known.
struct Finding {
  std::string what;   // list, rejected, duplicate, job, issuance
  std::string where;  // the list's, job's or campaign's name
  std::int64_t line = 0;
  std::string item{}, result{}, words{};
  std::optional<WallTime> at{};
  std::string job{}, issuance{};
  std::string next{}, advice{};  // of an issuance
};

Record record_of(const Finding& finding) {
  return {{"what", "What", finding.what},
          {"where", "Where", finding.where},
          {"line", "Line", finding.line == 0 ? Value{} : Value{finding.line}},
          {"item", "Item", finding.item},
          {"result", "Result", finding.result},
          {"words", "Words", finding.words},
          {"at", "At", Value{finding.at}},
          {"job", "Job", finding.job},
          {"issuance", "Issuance", finding.issuance, Shown::wide},
          {"next", "What comes next", finding.next, Shown::wide},
          {"advice", "What you can do", finding.advice, Shown::wide}};
}

// "2 issuances for it, 1 issued": what became of them stands in the findings that follow.
std::string words_of_job(const std::vector<store::IssuanceRow>& issuances, ObjectId job) {
  std::int64_t all = 0;
  std::int64_t issued = 0;
  for (const store::IssuanceRow& one : issuances) {
    if (one.job != job) continue;
    ++all;
    if (one.state == IssuanceState::issued) ++issued;
  }
  return format_count(all) + (all == 1 ? " issuance for it, " : " issuances for it, ") +
         (issued == all ? "issued"
          : issued == 0 ? "none issued"
                        : format_count(issued) + " issued");
}

// Gathers what is known, list by list, then campaign by campaign.
class Investigation {
 public:
  Investigation(Session& session, store::ControlStore& control, JobBoard board,
                std::string recipient, std::string secret)
      : session_{session},
        control_{control},
        board_{std::move(board)},
        recipient_{std::move(recipient)},
        keys_{secret} {}

  [[nodiscard]] Result<void> look(ObjectId campaign);
  [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }

 private:
  [[nodiscard]] std::optional<JobView> job_of(const store::IssuanceRow& row) const;
  [[nodiscard]] Result<void> look_in_list(const store::ListRow& row);
  [[nodiscard]] Result<void> look_in_rejects(const store::ListRow& row, store::SealedList& list);
  [[nodiscard]] Result<void> look_in_job(const JobView& view, const store::SealedRow& row);
  [[nodiscard]] Result<void> look_in_campaign(const store::CampaignRow& campaign);
  [[nodiscard]] Result<std::string> as_in_list(const store::ListMeta& meta) const;

  Session& session_;
  store::ControlStore& control_;
  JobBoard board_;
  std::string recipient_;  // normalised
  RecipientKeys keys_;
  std::vector<JobView> jobs_;
  std::vector<RecipientKey> keys_seen_;  // a phone number has another key in a list of phones
  std::vector<Finding> findings_;
};

Result<void> Investigation::look(ObjectId campaign) {
  VOUCH_TRY(jobs_, board_.all());
  keys_seen_ = {keys_.of(recipient_)};
  VOUCH_TRY(const auto lists, control_.lists());
  for (const store::ListRow& list : lists) {
    const bool wanted = campaign == 0 || list.campaign == campaign ||
                        std::any_of(jobs_.begin(), jobs_.end(), [&](const JobView& view) {
                          return view.list_id == list.id && view.row.campaign == campaign;
                        });
    if (wanted && !list.deleted) VOUCH_CHECK(look_in_list(list));
  }
  VOUCH_TRY(const auto campaigns, control_.campaigns());
  for (const store::CampaignRow& row : campaigns) {
    if (campaign == 0 || row.id == campaign) VOUCH_CHECK(look_in_campaign(row));
  }
  return {};
}

// The id as this list has it: a list of phone numbers holds them in one form.
Result<std::string> Investigation::as_in_list(const store::ListMeta& meta) const {
  if (!std::string_view{meta.id_type}.starts_with(kPhone)) return recipient_;
  auto phone = store::normalise_phone(recipient_, meta.id_type.substr(kPhone.size()));
  return phone ? std::move(*phone) : recipient_;
}

Result<void> Investigation::look_in_list(const store::ListRow& row) {
  VOUCH_TRY(store::SealedList list,
            store::SealedList::open(session_.paths().list_file(row.digest)));
  VOUCH_TRY(const std::string id, as_in_list(list.meta()));
  const RecipientKey key = keys_.of(id);
  if (std::find(keys_seen_.begin(), keys_seen_.end(), key) == keys_seen_.end()) {
    keys_seen_.push_back(key);
  }
  VOUCH_TRY(const auto rows, list.find(key));
  for (const store::SealedRow& found : rows) {
    Finding finding{.what = "list", .where = row.name, .line = found.line, .at = row.imported};
    finding.result = "accepted";
    if (!found.occurrence.empty()) finding.words = "occurrence " + std::string{found.occurrence};
    findings_.push_back(std::move(finding));
    for (const JobView& view : jobs_) {
      if (view.row.list == row.id) VOUCH_CHECK(look_in_job(view, found));
    }
  }
  VOUCH_TRY(const auto duplicates, list.duplicates_of(key));
  for (const store::DuplicateRow& duplicate : duplicates) {
    Finding finding{.what = "duplicate", .where = row.name, .line = duplicate.line};
    finding.result = duplicate.is_conflicting ? "conflicting" : "same";
    finding.words = "of line " + std::to_string(duplicate.first_line) +
                    (duplicate.is_conflicting ? ", with other amounts or attributes" : "");
    findings_.push_back(std::move(finding));
  }
  return look_in_rejects(row, list);
}

// Refused rows have no key: their recipient is compared as it was written.
Result<void> Investigation::look_in_rejects(const store::ListRow& row, store::SealedList& list) {
  if (row.rejected == 0) return {};
  const auto column = list.meta().find_column("recipient_id");
  if (!column) return {};
  std::int64_t after = 0;
  while (true) {
    VOUCH_TRY(const auto rejects, list.rejects(after, kPageRows));
    if (rejects.empty()) return {};
    for (const store::RejectedRow& reject : rejects) {
      after = reject.line;
      if (*column >= reject.fields.size() || trim_blanks(reject.fields[*column]) != recipient_) {
        continue;
      }
      Finding finding{.what = "rejected", .where = row.name, .line = reject.line};
      finding.result = reject.code;
      finding.words = (reject.column.empty() ? "" : reject.column + ": ") + reject.message;
      findings_.push_back(std::move(finding));
    }
  }
}

// What a job over the list has done with the row; its own issuances come with their campaign.
Result<void> Investigation::look_in_job(const JobView& view, const store::SealedRow& row) {
  Finding finding{.what = "job", .where = view.campaign, .line = row.line};
  finding.job = view.id();
  finding.at = view.row.submitted;
  finding.result = view.state();
  VOUCH_TRY(const plan::Campaign campaign,
            control_.campaign_version(view.row.campaign, view.row.campaign_version));
  VOUCH_TRY(store::LedgerView * ledger, board_.ledger(view.row.instance));
  std::vector<store::IssuanceRow> issuances;
  if (ledger != nullptr) {
    VOUCH_TRY(issuances, ledger->of_recipient(view.row.campaign, row.recipient_key));
  }
  const std::uint64_t occurrence =
      occurrence_of_row(campaign, view.row.options.occurrence, row.occurrence);
  const auto held = std::find_if(issuances.begin(), issuances.end(), [&](const auto& issuance) {
    return issuance.key.occurrence == occurrence;
  });
  if (held == issuances.end()) {
    finding.words = "its turn has not come";
  } else if (held->job == view.row.id) {
    finding.words = words_of_job(issuances, view.row.id);
  } else {
    finding.words = "a repeat: " + format_id(ObjectKind::job, held->job) + " holds it";
    for (const JobView& other : jobs_) {
      if (other.row.id == held->job && other.row.rerun_of == view.row.id) {
        finding.words = "moved to its rerun " + other.id();
      }
    }
  }
  findings_.push_back(std::move(finding));
  return {};
}

std::optional<JobView> Investigation::job_of(const store::IssuanceRow& row) const {
  const auto found = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const JobView& view) { return view.row.id == row.job; });
  return found == jobs_.end() ? std::nullopt : std::optional{*found};
}

Result<void> Investigation::look_in_campaign(const store::CampaignRow& campaign) {
  VOUCH_TRY(store::LedgerView * ledger, board_.ledger(session_.instance()));
  if (ledger == nullptr) return {};
  for (const RecipientKey& key : keys_seen_) {
    VOUCH_TRY(const auto rows, ledger->of_recipient(campaign.id, key));
    for (const store::IssuanceRow& row : rows) {
      VOUCH_TRY(const plan::Campaign definition,
                control_.campaign_version(campaign.id, row.campaign_version));
      std::optional<store::EventRow> last;
      if (row.last_event) {
        VOUCH_TRY(last, ledger->event(*row.last_event));
      }
      Finding finding{.what = "issuance", .where = definition.name};
      if (row.key.item < definition.items.size()) {
        finding.item = definition.items[row.key.item].name;
      }
      finding.result = name_of(row.state);
      finding.words = words_of(row);
      if (const std::string reason = reason_of(row, last); !reason.empty()) {
        finding.words += ": " + reason;
      }
      if (last && !last->reference.empty()) finding.words += ": " + last->reference;
      finding.at = last ? last->at : row.intent;
      if (row.job != campaign.id) finding.job = format_id(ObjectKind::job, row.job);
      finding.issuance = format_request_id(row.key, row.round);
      VOUCH_TRY(const IssuanceFacts facts,
                facts_of(session_, board_, row, definition, job_of(row)));
      std::vector<store::EventRow> history;
      if (last) history.push_back(*last);
      const Explanation words = explain(row, history, facts, session_.now());
      finding.next = words.next;
      finding.advice = words.advice;
      findings_.push_back(std::move(finding));
    }
  }
  return {};
}

// Tables leave the long columns out: what waits for people is said below them.
void say_what_needs_people(Session& session, const std::vector<Finding>& findings) {
  if (!session.out().is_for_people()) return;
  for (const Finding& finding : findings) {
    if (finding.result == name_of(IssuanceState::held)) {
      session.out().note("people decide about it: " + finding.advice);
    } else if (finding.result == name_of(IssuanceState::in_doubt)) {
      session.out().note("see vouchctl issuance explain " + finding.issuance);
    }
  }
}

Result<int> explain_recipient(Session& session, const ExplainOptions& options) {
  auto normalised = normalise_recipient(options.recipient);
  if (!normalised) return usage("RECIPIENT", normalised.error());
  VOUCH_TRY(const RecipientDisplay display,
            RecipientDisplay::choose(session, options.reveal, "recipient"));
  VOUCH_TRY(store::ControlStore * control, session.control());
  ObjectId campaign = 0;
  if (!options.campaign.empty()) {
    VOUCH_TRY(const auto row, control->campaign(options.campaign));
    campaign = row.id;
  }
  VOUCH_TRY(std::string secret, control->recipient_secret());
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  Investigation investigation{session, *control, std::move(board), *normalised, std::move(secret)};
  VOUCH_CHECK(investigation.look(campaign));
  if (investigation.findings().empty()) {
    return fail(Errc::not_found,
                "the recipient " + display.of(*normalised) +
                    " is in no list, was refused in none, and has no issuance",
                "write the id exactly as the partner does: letters' case counts, blanks at the "
                "ends do not");
  }
  if (session.out().is_for_people()) session.out().note("recipient " + display.of(*normalised));
  VOUCH_TRY(Listing listing, session.out().list(columns_of(record_of({}))));
  for (const Finding& finding : investigation.findings()) {
    listing.row(values_of(record_of(finding)));
  }
  listing.end();
  say_what_needs_people(session, investigation.findings());
  return 0;
}

}  // namespace

void add_explain_commands(CommandLine& line) {
  auto options = std::make_shared<ExplainOptions>();
  line.top()
      .leaf({.name = "explain",
             .summary = "Say everything that is known of a recipient",
             .description = "Every list it stands in or was refused in, every job over them, every "
                            "issuance.  One issuance is explained by `issuance explain`.",
             .examples = {"vouchctl explain cust-000001",
                          "vouchctl explain cust-000001 --campaign birthday -o json"}},
            [options](Session& session) { return explain_recipient(session, *options); })
      .required("RECIPIENT", options->recipient,
                "the id as the partner writes it; one that begins with - stands behind --: "
                "explain -- -4711")
      .option("--campaign", "C", options->campaign, "only what concerns this campaign")
      .flag("--reveal", options->reveal, kRevealHelp);
}

}  // namespace vouch::cli
