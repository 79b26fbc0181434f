#include "cli/reconcile_report.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/store/csv_writer.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} * 1024;
constexpr std::array<std::string_view, 15> kCsvColumns = {"class",
                                                          "detail",
                                                          "differs",
                                                          "request_id",
                                                          "job",
                                                          "state",
                                                          "first_sent_at",
                                                          "ledger_amount_minor",
                                                          "ledger_currency",
                                                          "ledger_reference",
                                                          "statement_amount_minor",
                                                          "statement_currency",
                                                          "statement_reference",
                                                          "statement_time",
                                                          "statement_lines"};

// A file that takes its name when it is whole.
class FileAside {
 public:
  static Result<FileAside> create(const std::string& path) {
    FileAside out;
    if (path.empty()) return out;
    out.path_ = path;
    out.aside_ = path + ".unfinished";
    VOUCH_TRY(out.file_, open_to_write(out.aside_));
    return out;
  }
  FileAside() = default;
  FileAside(FileAside&& other) noexcept
      : path_{std::exchange(other.path_, {})},
        aside_{std::exchange(other.aside_, {})},
        buffer_{std::move(other.buffer_)},
        file_{std::move(other.file_)} {}
  FileAside& operator=(FileAside&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(aside_, other.aside_);
    std::swap(buffer_, other.buffer_);
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileAside() {
    if (!aside_.empty()) std::remove(aside_.c_str());
  }

  [[nodiscard]] bool is_wanted() const { return !path_.empty(); }
  [[nodiscard]] Result<void> append(std::string_view text) {
    buffer_ += text;
    return buffer_.size() < kBufferBytes ? Result<void>{} : flush();
  }
  [[nodiscard]] Result<void> finish() {
    VOUCH_CHECK(flush());
    if (std::rename(aside_.c_str(), path_.c_str()) != 0) return system_error(path_, errno);
    aside_.clear();
    return {};
  }

 private:
  [[nodiscard]] Result<void> flush() {
    VOUCH_CHECK(write_all(file_, buffer_, aside_));
    buffer_.clear();
    return {};
  }
  std::string path_, aside_, buffer_;
  FileDescriptor file_;
};

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string words_of(const Differences& differs, std::string_view separator) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < differs.size(); ++i) {
    if (differs[i]) words.emplace_back(kDifferenceNames[i]);
  }
  return join(words, separator);
}

Json or_null(const std::optional<WallTime>& time) {
  return time ? Json(format_time_utc(*time)) : Json(nullptr);
}
Json or_null(const std::optional<std::int64_t>& number) {
  return number ? Json(*number) : Json(nullptr);
}

Json json_of(const ReportRow& row) {
  Json out{{"class", name_of(row.c)}, {"detail", row.detail}, {"request_id", row.request_id}};
  Json differs = Json::array();
  for (std::size_t i = 0; i < row.differs.size(); ++i) {
    if (row.differs[i]) differs.push_back(kDifferenceNames[i]);
  }
  out["differs"] = std::move(differs);
  if (row.row != nullptr) {
    out["ledger"] = {{"job", format_id(ObjectKind::job, row.row->job)},
                     {"state", name_of(row.row->state)},
                     {"first_sent_at", format_time_utc(row.row->first_sent)},
                     {"amount_minor", or_null(row.row->amount_minor)},
                     {"currency", row.row->currency},
                     {"reference", row.row->reference}};
  } else {
    out["ledger"] = nullptr;
  }
  Json& lines = out["statement"] = Json::array();
  for (const StatementEntry& entry : row.entries) {
    lines.push_back({{"line", entry.line},
                     {"amount_minor", or_null(entry.amount_minor)},
                     {"currency", entry.currency},
                     {"reference", entry.reference},
                     {"time", or_null(entry.time)}});
  }
  out["statement_lines"] = row.entry_count;
  return out;
}

std::string csv_of(const ReportRow& row) {
  std::vector<std::string> fields{std::string{name_of(row.c)}, row.detail,
                                  words_of(row.differs, " "), row.request_id};
  const auto number = [](const std::optional<std::int64_t>& value) {
    return value ? std::to_string(*value) : std::string{};
  };
  if (row.row != nullptr) {
    const LedgerEntry& here = *row.row;
    fields.insert(fields.end(), {format_id(ObjectKind::job, here.job),
                                 std::string{name_of(here.state)}, format_time_utc(here.first_sent),
                                 number(here.amount_minor), here.currency, here.reference});
  } else {
    fields.resize(fields.size() + 6);
  }
  if (row.entries.empty()) {
    fields.resize(fields.size() + 5);
  } else {
    const StatementEntry& there = row.entries.front();
    std::vector<std::string> lines;
    for (const StatementEntry& entry : row.entries) lines.push_back(std::to_string(entry.line));
    if (row.entry_count > static_cast<std::int64_t>(lines.size())) lines.emplace_back("...");
    fields.insert(fields.end(), {number(there.amount_minor), there.currency, there.reference,
                                 there.time ? format_time_utc(*there.time) : "", join(lines, " ")});
  }
  std::string out;
  store::append_csv_row(out, fields, ',');
  return out;
}

Json classes_json(const Balance& balance) {
  Json out = Json::array();
  for (const auto& [key, total] : balance.totals) {
    out.push_back({{"class", name_of(key.first)},
                   {"currency", key.second},
                   {"found", total.found},
                   {"lines", total.lines},
                   {"ledger_minor", total.ledger_minor},
                   {"statement_minor", total.statement_minor}});
  }
  return out;
}

Json jobs_json(const Reconciled& done) {
  Json out = Json::array();
  for (const JobProof& job : done.jobs) {
    out.push_back({{"job", format_id(ObjectKind::job, job.job)},
                   {"rows_in", job.rows_in},
                   {"by_state", job.by_state},
                   {"repeats", job.repeats},
                   {"moved", job.moved},
                   {"not_planned", job.not_planned},
                   {"balances", job.balances},
                   {"counters_agree", job.counters_agree}});
  }
  return out;
}

Json proposals_json(const Reconciled& done) {
  Json out = Json::array();
  for (const StatementProposal& proposal : done.proposals) {
    out.push_back({{"id", proposal.id},
                   {"job", format_id(ObjectKind::job, proposal.job)},
                   {"as", name_of(proposal.to)},
                   {"rows", proposal.rows},
                   {"digest", proposal.digest},
                   {"waits_for", done.waits_for},
                   {"confirm", proposal.confirm_command()}});
  }
  return out;
}

Json compared_json(const Compared& compared) {
  Json out = Json::array();
  if (compared.amount) out.push_back("amount");
  if (compared.currency) out.push_back("currency");
  if (compared.recipient) out.push_back("recipient");
  if (compared.reference) out.push_back("reference");
  return out;
}

// Tables have the jobs' sums, the other formats each job.
Record record_of(const Reconciled& done, bool for_people) {
  const Balance& balance = done.balance;
  JobProof sum;
  for (const JobProof& job : done.jobs) {
    sum.rows_in += job.rows_in;
    sum.by_state += job.by_state;
    sum.repeats += job.repeats;
    sum.moved += job.moved;
    sum.not_planned += job.not_planned;
  }
  const Tone tone = done.is_balanced() ? Tone::good : Tone::bad;
  const Json compared = compared_json(balance.compared);
  Record record = {{"verdict", "Verdict", Value{done.verdict()}.tone(tone)},
                   {"downstream", "Downstream", done.downstream},
                   {"scope", "Scope", done.scope.empty() ? Value{} : Value{done.scope}},
                   {"statement", "Statement", done.source},
                   {"since", "Since", Value{done.window.since}},
                   {"until", "Until", Value{done.window.until}},
                   {"compared", "Compared", Value::json(compared.dump())},
                   {"differences", "Differences", balance.differences()},
                   {"undecided", "Undecided", done.undecided()},
                   {"resolved", "Resolved", done.resolved},
                   {"proposed", "Proposed", done.proposed()},
                   {"ledger_rows", "Ledger rows", balance.ledger_rows},
                   {"statement_lines", "Statement lines", balance.statement_lines},
                   {"passed_over", "Not executed", balance.passed_over},
                   {"first_time", "First entry", Value{balance.first_time}, Shown::wide},
                   {"last_time", "Last entry", Value{balance.last_time}, Shown::wide},
                   {"proved", "Proved", done.is_proved()},
                   {"ledger_digest", "Ledger's matches", balance.ledger_digest.text()},
                   {"statement_digest", "Statement's", balance.statement_digest.text()}};
  if (for_people) {
    record.push_back({"proof", "Rows in",
                      format_count(sum.rows_in) + " = " + format_count(sum.by_state) +
                          " by state + " + format_count(sum.repeats) + " repeats + " +
                          format_count(sum.moved) + " moved + " + format_count(sum.not_planned) +
                          " not planned"});
  } else {
    record.push_back({"classes", "Classes", Value::json(dump(classes_json(balance)))});
    record.push_back({"jobs", "Jobs", Value::json(dump(jobs_json(done)))});
    record.push_back({"proposals", "Proposals", Value::json(dump(proposals_json(done)))});
  }
  return record;
}

Json summary_json(const Reconciled& done) {
  const Balance& balance = done.balance;
  return {{"verdict", done.verdict()},
          {"downstream", done.downstream},
          {"scope", done.scope},
          {"statement", done.source},
          {"since", or_null(done.window.since)},
          {"until", format_time_utc(done.window.until)},
          {"compared", compared_json(balance.compared)},
          {"differences", balance.differences()},
          {"undecided", done.undecided()},
          {"resolved", done.resolved},
          {"proposed", done.proposed()},
          {"ledger_rows", balance.ledger_rows},
          {"statement_lines", balance.statement_lines},
          {"passed_over", balance.passed_over},
          {"proved", done.is_proved()},
          {"ledger_digest", balance.ledger_digest.text()},
          {"statement_digest", balance.statement_digest.text()},
          {"classes", classes_json(balance)},
          {"jobs", jobs_json(done)},
          {"proposals", proposals_json(done)}};
}

Result<void> print_classes(Session& session, const Balance& balance) {
  VOUCH_TRY(Listing listing, session.out().list({{"class", "CLASS"},
                                                 {"found", "FOUND"},
                                                 {"lines", "LINES"},
                                                 {"currency", "CURRENCY"},
                                                 {"ledger", "LEDGER"},
                                                 {"statement", "STATEMENT"}}));
  for (const auto& [key, total] : balance.totals) {
    const Tone tone = is_difference(key.first)    ? Tone::bad
                      : key.first == Class::match ? Tone::good
                                                  : Tone::plain;
    const auto money = [&](std::int64_t minor) {
      return key.second.empty() ? Value{} : Value::amount(minor, key.second);
    };
    listing.row({Value{name_of(key.first)}.tone(tone), total.found, total.lines,
                 key.second.empty() ? Value{} : Value{key.second}, money(total.ledger_minor),
                 money(total.statement_minor)});
  }
  listing.end("neither side has anything");
  return {};
}

}  // namespace

bool Reconciled::is_proved() const {
  return balance.is_proved() && std::ranges::all_of(jobs, [](const JobProof& job) {
           return job.balances && job.counters_agree;
         });
}

std::int64_t Reconciled::proposed() const {
  std::int64_t rows = 0;
  for (const StatementProposal& proposal : proposals) rows += proposal.rows;
  return rows;
}

std::string Reconciled::verdict() const {
  if (!is_proved()) return "unproved";
  if (balance.differences() > 0) return "differences";
  return undecided() > 0 ? "undecided" : "balanced";
}

struct ReportFiles::State {
  FileAside json, csv;
  bool is_first = true;
};

ReportFiles::ReportFiles(std::unique_ptr<State> state) : state_{std::move(state)} {}
ReportFiles::~ReportFiles() = default;
ReportFiles::ReportFiles(ReportFiles&&) noexcept = default;
ReportFiles& ReportFiles::operator=(ReportFiles&&) noexcept = default;

Result<ReportFiles> ReportFiles::create(const std::string& json_path, const std::string& csv_path) {
  auto state = std::make_unique<State>();
  VOUCH_TRY(state->json, FileAside::create(json_path));
  VOUCH_TRY(state->csv, FileAside::create(csv_path));
  if (state->json.is_wanted()) VOUCH_CHECK(state->json.append("{\"rows\":["));
  if (state->csv.is_wanted()) {
    std::string head;
    store::append_csv_row(head, kCsvColumns, ',');
    VOUCH_CHECK(state->csv.append(head));
  }
  return ReportFiles{std::move(state)};
}

Result<void> ReportFiles::add(const ReportRow& row) {
  if (state_->json.is_wanted()) {
    VOUCH_CHECK(state_->json.append((state_->is_first ? "\n" : ",\n") + dump(json_of(row))));
    state_->is_first = false;
  }
  if (state_->csv.is_wanted()) VOUCH_CHECK(state_->csv.append(csv_of(row)));
  return {};
}

Result<void> ReportFiles::finish(const Reconciled& done) {
  if (state_->json.is_wanted()) {
    VOUCH_CHECK(state_->json.append("\n],\n\"summary\":" + dump(summary_json(done)) + "}\n"));
    VOUCH_CHECK(state_->json.finish());
  }
  return state_->csv.is_wanted() ? state_->csv.finish() : Result<void>{};
}

Result<void> print(Session& session, const Reconciled& done) {
  const bool for_people = session.out().is_for_people();
  if (for_people && !session.quiet()) VOUCH_CHECK(print_classes(session, done.balance));
  if (for_people && session.quiet()) return {};
  return session.out().show(record_of(done, for_people));
}

}  // namespace vouch::cli
