// statement.hpp: a service's account of what it executed, as pages of JSON or as one CSV.
//
// Threads: the server's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "daemon/access/http_server.hpp"
#include "examples/sandbox/issuing_service.hpp"

namespace vouch::sandbox {

inline constexpr std::uint64_t kStatementPageMax = 10'000;

struct StatementPage {
  std::uint64_t after = 0;  // entries already seen; they are numbered from 1
  std::uint64_t limit = 100;
};

// Reads after= (the last reference of the page before) and limit= from the query.
[[nodiscard]] Result<StatementPage> parse_statement_page(const access::HttpRequest& request);

// {"entries":[{"time_ms","reference","request_id","recipient_id","amount_minor","currency"}...],
//  "next_after":"c-000100" or null}; what is younger than `age_min` is not shown.
[[nodiscard]] Result<std::string> statement_page(const IssuingService& service,
                                                 const StatementPage& page, WallTime now,
                                                 Millis age_min);

// Statements being sent as CSV, a piece in each round, so that a long one stops nobody's calls.
class StatementStreams {
 public:
  explicit StatementStreams(access::HttpServer& server) : server_{server} {}

  void begin(access::HttpTicket ticket, const IssuingService& service, WallTime now,
             Millis age_min);
  // Sends on; returns when it wants to be called again.  Errc::io when a journal cannot be read.
  [[nodiscard]] Result<Instant> feed(Instant now);

 private:
  struct Stream {
    access::HttpTicket ticket;
    const IssuingService* service;
    std::uint64_t next = 0;
    std::uint64_t end = 0;
    WallTime time_max{};
  };
  // True when there is more to send.
  [[nodiscard]] Result<bool> feed_one(Stream& stream);

  access::HttpServer& server_;
  std::vector<Stream> streams_;
};

}  // namespace vouch::sandbox
