#include "common/plan/request_form.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/text.hpp"

namespace vouch::plan {
namespace {

void append_percent(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 0xf];
}

// RFC 3986, 2.3
bool is_unreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void append_to_url(std::string& out, std::string_view text) {
  // As a segment of a path these two would lead elsewhere.
  const bool dots = text == "." || text == "..";
  for (const char c : text) {
    if (is_unreserved(c) && !dots)
      out += c;
    else
      append_percent(out, c);
  }
}

void append_to_header(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c > 0x20 && c < 0x7f && c != '%')
      out += c;
    else
      append_percent(out, c);
  }
}

// "12.50"
std::string major_text(std::int64_t minor, std::string_view currency) {
  std::string text = format_amount(minor, currency);
  text.resize(text.size() - currency.size() - 1);
  return text;
}

std::string text_of(Blank blank, const CallValues& values) {
  switch (blank) {
    case Blank::request_id:
      return std::string{values.request_id};
    case Blank::recipient_id:
      return std::string{values.recipient_id};
    case Blank::campaign:
      return std::string{values.campaign_id};
    case Blank::item:
      return values.item.name;
    case Blank::amount_minor:
      return values.amount_minor ? std::to_string(*values.amount_minor) : "";
    case Blank::amount_major:
      return values.amount_minor ? major_text(*values.amount_minor, values.item.amount.currency)
                                 : "";
    case Blank::currency:
      return values.item.amount.currency;
    case Blank::code:
      return code_place(values.request_id);
    default:
      break;  // {{fields}} is no text; the others are of signatures
  }
  return {};
}

std::string text_of(const TemplatePiece& piece, const CallValues& values) {
  if (piece.blank != Blank::attribute) return text_of(*piece.blank, values);
  const auto found =
      std::ranges::find(values.attributes, std::string_view{piece.column}, &AttributeValue::column);
  return found == values.attributes.end() ? "" : std::string{found->value};
}

std::string_view text_of(Blank blank, const SigningValues& values) {
  switch (blank) {
    case Blank::method:
      return values.method;
    case Blank::host:
      return values.host;
    case Blank::path:
      return values.path;
    case Blank::timestamp:
      return values.timestamp;
    case Blank::nonce:
      return values.nonce;
    case Blank::body:
      return values.body;
    case Blank::body_sha256:
      return values.body_sha256;
    case Blank::key_id:
      return values.key_id;
    case Blank::signature:
      return values.signature;
    default:
      break;  // of calls
  }
  return {};
}

// A JSON value of its own.
void append_whole(std::string& out, const TemplatePiece& piece, const CallValues& values) {
  const Blank blank = *piece.blank;
  if (blank == Blank::fields) {
    out += values.item.fields_json.empty() ? "{}" : values.item.fields_json;
    return;
  }
  const std::string text = text_of(piece, values);
  const bool of_amount =
      blank == Blank::amount_minor || blank == Blank::amount_major || blank == Blank::currency;
  if (of_amount && text.empty()) {
    out += "null";
  } else if (blank == Blank::amount_minor) {
    out += text;
  } else {
    append_json_text(out, text);
  }
}

// Within a JSON text: escaped, without quotes.
void append_within(std::string& out, std::string_view text) {
  std::string quoted;
  append_json_text(quoted, text);
  out.append(quoted, 1, quoted.size() - 2);
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  // The library does the escaping; what needs none is spared its cost.
  const bool plain = std::ranges::all_of(
      text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  if (plain) {
    out += '"';
    out += text;
    out += '"';
  } else {
    out += nlohmann::json(std::string{text}).dump();
  }
}

std::string code_place(std::string_view request_id) {
  return "{{code of " + std::string{request_id} + "}}";
}

std::string render_url(const Template& url, const CallValues& values) {
  std::string out;
  for (const TemplatePiece& piece : url) {
    out += piece.text;
    if (piece.blank) append_to_url(out, text_of(piece, values));
  }
  return out;
}

std::string render_header(const Template& value, const CallValues& values) {
  std::string out;
  for (const TemplatePiece& piece : value) {
    out += piece.text;
    if (piece.blank) append_to_header(out, text_of(piece, values));
  }
  return out;
}

std::string render_body(const Template& body, const CallValues& values) {
  std::string out;
  out.reserve(256 + values.recipient_id.size() + values.item.fields_json.size());
  for (const TemplatePiece& piece : body) {
    out += piece.text;
    if (!piece.blank) continue;
    if (piece.whole)
      append_whole(out, piece, values);
    else
      append_within(out, text_of(piece, values));
  }
  return out;
}

std::string render_signing(const Template& text, const SigningValues& values) {
  std::string out;
  for (const TemplatePiece& piece : text) {
    out += piece.text;
    if (piece.blank) out += text_of(*piece.blank, values);
  }
  return out;
}

}  // namespace vouch::plan
