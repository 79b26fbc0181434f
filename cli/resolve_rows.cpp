#include "cli/resolve_rows.hpp"

#include <algorithm>

#include "cli/proposal_draft.hpp"
#include "common/store/csv_reader.hpp"
#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr const char* kTemporaryFolder = "/var/tmp";
constexpr std::size_t kPackedBytesMax = 4096;
constexpr int kLookBackMax = 20;  // events of a row, for its last outcome
constexpr std::size_t kReferenceBytesMax = 200;
constexpr std::string_view kFilters = "outcome, item, downstream, before";

tl::unexpected<Error> no_filter(const std::string& text, std::string_view why) {
  return fail(Errc::usage, "--where: \"" + text + "\" " + std::string{why},
              "such as outcome=unknown; there are " + std::string{kFilters});
}

// The numbers of the items that are called so, or that go to that downstream.
std::vector<int> items_named(const plan::Campaign& campaign, std::string_view key,
                             std::string_view name) {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < campaign.items.size(); ++i) {
    const plan::Item& item = campaign.items[i];
    if ((key == "item" ? item.name : item.downstream) == name) {
      numbers.push_back(static_cast<int>(i));
    }
  }
  return numbers;
}

std::optional<Outcome> outcome_named(std::string_view name) {
  for (int i = 0; i < kOutcomes; ++i) {
    if (name_of(static_cast<Outcome>(i)) == name) return static_cast<Outcome>(i);
  }
  return std::nullopt;
}

bool is_among(const std::vector<int>& items, int item) {
  return items.empty() || std::find(items.begin(), items.end(), item) != items.end();
}

Result<bool> lets_through(store::LedgerView& ledger, const ResolveFilter& filter,
                          const store::IssuanceRow& row) {
  if (!is_among(filter.items, row.key.item)) return false;
  if (filter.before && row.intent >= *filter.before) return false;
  if (!filter.outcome) return true;
  VOUCH_TRY(const auto history, ledger.history(row, kLookBackMax));
  for (const store::EventRow& event : history) {
    if (event.outcome) return static_cast<Outcome>(*event.outcome) == *filter.outcome;
  }
  return false;
}

std::string pack(const store::IssuanceRow& row, const std::string& reference) {
  std::string bytes;
  store::append_text(bytes, format_request_id(row.key, row.round));
  store::append_varint(bytes, static_cast<std::uint64_t>(row.state));
  store::append_varint(bytes, static_cast<std::uint64_t>(row.last_event.value_or(0)));
  store::append_text(bytes, reference);
  return bytes;
}

Json unpack(std::string_view& in) {
  Json row{{"id", std::string{store::take_text(in)}}};
  row["state"] = name_of(static_cast<IssuanceState>(store::take_varint(in)));
  if (const auto last = store::take_varint(in); last != 0) row["last_event"] = last;
  const std::string_view reference = store::take_text(in);
  if (!reference.empty()) row["reference"] = std::string{reference};
  return row;
}

std::string key_bytes(const RecipientKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

// Where the columns of a file of references stand.
struct ReferenceColumns {
  std::size_t name = 0;
  std::size_t reference = 0;
  bool by_recipient = false;
};

Result<ReferenceColumns> columns_in(const store::CsvRecord& header, const std::string& path) {
  std::optional<std::size_t> request, recipient, reference;
  for (std::size_t i = 0; i < header.fields.size(); ++i) {
    const std::string_view name = trim_blanks(header.fields[i]);
    if (name == "request_id") request = i;
    if (name == "recipient_id") recipient = i;
    if (name == "reference") reference = i;
  }
  if (reference && (request || recipient)) {
    return ReferenceColumns{request.value_or(recipient.value_or(0)), *reference, !request};
  }
  return fail(Errc::invalid, path + ": line 1: the columns are not there",
              "it needs request_id (or recipient_id) and reference");
}

}  // namespace

Result<ResolveFilter> parse_resolve_filter(const std::vector<std::string>& texts,
                                           const plan::Campaign& campaign, const Session& session) {
  ResolveFilter filter;
  for (const std::string& text : texts) {
    const auto at = text.find('=');
    if (at == std::string::npos) return no_filter(text, "has no =");
    const std::string key = text.substr(0, at);
    const std::string value = text.substr(at + 1);
    if (key == "outcome") {
      filter.outcome = outcome_named(value);
      if (!filter.outcome) return no_filter(text, "names no outcome");
    } else if (key == "before") {
      VOUCH_TRY(filter.before, session.time("--where before", value));
    } else if (key == "item" || key == "downstream") {
      std::vector<int> items = items_named(campaign, key, value);
      std::erase_if(items, [&](int item) { return !is_among(filter.items, item); });
      if (items.empty()) return no_filter(text, "fits no item of " + campaign.name);
      filter.items = std::move(items);
    } else {
      return no_filter(text, "names nothing to look for");
    }
  }
  return filter;
}

Result<References> References::read(Session& session, const std::string& path) {
  VOUCH_TRY(store::InputFile input, store::InputFile::open(path));
  VOUCH_TRY(store::TextDecoder text, store::TextDecoder::open(std::move(input), ""));
  store::CsvReader reader{std::move(text), ','};
  VOUCH_TRY(const bool has_header, reader.next());
  if (!has_header) return fail(Errc::invalid, path + ": is empty");
  VOUCH_TRY(const ReferenceColumns columns, columns_in(reader.record(), path));
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const std::string secret, control->recipient_secret());
  const RecipientKeys keys{secret};
  References out;
  out.by_recipient_ = columns.by_recipient;
  while (true) {
    VOUCH_TRY(const bool more, reader.next());
    if (!more) return out;
    const store::CsvRecord& record = reader.record();
    const std::string where = path + ": line " + std::to_string(record.line);
    const std::size_t needed = std::max(columns.name, columns.reference) + 1;
    if (record.fault != store::CsvFault::none || record.fields.size() < needed) {
      return fail(Errc::invalid, where + ": is no row of this file", "quotes, or too few fields");
    }
    std::string name{trim_blanks(record.fields[columns.name])};
    const std::string reference{trim_blanks(record.fields[columns.reference])};
    if (reference.empty() || reference.size() > kReferenceBytesMax ||
        has_control_bytes(reference)) {
      return fail(Errc::invalid, where + ": reference: must be one line of 1 to 200 bytes");
    }
    if (columns.by_recipient) {
      auto normalised = normalise_recipient(name);
      if (!normalised) return within(where, normalised.error());
      name = key_bytes(keys.of(*normalised));
    } else if (const auto id = parse_request_id(name); !id) {
      return within(where, id.error());
    } else {
      name = format_request_id(id->key, id->round);
    }
    if (!out.by_name_.emplace(std::move(name), reference).second) {
      return fail(Errc::invalid, where + ": stands twice in the file");
    }
    if (out.by_name_.size() > kLinesMax) {
      return fail(Errc::invalid, path + ": has more than " + format_count(kLinesMax) + " lines",
                  "split it, and resolve one part after the other");
    }
  }
}

const std::string* References::find(const store::IssuanceRow& row) const {
  const auto found = by_name_.find(by_recipient_ ? key_bytes(row.key.recipient)
                                                 : format_request_id(row.key, row.round));
  return found == by_name_.end() ? nullptr : &found->second;
}

Result<ResolveRows> ResolveRows::create() {
  VOUCH_TRY(store::SpoolFile file, store::SpoolFile::create(kTemporaryFolder));
  return ResolveRows{std::move(file)};
}

Result<void> ResolveRows::add(const store::IssuanceRow& row, const std::string& reference) {
  ++size_;
  referenced_ += reference.empty() ? 0 : 1;
  ItemSum& sum = items_[row.key.item];
  ++sum.rows;
  sum.amount_minor += row.amount_minor.value_or(0);
  digest_.add(proposal_member(format_request_id(row.key, row.round), reference));
  return file_.append(pack(row, reference));
}

Result<void> ResolveRows::gather(store::LedgerView& ledger, ObjectId job, IssuanceState state,
                                 const ResolveFilter& filter, const References* references) {
  VOUCH_TRY(const ObjectId campaign, ledger.campaign_of(job));
  std::optional<IssuanceKey> after;
  std::optional<RecipientKey> last;
  while (true) {
    std::vector<store::IssuanceRow> rows;
    bool is_last = false;
    if (state == IssuanceState::held) {
      VOUCH_TRY(rows, ledger.unissued(job, state, after));
      is_last = static_cast<int>(rows.size()) < store::kPageRows;
      if (!is_last) after = rows.back().key;
    } else {
      VOUCH_TRY(auto page, ledger.page(campaign, after, {.job = job, .state = state}));
      rows = std::move(page.rows);
      is_last = !page.next_after;
      after = page.next_after;
    }
    for (const store::IssuanceRow& row : rows) {
      VOUCH_TRY(const bool wanted, lets_through(ledger, filter, row));
      const std::string* reference = references == nullptr ? nullptr : references->find(row);
      const bool named = references == nullptr || reference != nullptr;
      if (!wanted || !named) continue;
      // The rows of a recipient stand together.
      if (reference != nullptr && references->by_recipient() && last == row.key.recipient) {
        return fail(Errc::invalid, "a recipient of the file has several such issuances",
                    "name them by request_id: vouchctl issuance list has them");
      }
      if (reference != nullptr) last = row.key.recipient;
      VOUCH_CHECK(add(row, reference == nullptr ? "" : *reference));
    }
    if (is_last) return {};
  }
}

Result<std::string> ResolveRows::send(const ControlCall& vouchd, const Json& draft) {
  VOUCH_CHECK(file_.flush());
  VOUCH_TRY(ProposalDraft proposal, ProposalDraft::begin(vouchd, draft));
  store::SpoolReader reader{file_};
  for (std::int64_t left = size_; left > 0; --left) {
    VOUCH_TRY(std::string_view in, reader.view(kPackedBytesMax));
    const std::size_t before = in.size();
    VOUCH_CHECK(proposal.add(unpack(in)));
    reader.skip(before - in.size());
  }
  VOUCH_CHECK(proposal.open(size_, digest()));
  return proposal.id();
}

}  // namespace vouch::cli
