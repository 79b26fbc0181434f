// The part of the audit that is about codes which go out in files; declared in audit.hpp.
#include <set>

#include "tests/simulation/audit_rows.hpp"
#include "tests/simulation/sample_pool.hpp"

namespace vouch::test {
namespace {

using store::Statement;

constexpr std::string_view kOpenExports = R"sql(
  SELECT job, max(state IN (0, 2)) FROM issuance
   WHERE downstream_version = 0 AND state < 4
   GROUP BY job ORDER BY job
)sql";
constexpr std::string_view kTaken =
    "SELECT count(*) FROM issuance WHERE state = 1 AND downstream_version = 0";
constexpr std::string_view kOwnedCodes = R"sql(
  SELECT i.ordinal, c.id, i.recipient_key, i.occurrence, i.item, i.state, i.job,
         i.downstream_version = 0
    FROM issuance AS i JOIN campaign AS c ON c.number = i.campaign
   WHERE i.ordinal >= :from AND i.ordinal < :upto
   ORDER BY i.ordinal
)sql";

// Only an export gives such a row a code, and a row that has one is issued or will be.
bool has_state_of_exports(IssuanceState state, bool has_code) {
  switch (state) {
    case IssuanceState::sending:
    case IssuanceState::in_doubt:
    case IssuanceState::issued:
      return has_code;
    case IssuanceState::planned:
    case IssuanceState::cancelled:
    case IssuanceState::expired:
      return !has_code;
    default:
      return false;
  }
}

}  // namespace

std::vector<Audit::OpenExports> Audit::open_exports() {
  std::vector<OpenExports> open;
  Statement& select = database_.prepared(kOpenExports);
  while (next(select)) open.push_back({select.integer(0), select.integer(1) != 0});
  return open;
}

std::int64_t Audit::taken_by_exports() {
  return number(kTaken);
}

std::vector<Audit::OwnedCode> Audit::owned_codes(std::int64_t from, std::int64_t upto) {
  std::vector<OwnedCode> codes;
  Statement& select = database_.prepared(kOwnedCodes).bind(":from", from).bind(":upto", upto);
  while (next(select)) {
    codes.push_back({.ordinal = select.integer(0),
                     .owner = {.campaign = static_cast<ObjectId>(select.integer(1)),
                               .recipient = select.digest(2),
                               .occurrence = static_cast<std::uint64_t>(select.integer(3)),
                               .item = static_cast<std::uint8_t>(select.integer(4))},
                     .state = state_at(select, 5),
                     .job = select.integer(6),
                     .by_export = select.integer(7) != 0});
  }
  return codes;
}

std::optional<std::string> Audit::files_hold() {
  std::map<std::int64_t, OwnedCode> ledger;
  for (const OwnedCode& code : owned_codes(0, codes_out())) ledger.emplace(code.ordinal, code);
  for (const auto& [id, file] : store_.files()) {
    for (const auto& [ordinal, owner] : file.codes) {
      const std::string name = "code " + std::to_string(ordinal) + " of the file of " + id;
      const auto found = ledger.find(ordinal);
      if (found == ledger.end()) return name + " is nobody's by the ledger";
      if (found->second.owner != owner) return name + " is somebody else's by the ledger";
      const bool is_issued = found->second.state == IssuanceState::issued;
      if (file.confirmed.contains(ordinal) && !is_issued) return name + " is not issued any more";
    }
  }
  return std::nullopt;
}

std::optional<std::string> Audit::was_exported_rightly(const std::string& name, const Exported& row,
                                                       const IssuanceKey& key) const {
  if (!has_state_of_exports(row.state, row.ordinal.has_value())) {
    return name + ", delivered by export, is " + std::string{name_of(row.state)} +
           (row.ordinal ? " with a code" : " without a code");
  }
  if (row.state != IssuanceState::issued) return std::nullopt;
  const std::string id = row.reference.substr(0, row.reference.find('/'));
  const std::string wanted = id + "/" + SamplePool::shared().segment_of(*row.ordinal).digest + "/" +
                             std::to_string(*row.ordinal);
  if (row.kind != EventKind::exported || row.to != IssuanceState::issued ||
      row.reference != wanted) {
    return name + " is issued without evidence of its export: " + row.reference;
  }
  const auto file = store_.files().find(id);
  if (file == store_.files().end() || !file->second.is_complete) {
    return name + " is issued by an export without a file";
  }
  const auto code = file->second.codes.find(*row.ordinal);
  if (code != file->second.codes.end() && code->second == key) return std::nullopt;
  return name + " is issued by a file that does not have its code";
}

}  // namespace vouch::test
