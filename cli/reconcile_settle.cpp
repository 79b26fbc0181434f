#include "cli/reconcile_settle.hpp"

#include <vector>

#include "common/json.hpp"
#include "common/store/packed_row.hpp"

namespace vouch::cli {
namespace {

constexpr std::size_t kRowsInCommand = 500;  // vouchd takes no more
constexpr Millis kSettleTimeout{60'000};
constexpr std::size_t kPackedBytesMax = 4096;
constexpr std::size_t kReferenceBytesMax = 2000;

struct PackedRow {
  std::string id, reference;
  bool was_executed = true;
  std::optional<std::int64_t> amount_minor;
  ObjectId job = 0;
};

std::string pack(const PackedRow& row) {
  std::string bytes;
  store::append_text(bytes, row.id);
  store::append_text(bytes, row.reference);
  bytes.push_back(row.was_executed ? '\1' : '\0');
  store::append_varint(bytes,
                       row.amount_minor ? 1 + static_cast<std::uint64_t>(*row.amount_minor) : 0);
  store::append_varint(bytes, row.job);
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
  return row;
}

Json arguments_of(const std::string& statement, const std::vector<PackedRow>& rows) {
  Json out{{"statement", statement}, {"rows", Json::array()}};
  for (const PackedRow& row : rows) {
    Json& entry = out["rows"].emplace_back(Json{{"id", row.id}, {"executed", row.was_executed}});
    if (row.amount_minor) entry["amount_minor"] = *row.amount_minor;
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

}  // namespace

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
                   .job = row.row->job};
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
  store::SpoolReader reader{file_};
  std::vector<PackedRow> rows;
  std::int64_t settled = 0;
  for (std::int64_t left = size_; left > 0; --left) {
    VOUCH_TRY(std::string_view in, reader.view(kPackedBytesMax));
    const std::size_t before = in.size();
    rows.push_back(unpack(in));
    reader.skip(before - in.size());
    if (rows.size() < kRowsInCommand && left > 1) continue;
    VOUCH_TRY(const std::int64_t some, send_some(session, statement, rows, balance));
    settled += some;
    rows.clear();
  }
  return settled;
}

}  // namespace vouch::cli
