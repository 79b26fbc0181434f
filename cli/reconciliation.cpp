#include "cli/reconciliation.hpp"

#include <algorithm>
#include <utility>

#include "cli/sorted_statement.hpp"

namespace vouch::cli {
namespace {

constexpr std::int64_t kProgressEvery = 20'000;

std::size_t at(Class c) {
  return static_cast<std::size_t>(c);
}

// What both sides must say alike of a match.
void add_member(SetDigest& digest, std::string_view request_id, std::int64_t amount,
                std::string_view currency, std::string_view reference) {
  std::string member{request_id};
  const std::string amount_text = std::to_string(amount);
  for (const std::string_view part : {std::string_view{amount_text}, currency, reference}) {
    member += '\n';
    member += part;
  }
  digest.add(member);
}

// One run; reconcile() names its steps.
class Run {
 public:
  Run(Statement& statement, LedgerRows& ledger, const RecipientKeys& keys,
      const ReconcileOptions& options, const ReportSink& sink)
      : statement_{statement},
        ledger_{ledger},
        keys_{keys},
        options_{options},
        sink_{sink},
        lines_{options.sort_folder, options.run_bytes} {}

  [[nodiscard]] Result<void> read_statement();
  [[nodiscard]] Result<void> merge();
  [[nodiscard]] Balance take() { return std::move(balance_); }

 private:
  using Scope = ReconcileOptions::Scope;

  // The lines of one issuance, of all its rounds.
  struct Group {
    IssuanceKey key;
    std::vector<StatementEntry> entries;  // at most kEntriesKept of each round
    struct Round {
      std::uint8_t round = 0;
      std::int64_t lines = 0;
      std::int64_t minor = 0;  // sum of all its lines
    };
    std::vector<Round> rounds;
  };

  // What of a group is about one round.
  struct RoundLines {
    std::span<const StatementEntry> entries;
    std::int64_t count = 0;
    std::int64_t minor = 0;
  };
  static RoundLines lines_of(const Group& group, std::uint8_t round);

  [[nodiscard]] bool is_of_another(const RequestId& id, std::string_view recipient_id) const;
  void note_time(const std::optional<WallTime>& time);
  [[nodiscard]] Result<void> next_line();
  [[nodiscard]] Result<void> judge_foreign();
  [[nodiscard]] Result<void> gather(Group& group);
  [[nodiscard]] Result<void> judge_row(const LedgerEntry& row, const Group* group);
  [[nodiscard]] Result<void> judge_without_row(const Group& group);
  [[nodiscard]] Result<void> judge_other_rounds(const Group& group, std::optional<std::uint8_t> own,
                                                const LedgerEntry* row, Class c,
                                                std::string_view detail);
  [[nodiscard]] Result<void> found(const ReportRow& row);
  void match(const LedgerEntry& row, const StatementEntry& entry, const std::string& request_id);
  void tell_progress();

  Statement& statement_;
  LedgerRows& ledger_;
  const RecipientKeys& keys_;
  const ReconcileOptions& options_;
  const ReportSink& sink_;
  SortedStatement lines_;  // its line(): the next one that is not judged yet
  Balance balance_;
  bool has_line_ = false;
};

bool Run::is_of_another(const RequestId& id, std::string_view recipient_id) const {
  const auto normalised = normalise_recipient(recipient_id);
  return !normalised || keys_.of(*normalised) != id.key.recipient;
}

void Run::note_time(const std::optional<WallTime>& time) {
  if (!time) return;
  if (!balance_.first_time || *time < *balance_.first_time) balance_.first_time = time;
  if (!balance_.last_time || *time > *balance_.last_time) balance_.last_time = time;
}

void Run::tell_progress() {
  const std::int64_t done = balance_.statement_lines + balance_.ledger_rows;
  if (options_.progress && done % kProgressEvery == 0) {
    options_.progress(balance_.statement_lines, balance_.ledger_rows);
  }
}

Result<void> Run::read_statement() {
  while (true) {
    VOUCH_TRY(const bool more, statement_.next());
    if (!more) break;
    const StatementLine& line = statement_.line();
    ++balance_.statement_lines;
    tell_progress();
    if (!line.counts) {
      ++balance_.passed_over;
      continue;
    }
    note_time(line.entry.time);
    const auto id = parse_request_id(line.request_id);
    StatementEntry entry = line.entry;
    if (id && !line.recipient_id.empty()) {
      entry.is_of_another_recipient = is_of_another(*id, line.recipient_id);
    }
    VOUCH_CHECK(
        lines_.add(line.request_id, id ? std::optional<RequestId>{*id} : std::nullopt, entry));
  }
  balance_.compared = statement_.columns();
  return lines_.finish();
}

Result<void> Run::next_line() {
  VOUCH_TRY(has_line_, lines_.next());
  return {};
}

// Takes all lines of one issuance, of which the present one is the first.
Result<void> Run::gather(Group& group) {
  group.key = lines_.line().id->key;
  group.entries.clear();
  group.rounds.clear();
  while (has_line_ && lines_.line().id && lines_.line().id->key == group.key) {
    SortedLine& line = lines_.line();
    if (group.rounds.empty() || group.rounds.back().round != line.id->round) {
      group.rounds.push_back({.round = line.id->round});
    }
    Group::Round& of = group.rounds.back();
    ++of.lines;
    of.minor += line.entry.amount_minor.value_or(0);
    if (of.lines <= std::int64_t{kEntriesKept}) group.entries.push_back(std::move(line.entry));
    VOUCH_CHECK(next_line());
  }
  return {};
}

Result<void> Run::found(const ReportRow& row) {
  ++balance_.found[at(row.c)];
  balance_.lines[at(row.c)] += row.entry_count;
  const bool has_row = row.row != nullptr && row.row->place == LedgerEntry::Place::here;
  std::string there = row.entries.empty() ? std::string{} : row.entries.front().currency;
  std::string here = has_row ? row.row->currency : there;
  if (here.empty()) here = there;
  if (there.empty()) there = here;
  // Another currency is another sum.
  ClassTotal& lines = balance_.totals[{row.c, std::move(there)}];
  lines.lines += row.entry_count;
  lines.statement_minor += row.statement_minor;
  ClassTotal& total = balance_.totals[{row.c, std::move(here)}];
  ++total.found;
  if (has_row) total.ledger_minor += row.row->amount_minor.value_or(0);
  const bool is_silent = row.c == Class::match || row.c == Class::agrees ||
                         row.c == Class::outside || row.c == Class::elsewhere;
  return is_silent ? Result<void>{} : sink_(row);
}

void Run::match(const LedgerEntry& row, const StatementEntry& entry,
                const std::string& request_id) {
  const Compared& compared = balance_.compared;
  const bool amount = compared.amount;
  const bool currency = compared.currency && row.amount_minor.has_value();
  const bool reference = compared.reference && !row.reference.empty();
  add_member(balance_.ledger_digest, request_id, amount ? row.amount_minor.value_or(0) : 0,
             currency ? std::string_view{row.currency} : "",
             reference ? std::string_view{row.reference} : "");
  add_member(balance_.statement_digest, request_id, amount ? entry.amount_minor.value_or(0) : 0,
             currency ? std::string_view{entry.currency} : "",
             reference ? std::string_view{entry.reference} : "");
}

// Lines of rounds that are not the row's present one: what a refused round must not have.
Result<void> Run::judge_other_rounds(const Group& group, std::optional<std::uint8_t> own,
                                     const LedgerEntry* row, Class c, std::string_view detail) {
  auto from = group.entries.begin();
  for (const auto& [round, count, minor] : group.rounds) {
    const auto kept = std::min<std::ptrdiff_t>(count, std::ptrdiff_t{kEntriesKept});
    const std::span<const StatementEntry> entries{&*from, static_cast<std::size_t>(kept)};
    from += kept;
    if (round == own) continue;
    if (c == Class::ghost && row == nullptr) balance_.ghosts_of_no_job += count;
    if (row != nullptr) ++balance_.jobs[row->job].by_class[at(c)];
    VOUCH_CHECK(found({.c = c,
                       .detail = std::string{detail},
                       .request_id = format_request_id(group.key, round),
                       .row = nullptr,
                       .entries = entries,
                       .entry_count = count,
                       .statement_minor = minor}));
  }
  return {};
}

Run::RoundLines Run::lines_of(const Group& group, std::uint8_t round) {
  auto from = group.entries.begin();
  for (const auto& [of, count, minor] : group.rounds) {
    const auto kept = std::min<std::ptrdiff_t>(count, std::ptrdiff_t{kEntriesKept});
    if (of == round) return {{&*from, static_cast<std::size_t>(kept)}, count, minor};
    from += kept;
  }
  return {};
}

Result<void> Run::judge_row(const LedgerEntry& row, const Group* group) {
  if (row.place != LedgerEntry::Place::here) {
    if (group == nullptr) return {};
    const bool other_job = row.place == LedgerEntry::Place::other_job;
    return judge_other_rounds(*group, std::nullopt, nullptr,
                              other_job ? Class::elsewhere : Class::ghost,
                              other_job ? "other_job" : "other_downstream");
  }
  ++balance_.ledger_rows;
  tell_progress();
  const RoundLines lines = group != nullptr ? lines_of(*group, row.round) : RoundLines{};
  const Judgement judged = classify(row, lines.entries, options_.window, balance_.compared);
  ++balance_.rows[at(judged.c)];
  JobTotal& job = balance_.jobs[row.job];
  ++job.by_class[at(judged.c)];
  ++job.by_state[static_cast<std::size_t>(row.state)];
  if (judged.c == Class::lost && balance_.last_time && row.first_sent > *balance_.last_time) {
    ++balance_.lost_behind_last;
  }
  std::string request_id;
  const bool is_quiet = judged.c == Class::agrees || judged.c == Class::outside;
  if (!is_quiet) request_id = format_request_id(row.key, row.round);
  if (judged.c == Class::match) match(row, lines.entries.front(), request_id);
  VOUCH_CHECK(found({.c = judged.c,
                     .detail = std::string{name_of(row.state)},
                     .request_id = std::move(request_id),
                     .row = &row,
                     .entries = lines.entries,
                     .entry_count = lines.count,
                     .statement_minor = lines.minor,
                     .differs = judged.differs}));
  if (group == nullptr) return {};
  return judge_other_rounds(*group, row.round, &row, Class::ghost, "other_round");
}

Result<void> Run::judge_without_row(const Group& group) {
  switch (options_.scope_of(group.key.campaign)) {
    case Scope::other_store:
      return judge_other_rounds(group, std::nullopt, nullptr, Class::elsewhere, "other_store");
    case Scope::other_campaign:
      return judge_other_rounds(group, std::nullopt, nullptr, Class::elsewhere, "other_campaign");
    case Scope::other_ledger:
      return judge_other_rounds(group, std::nullopt, nullptr, Class::elsewhere, "other_ledger");
    case Scope::here:
      break;
  }
  return judge_other_rounds(group, std::nullopt, nullptr, Class::ghost, "not_planned");
}

// A line of which nothing is known but its time and its foreign id.
Result<void> Run::judge_foreign() {
  SortedLine& line = lines_.line();
  const Window& window = options_.window;
  const auto& time = line.entry.time;
  const bool outside = time && ((window.since && *time < *window.since) || *time >= window.until);
  const Class c = outside ? Class::outside : options_.is_shared ? Class::elsewhere : Class::ghost;
  if (c == Class::ghost) ++balance_.ghosts_of_no_job;
  VOUCH_CHECK(found({.c = c,
                     .detail = "unknown_id",
                     .request_id = line.foreign_id,
                     .row = nullptr,
                     .entries = {&line.entry, 1},
                     .entry_count = 1,
                     .statement_minor = line.entry.amount_minor.value_or(0)}));
  return next_line();
}

Result<void> Run::merge() {
  VOUCH_CHECK(next_line());
  while (has_line_ && !lines_.line().id) VOUCH_CHECK(judge_foreign());
  Group group;
  bool has_group = false;
  const auto next_group = [&]() -> Result<void> {
    has_group = has_line_;
    return has_line_ ? gather(group) : Result<void>{};
  };
  VOUCH_CHECK(next_group());
  while (true) {
    VOUCH_TRY(const bool more, ledger_.next());
    if (!more) break;
    const LedgerEntry& row = ledger_.row();
    ++balance_.walked[row.job][static_cast<std::size_t>(row.state)];
    while (has_group && group.key < row.key) {
      VOUCH_CHECK(judge_without_row(group));
      VOUCH_CHECK(next_group());
    }
    const bool both = has_group && group.key == row.key;
    VOUCH_CHECK(judge_row(row, both ? &group : nullptr));
    if (both) VOUCH_CHECK(next_group());
  }
  while (has_group) {
    VOUCH_CHECK(judge_without_row(group));
    VOUCH_CHECK(next_group());
  }
  return {};
}

}  // namespace

std::int64_t Balance::differences() const {
  return count(Class::lost) + count(Class::ghost) + count(Class::doubled) + count(Class::differs);
}

std::int64_t Balance::undecided() const {
  return count(Class::resolves) + count(Class::absent) + count(Class::open);
}

bool Balance::is_proved() const {
  std::int64_t row_sum = 0;
  std::int64_t line_sum = passed_over;
  for (std::size_t i = 0; i < kClasses; ++i) {
    row_sum += rows[i];
    line_sum += lines[i];
  }
  return row_sum == ledger_rows && line_sum == statement_lines && ledger_digest == statement_digest;
}

Result<Balance> reconcile(Statement& statement, LedgerRows& ledger, const RecipientKeys& keys,
                          const ReconcileOptions& options, const ReportSink& sink) {
  Run run{statement, ledger, keys, options, sink};
  VOUCH_CHECK(run.read_statement());
  VOUCH_CHECK(run.merge());
  return run.take();
}

}  // namespace vouch::cli
