// reply_reading.hpp: what a complete answer of a downstream means, and which rule says so.
//
// The rules in order.  1. The downstream's outcome table; a query's answer has a table of its own.
// 2. The protocol's rules for statuses; what no rule knows is unknown.  3. `issued` needs evidence
// in the reply each time: a reference, the same request id, the same amount and currency; and no
// other outcome is believed of a reply that is about another request id.
//
// An answer to several calls at once is an array of results, one for each, told apart by their
// request ids; each is read as if it were the whole answer to its call.  Without a result of its
// own a call is neither issued nor declined, whatever the answer says of the whole.
//
// vouchd judges with this, and `vouchctl downstream outcomes test` shows what vouchd would do.
// Answers come by the million: they are read by nlohmann's SAX interface, without a document.
//
// Threads: a ReplyReader is one thread's; it keeps its buffers from one answer to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto.hpp"
#include "common/issuance_state.hpp"
#include "common/plan/downstream.hpp"

namespace vouch::plan {

inline constexpr std::size_t kReferenceBytesMax = 200;

struct Reply {
  int status = 0;
  std::string_view content_type;
  std::string_view body;
};

// The call that the answer must be about.
struct CallFacts {
  std::string_view request_id;
  std::optional<std::int64_t> amount_minor;
  std::string_view currency;
  bool asks = false;  // a query about the call, not the call itself
};

enum class ReplyRule : std::uint8_t {
  table,       // a row of the outcome table
  status,      // the protocol's rule for this status
  evidence,    // a success whose evidence is missing, or about something else
  another_id,  // a refusal of another request id
  no_result,   // of several calls at once: none of its own, or more than one
};

struct ReplyReading {
  Outcome outcome = Outcome::unknown;
  std::string reference;  // of what was issued
  std::string detail;     // business code or words, at most 200 bytes
  bool known = false;     // of a query: the call is known there, and has no result yet
  ReplyRule rule = ReplyRule::status;
  std::optional<std::size_t> row;  // of the table, the one that fits, also when evidence decides
  // Of several calls at once: by which status its result was read, and the digest of the result,
  // over "pointer=value" of its members, a line each in their order.
  std::optional<int> result_status;
  std::optional<Digest128> result_digest;
};

// Calls and queries have a table each.  Requires `query` for a query.
[[nodiscard]] const std::vector<OutcomeRule>& table_of(const Downstream& downstream, bool asks);

class JsonPointers;

class ReplyReader {
 public:
  ReplyReader();
  ~ReplyReader();
  ReplyReader(ReplyReader&&) noexcept;
  ReplyReader& operator=(ReplyReader&&) noexcept;

  [[nodiscard]] ReplyReading read(const Downstream& downstream, const Reply& reply,
                                  const CallFacts& call);

  // What an answer to several calls at once means for each, in their order.  Requires a batch form;
  // the request ids differ.
  [[nodiscard]] std::vector<ReplyReading> read_batch(const Downstream& downstream,
                                                     const Reply& reply,
                                                     std::span<const CallFacts> calls);

  // The request ids that the results of such an answer name, each once; none where it has no
  // results that read_batch() would look at.
  [[nodiscard]] std::vector<std::string> calls_in(const Downstream& downstream, const Reply& reply);

  // What stands at one of the definition's pointers, as JSON text without quotes, in the answer
  // that was read last.  Null when nothing does, or when that was no sound JSON.
  [[nodiscard]] const std::string* value(std::string_view pointer) const;
  // Whether that is a string or a number.
  [[nodiscard]] bool is_text(std::string_view pointer) const;

 private:
  void want_pointers(const Downstream& downstream, const std::vector<OutcomeRule>& table);
  // Calls `on_result` for each result of an answer to several calls, which is the one read last
  // then; false when there are none, and then nothing of what came by counts.
  [[nodiscard]] bool parse_results(const Downstream& downstream, const Reply& reply,
                                   const std::function<void()>& on_result);
  // What was read last, under this status.
  [[nodiscard]] ReplyReading judge(const Downstream& downstream, int status, const CallFacts& call);
  [[nodiscard]] ReplyReading read_result(const Downstream& downstream, int status,
                                         const CallFacts& call);
  std::unique_ptr<JsonPointers> pointers_;
  bool sound_ = false;
};

}  // namespace vouch::plan
