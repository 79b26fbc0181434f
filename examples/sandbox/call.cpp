#include "examples/sandbox/call.hpp"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::sandbox {
namespace {

// Reads the fields of the outermost object straight from the parser: building a tree first costs
// more than everything else that is done for a call.
class CallReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit CallReader(Call& call)
      : fields_{{{"request_id", &call.request_id, {}},
                 {"recipient_id", &call.recipient_id, {}},
                 {"campaign", &call.campaign, {}},
                 {"item", &call.item, {}},
                 {"currency", &call.currency, {}},
                 {"code", &call.code, {}}}},
        call_{call} {}

  bool null() override { return value("null", nullptr); }
  bool boolean(bool) override { return value("a truth value", nullptr); }
  bool number_integer(number_integer_t number) override { return amount(number); }
  bool number_unsigned(number_unsigned_t number) override {
    if (number > static_cast<number_unsigned_t>(INT64_MAX)) return amount(-1);
    return amount(static_cast<std::int64_t>(number));
  }
  bool number_float(number_float_t, const string_t&) override {
    return value("a fraction", nullptr);
  }
  bool string(string_t& text) override { return value("text", &text); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open("an object"); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open("a list"); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ > 1) return true;
    field_ = nullptr;
    is_amount_ = name == "amount_minor";
    for (Field& field : fields_) {
      if (name == field.name) field_ = &field;
    }
    bool& seen = is_amount_ ? amount_seen_ : field_ != nullptr ? field_->seen : ignored_;
    if (seen && &seen != &ignored_) return refuse("/" + name + ": stands twice");
    seen = true;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return refuse("the body is no JSON (byte " + std::to_string(position) + ")");
  }

  [[nodiscard]] std::string refusal() const {
    return refusal_.empty() ? "the body must be one JSON object" : refusal_;
  }

 private:
  struct Field {
    const char* name;
    std::string* target;
    bool seen;
  };

  bool refuse(std::string why) {
    if (refusal_.empty()) refusal_ = std::move(why);
    return false;
  }
  bool open(const char* what) {
    if (depth_ == 0 && *what == 'a' && what[1] == ' ') return refuse("the body must be an object");
    if (depth_ > 0 && !value(what, nullptr)) return false;
    return ++depth_ <= kJsonDepthMax || refuse("the body is nested too deep");
  }
  bool close() {
    --depth_;
    return true;
  }
  bool value(const char* what, std::string* text) {
    if (depth_ == 0) return refuse("the body must be an object");
    if (depth_ > 1) return true;
    if (is_amount_) return refuse(std::string{"/amount_minor: must be a whole number, is "} + what);
    if (field_ == nullptr) return true;
    if (text == nullptr) return refuse(std::string{"/"} + field_->name + ": must be text");
    if (text->size() > kCallTextBytesMax || has_control_bytes(*text)) {
      return refuse(std::string{"/"} + field_->name + ": too long, or holds control bytes");
    }
    *field_->target = std::move(*text);
    return true;
  }
  bool amount(std::int64_t number) {
    if (depth_ != 1 || !is_amount_) return value("a number", nullptr);
    if (number < 0) return refuse("/amount_minor: out of range");
    call_.amount_minor = number;
    return true;
  }

  std::array<Field, 6> fields_;
  Call& call_;
  Field* field_ = nullptr;
  bool is_amount_ = false;
  bool amount_seen_ = false;
  bool ignored_ = false;
  int depth_ = 0;
  std::string refusal_;
};

}  // namespace

void Call::digest_names() {
  request_digest = sha256_128(request_id);
  key_digest = key == request_id ? request_digest : sha256_128(key);
}

Result<Call> parse_call_body(std::string_view body) {
  Call call;
  CallReader reader{call};
  const bool read = nlohmann::json::sax_parse(body.begin(), body.end(), &reader);
  if (!read) return fail(Errc::invalid, reader.refusal());
  if (call.request_id.empty()) return fail(Errc::invalid, "/request_id: is missing");
  if (call.recipient_id.empty()) return fail(Errc::invalid, "/recipient_id: is missing");
  if (call.amount_minor.has_value() == call.currency.empty()) {
    return fail(Errc::invalid, "/amount_minor and /currency: give both or neither");
  }
  call.body_digest = sha256_128(body);
  return call;
}

Result<Call> parse_call(const access::HttpRequest& request) {
  VOUCH_TRY(Call call, parse_call_body(request.body));
  call.key = request.header("Idempotency-Key");
  if (call.key.size() > kCallTextBytesMax) return fail(Errc::invalid, "Idempotency-Key: too long");
  call.digest_names();
  call.connection = request.connection;
  return call;
}

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace vouch::sandbox
