// The JSON form of a batch (schemas/downstream.schema.json), and the bytes of its calls.
#include <algorithm>

#include "common/plan/decode.hpp"
#include "common/plan/request_json.hpp"

namespace vouch::plan {
namespace {

constexpr std::string_view kPlace = "\"{{issuances}}\"";
constexpr std::string_view kUsualBody = R"({"issuances":"{{issuances}}"})";
constexpr std::size_t kBodyBytesMax = 16 * 1024;

Result<void> read_body(JsonReader& reader, BatchForm& form) {
  const Json* body = reader.optional("body");
  if (body != nullptr && !body->is_object()) return reader.refuse("body", "must be an object");
  form.body_source = body == nullptr ? kUsualBody : body->dump();
  if (form.body_source.size() > kBodyBytesMax) {
    return reader.refuse("body", "is longer than " + std::to_string(kBodyBytesMax) + " bytes");
  }
  const std::string& source = form.body_source;
  const auto at = source.find(kPlace);
  const std::size_t behind = at == std::string::npos ? at : at + kPlace.size();
  const bool is_value = at != std::string::npos && source.substr(behind, 1) != ":";
  form.head = source.substr(0, at);
  if (is_value) form.tail = source.substr(behind);
  const auto is_plain = [](const std::string& text) { return text.find("{{") == text.npos; };
  if (!is_value || !is_plain(form.head) || !is_plain(form.tail)) {
    return reader.refuse("body",
                         "must hold \"{{issuances}}\" once as a whole value, and no other "
                         "placeholder");
  }
  return {};
}

Result<void> refuse_batch(std::string_view place, std::string_view why, std::string hint) {
  return fail(Errc::invalid, std::string{place} + ": " + std::string{why}, std::move(hint));
}

bool holds_blank(const Template& pieces) {
  return std::ranges::any_of(pieces, [](const TemplatePiece& piece) { return bool{piece.blank}; });
}

bool holds_request_id(const Template& pieces) {
  return std::ranges::any_of(
      pieces, [](const TemplatePiece& piece) { return piece.blank == Blank::request_id; });
}

}  // namespace

Result<void> read_batch_form(JsonReader& reader, Downstream& out) {
  const Json* value = reader.optional("batch");
  if (value == nullptr) return {};
  VOUCH_TRY(JsonReader inside, JsonReader::object(*value, "/batch"));
  BatchForm& form = out.batch.emplace();
  VOUCH_TRY(const auto most, inside.integer("issuances_max", 2, kBatchIssuancesMax));
  form.issuances_max = static_cast<int>(most);
  VOUCH_CHECK(read_body(inside, form));
  VOUCH_CHECK(read_pointer(inside, "results_pointer", form.results_pointer, Whole::allowed));
  VOUCH_CHECK(read_pointer(inside, "status_pointer", form.status_pointer));
  return inside.finish();
}

Result<void> check_batch_form(const Downstream& downstream) {
  if (!downstream.batch) return {};
  if (downstream.contract == Contract::none) {
    return refuse_batch("/batch", "does not go with contract \"none\"",
                        "one lost answer would leave all of a call's vouchers to people");
  }
  if (!downstream.request) return {};
  const RequestForm& form = *downstream.request;
  if (!form.url_source.empty()) {
    return refuse_batch("/request/url", "does not go with /batch", "batches are sent to /url");
  }
  for (const HeaderForm& header : form.headers) {
    if (!holds_blank(header.value)) continue;
    return refuse_batch("/request/headers/" + header.name,
                        "holds a placeholder, but a batch's headers are of many issuances",
                        "put it into /request/body, which stands in a batch once for each");
  }
  if (!form.body.empty() && !holds_request_id(form.body)) {
    return refuse_batch("/request/body", "must hold {{request_id}}: with /batch it is the key",
                        "each issuance of a batch is told apart by it");
  }
  return {};
}

Json batch_form_json(const BatchForm& form) {
  Json out{{"issuances_max", form.issuances_max},
           {"body", Json::parse(form.body_source)},
           {"results_pointer", form.results_pointer}};
  if (!form.status_pointer.empty()) out["status_pointer"] = form.status_pointer;
  return out;
}

std::string batch_body(const BatchForm& form, std::span<const std::string> bodies) {
  std::size_t bytes = form.head.size() + form.tail.size() + bodies.size() + 2;
  for (const std::string& body : bodies) bytes += body.size();
  std::string out;
  out.reserve(bytes);
  out += form.head;
  char before = '[';
  for (const std::string& body : bodies) {
    out += before;
    out += body;
    before = ',';
  }
  out += ']';
  out += form.tail;
  return out;
}

}  // namespace vouch::plan
