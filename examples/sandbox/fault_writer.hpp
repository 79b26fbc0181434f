// fault_writer.hpp: answers as a failing network or service gives them: late, in pieces, half,
// never.  It stands below HTTP: where an answer is not meant to be a whole one, it writes bytes.
//
// plan_reply() says what goes out for a fault, as data; FaultWriter plays it when it is due.
//
// Threads: the server's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "daemon/access/http_server.hpp"
#include "examples/sandbox/behaviour.hpp"

namespace vouch::sandbox {

enum class ReplyEnd : std::uint8_t {
  kept,  // the connection is ready for the next call
  fin,
  reset,
  silence,  // no answer will come; the connection stays until the caller ends it
};

// What goes out for one call.  Either a whole response or bytes.
struct ReplyPlan {
  std::optional<access::HttpResponse> response;
  std::string bytes;
  std::size_t piece_bytes = SIZE_MAX;  // written at once, then `gap`
  Nanos gap{0};
  ReplyEnd end = ReplyEnd::kept;
  Millis listener_closed{0};  // from the moment of the end
};

// What a fault needs to know of the call it strikes.
struct FaultContext {
  access::HttpResponse honest;       // the answer without the fault
  std::optional<std::string> other;  // the body of another call's answer
  std::string trace_id;              // varies from call to call
  std::string redirect_target;
};

// What an error fault says; a sticky one is remembered for its key.
[[nodiscard]] Refusal error_of(const FaultRule& rule, std::string_view trace_id);
[[nodiscard]] ReplyPlan plan_reply(const FaultRule& rule, FaultContext context);

class FaultWriter {
 public:
  FaultWriter(access::HttpServer& server, access::ListenerId listener)
      : server_{server}, listener_{listener} {}

  // Begins to play the plan at `due`, at the next play() at the earliest.
  void add(access::HttpTicket ticket, ReplyPlan plan, Instant due);
  // Nobody can connect until then; a later time replaces an earlier one.
  void close_listener(Instant until);

  // Plays what is due; returns when the next thing is.
  [[nodiscard]] Instant play(Instant now);
  [[nodiscard]] std::size_t waiting() const { return agenda_.size(); }

 private:
  struct Playing {
    access::HttpTicket ticket;
    ReplyPlan plan;
    std::size_t sent = 0;
  };
  void step(Playing playing, Instant now);
  void finish(const Playing& playing, Instant now);

  access::HttpServer& server_;
  access::ListenerId listener_;
  std::multimap<Instant, Playing> agenda_;
  std::optional<Instant> reopen_;
};

}  // namespace vouch::sandbox
