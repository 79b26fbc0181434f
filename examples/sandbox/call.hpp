// call.hpp: one call for a voucher, as it arrived.
//
// Threads: plain values.
// Errors:  Errc::invalid, which the sandbox answers with 400.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/crypto.hpp"
#include "common/result.hpp"
#include "daemon/access/http_message.hpp"

namespace vouch::sandbox {

struct Call {
  std::string request_id;
  std::string key;  // the Idempotency-Key header; empty when there was none
  std::string recipient_id;
  std::string campaign;
  std::string item;
  std::optional<std::int64_t> amount_minor;
  std::string currency;
  std::string code;  // to be handed to the recipient; empty where the caller has none
  Digest128 body_digest{};
  Digest128 request_digest{};  // of request_id
  Digest128 key_digest{};      // of key
  std::uint64_t connection = 0;

  // Sets the digests of request id and key, which are one text with vouchd.
  void digest_names();
};

inline constexpr std::size_t kCallTextBytesMax = 256;

// Reads the JSON body alone: without key and connection.
[[nodiscard]] Result<Call> parse_call_body(std::string_view body);
// Reads the header and the JSON body.  No text may hold control bytes, so that a journal's line is
// a line; fields not named above are accepted and left aside.
[[nodiscard]] Result<Call> parse_call(const access::HttpRequest& request);

// `text` as a JSON string with its quotes.
void append_json_text(std::string& out, std::string_view text);

}  // namespace vouch::sandbox
