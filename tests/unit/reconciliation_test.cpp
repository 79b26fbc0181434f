// Goal: every row and every line is in the class that the protocol's section 10 says.  Method:
// what the two sides say of one issuance as a table; whole reconciliations of planted differences
// in memory; and random ones, held against a slow and simple judge.
#include "cli/reconciliation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/random.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace vouch;
using namespace vouch::cli;

namespace {

using S = IssuanceState;

constexpr ObjectId kCampaign = 0x1234567890;
constexpr ObjectId kOther = 0x2234567890;
constexpr ObjectId kForeign = 0x3234567890;
constexpr ObjectId kJob = 0x9876543210;
constexpr std::int64_t kDay = 86'400'000;
constexpr std::int64_t kNoon = 20'000 * kDay + kDay / 2;

const RecipientKeys kKeys{"a secret of the tests"};

RecipientKey recipient(int number) {
  return kKeys.of("cust-" + std::to_string(number));
}

LedgerEntry issued(int number, std::int64_t sent_ms = kNoon) {
  LedgerEntry row;
  row.key = {kCampaign, recipient(number), 0, 0};
  row.state = S::issued;
  row.job = kJob;
  row.amount_minor = 500;
  row.currency = "EUR";
  row.reference = "c-" + std::to_string(number);
  row.first_sent = row.last_sent = from_ms(sent_ms);
  row.ended = from_ms(sent_ms + 20);
  return row;
}
LedgerEntry in_state(int number, S state, std::int64_t sent_ms = kNoon) {
  LedgerEntry row = issued(number, sent_ms);
  row.state = state;
  row.reference.clear();
  return row;
}

StatementEntry entry_of(const LedgerEntry& row, std::int64_t line = 2) {
  StatementEntry entry;
  entry.line = line;
  entry.round = row.round;
  entry.amount_minor = row.amount_minor;
  entry.currency = row.currency;
  entry.reference = row.reference;
  entry.time = row.ended;
  return entry;
}

const Compared kAll{
    .reference = true, .recipient = true, .amount = true, .currency = true, .time = true};
const Window kDayWindow{.since = from_ms(20'000 * kDay),
                        .until = from_ms(20'001 * kDay),
                        .margin = Millis{300'000},
                        .settle = Millis{70'000},
                        .is_complete = true};

class Rows final : public LedgerRows {
 public:
  explicit Rows(std::vector<LedgerEntry> rows) : rows_{std::move(rows)} {
    std::ranges::sort(rows_, {}, &LedgerEntry::key);
  }
  Result<bool> next() override { return ++at_ < static_cast<int>(rows_.size()); }
  const LedgerEntry& row() const override { return rows_[static_cast<std::size_t>(at_)]; }

 private:
  std::vector<LedgerEntry> rows_;
  int at_ = -1;
};

struct Line {
  std::string request_id;
  std::string recipient_id{};
  StatementEntry entry{};
  bool counts = true;
};
class Lines final : public Statement {
 public:
  explicit Lines(std::vector<Line> lines) : lines_{std::move(lines)} {}
  Result<bool> next() override {
    if (at_ == lines_.size()) return false;
    const Line& from = lines_[at_++];
    line_ = {.line = static_cast<std::int64_t>(at_ + 1),
             .request_id = from.request_id,
             .recipient_id = from.recipient_id,
             .entry = from.entry,
             .counts = from.counts};
    line_.entry.line = line_.line;
    return true;
  }
  const StatementLine& line() const override { return line_; }
  Compared columns() const override { return kAll; }

 private:
  std::vector<Line> lines_;
  std::size_t at_ = 0;
  StatementLine line_;
};

Line line_of(const LedgerEntry& row) {
  return {.request_id = format_request_id(row.key, row.round), .entry = entry_of(row)};
}

void shuffle(std::vector<Line>& lines, Random& random) {
  for (std::size_t left = lines.size(); left > 1; --left) {
    std::swap(lines[left - 1], lines[random.below(left)]);
  }
}

struct Found {
  Balance balance;
  std::multiset<std::string> reported;                     // "lost issued"
  std::map<std::string, std::vector<std::int64_t>> lines;  // of each report row, by its class
};

Found run(std::vector<LedgerEntry> rows, std::vector<Line> lines, bool is_shared = false,
          std::size_t run_bytes = 0) {
  test::TemporaryFolder folder;
  Rows ledger{std::move(rows)};
  Lines statement{std::move(lines)};
  Found out;
  ReconcileOptions options;
  options.window = kDayWindow;
  options.is_shared = is_shared;
  options.sort_folder = folder / "";
  options.run_bytes = run_bytes;
  options.scope_of = [](ObjectId campaign) {
    if (campaign == kCampaign) return ReconcileOptions::Scope::here;
    if (campaign == kOther) return ReconcileOptions::Scope::other_campaign;
    return ReconcileOptions::Scope::other_store;
  };
  auto balance =
      reconcile(statement, ledger, kKeys, options, [&](const ReportRow& row) -> Result<void> {
        out.reported.insert(std::string{name_of(row.c)} + " " + row.detail);
        for (const StatementEntry& entry : row.entries) {
          out.lines[std::string{name_of(row.c)}].push_back(entry.line);
        }
        return {};
      });
  REQUIRE(balance);
  out.balance = std::move(*balance);
  CHECK(out.balance.is_proved());
  return out;
}

}  // namespace

TEST_CASE("reconciliation: what both sides together say of one issuance") {
  const std::int64_t midnight = 20'001 * kDay;
  struct Case {
    const char* name;
    S state;
    std::int64_t sent_ms;
    int entries;
    Class want;
  };
  const Case cases[] = {
      {"issued and there", S::issued, kNoon, 1, Class::match},
      {"issued and there, whatever the time", S::issued, midnight + kDay, 1, Class::match},
      {"issued, there twice", S::issued, kNoon, 2, Class::doubled},
      {"issued, not there", S::issued, kNoon, 0, Class::lost},
      {"just inside of the end", S::issued, midnight - 300'021, 0, Class::lost},
      {"near the end, inside", S::issued, midnight - 200'000, 0, Class::late},
      {"near the end, outside", S::issued, midnight + 200'000, 0, Class::late},
      {"behind the end", S::issued, midnight + 300'000, 0, Class::outside},
      {"near the beginning", S::issued, midnight - kDay - 300'020, 0, Class::late},
      {"before the beginning", S::issued, midnight - kDay - 300'021, 0, Class::outside},
      {"in doubt, there", S::in_doubt, kNoon, 1, Class::resolves},
      {"held, there", S::held, kNoon, 1, Class::resolves},
      {"in doubt, there twice", S::in_doubt, kNoon, 2, Class::doubled},
      {"in doubt, not there", S::in_doubt, kNoon, 0, Class::absent},
      {"held, not there", S::held, kNoon, 0, Class::absent},
      {"in doubt, settled by the end", S::in_doubt, midnight - 370'000, 0, Class::absent},
      {"in doubt, may act after the end", S::in_doubt, midnight - 369'999, 0, Class::open},
      {"in doubt since before the beginning", S::held, midnight - kDay + 299'999, 0, Class::open},
      {"its call is out", S::sending, kNoon, 0, Class::open},
      {"its call is out, there already", S::sending, kNoon, 1, Class::early},
      {"its call is out, there twice", S::sending, kNoon, 2, Class::doubled},
      {"declined", S::declined, kNoon, 0, Class::agrees},
      {"planned", S::planned, kNoon, 0, Class::agrees},
      {"declined, yet there", S::declined, kNoon, 1, Class::ghost},
      {"failed, yet there", S::failed, kNoon, 1, Class::ghost},
      {"waiting, yet there", S::waiting, kNoon, 1, Class::ghost},
      {"cancelled, there twice", S::cancelled, kNoon, 2, Class::doubled},
      {"skipped, yet there", S::skipped, kNoon, 1, Class::ghost},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    LedgerEntry row = in_state(1, c.state, c.sent_ms);
    if (c.state == S::issued) row.reference = "c-1";
    const std::vector<StatementEntry> entries(static_cast<std::size_t>(c.entries), entry_of(row));
    CHECK(name_of(classify(row, entries, kDayWindow, kAll).c) == name_of(c.want));
  }
}

TEST_CASE("reconciliation: a statement that may lack something proves nothing by what it lacks") {
  Window window = kDayWindow;
  window.is_complete = false;
  CHECK(classify(in_state(1, S::in_doubt), {}, window, kAll).c == Class::open);
  CHECK(classify(issued(1), {}, window, kAll).c == Class::lost);
  window.since.reset();
  window.is_complete = true;
  CHECK(classify(in_state(1, S::in_doubt, 1), {}, window, kAll).c == Class::absent);
}

TEST_CASE("reconciliation: what is compared, and what cannot be") {
  struct Case {
    const char* name;
    void (*change)(StatementEntry&);
    void (*without)(Compared&);
    Difference which;
  };
  const Case cases[] = {
      {"a cent", [](StatementEntry& e) { e.amount_minor = 501; },
       [](Compared& c) { c.amount = false; }, Difference::amount},
      {"no amount", [](StatementEntry& e) { e.amount_minor.reset(); },
       [](Compared& c) { c.amount = false; }, Difference::amount},
      {"another currency", [](StatementEntry& e) { e.currency = "USD"; },
       [](Compared& c) { c.currency = false; }, Difference::currency},
      {"another recipient", [](StatementEntry& e) { e.is_of_another_recipient = true; },
       [](Compared& c) { c.recipient = false; }, Difference::recipient},
      {"another reference", [](StatementEntry& e) { e.reference = "c-2"; },
       [](Compared& c) { c.reference = false; }, Difference::reference},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const LedgerEntry row = issued(1);
    StatementEntry entry = entry_of(row);
    c.change(entry);
    const Judgement judged = classify(row, {&entry, 1}, kDayWindow, kAll);
    CHECK(judged.c == Class::differs);
    for (std::size_t i = 0; i < judged.differs.size(); ++i) {
      CHECK(judged.differs[i] == (i == static_cast<std::size_t>(c.which)));
    }
    Compared compared = kAll;
    c.without(compared);
    CHECK(classify(row, {&entry, 1}, kDayWindow, compared).c == Class::match);
  }
  // A voucher without a value has no currency that could differ, and 0 is no value.
  LedgerEntry plain = issued(1);
  plain.amount_minor.reset();
  plain.currency.clear();
  StatementEntry entry = entry_of(plain);
  entry.currency = "EUR";
  CHECK(classify(plain, {&entry, 1}, kDayWindow, kAll).c == Class::match);
  entry.amount_minor = 0;
  CHECK(classify(plain, {&entry, 1}, kDayWindow, kAll).c == Class::match);
  entry.amount_minor = 1;
  CHECK(classify(plain, {&entry, 1}, kDayWindow, kAll).c == Class::differs);
  // Nothing that is in doubt is resolved by a line that says something else.
  LedgerEntry doubt = in_state(1, S::in_doubt);
  entry = entry_of(doubt);
  entry.reference = "c-9";
  CHECK(classify(doubt, {&entry, 1}, kDayWindow, kAll).c == Class::resolves);
  entry.amount_minor = 499;
  CHECK(classify(doubt, {&entry, 1}, kDayWindow, kAll).c == Class::differs);
}

TEST_CASE("reconciliation: planted differences are found, each once and nothing else") {
  std::vector<LedgerEntry> rows;
  std::vector<Line> lines;
  for (int n = 0; n < 100; ++n) {
    rows.push_back(issued(n));
    lines.push_back(line_of(rows.back()));
    lines.back().recipient_id = " cust-" + std::to_string(n) + " ";
  }
  lines[10].entry.amount_minor = 499;
  lines[11].entry.currency = "USD";
  lines[12].recipient_id = "cust-13";
  lines.push_back(lines[20]);
  lines[21].counts = false;  // refunded there: lost here
  lines.push_back({.request_id = "their-own-17", .entry = lines[0].entry});
  rows[30].state = S::declined;
  rows[31].state = S::in_doubt;
  rows[32].state = S::held;
  lines[33].request_id = "";  // becomes a foreign line; row 33 is lost
  rows[33].state = S::held;
  rows[40].round = 1;  // the line is of its first round
  LedgerEntry unplanned = issued(200);
  lines.push_back(line_of(unplanned));
  LedgerEntry other = issued(1);
  other.key.campaign = kOther;
  lines.push_back(line_of(other));
  other.key.campaign = kForeign;
  lines.push_back(line_of(other));
  rows[50].place = LedgerEntry::Place::other_job;
  rows[51].place = LedgerEntry::Place::other_downstream;
  LedgerEntry silent = issued(300);
  silent.place = LedgerEntry::Place::other_downstream;
  rows.push_back(silent);
  SeededRandom random{7};
  shuffle(lines, random);

  const Found out = run(rows, lines);
  const std::multiset<std::string> want = {
      "differs issued",    "differs issued",    "differs issued",        "double issued",
      "lost issued",       "lost issued",       "ghost unknown_id",      "ghost unknown_id",
      "ghost declined",    "ghost other_round", "ghost not_planned",     "ghost other_downstream",
      "resolves in_doubt", "resolves held",     "resolves_negative held"};
  CHECK(out.reported == want);
  const Balance& balance = out.balance;
  CHECK(balance.differences() == 12);
  CHECK(balance.undecided() == 3);
  CHECK(balance.count(Class::elsewhere) == 3);
  CHECK(balance.passed_over == 1);
  CHECK(balance.ledger_rows == 98);
  CHECK(balance.ghosts_of_no_job == 4);
  CHECK(balance.jobs.at(kJob).by_class[static_cast<std::size_t>(Class::ghost)] == 2);
  CHECK(balance.walked.at(kJob)[static_cast<std::size_t>(S::issued)] == 97);
  CHECK(out.lines.at("double").size() == 2);
  CHECK(balance.totals.at({Class::differs, "USD"}).statement_minor == 500);
  CHECK(balance.totals.at({Class::differs, "EUR"}).ledger_minor == 1500);
  CHECK(balance.totals.at({Class::differs, "EUR"}).statement_minor == 999);
  CHECK(balance.totals.at({Class::doubled, "EUR"}).statement_minor == 1000);

  // Where others use the downstream too, their lines are no ghosts.
  const Found shared = run(rows, lines, true);
  CHECK(shared.reported.count("ghost unknown_id") == 0);
  CHECK(shared.balance.differences() == 10);
}

TEST_CASE("reconciliation: lines of others count by their own time") {
  const auto foreign = [](std::int64_t ms) {
    Line line{.request_id = "x" + std::to_string(ms)};
    line.entry.time = from_ms(ms);
    return line;
  };
  const std::int64_t begin = 20'000 * kDay;
  const Found out = run(
      {}, {foreign(begin - 1), foreign(begin), foreign(begin + kDay - 1), foreign(begin + kDay)});
  CHECK(out.balance.count(Class::ghost) == 2);
  CHECK(out.balance.count(Class::outside) == 2);
  CHECK(out.balance.first_time == from_ms(begin - 1));
  CHECK(out.balance.last_time == from_ms(begin + kDay));
}

TEST_CASE("reconciliation: a line that stands there a thousand times is told in few words") {
  const LedgerEntry row = issued(1);
  const Found out = run({row}, std::vector<Line>(1000, line_of(row)));
  CHECK(out.balance.count(Class::doubled) == 1);
  CHECK(out.balance.totals.at({Class::doubled, "EUR"}).lines == 1000);
  CHECK(out.balance.totals.at({Class::doubled, "EUR"}).statement_minor == 500'000);
  CHECK(out.lines.at("double").size() == kEntriesKept);
}

TEST_CASE("reconciliation: digests tell sets apart, not orders") {
  SetDigest a;
  SetDigest b;
  for (const char* member : {"x", "y", "z"}) a.add(member);
  for (const char* member : {"z", "x", "y"}) b.add(member);
  CHECK(a == b);
  CHECK(a.text().size() == 32);
  b.add("z");
  CHECK_FALSE(a == b);
  CHECK(SetDigest{}.text() == std::string(32, '0'));
}

// Each issuance is judged alone by classify(); here the merge must find the same, whatever the
// order and however often the sort has to write to the disk.
TEST_CASE("reconciliation: the merge finds what a slow judge finds") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    SeededRandom random{seed};
    const auto chance = [&](unsigned percent) { return random.below(100) < percent; };
    std::vector<LedgerEntry> rows;
    std::vector<Line> lines;
    std::map<std::string, std::int64_t> want;
    const auto expect = [&](Class c) { ++want[std::string{name_of(c)}]; };
    for (int n = 0; n < 400; ++n) {
      LedgerEntry row = issued(n, kNoon + n);
      row.key.occurrence = random.below(3);
      row.key.item = static_cast<std::uint8_t>(random.below(2));
      if (chance(20)) row = in_state(n, static_cast<S>(random.below(kIssuanceStates)));
      const bool planned = !chance(5);
      int copies = chance(10) ? 0 : 1;
      if (chance(5)) copies = 2;
      std::vector<StatementEntry> entries(static_cast<std::size_t>(copies), entry_of(row));
      for (StatementEntry& entry : entries) {
        if (chance(5)) entry.amount_minor = 501;
      }
      for (const StatementEntry& entry : entries) {
        lines.push_back({.request_id = format_request_id(row.key, 0), .entry = entry});
      }
      if (!planned && copies > 0) expect(Class::ghost);
      if (!planned) continue;
      rows.push_back(row);
      expect(classify(row, entries, kDayWindow, kAll).c);
    }
    shuffle(lines, random);
    const Found out = run(rows, lines, false, seed % 2 == 0 ? 0 : 4096);
    for (std::size_t i = 0; i < kClasses; ++i) {
      const std::string name{name_of(static_cast<Class>(i))};
      CAPTURE(name);
      CHECK(out.balance.found[i] == want[name]);
    }
  }
}
