#include "cli/reconcile_settle.hpp"

#include <map>
#include <utility>

#include "cli/proposal_draft.hpp"
#include "common/json.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kRowsInCommand = 500;  // vouchd takes no more
constexpr Millis kSettleTimeout{60'000};
constexpr std::size_t kPackedBytesMax = 4096;
constexpr std::size_t kReferenceBytesMax = 2000;
constexpr std::int64_t kRowsInDrafts = 4000;  // of all drafts together, before they are sent

struct PackedRow {
  std::string id, reference;
  bool was_executed = true;
  std::optional<std::int64_t> amount_minor;
  ObjectId job = 0;
  IssuanceState state = IssuanceState::held;
  std::optional<std::int64_t> last_event;
};

std::string pack(const PackedRow& row) {
  std::string bytes;
  store::append_text(bytes, row.id);
  store::append_text(bytes, row.reference);
  bytes.push_back(row.was_executed ? '\1' : '\0');
  store::append_varint(bytes,
                       row.amount_minor ? 1 + static_cast<std::uint64_t>(*row.amount_minor) : 0);
  store::append_varint(bytes, row.job);
  store::append_varint(bytes, static_cast<std::uint64_t>(row.state));
  store::append_varint(bytes, static_cast<std::uint64_t>(row.last_event.value_or(0)));
  return bytes;
}

PackedRow unpack(std::string_view& in) {
  PackedRow row;
  row.id = store::take_text(in);
  row.reference = store::take_text(in);
  row.was_executed = !in.empty() && in.front() != '\0';
  in.remove_prefix(std::min<std::size_t>(1, in.size()));
  if (const auto amount = store::take_varint(in); amount != 0) {
    row.amount_minor = static_cast<std::int64_t>(amount - 1);
  }
  row.job = store::take_varint(in);
  row.state = static_cast<IssuanceState>(store::take_varint(in));
  if (const auto last = store::take_varint(in); last != 0) {
    row.last_event = static_cast<std::int64_t>(last);
  }
  return row;
}

// Every row that was set aside, one after another.
template <class Sink>
Result<void> read_each(const store::SpoolFile& file, std::int64_t rows, Sink sink) {
  store::SpoolReader reader{file};
  for (; rows > 0; --rows) {
    VOUCH_TRY(std::string_view in, reader.view(kPackedBytesMax));
    const std::size_t before = in.size();
    PackedRow row = unpack(in);
    reader.skip(before - in.size());
    VOUCH_CHECK(sink(std::move(row)));
  }
  return {};
}

Json arguments_of(const std::string& statement, const std::vector<PackedRow>& rows) {
  Json out{{"statement", statement}, {"rows", Json::array()}};
  for (const PackedRow& row : rows) {
    Json& entry = out["rows"].emplace_back(Json{{"id", row.id}, {"executed", row.was_executed}});
    if (row.amount_minor) entry["amount_minor"] = *row.amount_minor;
    if (!row.was_executed && row.last_event) entry["last_event"] = *row.last_event;
    if (!row.reference.empty()) entry["reference"] = row.reference;
  }
  return out;
}

void count(const PackedRow& row, Balance& balance) {
  auto& by_class = balance.jobs[row.job].by_class;
  const Class from = row.was_executed ? Class::resolves : Class::absent;
  const Class to = row.was_executed ? Class::match : Class::agrees;
  --by_class[static_cast<std::size_t>(from)];
  ++by_class[static_cast<std::size_t>(to)];
}

// One command; how many rows of it vouchd took over.
Result<std::int64_t> send_some(Session& session, const std::string& statement,
                               const std::vector<PackedRow>& rows, Balance& balance) {
  store::CommandRow command;
  command.kind = "settle";
  command.arguments_json =
      arguments_of(statement, rows).dump(-1, ' ', false, Json::error_handler_t::replace);
  VOUCH_TRY(const std::string text, session.ask(std::move(command), kSettleTimeout));
  VOUCH_TRY(const Json answer, parse_json(text));
  if (session.dry_run()) return 0;
  std::vector<bool> passed_over(rows.size());
  for (const Json& place : answer.value("passed_over", Json::array())) {
    const auto at = place.is_number_unsigned() ? place.get<std::size_t>() : rows.size();
    if (at < rows.size()) passed_over[at] = true;
  }
  std::int64_t settled = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (passed_over[i]) continue;
    count(rows[i], balance);
    ++settled;
  }
  return settled;
}

// --- proposing -----------------------------------------------------------------------------------

Json row_json(const PackedRow& row) {
  Json out{{"id", row.id}, {"state", name_of(row.state)}};
  if (row.last_event) out["last_event"] = *row.last_event;
  if (row.amount_minor) out["amount_minor"] = *row.amount_minor;
  if (!row.reference.empty()) out["reference"] = row.reference;
  return out;
}

// What was not executed is called again where the job still calls anybody.
Result<IssuanceState> target_of(store::LedgerView& ledger, const PackedRow& row) {
  if (row.was_executed) return IssuanceState::issued;
  VOUCH_TRY(const auto job, ledger.job(row.job));
  const bool goes_on = job && !is_over(job->state) && job->state != JobState::unsettled;
  return goes_on ? IssuanceState::waiting : IssuanceState::failed;
}

Json draft_json(ObjectId job, IssuanceState to, const std::string& statement,
                const std::string& downstream) {
  const std::string id = format_id(ObjectKind::job, job);
  const bool has_them = to == IssuanceState::issued;
  return {{"job", id},
          {"as", name_of(to)},
          {"reason", has_them ? "each is in the statement once, and alike"
                              : "the statement would have them, and has none"},
          {"statement", statement},
          {"scope", "rows of " + id + " in doubt or held at " + downstream}};
}

// One draft for each job and way in which its rows are settled, all being filled at a time.
class Drafts {
 public:
  Drafts(store::LedgerView& ledger, const ControlCall& vouchd, std::string statement,
         std::string downstream)
      : ledger_{ledger},
        vouchd_{vouchd},
        statement_{std::move(statement)},
        downstream_{std::move(downstream)} {}

  [[nodiscard]] Result<void> add(const PackedRow& row) {
    VOUCH_TRY(const IssuanceState to, target_of(ledger_, row));
    VOUCH_TRY(Draft * draft, draft_of(row.job, to));
    ++draft->rows;
    draft->digest.add(proposal_member(row.id, row.reference));
    VOUCH_CHECK(draft->proposal.add(row_json(row)));
    if (++added_ % kRowsInDrafts != 0) return {};
    for (auto& [key, each] : drafts_) VOUCH_CHECK(each.proposal.flush());
    return {};
  }
  [[nodiscard]] Result<std::vector<StatementProposal>> open() {
    std::vector<StatementProposal> proposals;
    for (auto& [key, draft] : drafts_) {
      const std::string digest = draft.digest.text();
      VOUCH_CHECK(draft.proposal.open(draft.rows, digest));
      proposals.push_back({draft.proposal.id(), key.first, key.second, draft.rows, digest});
    }
    return proposals;
  }

 private:
  struct Draft {
    ProposalDraft proposal;
    std::int64_t rows = 0;
    SetDigest digest;
  };
  [[nodiscard]] Result<Draft*> draft_of(ObjectId job, IssuanceState to) {
    const auto known = drafts_.find({job, to});
    if (known != drafts_.end()) return &known->second;
    const Json wanted = draft_json(job, to, statement_, downstream_);
    VOUCH_TRY(ProposalDraft made, ProposalDraft::begin(vouchd_, wanted));
    return &drafts_.emplace(std::pair{job, to}, Draft{std::move(made), 0, {}}).first->second;
  }

  store::LedgerView& ledger_;
  const ControlCall& vouchd_;
  std::string statement_, downstream_;
  std::map<std::pair<ObjectId, IssuanceState>, Draft> drafts_;
  std::int64_t added_ = 0;
};

}  // namespace

std::string StatementProposal::confirm_command() const {
  return "vouchctl issuance resolve --confirm " + id + " --digest " + digest;
}

Result<SettledRows> SettledRows::create(const std::string& folder, bool negative) {
  VOUCH_TRY(store::SpoolFile file, store::SpoolFile::create(folder));
  return SettledRows{std::move(file), negative};
}

Result<void> SettledRows::add(const ReportRow& row, const Compared& compared) {
  const bool wanted = row.c == Class::resolves || (negative_ && row.c == Class::absent);
  if (!wanted) return {};
  PackedRow packed{.id = row.request_id,
                   .reference = {},
                   .was_executed = row.c == Class::resolves,
                   .amount_minor = {},
                   .job = row.row->job,
                   .state = row.row->state,
                   .last_event = row.row->last_event};
  if (packed.was_executed) {
    const StatementEntry& entry = row.entries.front();
    packed.reference = entry.reference.substr(0, kReferenceBytesMax);
    if (compared.amount) packed.amount_minor = entry.amount_minor.value_or(0);
  }
  ++size_;
  return file_.append(pack(packed));
}

Result<std::int64_t> SettledRows::send(Session& session, const std::string& statement,
                                       Balance& balance) {
  VOUCH_CHECK(file_.flush());
  std::vector<PackedRow> rows;
  std::int64_t left = size_;
  std::int64_t settled = 0;
  const auto take = [&](PackedRow row) -> Result<void> {
    rows.push_back(std::move(row));
    if (--left > 0 && rows.size() < kRowsInCommand) return {};
    VOUCH_TRY(const std::int64_t some, send_some(session, statement, rows, balance));
    settled += some;
    rows.clear();
    return {};
  };
  VOUCH_CHECK(read_each(file_, size_, take));
  return settled;
}

Result<std::vector<StatementProposal>> SettledRows::propose(Session& session,
                                                            const std::string& statement,
                                                            const std::string& downstream) {
  VOUCH_CHECK(file_.flush());
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(const ControlCall vouchd, ControlCall::open(session));
  Drafts drafts{*ledger, vouchd, statement, downstream};
  VOUCH_CHECK(read_each(file_, size_, [&](const PackedRow& row) { return drafts.add(row); }));
  return drafts.open();
}

}  // namespace vouch::cli
