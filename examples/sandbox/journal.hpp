// journal.hpp: what a service of the sandbox did, line by line, on disk before anybody is told.
//
// SERVICE.csv holds one line per execution and nothing else: count its lines and you have counted
// the vouchers.  SERVICE.refusals.csv holds the answers that were no execution and that a key must
// get again (business refusals, sticky errors).  Both are CSV (RFC 4180, LF, one header line) with
// these columns:
//
//   SERVICE.csv           time_ms,reference,request_id,key,recipient_id,campaign,item,amount_minor,
//                         currency,connection,body_digest,code
//   SERVICE.refusals.csv  time_ms,request_id,key,recipient_id,status,code,message,body_digest
//
// time_ms is UTC in milliseconds since 1970; body_digest is the first half of the body's SHA-256.
// A last line without its line end was being written when the sandbox was killed: nobody was told
// of it, and it is cut off when the file is opened again.
//
// Threads: one owner.
// Errors:  Errc::io, after which nothing may be answered any more; Errc::corrupt.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "examples/sandbox/call.hpp"

namespace vouch::sandbox {

inline constexpr std::string_view kExecutionHeader =
    "time_ms,reference,request_id,key,recipient_id,campaign,item,amount_minor,currency,connection,"
    "body_digest,code\n";
inline constexpr std::string_view kRefusalHeader =
    "time_ms,request_id,key,recipient_id,status,code,message,body_digest\n";

struct Execution {
  WallTime time{};
  std::string reference;
  Call call;
};

struct Refusal {
  int status = 422;
  std::string code;
  std::string message;
};

struct RefusalRecord {
  WallTime time{};
  Refusal refusal;
  Call call;  // without campaign, item and amount
};

// One line each, with its line end.
[[nodiscard]] std::string format_execution(const Execution& execution);
[[nodiscard]] std::string format_refusal(const RefusalRecord& record);
// A line without its line end.
[[nodiscard]] Result<Execution> parse_execution(std::string_view line);
[[nodiscard]] Result<RefusalRecord> parse_refusal(std::string_view line);

void append_csv_field(std::string& out, std::string_view field);

// A text file that only grows, written and synced in groups.
class AppendedFile {
 public:
  // Makes the file with its header, or opens it, cutting off a last line without its end.
  // Errc::corrupt when the header is another.
  [[nodiscard]] static Result<AppendedFile> open(const std::string& path, std::string_view header);
  AppendedFile(AppendedFile&& other) noexcept;
  AppendedFile& operator=(AppendedFile&&) = delete;
  ~AppendedFile();

  // Where the line begins.  It is neither written nor durable before sync().
  std::uint64_t append(std::string_view line);
  [[nodiscard]] bool is_synced() const { return unwritten_.empty(); }
  [[nodiscard]] Result<void> sync();

  // The line that begins at `offset`, without its end.
  [[nodiscard]] Result<std::string> line_at(std::uint64_t offset) const;
  using LineReader = std::function<Result<void>(std::uint64_t offset, std::string_view line)>;
  // All lines but the header, in order.
  [[nodiscard]] Result<void> read_all(const LineReader& reader) const;

  [[nodiscard]] std::uint64_t torn_bytes() const { return torn_bytes_; }

 private:
  AppendedFile(std::string path, int fd) : path_{std::move(path)}, fd_{fd} {}
  [[nodiscard]] Result<void> recover(std::string_view header);

  std::string path_;
  int fd_ = -1;
  std::uint64_t written_bytes_ = 0;
  std::uint64_t torn_bytes_ = 0;
  std::string unwritten_;
};

}  // namespace vouch::sandbox
