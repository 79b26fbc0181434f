#include "cli/reconciliation.hpp"

#include <algorithm>
#include <utility>

#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::array<std::string_view, kClasses> kClassNames = {
    "match",    "agrees", "lost", "ghost",   "double",   "differs", "resolves", "resolves_negative",
    "in_doubt", "early",  "late", "outside", "elsewhere"};
constexpr std::int64_t kProgressEvery = 20'000;
// Of a foreign request id, which may be any text.
constexpr std::size_t kForeignIdBytesMax = 200;

std::size_t at(Class c) {
  return static_cast<std::size_t>(c);
}

bool may_have_acted(IssuanceState state) {
  return state == IssuanceState::sending || state == IssuanceState::in_doubt ||
         state == IssuanceState::held;
}

Differences differences_of(const LedgerEntry& row, const StatementEntry& entry,
                           const Compared& compared) {
  Differences out{};
  const auto set = [&](Difference which, bool differs) {
    out[static_cast<std::size_t>(which)] = differs;
  };
  // A downstream that has no amounts says nothing or 0.
  const std::int64_t here = row.amount_minor.value_or(0);
  const std::int64_t there = entry.amount_minor.value_or(0);
  set(Difference::amount, compared.amount && here != there);
  set(Difference::currency,
      compared.currency && (here != 0 || there != 0) && row.currency != entry.currency);
  set(Difference::recipient, compared.recipient && entry.is_of_another_recipient);
  // What is in doubt has no reference yet.
  set(Difference::reference,
      compared.reference && !row.reference.empty() && row.reference != entry.reference);
  return out;
}

bool any(const Differences& differs) {
  return std::ranges::any_of(differs, std::identity{});
}

// Issued here, not there.
Class missing(const LedgerEntry& row, const Window& window) {
  const WallTime from = row.first_sent - window.margin;
  const WallTime to = row.ended + window.margin;
  const bool before = window.since && to < *window.since;
  if (before || from >= window.until) return Class::outside;
  const bool inside = (!window.since || from >= *window.since) && to < window.until;
  return inside ? Class::lost : Class::late;
}

// In doubt here, not there.
Class unproven(const LedgerEntry& row, const Window& window) {
  const bool is_out = row.state == IssuanceState::sending;
  const bool begins = !window.since || row.first_sent - window.margin >= *window.since;
  const bool ends = row.last_sent + window.settle + window.margin <= window.until;
  return window.is_complete && !is_out && begins && ends ? Class::absent : Class::open;
}

// The order of the ledger's primary key, as bytes: campaign, recipient, occurrence, item; the
// round behind it.  The first 16 are the sort's key, the rest its subkey.
struct SortPlace {
  store::SortKey key{};
  std::string subkey;
};

constexpr std::size_t kCampaignBytes = 5;
constexpr std::size_t kOccurrenceBytes = 6;

void append_number(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
}

SortPlace place_of(const RequestId& id) {
  std::string bytes;
  append_number(bytes, id.key.campaign, kCampaignBytes);
  bytes.append(reinterpret_cast<const char*>(id.key.recipient.data()), id.key.recipient.size());
  append_number(bytes, id.key.occurrence, kOccurrenceBytes);
  append_number(bytes, id.key.item, 1);
  append_number(bytes, id.round, 1);
  SortPlace place;
  std::copy_n(bytes.begin(), place.key.size(), place.key.begin());
  place.subkey = bytes.substr(place.key.size());
  return place;
}

// No campaign has the id 0: what is not Vouch's sorts before everything that is.
SortPlace place_of_foreign(std::string_view request_id) {
  SortPlace place;
  const Digest128 digest = sha256_128(request_id);
  std::copy_n(digest.begin(), place.key.size() - kCampaignBytes,
              place.key.begin() + kCampaignBytes);
  place.subkey = request_id.substr(0, kForeignIdBytesMax);
  return place;
}

// One sorted line: whose it is, and what it says.
struct SortedLine {
  std::optional<RequestId> id;  // nothing: not Vouch's
  std::string foreign_id;
  StatementEntry entry;
};

std::string pack(const StatementEntry& entry) {
  std::string out;
  store::append_varint(
      out, entry.amount_minor ? 1 + static_cast<std::uint64_t>(*entry.amount_minor) : 0);
  store::append_varint(out, entry.time ? 1 + static_cast<std::uint64_t>(to_ms(*entry.time)) : 0);
  out.push_back(entry.is_of_another_recipient ? '\1' : '\0');
  store::append_text(out, entry.currency);
  store::append_text(out, entry.reference);
  return out;
}

SortedLine unpack(const store::SortItem& item) {
  SortedLine line;
  std::string bytes{item.key.begin(), item.key.end()};
  bytes += item.subkey;
  const auto number = [&](std::size_t from, std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : std::string_view{bytes}.substr(from, size)) {
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  };
  RequestId id;
  id.key.campaign = number(0, kCampaignBytes);
  if (id.key.campaign != 0) {
    std::size_t from = kCampaignBytes;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), id.key.recipient.size(),
                id.key.recipient.begin());
    from += id.key.recipient.size();
    id.key.occurrence = number(from, kOccurrenceBytes);
    from += kOccurrenceBytes;
    id.key.item = static_cast<std::uint8_t>(number(from, 1));
    id.round = static_cast<std::uint8_t>(number(from + 1, 1));
    line.id = id;
  } else {
    line.foreign_id = item.subkey;
  }
  std::string_view in = item.payload;
  StatementEntry& entry = line.entry;
  if (const std::uint64_t amount = store::take_varint(in); amount != 0) {
    entry.amount_minor = static_cast<std::int64_t>(amount - 1);
  }
  if (const std::uint64_t time = store::take_varint(in); time != 0) {
    entry.time = from_ms(static_cast<std::int64_t>(time - 1));
  }
  entry.is_of_another_recipient = !in.empty() && in.front() != '\0';
  in.remove_prefix(std::min<std::size_t>(1, in.size()));
  entry.currency = store::take_text(in);
  entry.reference = store::take_text(in);
  entry.line = static_cast<std::int64_t>(item.number);
  entry.round = id.round;
  return line;
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
        sort_{sort_options(options)} {}

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

  static store::ExternalSort::Options sort_options(const ReconcileOptions& options) {
    store::ExternalSort::Options out{.folder = options.sort_folder};
    if (options.run_bytes > 0) out.run_bytes = options.run_bytes;
    return out;
  }

  [[nodiscard]] bool is_of_another(const RequestId& id, std::string_view recipient_id) const;
  void note_time(const std::optional<WallTime>& time);
  [[nodiscard]] Result<bool> next_line();
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
  store::ExternalSort sort_;
  Balance balance_;
  SortedLine line_;  // the next one that is not judged yet
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
    const bool is_ours = id && id->key.campaign != 0;
    const SortPlace place = is_ours ? place_of(*id) : place_of_foreign(line.request_id);
    const std::string payload = pack(entry);
    VOUCH_CHECK(sort_.add({.key = place.key,
                           .subkey = place.subkey,
                           .number = static_cast<std::uint64_t>(line.line),
                           .payload = payload}));
  }
  balance_.compared = statement_.columns();
  return sort_.finish();
}

Result<bool> Run::next_line() {
  VOUCH_TRY(has_line_, sort_.next());
  if (has_line_) line_ = unpack(sort_.item());
  return has_line_;
}

// Takes all lines of one issuance, of which line_ is the first.
Result<void> Run::gather(Group& group) {
  group.key = line_.id->key;
  group.entries.clear();
  group.rounds.clear();
  while (has_line_ && line_.id && line_.id->key == group.key) {
    const std::uint8_t round = line_.id->round;
    if (group.rounds.empty() || group.rounds.back().round != round) {
      group.rounds.push_back({.round = round});
    }
    Group::Round& of = group.rounds.back();
    ++of.lines;
    of.minor += line_.entry.amount_minor.value_or(0);
    if (of.lines <= std::int64_t{kEntriesKept}) group.entries.push_back(std::move(line_.entry));
    VOUCH_CHECK(next_line().map([](bool) {}));
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
  std::span<const StatementEntry> entries;
  std::int64_t count = 0;
  std::int64_t sum = 0;
  if (group != nullptr) {
    auto from = group->entries.begin();
    for (const auto& [round, lines, minor] : group->rounds) {
      const auto kept = std::min<std::ptrdiff_t>(lines, std::ptrdiff_t{kEntriesKept});
      if (round == row.round) {
        entries = {&*from, static_cast<std::size_t>(kept)};
        count = lines;
        sum = minor;
      }
      from += kept;
    }
  }
  const Judgement judged = classify(row, entries, options_.window, balance_.compared);
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
  if (judged.c == Class::match) match(row, entries.front(), request_id);
  VOUCH_CHECK(found({.c = judged.c,
                     .detail = std::string{name_of(row.state)},
                     .request_id = std::move(request_id),
                     .row = &row,
                     .entries = entries,
                     .entry_count = count,
                     .statement_minor = sum,
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
  const Window& window = options_.window;
  const auto& time = line_.entry.time;
  const bool outside = time && ((window.since && *time < *window.since) || *time >= window.until);
  const Class c = outside ? Class::outside : options_.is_shared ? Class::elsewhere : Class::ghost;
  if (c == Class::ghost) ++balance_.ghosts_of_no_job;
  VOUCH_CHECK(found({.c = c,
                     .detail = "unknown_id",
                     .request_id = line_.foreign_id,
                     .row = nullptr,
                     .entries = {&line_.entry, 1},
                     .entry_count = 1,
                     .statement_minor = line_.entry.amount_minor.value_or(0)}));
  return next_line().map([](bool) {});
}

Result<void> Run::merge() {
  VOUCH_CHECK(next_line().map([](bool) {}));
  while (has_line_ && !line_.id) VOUCH_CHECK(judge_foreign());
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

std::string_view name_of(Class c) {
  return kClassNames[at(c)];
}

bool is_difference(Class c) {
  return c == Class::lost || c == Class::ghost || c == Class::doubled || c == Class::differs;
}

Judgement classify(const LedgerEntry& row, std::span<const StatementEntry> entries,
                   const Window& window, const Compared& compared) {
  if (entries.size() > 1) return {.c = Class::doubled};
  const bool issued = row.state == IssuanceState::issued;
  if (entries.empty()) {
    if (issued) return {.c = missing(row, window)};
    return {.c = may_have_acted(row.state) ? unproven(row, window) : Class::agrees};
  }
  if (!issued && !may_have_acted(row.state)) return {.c = Class::ghost};
  const Differences differs = differences_of(row, entries.front(), compared);
  if (any(differs)) return {.c = Class::differs, .differs = differs};
  if (issued) return {.c = Class::match};
  return {.c = row.state == IssuanceState::sending ? Class::early : Class::resolves};
}

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
