// request_form.hpp: the shape of a downstream's calls: templates, and the bytes that follow.
//
// A template is cut into pieces when the definition is read, so that making a call is putting
// texts together.  What comes out is a pure function of the definition, the campaign's version,
// the list's row and the request id: a repeated call is the same to the byte.  Signatures are no
// part of that: they are made anew for each attempt.
//
// Threads: values and pure functions.
// Errors:  templates are checked when they are read (schemas/downstream.schema.json); rendering
//          cannot fail.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/plan/campaign.hpp"

namespace vouch::plan {

// What a placeholder stands for.  The first row is of calls, the second of signatures, the third of
// calls again: a further column of the recipient's row.
// clang-format off
enum class Blank : std::uint8_t {
  request_id, recipient_id, campaign, item, amount_minor, amount_major, currency, fields, code,
  method, host, path, timestamp, nonce, body, body_sha256, key_id, signature,
  attribute,
};
// clang-format on

struct TemplatePiece {
  std::string text;            // as it is
  std::optional<Blank> blank;  // behind it
  bool whole = false;          // in a body: a JSON value of its own, not a part of a text
  std::string column = {};     // of an attribute
};
using Template = std::vector<TemplatePiece>;

struct HeaderForm {
  std::string name;
  std::string source;
  Template value;
};

// The issuing call, where it is not what Vouch sends by itself.
struct RequestForm {
  bool put = false;        // else POST
  std::string url_source;  // with {request_id}, {recipient_id}; empty: the downstream's url
  Template url;
  std::vector<HeaderForm> headers;
  std::string body_source;  // JSON with "{{recipient_id}}"; empty: the usual body
  Template body;
  std::vector<std::string> attributes;  // the columns that the call holds, each once
};

enum class TimestampForm : std::uint8_t { seconds, milliseconds, iso8601 };
enum class SignatureText : std::uint8_t { hex, base64 };

// HMAC-SHA-256 over a canonical text.  Every call is signed: also queries and tests, whose body is
// empty.
struct SigningForm {
  std::string key_id;
  std::string secret_file;  // absolute; vouchd reads the secret from there
  TimestampForm timestamp = TimestampForm::seconds;
  SignatureText text = SignatureText::hex;
  std::string canonical_source;
  Template canonical;
  std::vector<HeaderForm> headers;  // one of them holds {{signature}}
};

struct AttributeValue {
  std::string_view column;
  std::string_view value;
};

// What stands in a body for a redemption code until the call is started: the code itself is known
// to the ledger writer alone.  No text of the caller's can look like it, since nobody outside knows
// the request id before.
[[nodiscard]] std::string code_place(std::string_view request_id);

// What the placeholders of a call stand for.
struct CallValues {
  std::string_view request_id;
  std::string_view recipient_id;
  std::string_view campaign_id;
  const Item& item;
  std::optional<std::int64_t> amount_minor;
  std::span<const AttributeValue> attributes = {};  // what is not in here is empty text
};

// What the placeholders of a signature stand for.
struct SigningValues {
  std::string_view method;
  std::string_view host;
  std::string_view path;  // with the query
  std::string_view timestamp;
  std::string_view nonce;
  std::string_view body;
  std::string_view body_sha256;
  std::string_view key_id;
  std::string_view signature;
};

// Ids and attributes are percent-encoded.
[[nodiscard]] std::string render_url(const Template& url, const CallValues& values);
// What a header cannot hold as it is, control bytes, blanks and other than ASCII, is
// percent-encoded.
[[nodiscard]] std::string render_header(const Template& value, const CallValues& values);
// What the item does not have, an amount or a currency, is null, or nothing within a text.
[[nodiscard]] std::string render_body(const Template& body, const CallValues& values);

[[nodiscard]] std::string render_signing(const Template& text, const SigningValues& values);

// Appends the JSON text of a string, in quotes.
void append_json_text(std::string& out, std::string_view text);

}  // namespace vouch::plan
