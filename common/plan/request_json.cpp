#include "common/plan/request_json.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "common/header_name.hpp"
#include "common/plan/decode.hpp"

namespace vouch::plan {
namespace {

constexpr std::size_t kUrlBytesMax = 2000;
constexpr std::size_t kPathBytesMax = 1000;
constexpr std::size_t kHeadersMax = 20;
constexpr std::size_t kHeaderBytesMax = 1000;
constexpr std::size_t kCanonicalBytesMax = 2000;
constexpr std::size_t kBodyBytesMax = 16 * 1024;
constexpr std::size_t kColumnBytesMax = 128;

constexpr std::array<std::string_view, 2> kMethodNames = {"POST", "PUT"};
constexpr std::array<std::string_view, 3> kTimestampNames = {"seconds", "milliseconds", "iso8601"};
constexpr std::array<std::string_view, 2> kSignatureTextNames = {"hex", "base64"};

// In the order of Blank.
constexpr std::array<std::string_view, 19> kBlankNames = {
    "request_id",       "recipient_id", "campaign", "item",        "amount_minor", "amount_major",
    "currency",         "fields",       "code",     "method",      "host",         "path",
    "timestamp",        "nonce",        "body",     "body_sha256", "key_id",       "signature",
    "attributes.COLUMN"};

constexpr std::string_view kAttributePrefix = "attributes.";

// Which placeholders a template may hold.
using Blanks = std::span<const Blank>;
constexpr Blank kInUrl[] = {Blank::request_id, Blank::recipient_id, Blank::attribute};
constexpr Blank kInHeader[] = {Blank::request_id, Blank::recipient_id, Blank::campaign,
                               Blank::item,       Blank::amount_minor, Blank::amount_major,
                               Blank::currency,   Blank::attribute};
constexpr Blank kInBody[] = {
    Blank::request_id,   Blank::recipient_id, Blank::campaign, Blank::item, Blank::amount_minor,
    Blank::amount_major, Blank::currency,     Blank::fields,   Blank::code, Blank::attribute};
constexpr Blank kInCanonical[] = {Blank::method, Blank::host, Blank::path,        Blank::timestamp,
                                  Blank::nonce,  Blank::body, Blank::body_sha256, Blank::key_id};
constexpr Blank kInSignature[] = {Blank::timestamp, Blank::nonce, Blank::body_sha256, Blank::key_id,
                                  Blank::signature};

tl::unexpected<Error> refuse(const std::string& place, const std::string& why,
                             std::string hint = {}) {
  return fail(Errc::invalid, place + ": " + why, std::move(hint));
}

Result<std::string> read_column(std::string_view name, const std::string& place) {
  if (name.empty() || name.size() > kColumnBytesMax || has_control_bytes(name)) {
    return refuse(place, "\"attributes.\" goes before the name of a column of the list");
  }
  return std::string{name};
}

// What stands behind a piece's text.
Result<void> read_blank(std::string_view name, Blanks known, const std::string& place,
                        TemplatePiece& piece) {
  std::vector<std::string_view> names;
  for (const Blank blank : known) {
    names.push_back(kBlankNames[static_cast<std::size_t>(blank)]);
    const bool column = blank == Blank::attribute && name.starts_with(kAttributePrefix);
    if (column) {
      VOUCH_TRY(piece.column, read_column(name.substr(kAttributePrefix.size()), place));
    }
    if (!column && names.back() != name) continue;
    piece.blank = blank;
    return {};
  }
  return refuse(place, "there is no placeholder \"" + std::string{name} + "\" here",
                "it may hold " + choice_of(names));
}

// Cuts `text` at its placeholders, which stand between `open` and `close`.
Result<Template> cut(std::string_view text, std::string_view open, std::string_view close,
                     Blanks known, const std::string& place) {
  Template pieces;
  while (true) {
    const auto at = text.find(open);
    TemplatePiece& piece = pieces.emplace_back();
    piece.text = text.substr(0, at);
    if (at == std::string_view::npos) return pieces;
    const auto end = text.find(close, at);
    if (end == std::string_view::npos) {
      return refuse(place, "\"" + std::string{open} + "\" begins a placeholder that does not end");
    }
    VOUCH_CHECK(
        read_blank(text.substr(at + open.size(), end - at - open.size()), known, place, piece));
    text.remove_prefix(end + close.size());
  }
}

bool holds(const Template& pieces, Blank blank) {
  return std::ranges::any_of(pieces,
                             [&](const TemplatePiece& piece) { return piece.blank == blank; });
}

// --- headers -------------------------------------------------------------------------------------

constexpr std::string_view kCredentials[] = {"authorization", "proxy-authorization", "cookie"};

Result<void> check_header_name(const std::string& name, const std::string& place,
                               const std::vector<HeaderForm>& before) {
  if (!is_header_name(name)) return refuse(place, "is no name of a header");
  if (is_clients_own_header(name)) return refuse(place, "Vouch writes this header itself");
  for (const HeaderForm& header : before) {
    if (lower_ascii(header.name) == lower_ascii(name)) return refuse(place, "stands there twice");
  }
  return {};
}

Result<std::vector<HeaderForm>> read_headers(const Json& value, const std::string& pointer,
                                             Blanks known) {
  if (!value.is_object() || value.size() > kHeadersMax) {
    return refuse(pointer,
                  "must be an object of at most " + std::to_string(kHeadersMax) + " headers");
  }
  std::vector<HeaderForm> headers;
  for (const auto& [name, text] : value.items()) {
    const std::string place = pointer + "/" + name;
    HeaderForm header;
    VOUCH_CHECK(check_header_name(name, place, headers));
    header.name = name;
    if (!text.is_string() || text.get_ref<const std::string&>().size() > kHeaderBytesMax) {
      return refuse(place, "must be text of at most " + std::to_string(kHeaderBytesMax) + " bytes");
    }
    header.source = text.get<std::string>();
    if (has_control_bytes(header.source)) return refuse(place, "must not hold control characters");
    VOUCH_TRY(header.value, cut(header.source, "{{", "}}", known, place));
    headers.push_back(std::move(header));
  }
  return headers;
}

Json headers_json(const std::vector<HeaderForm>& headers) {
  Json out = Json::object();
  for (const HeaderForm& header : headers) out[header.name] = header.source;
  return out;
}

// --- bodies --------------------------------------------------------------------------------------

// Takes a JSON value apart into pieces: the text of the document between its placeholders.
class BodyCutter {
 public:
  Result<void> cut_value(const Json& value, const std::string& place) {
    if (value.is_object()) return cut_object(value, place);
    if (value.is_array()) return cut_array(value, place);
    if (value.is_string()) return cut_text(value.get_ref<const std::string&>(), place);
    text_ += value.dump();
    return {};
  }
  [[nodiscard]] Template finish() {
    pieces_.push_back({std::move(text_), std::nullopt});
    return std::move(pieces_);
  }

 private:
  Result<void> cut_object(const Json& object, const std::string& place) {
    char before = '{';
    for (const auto& [key, value] : object.items()) {
      if (key.find("{{") != std::string::npos) {
        return refuse(place + "/" + key, "a key holds no placeholders");
      }
      text_ += before;
      append_json_text(text_, key);
      text_ += ':';
      VOUCH_CHECK(cut_value(value, place + "/" + key));
      before = ',';
    }
    text_ += object.empty() ? "{}" : "}";
    return {};
  }
  Result<void> cut_array(const Json& array, const std::string& place) {
    char before = '[';
    std::size_t index = 0;
    for (const Json& value : array) {
      text_ += before;
      VOUCH_CHECK(cut_value(value, place + "/" + std::to_string(index++)));
      before = ',';
    }
    text_ += array.empty() ? "[]" : "]";
    return {};
  }
  Result<void> cut_text(const std::string& text, const std::string& place) {
    VOUCH_TRY(const Template pieces, cut(text, "{{", "}}", kInBody, place));
    const bool whole = pieces.size() == 2 && pieces[0].text.empty() && pieces[1].text.empty();
    if (whole) {
      add(pieces[0], true);
      return {};
    }
    if (holds(pieces, Blank::fields)) {
      return refuse(place, "{{fields}} is an object and must be the whole text");
    }
    text_ += '"';
    for (const TemplatePiece& piece : pieces) {
      std::string quoted;
      append_json_text(quoted, piece.text);
      text_.append(quoted, 1, quoted.size() - 2);
      if (piece.blank) add(piece, false);
    }
    text_ += '"';
    return {};
  }
  void add(const TemplatePiece& piece, bool whole) {
    pieces_.push_back({std::move(text_), piece.blank, whole, piece.column});
    text_.clear();
  }

  std::string text_;  // since the last placeholder
  Template pieces_;
};

Result<void> read_body(JsonReader& reader, const std::string& pointer, RequestForm& form) {
  const Json* body = reader.optional("body");
  if (body == nullptr) return {};
  if (!body->is_object()) return reader.refuse("body", "must be an object");
  form.body_source = body->dump();
  if (form.body_source.size() > kBodyBytesMax) {
    return reader.refuse("body", "is longer than " + std::to_string(kBodyBytesMax) + " bytes");
  }
  BodyCutter cutter;
  VOUCH_CHECK(cutter.cut_value(*body, pointer + "/body"));
  form.body = cutter.finish();
  return {};
}

Result<void> check_request_headers(const RequestForm& form, const std::string& pointer) {
  for (const HeaderForm& header : form.headers) {
    const std::string name = lower_ascii(header.name);
    const std::string place = pointer + "/headers/" + header.name;
    if (std::ranges::find(kCredentials, name) != std::end(kCredentials)) {
      return refuse(place, "credentials do not stand in a definition",
                    "name a bearer_file, or a signing with a secret_file");
    }
    if (name == "idempotency-key" && !holds(header.value, Blank::request_id)) {
      return refuse(place, "must hold {{request_id}}: every issuance has a key of its own");
    }
  }
  return {};
}

std::vector<std::string> columns_in(const RequestForm& form) {
  std::vector<std::string> columns;
  const auto gather = [&](const Template& pieces) {
    for (const TemplatePiece& piece : pieces) {
      if (piece.blank == Blank::attribute) columns.push_back(piece.column);
    }
  };
  gather(form.url);
  for (const HeaderForm& header : form.headers) gather(header.value);
  gather(form.body);
  std::ranges::sort(columns);
  columns.erase(std::ranges::unique(columns).begin(), columns.end());
  return columns;
}

Result<RequestForm> read_request_form(const Json& value, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, pointer));
  RequestForm form;
  if (reader.optional("method") != nullptr) {
    VOUCH_TRY(const int method, read_enum<int>(reader, "method", kMethodNames));
    form.put = method == 1;
  }
  VOUCH_TRY(const auto url, reader.optional_text("url", kUrlBytesMax));
  if (url && url->empty()) return reader.refuse("url", "must not be empty");
  if (url) {
    form.url_source = *url;
    VOUCH_TRY(form.url, cut(*url, "{", "}", kInUrl, pointer + "/url"));
  }
  if (const Json* headers = reader.optional("headers")) {
    VOUCH_TRY(form.headers, read_headers(*headers, pointer + "/headers", kInHeader));
  }
  VOUCH_CHECK(check_request_headers(form, pointer));
  VOUCH_CHECK(read_body(reader, pointer, form));
  VOUCH_CHECK(reader.finish());
  form.attributes = columns_in(form);
  return form;
}

Result<SigningForm> read_signing_form(const Json& value, const std::string& pointer) {
  VOUCH_TRY(JsonReader reader, JsonReader::object(value, pointer));
  SigningForm form;
  VOUCH_TRY(const std::string scheme, reader.text("scheme"));
  if (scheme != "hmac-sha256") return reader.refuse("scheme", "must be hmac-sha256");
  VOUCH_TRY(form.key_id, read_line(reader, "key_id", "", 200));
  VOUCH_TRY(form.secret_file, reader.text("secret_file", kPathBytesMax));
  if (!form.secret_file.starts_with('/') || has_control_bytes(form.secret_file)) {
    return reader.refuse("secret_file", "must be an absolute path");
  }
  if (reader.optional("timestamp") != nullptr) {
    VOUCH_TRY(form.timestamp, read_enum<TimestampForm>(reader, "timestamp", kTimestampNames));
  }
  if (reader.optional("encoding") != nullptr) {
    VOUCH_TRY(form.text, read_enum<SignatureText>(reader, "encoding", kSignatureTextNames));
  }
  VOUCH_TRY(form.canonical_source, reader.text("canonical", kCanonicalBytesMax));
  VOUCH_TRY(form.canonical,
            cut(form.canonical_source, "{{", "}}", kInCanonical, pointer + "/canonical"));
  if (!holds(form.canonical, Blank::body) && !holds(form.canonical, Blank::body_sha256)) {
    return reader.refuse("canonical",
                         "must hold {{body_sha256}} or {{body}}: else a call could be "
                         "changed on its way");
  }
  VOUCH_TRY(const Json* headers, reader.required("headers"));
  VOUCH_TRY(form.headers, read_headers(*headers, pointer + "/headers", kInSignature));
  if (std::ranges::none_of(form.headers, [](const HeaderForm& header) {
        return holds(header.value, Blank::signature);
      })) {
    return reader.refuse("headers", "one of them must hold {{signature}}");
  }
  VOUCH_CHECK(reader.finish());
  return form;
}

// A harmless word for every placeholder; they may stand behind host and port alone.
Result<void> check_request_url(const RequestForm& form, bool allow_http) {
  const std::string place = "/request/url";
  const std::string& head = form.url.front().text;
  const auto authority = head.find("://");
  const bool in_authority = authority == std::string::npos ||
                            head.find_first_of("/?", authority + 3) == std::string::npos;
  if (form.url.size() > 1 && in_authority) {
    return refuse(place, "placeholders may stand in its path and query alone");
  }
  std::string sample;
  for (const TemplatePiece& piece : form.url) sample += piece.text + (piece.blank ? "id" : "");
  if (const auto good = check_url(sample); !good) return within(place, good.error());
  if (sample.starts_with("http://") && !allow_http) {
    return refuse(place, "plain http can be read and changed on its way",
                  "write https://, or set \"allow_http\" to true for a trusted network");
  }
  return {};
}

}  // namespace

Result<void> read_call_forms(JsonReader& reader, Downstream& out) {
  if (const Json* request = reader.optional("request")) {
    VOUCH_TRY(out.request, read_request_form(*request, "/request"));
  }
  if (const Json* signing = reader.optional("signing")) {
    VOUCH_TRY(out.signing, read_signing_form(*signing, "/signing"));
  }
  return {};
}

Result<void> check_call_forms(const Downstream& downstream) {
  if (downstream.request && !downstream.request->url.empty()) {
    VOUCH_CHECK(check_request_url(*downstream.request, downstream.allow_http));
  }
  if (!downstream.signing) return {};
  std::vector<std::string> taken = {"content-type", "accept", "idempotency-key"};
  if (!downstream.bearer_file.empty()) taken.emplace_back("authorization");
  if (downstream.request) {
    for (const HeaderForm& header : downstream.request->headers) {
      taken.push_back(lower_ascii(header.name));
    }
  }
  for (const HeaderForm& header : downstream.signing->headers) {
    if (std::ranges::find(taken, lower_ascii(header.name)) != taken.end()) {
      return refuse("/signing/headers/" + header.name, "is sent with something else already");
    }
  }
  return {};
}

Json request_form_json(const RequestForm& form) {
  Json out = Json::object();
  out["method"] = kMethodNames[form.put ? 1 : 0];
  if (!form.url_source.empty()) out["url"] = form.url_source;
  if (!form.headers.empty()) out["headers"] = headers_json(form.headers);
  if (!form.body_source.empty()) out["body"] = Json::parse(form.body_source);
  return out;
}

Json signing_form_json(const SigningForm& form) {
  Json out = Json::object();
  out["scheme"] = "hmac-sha256";
  if (!form.key_id.empty()) out["key_id"] = form.key_id;
  out["secret_file"] = form.secret_file;
  out["timestamp"] = kTimestampNames[static_cast<std::size_t>(form.timestamp)];
  out["encoding"] = kSignatureTextNames[static_cast<std::size_t>(form.text)];
  out["canonical"] = form.canonical_source;
  out["headers"] = headers_json(form.headers);
  return out;
}

}  // namespace vouch::plan
