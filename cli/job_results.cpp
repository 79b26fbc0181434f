#include "cli/job_results.hpp"

#include <algorithm>

#include "cli/issuance_words.hpp"
#include "cli/job_forecast.hpp"
#include "cli/ledger_walk.hpp"
#include "common/store/external_sort.hpp"
#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

using store::append_text;
using store::append_varint;
using store::take_text;
using store::take_varint;

constexpr int kPageRows = 1000;

// One consistent look at the ledger for the length of a page, and one lock instead of a thousand.
// Ends with its scope: a reader that stays would keep the WAL from being reset.
class PageRead {
 public:
  explicit PageRead(store::LedgerView* ledger) : ledger_{ledger} {
    begun_ = ledger_ != nullptr && ledger_->database().exec("BEGIN").has_value();
  }
  PageRead(const PageRead&) = delete;
  PageRead& operator=(const PageRead&) = delete;
  ~PageRead() {
    if (begun_) (void)ledger_->database().exec("COMMIT");
  }

 private:
  store::LedgerView* ledger_;
  bool begun_ = false;
};

// What is told of one issuance, as it is kept in the sort.
struct Told {
  std::string item, result, code, words, reference, currency, issuance;
  std::optional<std::int64_t> amount_minor;
  std::optional<WallTime> at;
  ObjectId job = 0;
};

void append_optional(std::string& out, std::optional<std::int64_t> value) {
  append_varint(out, value ? static_cast<std::uint64_t>(*value) + 1 : 0);
}

std::optional<std::int64_t> take_optional(std::string_view& in) {
  const std::uint64_t value = take_varint(in);
  if (value == 0) return std::nullopt;
  return static_cast<std::int64_t>(value - 1);
}

void append_told(std::string& out, const Told& told) {
  for (const std::string* text : {&told.item, &told.result, &told.code, &told.words,
                                  &told.reference, &told.currency, &told.issuance}) {
    append_text(out, *text);
  }
  append_optional(out, told.amount_minor);
  append_optional(out, told.at ? std::optional{to_ms(*told.at)} : std::nullopt);
  append_varint(out, told.job);
}

void take_told(std::string_view& in, LineResult& out) {
  for (std::string_view* text : {&out.item, &out.result, &out.code, &out.words, &out.reference,
                                 &out.currency, &out.issuance}) {
    *text = take_text(in);
  }
  out.amount_minor = take_optional(in);
  const auto at = take_optional(in);
  out.at = at ? std::optional{from_ms(*at)} : std::nullopt;
  out.job = take_varint(in);
}

class Results {
 public:
  Results(const ResultsRequest& request, store::SealedList& list, store::LedgerView* ledger)
      : request_{request}, list_{list}, ledger_{ledger}, lines_{options_of(request)} {
    for (const store::ListColumn& column : list.meta().columns) {
      if (column.role == store::ColumnRole::recipient_id) recipient_column_ = at_;
      ++at_;
    }
  }

  [[nodiscard]] Result<void> gather(const std::function<void(std::int64_t)>& observe);
  [[nodiscard]] Result<void> print(const std::function<void(const LineResult&)>& emit);

 private:
  static store::ExternalSort::Options options_of(const ResultsRequest& request) {
    store::ExternalSort::Options options{.folder = request.folder};
    if (request.run_bytes > 0) options.run_bytes = request.run_bytes;
    return options;
  }
  [[nodiscard]] Result<void> take_row(const store::SealedRow& row,
                                      std::span<const store::IssuanceRow> issuances);
  [[nodiscard]] Result<Told> tell(const store::IssuanceRow& row);
  [[nodiscard]] Told not_planned(const plan::Item& item) const;
  void emit_line(const store::SortItem& item, const std::function<void(const LineResult&)>& emit);
  [[nodiscard]] std::string_view recipient_in(const std::vector<std::string_view>& fields) const {
    return recipient_column_ < fields.size() ? fields[recipient_column_] : std::string_view{};
  }

  const ResultsRequest& request_;
  store::SealedList& list_;
  store::LedgerView* ledger_;
  store::ExternalSort lines_;  // by line
  std::size_t recipient_column_ = 0;
  std::size_t at_ = 0;
  std::string payload_;
  std::vector<std::string_view> fields_;
};

Result<void> Results::gather(const std::function<void(std::int64_t)>& observe) {
  std::optional<LedgerWalk> walk;
  if (ledger_ != nullptr) walk.emplace(*ledger_, request_.campaign_id);
  store::SealedList::PageBounds bounds;
  std::span<const store::IssuanceRow> issuances;
  std::optional<RecipientKey> looked_at;
  std::int64_t rows = 0;
  while (true) {
    VOUCH_TRY(const auto page, list_.page(bounds, kPageRows));
    if (page.empty()) return lines_.finish();
    {
      const PageRead one_look{ledger_};
      for (const store::SealedRow& row : page) {
        if (walk && looked_at != row.recipient_key) {
          VOUCH_TRY(issuances, walk->of(row.recipient_key));
          looked_at = row.recipient_key;
        }
        VOUCH_CHECK(take_row(row, issuances));
      }
    }
    bounds.after = page.back().key();
    rows += static_cast<std::int64_t>(page.size());
    observe(rows);
  }
}

Told Results::not_planned(const plan::Item& item) const {
  Told told;
  told.item = item.name;
  told.result = "not_planned";
  told.words = request_.not_planned;
  return told;
}

Result<Told> Results::tell(const store::IssuanceRow& row) {
  Told told;
  const bool known = row.key.item < request_.campaign.items.size();
  if (known) told.item = request_.campaign.items[row.key.item].name;
  told.job = row.job;
  told.issuance = format_request_id(row.key, row.round);
  if (!request_.own.contains(row.job)) {
    told.result = "repeat";
    told.code = name_of(row.state);
    told.words = "held by " + format_id(ObjectKind::job, row.job);
    return told;
  }
  std::optional<store::EventRow> last;
  if (row.last_event) {
    VOUCH_TRY(last, ledger_->event(*row.last_event));
  }
  told.result = name_of(row.state);
  told.code = reason_of(row, last);
  told.words = words_of(row);
  told.amount_minor = row.amount_minor;
  if (row.amount_minor && known)
    told.currency = request_.campaign.items[row.key.item].amount.currency;
  if (last && row.state == IssuanceState::issued) told.reference = last->reference;
  if (last && is_final(row.state)) told.at = last->at;
  return told;
}

Result<void> Results::take_row(const store::SealedRow& row,
                               std::span<const store::IssuanceRow> issuances) {
  const std::uint64_t occurrence =
      occurrence_of_row(request_.campaign, request_.occurrence, row.occurrence);
  std::string told;
  std::uint64_t count = 0;
  for (const store::IssuanceRow& issuance : issuances) {
    if (issuance.key.occurrence != occurrence) continue;
    if (!request_.whole_file && !request_.own.contains(issuance.job)) continue;
    VOUCH_TRY(const Told one, tell(issuance));
    append_told(told, one);
    ++count;
  }
  if (count == 0 && !request_.whole_file) return {};
  if (count == 0) {
    for (const plan::Item& item : request_.campaign.items) append_told(told, not_planned(item));
    count = request_.campaign.items.size();
  }
  payload_.clear();
  std::uint64_t fields = 0;
  for (const std::string_view field : row.fields) {
    static_cast<void>(field);
    ++fields;
  }
  append_varint(payload_, fields);
  for (const std::string_view field : row.fields) append_text(payload_, field);
  append_varint(payload_, count);
  payload_ += told;
  return lines_.add({.key = store::key_of_number(static_cast<std::uint64_t>(row.line)),
                     .subkey = {},
                     .number = static_cast<std::uint64_t>(row.line),
                     .payload = payload_});
}

void Results::emit_line(const store::SortItem& item,
                        const std::function<void(const LineResult&)>& emit) {
  std::string_view in = item.payload;
  LineResult result;
  result.line = static_cast<std::int64_t>(item.number);
  for (std::uint64_t fields = take_varint(in); fields > 0; --fields) {
    result.fields.push_back(take_text(in));
  }
  result.recipient_id = recipient_in(result.fields);
  for (std::uint64_t count = take_varint(in); count > 0; --count) {
    take_told(in, result);
    emit(result);
  }
}

// Refused lines and duplicates, page by page, each in line order.
class OtherLines {
 public:
  explicit OtherLines(store::SealedList& list) : list_{list} {}

  // Calls `emit` with every such line before `line`.
  [[nodiscard]] Result<void> before(std::int64_t line,
                                    const std::function<void(const LineResult&)>& emit,
                                    std::size_t recipient_column) {
    while (true) {
      VOUCH_CHECK(fill());
      const std::int64_t reject =
          at_reject_ < rejects_.size() ? rejects_[at_reject_].line : INT64_MAX;
      const std::int64_t duplicate =
          at_duplicate_ < duplicates_.size() ? duplicates_[at_duplicate_].line : INT64_MAX;
      if (std::min(reject, duplicate) >= line) return {};
      LineResult out;
      std::string words;
      if (reject < duplicate) {
        const store::RejectedRow& row = rejects_[at_reject_++];
        words = (row.column.empty() ? "" : row.column + ": ") + row.message;
        out.line = row.line;
        out.result = "rejected";
        out.code = row.code;
        put(row.fields, recipient_column, out);
        out.words = words;
        emit(out);
      } else {
        const store::DuplicateRow& row = duplicates_[at_duplicate_++];
        words = "the recipient stands on line " + std::to_string(row.first_line);
        out.line = row.line;
        out.result = "duplicate";
        out.code = row.is_conflicting ? "conflicting" : "same";
        put(row.fields, recipient_column, out);
        out.words = words;
        emit(out);
      }
    }
  }

 private:
  static void put(const std::vector<std::string>& fields, std::size_t recipient_column,
                  LineResult& out) {
    for (const std::string& field : fields) out.fields.push_back(field);
    if (recipient_column < fields.size()) out.recipient_id = fields[recipient_column];
  }

  [[nodiscard]] Result<void> fill() {
    if (at_reject_ == rejects_.size() && !rejects_end_) {
      VOUCH_TRY(rejects_, list_.rejects(last_reject_, kPageRows));
      at_reject_ = 0;
      rejects_end_ = rejects_.empty();
      if (!rejects_.empty()) last_reject_ = rejects_.back().line;
    }
    if (at_duplicate_ == duplicates_.size() && !duplicates_end_) {
      VOUCH_TRY(duplicates_, list_.duplicates(last_duplicate_, kPageRows));
      at_duplicate_ = 0;
      duplicates_end_ = duplicates_.empty();
      if (!duplicates_.empty()) last_duplicate_ = duplicates_.back().line;
    }
    return {};
  }

  store::SealedList& list_;
  std::vector<store::RejectedRow> rejects_;
  std::vector<store::DuplicateRow> duplicates_;
  std::size_t at_reject_ = 0, at_duplicate_ = 0;
  std::int64_t last_reject_ = 0, last_duplicate_ = 0;
  bool rejects_end_ = false, duplicates_end_ = false;
};

Result<void> Results::print(const std::function<void(const LineResult&)>& emit) {
  OtherLines others{list_};
  while (true) {
    VOUCH_TRY(const bool more, lines_.next());
    if (!more) break;
    if (request_.whole_file) {
      const auto line = static_cast<std::int64_t>(lines_.item().number);
      VOUCH_CHECK(others.before(line, emit, recipient_column_));
    }
    emit_line(lines_.item(), emit);
  }
  if (!request_.whole_file) return {};
  return others.before(INT64_MAX, emit, recipient_column_);
}

}  // namespace

Result<void> job_results(const ResultsRequest& request, store::SealedList& list,
                         store::LedgerView* ledger,
                         const std::function<void(std::int64_t)>& observe,
                         const std::function<void(const LineResult&)>& emit) {
  Results results{request, list, ledger};
  VOUCH_CHECK(results.gather(observe));
  return results.print(emit);
}

}  // namespace vouch::cli
