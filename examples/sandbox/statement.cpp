#include "examples/sandbox/statement.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "common/text.hpp"

namespace vouch::sandbox {
namespace {

constexpr std::uint64_t kLinesPerRound = 1000;
constexpr Millis kSlowReaderPoll{1};
constexpr std::string_view kCsvHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    "\r\n";
constexpr std::string_view kCsvColumns =
    "time_ms,reference,request_id,recipient_id,amount_minor,currency\n";

std::string chunk(std::string_view text) {
  std::array<char, 24> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
  return size.data() + std::string{text} + "\r\n";
}

void append_entry(std::string& out, const Execution& execution) {
  const Call& call = execution.call;
  out += "{\"time_ms\":" + std::to_string(to_ms(execution.time)) + ",\"reference\":";
  append_json_text(out, execution.reference);
  out += ",\"request_id\":";
  append_json_text(out, call.request_id);
  out += ",\"recipient_id\":";
  append_json_text(out, call.recipient_id);
  if (call.amount_minor) {
    out += ",\"amount_minor\":" + std::to_string(*call.amount_minor) + ",\"currency\":";
    append_json_text(out, call.currency);
  }
  out += "}";
}

void append_line(std::string& out, const Execution& execution) {
  const Call& call = execution.call;
  out += std::to_string(to_ms(execution.time)) + ",";
  append_csv_field(out, execution.reference);
  out += ',';
  append_csv_field(out, call.request_id);
  out += ',';
  append_csv_field(out, call.recipient_id);
  out += ',' + (call.amount_minor ? std::to_string(*call.amount_minor) : "") + ',';
  append_csv_field(out, call.currency);
  out += '\n';
}

}  // namespace

Result<StatementPage> parse_statement_page(const access::HttpRequest& request) {
  StatementPage page;
  VOUCH_TRY(const auto after, request.query_value("after"));
  if (after && !after->empty()) {
    const auto dash = after->find('-');
    VOUCH_TRY(const std::int64_t number,
              parse_integer(dash == std::string::npos ? *after : after->substr(dash + 1)));
    if (number < 0) return fail(Errc::invalid, "after: must be a reference of this statement");
    page.after = static_cast<std::uint64_t>(number);
  }
  VOUCH_TRY(const auto limit, request.query_value("limit"));
  if (limit) {
    VOUCH_TRY(const std::int64_t number, parse_integer(*limit));
    if (number < 1 || number > static_cast<std::int64_t>(kStatementPageMax)) {
      return fail(Errc::invalid, "limit: must be from 1 to " + std::to_string(kStatementPageMax));
    }
    page.limit = static_cast<std::uint64_t>(number);
  }
  return page;
}

Result<std::string> statement_page(const IssuingService& service, const StatementPage& page,
                                   WallTime now, Millis age_min) {
  std::string body = "{\"entries\":[";
  std::string last;
  std::uint64_t index = page.after;
  const std::uint64_t count = service.execution_count();
  const std::uint64_t end =
      page.after < count ? page.after + std::min(page.limit, count - page.after) : page.after;
  for (; index < end; ++index) {
    VOUCH_TRY(const Execution execution, service.execution(index));
    if (now - execution.time < age_min) break;
    if (index > page.after) body += ',';
    append_entry(body, execution);
    last = execution.reference;
  }
  body += "],\"next_after\":";
  // The end is only told where nothing follows that this page could have shown.
  if (index == page.after || index >= count || index < end) {
    body += "null";
  } else {
    append_json_text(body, last);
  }
  return body + "}";
}

void StatementStreams::begin(access::HttpTicket ticket, const IssuingService& service, WallTime now,
                             Millis age_min) {
  server_.reply_part(ticket, std::string{kCsvHead} + chunk(kCsvColumns));
  streams_.push_back({.ticket = ticket,
                      .service = &service,
                      .end = service.execution_count(),
                      .time_max = now - age_min});
}

Result<bool> StatementStreams::feed_one(Stream& stream) {
  std::string lines;
  const std::uint64_t end = std::min(stream.end, stream.next + kLinesPerRound);
  for (; stream.next < end; ++stream.next) {
    VOUCH_TRY(const Execution execution, stream.service->execution(stream.next));
    if (execution.time > stream.time_max) {
      stream.end = stream.next;
      break;
    }
    append_line(lines, execution);
  }
  if (!lines.empty() && !server_.reply_part(stream.ticket, chunk(lines))) return false;
  if (stream.next < stream.end) return true;
  if (server_.reply_part(stream.ticket, "0\r\n\r\n")) server_.end_reply(stream.ticket);
  return false;
}

Result<Instant> StatementStreams::feed(Instant now) {
  std::vector<Stream> going;
  going.swap(streams_);
  for (Stream& stream : going) {
    if (!server_.is_open(stream.ticket)) continue;  // the reader has gone
    if (server_.unsent_bytes(stream.ticket) > 0) {
      streams_.push_back(stream);
      continue;
    }
    VOUCH_TRY(const bool more, feed_one(stream));
    if (more) streams_.push_back(stream);
  }
  return streams_.empty() ? Instant::max() : now + kSlowReaderPoll;
}

}  // namespace vouch::sandbox
