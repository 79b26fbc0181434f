// Goal: no partner's file, however mangled, breaks the reader or the checks, or comes out of them
// changed.  Method: any bytes as a file; what is promised of every record is checked.
//
// With clang this is a libFuzzer target; with other compilers fuzz_driver.cpp makes the inputs.
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/store/csv_reader.hpp"
#include "common/store/csv_writer.hpp"
#include "common/store/packed_row.hpp"
#include "common/store/recipient_checks.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

// Each opens a file and a reader of its own, which costs more than all the rest.
constexpr int kRoundTripsMax = 20;

// A file in memory with a path, since that is what an import opens.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_{::memfd_create("fuzz", MFD_CLOEXEC)} {
    VOUCH_ASSERT(fd_ >= 0);
    while (!content.empty()) {
      const ssize_t n = ::write(fd_, content.data(), content.size());
      VOUCH_ASSERT(n > 0);
      content.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Nothing when the file as a whole is refused.
std::optional<CsvReader> open_reader(const MemoryFile& file, const ImportRequest& request) {
  auto input = InputFile::open(file.path());
  if (!input) return std::nullopt;
  auto decoder = TextDecoder::open(std::move(*input), request.encoding);
  if (!decoder) return std::nullopt;
  return CsvReader{std::move(*decoder), request.delimiter};
}

void check_limits(const CsvRecord& record, std::int64_t last_line) {
  VOUCH_ASSERT(record.line > last_line);
  VOUCH_ASSERT(!record.fields.empty() && record.fields.size() <= kCsvColumnsMax);
  std::size_t bytes = 0;
  for (const std::string_view field : record.fields) {
    VOUCH_ASSERT(field.size() <= kCsvFieldBytesMax);
    VOUCH_ASSERT(!record.is_ascii || is_valid_utf8(field));
    bytes += field.size();
  }
  VOUCH_ASSERT(bytes <= kCsvRecordBytesMax);
}

// A good record that is written again reads as the same fields.
void check_round_trip(const CsvRecord& record, char delimiter) {
  std::string text;
  append_csv_row(text, record.fields, delimiter);
  // Behind a line of its own, so that its first bytes are not taken for the file's format.
  const MemoryFile file{"x\n" + text};
  ImportRequest request;
  request.delimiter = delimiter;
  auto again = open_reader(file, request);
  VOUCH_ASSERT(again && again->next().value() && again->next().value());
  const auto read = again->record().fields;
  VOUCH_ASSERT(std::equal(read.begin(), read.end(), record.fields.begin(), record.fields.end()));
}

void check_accepted(const RowChecker& checker, const CsvRecord& record, const ColumnPlan& plan) {
  VOUCH_ASSERT(record.fault == CsvFault::none);
  std::string_view payload = checker.payload();
  const std::string_view id = take_text(payload);
  VOUCH_ASSERT(id == checker.recipient_id() && !id.empty());
  VOUCH_ASSERT(id.size() <= kRecipientIdBytesMax && is_valid_utf8(id) && !has_control_bytes(id));
  for (std::size_t i = 0; i < plan.amounts.size(); ++i) {
    const std::uint64_t amount = take_varint(payload);
    VOUCH_ASSERT(amount > 0 && amount <= 1'000'000'000'000);
  }
  for (std::size_t i = 0; i < record.fields.size(); ++i) {
    if (!plan.is_ignored[i]) VOUCH_ASSERT(take_field(payload, id) == record.fields[i]);
  }
  VOUCH_ASSERT(payload.empty());
}

// The first byte of the input chooses how the rest is read.
ImportRequest request_of(std::uint8_t choice) {
  constexpr std::string_view kEncodings[] = {"", "gb18030", "UTF-16LE", "windows-1252"};
  ImportRequest request;
  request.delimiter = ",;\t,"[choice & 3];
  request.encoding = kEncodings[choice >> 2 & 3];
  if ((choice & 16) != 0) request.id_type = IdType::phone, request.country = "CN";
  if ((choice & 32) != 0) {
    request.amount_columns = {{"amount", 2}};
    request.amount_unit = (choice & 64) != 0 ? AmountUnit::major : AmountUnit::minor;
  }
  if ((choice & 128) != 0) request.occurrence_column = "month";
  return request;
}

void read_rows(CsvReader& reader, const ImportRequest& request) {
  auto more = reader.next();
  if (!more || !*more) return;
  check_limits(reader.record(), 0);
  const auto plan = plan_columns(reader.record(), request);
  std::optional<RowChecker> checker;
  if (plan) checker.emplace(*plan, request);
  std::int64_t line = reader.record().line;
  int round_trips = 0;
  while ((more = reader.next()) && *more) {
    const CsvRecord& record = reader.record();
    check_limits(record, line);
    line = record.line;
    if (record.fault == CsvFault::none && round_trips++ < kRoundTripsMax) {
      check_round_trip(record, request.delimiter);
    }
    if (!checker) continue;
    if (checker->check(record)) {
      check_accepted(*checker, record, *plan);
    } else {
      VOUCH_ASSERT(is_valid_utf8(checker->refusal().message));
    }
  }
}

}  // namespace
}  // namespace vouch::store

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vouch::store;
  if (size == 0) return 0;
  const ImportRequest request = request_of(data[0]);
  const MemoryFile file{{reinterpret_cast<const char*>(data) + 1, size - 1}};
  if (auto reader = open_reader(file, request)) read_rows(*reader, request);
  return 0;
}
