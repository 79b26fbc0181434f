#include "examples/sandbox/journal_check.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "examples/sandbox/issuing_service.hpp"
#include "examples/sandbox/journal.hpp"

namespace vouch::sandbox {
namespace {

struct Seen {
  std::vector<Digest128> request_ids;
  std::vector<Digest128> recipients;
};

std::uint64_t count_distinct(std::vector<Digest128>& digests) {
  std::sort(digests.begin(), digests.end());
  return static_cast<std::uint64_t>(std::unique(digests.begin(), digests.end()) - digests.begin());
}

// The digests that stand more than once, sorted; `digests` is sorted by it.
std::vector<Digest128> repeated(std::vector<Digest128>& digests) {
  std::sort(digests.begin(), digests.end());
  std::vector<Digest128> twice;
  for (std::size_t i = 1; i < digests.size(); ++i) {
    if (digests[i] != digests[i - 1]) continue;
    if (twice.empty() || twice.back() != digests[i]) twice.push_back(digests[i]);
  }
  return twice;
}

// Calls `each` with every whole line after the header; the summary learns of a torn one.
template <typename Each>
Result<void> read_lines(const std::string& path, JournalSummary& summary, const Each& each) {
  std::ifstream file{path, std::ios::binary};
  if (!file) return fail(Errc::not_found, path + ": cannot be opened");
  std::string line;
  std::uint64_t number = 0;
  while (std::getline(file, line)) {
    ++number;
    if (file.eof()) {  // no line end before the end
      summary.torn = true;
      break;
    }
    if (number == 1) {
      if (line + "\n" == kExecutionHeader) continue;
      return fail(Errc::corrupt, path + ": is no journal of executions",
                  "give coupons.csv, balances.csv, others.csv or codes.csv");
    }
    auto execution = parse_execution(line);
    if (!execution) return within(path + ": line " + std::to_string(number), execution.error());
    each(*execution);
  }
  if (file.bad()) return fail(Errc::io, path + ": cannot be read");
  if (number == 0) return fail(Errc::corrupt, path + ": is empty");
  return {};
}

}  // namespace

Result<JournalSummary> check_journal(const std::string& path) {
  JournalSummary summary;
  summary.file = path;
  Seen seen;
  VOUCH_CHECK(read_lines(path, summary, [&](const Execution& execution) {
    ++summary.executions;
    seen.request_ids.push_back(execution.call.request_digest);
    seen.recipients.push_back(sha256_128(execution.call.recipient_id));
    if (execution.call.amount_minor) {
      summary.sums_by_currency[execution.call.currency] += *execution.call.amount_minor;
    }
  }));
  const std::vector<Digest128> twice = repeated(seen.request_ids);
  summary.double_request_ids = twice.size();
  summary.request_ids = count_distinct(seen.request_ids);
  summary.recipients = count_distinct(seen.recipients);
  if (twice.empty()) return summary;

  // Read again, since names are only kept where they are told.
  std::map<std::string, std::uint64_t> names;
  JournalSummary ignored;
  VOUCH_CHECK(read_lines(path, ignored, [&](const Execution& execution) {
    const std::string& id = execution.call.request_id;
    if (!std::binary_search(twice.begin(), twice.end(), execution.call.request_digest)) return;
    if (names.contains(id) || names.size() < kDoublesListedMax) ++names[id];
  }));
  for (const auto& [id, executions] : names) summary.doubles.push_back({id, executions});
  return summary;
}

Result<std::vector<std::string>> journals_at(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (const ServiceKind& kind : kServiceKinds) {
    const std::string file = path + "/" + std::string{kind.name} + ".csv";
    if (std::filesystem::exists(file, error)) files.push_back(file);
  }
  if (files.empty()) {
    return fail(Errc::not_found, path + ": holds no journal",
                "give the --journal-dir of a vouch-sandbox");
  }
  return files;
}

}  // namespace vouch::sandbox
