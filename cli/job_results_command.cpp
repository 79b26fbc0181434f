// vouchctl job results: the partner's file, line by line, with what became of each.
#include <algorithm>

#include "cli/job_commands.hpp"
#include "cli/job_results.hpp"
#include "cli/recipient_display.hpp"
#include "cli/spreadsheet_text.hpp"
#include "common/environment.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr const char* kLargeTemporaryFolder = "/var/tmp";

struct ResultsOptions {
  std::string job;
  std::vector<std::string> only;
  bool reveal = false;
  bool raw = false;
};

// The results that --only may name.
std::vector<std::string> known_results() {
  std::vector<std::string> known{"rejected", "duplicate", "repeat", "not_planned", "not-issued"};
  for (const std::string_view name : kIssuanceStateNames) known.emplace_back(name);
  return known;
}

Result<void> check_only(const std::vector<std::string>& only) {
  const std::vector<std::string> known = known_results();
  for (const std::string& word : only) {
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    const std::string near = nearest(word, known);
    return fail(Errc::usage, "--only: \"" + word + "\" is no result",
                near.empty() ? "there are " + join(known, ", ") : "did you mean \"" + near + "\"?");
  }
  return {};
}

bool is_wanted(const std::vector<std::string>& only, std::string_view result) {
  if (only.empty()) return true;
  return std::any_of(only.begin(), only.end(), [&](const std::string& word) {
    return word == "not-issued" ? result != "issued" : word == result;
  });
}

Result<void> collect_reruns(Session& session, ObjectId job, std::set<ObjectId>& own) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const auto rows, control->jobs());
  own.insert(job);
  // Jobs come in the order of their submission: a rerun stands behind what it reruns.
  for (const store::JobRow& row : rows) {
    if (row.rerun_of != 0 && own.contains(row.rerun_of)) own.insert(row.id);
  }
  return {};
}

std::string not_planned_words(const JobView& view) {
  if (!view.progress) return "vouchd has not taken the job yet";
  if (view.progress->state == JobState::cancelled || view.progress->state == JobState::unsettled) {
    return "the job was cancelled before its turn came";
  }
  return "its turn has not come yet";
}

// Prints results as rows.  For people only what fits a screen, the recipient masked; otherwise the
// partner's own columns first, as they came.
class ResultRows {
 public:
  static Result<ResultRows> begin(Session& session, const store::ListMeta& list,
                                  RecipientDisplay display, bool raw) {
    std::vector<Column> columns;
    const bool for_people = session.out().is_for_people();
    const bool guarded = session.out().format() == Format::csv && !raw;
    if (!for_people) {
      for (const store::ListColumn& column : list.columns) {
        // A column of ours in a file that was results once must not stand twice.
        const bool clash = column.name.starts_with("vouch_");
        const std::string name = clash ? "partner_" + column.name : column.name;
        columns.push_back({guarded ? spreadsheet_text(name) : name, column.name});
      }
    }
    columns.push_back({"vouch_line", "LINE"});
    if (for_people) columns.push_back({"recipient", "RECIPIENT"});
    for (const Column& own : kOwn) columns.push_back(own);
    VOUCH_TRY(Listing listing, session.out().list(std::move(columns)));
    return ResultRows{std::move(listing), std::move(display), for_people ? 0 : list.columns.size(),
                      for_people, guarded};
  }

  void row(const LineResult& line) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < partner_columns_; ++i) {
      values.push_back(from_outside(i < line.fields.size() ? line.fields[i] : std::string_view{}));
    }
    values.emplace_back(line.line);
    if (for_people_) values.emplace_back(display_.of(line.recipient_id));
    values.emplace_back(line.item);
    values.push_back(Value{line.result}.tone(tone_of(line.result)));
    values.push_back(from_outside(line.code));
    values.push_back(from_outside(line.words));
    values.push_back(from_outside(line.reference));
    values.push_back(Value::amount(line.amount_minor, std::string{line.currency}));
    values.emplace_back(line.currency);
    values.push_back(line.at ? Value{*line.at} : Value{});
    values.emplace_back(line.issuance);
    values.push_back(line.job == 0 ? Value{} : Value{format_id(ObjectKind::job, line.job)});
    listing_.row(std::move(values));
  }
  void end() { listing_.end("no such line"); }

 private:
  ResultRows(Listing listing, RecipientDisplay display, std::size_t partner_columns,
             bool for_people, bool guarded)
      : listing_{std::move(listing)},
        display_{std::move(display)},
        partner_columns_{partner_columns},
        for_people_{for_people},
        guarded_{guarded} {}

  // What a partner or a downstream wrote, in a file that people open with a spreadsheet.
  [[nodiscard]] Value from_outside(std::string_view text) const {
    return guarded_ ? Value{spreadsheet_text(text)} : Value{text};
  }

  static Tone tone_of(std::string_view result) {
    if (result == "issued") return Tone::good;
    if (result == "held" || result == "failed") return Tone::bad;
    return result == "repeat" || result == "not_planned" ? Tone::plain : Tone::warn;
  }

  static const std::vector<Column> kOwn;
  Listing listing_;
  RecipientDisplay display_;
  std::size_t partner_columns_;
  bool for_people_;
  bool guarded_;  // against formulas
};

const std::vector<Column> ResultRows::kOwn = {
    {"vouch_item", "ITEM"},
    {"vouch_result", "RESULT"},
    {"vouch_code", "CODE"},
    {"vouch_words", "WORDS"},
    {"vouch_reference", "REFERENCE"},
    {"vouch_amount_minor", "AMOUNT"},
    {"vouch_currency", "CURRENCY", Shown::wide},
    {"vouch_at", "AT"},
    {"vouch_issuance", "ISSUANCE", Shown::wide},
    {"vouch_job", "JOB", Shown::wide},
};

std::string sort_folder() {
  const auto folder = environment("TMPDIR");
  return folder && !folder->empty() ? *folder : kLargeTemporaryFolder;
}

Result<int> results(Session& session, const ResultsOptions& options) {
  VOUCH_CHECK(check_only(options.only));
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(JobBoard board, JobBoard::open(session));
  VOUCH_TRY(const JobView view, board.find(options.job));
  VOUCH_TRY(const store::ListRow row, control->list(format_id(ObjectKind::list, view.list_id)));
  if (row.deleted) {
    return fail(Errc::not_found, "the list " + row.name + " was deleted: its lines are gone",
                "by key: vouchctl issuance list --job " + view.id());
  }
  VOUCH_TRY(store::SealedList list, store::SealedList::open(session.paths().list_file(row.digest)));
  VOUCH_TRY(const plan::Campaign campaign,
            control->campaign_version(view.row.campaign, view.row.campaign_version));
  VOUCH_TRY(store::LedgerView * ledger, board.ledger(view.row.instance));
  VOUCH_TRY(RecipientDisplay display, RecipientDisplay::choose(session, options.reveal, view.id()));
  ResultsRequest request{.campaign = campaign,
                         .campaign_id = view.row.campaign,
                         .occurrence = view.row.options.occurrence,
                         .own = {},
                         .whole_file = view.row.rerun_of == 0,
                         .not_planned = not_planned_words(view),
                         .folder = sort_folder()};
  VOUCH_CHECK(collect_reruns(session, view.row.id, request.own));
  VOUCH_TRY(ResultRows rows,
            ResultRows::begin(session, list.meta(), std::move(display), options.raw));
  Progress progress{session.out(), session.terminal(), "reading"};
  const std::int64_t total = list.meta().accepted;
  VOUCH_CHECK(job_results(
      request, list, ledger,
      [&](std::int64_t done) { progress.update(done, total, "", session.clock().now()); },
      [&](const LineResult& line) {
        progress.clear();
        if (is_wanted(options.only, line.result)) rows.row(line);
      }));
  rows.end();
  return 0;
}

}  // namespace

void add_job_results(Group& job) {
  auto options = std::make_shared<ResultsOptions>();
  job.leaf({.name = "results",
            .summary = "Give the partner's file back, with what became of every line",
            .description =
                "Lines come in the file's order, refused and repeated ones too, one for each item. "
                " In csv, json and ndjson the partner's own columns come first, whole, since it is "
                "the partner's file; tables show recipients masked.  What a rerun has taken over "
                "counts as it stands now; of a rerun only its own lines are shown.",
            .examples = {"vouchctl job results birthday-november -o csv",
                         "vouchctl job results birthday-november --only not-issued"}},
           [options](Session& session) { return results(session, *options); })
      .required("JOB", options->job, kJobHelp)
      .list("--only", "RESULTS", options->only,
            "issued, not-issued, rejected, duplicate, repeat, not_planned, declined, failed, ...: "
            "one or several, with commas")
      .flag("--raw", options->raw, "leave text that spreadsheets take for a formula as it is")
      .flag("--reveal", options->reveal, kRevealHelp);
}

}  // namespace vouch::cli
