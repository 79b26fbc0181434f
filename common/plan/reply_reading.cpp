#include "common/plan/reply_reading.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "common/plan/json_pointers.hpp"
#include "common/text.hpp"

namespace vouch::plan {

namespace {

constexpr std::size_t kDetailBytesMax = 200;

// Media types know no case (RFC 9110, 8.3.1); nearly all are written in small letters.
bool is_json(std::string_view content_type) {
  return content_type.find("json") != std::string_view::npos ||
         lower_ascii(content_type).find("json") != std::string::npos;
}

// The first row of the outcome table that fits.
std::optional<std::size_t> row_of(const std::vector<OutcomeRule>& rules, int status,
                                  const ReplyReader& reader) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const OutcomeRule& rule = rules[i];
    if (status < rule.status_min || status > rule.status_max) continue;
    if (rule.pointer.empty()) return i;
    const std::string* value = reader.value(rule.pointer);
    if (value != nullptr && (!rule.value || *rule.value == *value)) return i;
  }
  return std::nullopt;
}

bool is_success(int status) {
  return status >= 200 && status <= 299;
}

Outcome from_status(const Downstream& downstream, bool asks, int status) {
  if (is_success(status)) return Outcome::issued;  // if the evidence is there
  if (asks) return Outcome::unknown;               // a query that fails says nothing of the call
  switch (status) {
    case 429:
      return Outcome::not_executed;
    case 503:
      return downstream.sheds_before_executing ? Outcome::not_executed : Outcome::unknown;
    case 401:
    case 403:
    case 404:
    case 405:
    case 413:
    case 415:
      return Outcome::setup;
    case 406:
      return Outcome::unknown_setup;
    default:
      break;
  }
  return status >= 300 && status <= 399 ? Outcome::unknown_setup : Outcome::unknown;
}

// What is wrong with a reference, which people will read and copy; empty when nothing is.
std::string_view reference_fault(std::string_view reference) {
  if (trim_blanks(reference).empty()) return "is blank";
  if (reference.size() > kReferenceBytesMax) return "is longer than 200 bytes";
  if (has_control_bytes(reference)) return "has control characters";
  // The parser has seen to it in what is JSON; kept as the one place that says so.
  return is_valid_utf8(reference) ? "" : "is no UTF-8";
}

// Words from outside, fit for a line of a log or a file: no control characters, cut between
// characters.
void tidy(std::string& words) {
  std::erase_if(words, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (words.size() <= kDetailBytesMax) return;
  std::size_t end = kDetailBytesMax;
  while (end > 0 && (static_cast<unsigned char>(words[end]) & 0xC0U) == 0x80U) --end;
  words.resize(end);
}

constexpr std::string_view kOtherId = "the reply is about another request id";

// What is missing of the evidence; empty when nothing is.
std::string missing_evidence(const Downstream& downstream, const CallFacts& call, bool sound,
                             const ReplyReader& reader) {
  if (!sound) return "the reply is not the JSON that was agreed";
  const std::string* reference = reader.value(downstream.reference_pointer);
  if (reference == nullptr || !reader.is_text(downstream.reference_pointer)) {
    return "the reply has no " + downstream.reference_pointer;
  }
  if (const std::string_view fault = reference_fault(*reference); !fault.empty()) {
    return "the reply's " + downstream.reference_pointer + " " + std::string{fault};
  }
  const std::string* id = reader.value(downstream.id_pointer);
  if (id == nullptr) return "the reply has no request id at " + downstream.id_pointer;
  if (*id != call.request_id) return std::string{kOtherId};
  return {};
}

// As the downstream writes amounts: 1250, or 12.50, which is the same as 12.5.
bool is_amount(const Downstream& downstream, const std::string& text, const CallFacts& call) {
  if (downstream.amount_is_minor) return text == std::to_string(*call.amount_minor);
  const auto digits = currency_digits(call.currency);
  if (!digits) return false;
  const auto minor = parse_major_amount(text, *digits);
  return minor && *minor == *call.amount_minor;
}

// The call was carried out, but not as it was meant; empty when it was.
std::string wrong_evidence(const Downstream& downstream, const CallFacts& call,
                           const ReplyReader& reader) {
  if (!call.amount_minor) return {};
  const std::string* amount = reader.value(downstream.amount_pointer);
  if (amount == nullptr || !is_amount(downstream, *amount, call)) {
    return "the reply is about another amount";
  }
  const std::string* currency = reader.value(downstream.currency_pointer);
  if (currency == nullptr || *currency != call.currency) {
    return "the reply is about another currency";
  }
  return {};
}

void judge_success(const Downstream& downstream, const CallFacts& call, bool sound,
                   const ReplyReader& reader, ReplyReading& reading) {
  const std::string missing = missing_evidence(downstream, call, sound, reader);
  reading.detail = missing.empty() ? wrong_evidence(downstream, call, reader) : missing;
  if (reading.detail.empty()) {
    reading.reference = *reader.value(downstream.reference_pointer);
    return;
  }
  reading.rule = ReplyRule::evidence;
  // Asked what became of the call, the downstream tells of another one: people must look.
  reading.outcome = call.asks && missing.empty() ? Outcome::hold : Outcome::unknown;
}

void judge_refusal(const Downstream& downstream, const CallFacts& call, int status,
                   const ReplyReader& reader, ReplyReading& reading) {
  const std::string* id = reader.value(downstream.id_pointer);
  if (id != nullptr && *id != "null" && *id != call.request_id) {
    reading.rule = ReplyRule::another_id;
    reading.outcome = Outcome::unknown;
    reading.detail = kOtherId;
    return;
  }
  const std::string* code = reader.value(downstream.code_pointer);
  reading.detail = code != nullptr ? *code : "HTTP " + std::to_string(status);
}

constexpr const char* kNoResult = "the answer has no result for it";

ReplyReading without_result(std::string why) {
  ReplyReading reading;
  reading.rule = ReplyRule::no_result;
  reading.detail = std::move(why);
  return reading;
}

// What an answer without results says of each of its calls: that the whole was turned away, or
// nothing.  A refusal for a business reason is somebody's, and nobody knows whose.
ReplyReading of_the_whole(ReplyReading reading) {
  const bool of_one_call = reading.outcome == Outcome::issued ||
                           reading.outcome == Outcome::declined ||
                           reading.rule == ReplyRule::evidence;
  return of_one_call ? without_result(kNoResult) : reading;
}

}  // namespace

const std::vector<OutcomeRule>& table_of(const Downstream& downstream, bool asks) {
  VOUCH_ASSERT(!asks || downstream.query.has_value());
  return asks ? downstream.query->outcomes : downstream.outcomes;
}

ReplyReader::ReplyReader() : pointers_{std::make_unique<JsonPointers>()} {}
ReplyReader::~ReplyReader() = default;
ReplyReader::ReplyReader(ReplyReader&&) noexcept = default;
ReplyReader& ReplyReader::operator=(ReplyReader&&) noexcept = default;

const std::string* ReplyReader::value(std::string_view pointer) const {
  return sound_ ? pointers_->value(pointer) : nullptr;
}

bool ReplyReader::is_text(std::string_view pointer) const {
  return sound_ && pointers_->is_text(pointer);
}

void ReplyReader::want_pointers(const Downstream& downstream,
                                const std::vector<OutcomeRule>& table) {
  pointers_->reset();
  for (const std::string* pointer :
       {&downstream.reference_pointer, &downstream.id_pointer, &downstream.amount_pointer,
        &downstream.currency_pointer, &downstream.code_pointer}) {
    pointers_->want(*pointer);
  }
  for (const OutcomeRule& rule : table) pointers_->want(rule.pointer);
}

ReplyReading ReplyReader::read(const Downstream& downstream, const Reply& reply,
                               const CallFacts& call) {
  want_pointers(downstream, table_of(downstream, call.asks));
  sound_ = is_json(reply.content_type) && pointers_->parse(reply.body);
  return judge(downstream, reply.status, call);
}

ReplyReading ReplyReader::judge(const Downstream& downstream, int status, const CallFacts& call) {
  const std::vector<OutcomeRule>& table = table_of(downstream, call.asks);
  ReplyReading reading;
  reading.row = row_of(table, status, *this);
  reading.rule = reading.row ? ReplyRule::table : ReplyRule::status;
  reading.outcome =
      reading.row ? table[*reading.row].outcome : from_status(downstream, call.asks, status);
  if (reading.outcome == Outcome::issued) {
    judge_success(downstream, call, sound_, *this, reading);
  } else {
    judge_refusal(downstream, call, status, *this, reading);
  }
  const std::string* id = value(downstream.id_pointer);
  const bool about_it = id == nullptr || *id == "null" || *id == call.request_id;
  reading.known =
      call.asks && reading.outcome == Outcome::unknown && is_success(status) && sound_ && about_it;
  tidy(reading.detail);
  return reading;
}

ReplyReading ReplyReader::read_result(const Downstream& downstream, int status,
                                      const CallFacts& call) {
  const std::string& pointer = downstream.batch->status_pointer;
  if (!pointer.empty()) {
    const std::string* text = value(pointer);
    const auto number = parse_integer(text == nullptr ? std::string_view{} : *text);
    if (!number || *number < 100 || *number > 599) {
      ReplyReading reading = without_result("the result has no HTTP status at " + pointer);
      reading.result_digest = sha256_128(pointers_->element());
      return reading;
    }
    status = static_cast<int>(*number);
  }
  ReplyReading reading = judge(downstream, status, call);
  reading.result_status = status;
  reading.result_digest = sha256_128(pointers_->element());
  return reading;
}

bool ReplyReader::parse_results(const Downstream& downstream, const Reply& reply,
                                const std::function<void()>& on_result) {
  const BatchForm& form = *downstream.batch;
  want_pointers(downstream, downstream.outcomes);
  pointers_->want(form.status_pointer);
  sound_ = is_json(reply.content_type);  // so far: each result is looked at as soon as it is read
  return sound_ && is_success(reply.status) &&
         pointers_->parse_each(reply.body, form.results_pointer, on_result);
}

std::vector<std::string> ReplyReader::calls_in(const Downstream& downstream, const Reply& reply) {
  std::vector<std::string> ids;
  const auto take_id = [&] {
    const std::string* id = value(downstream.id_pointer);
    if (id == nullptr || !is_text(downstream.id_pointer)) return;
    if (std::ranges::find(ids, *id) == ids.end()) ids.push_back(*id);
  };
  if (!parse_results(downstream, reply, take_id)) ids.clear();
  return ids;
}

std::vector<ReplyReading> ReplyReader::read_batch(const Downstream& downstream, const Reply& reply,
                                                  std::span<const CallFacts> calls) {
  std::unordered_map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < calls.size(); ++i) places.emplace(calls[i].request_id, i);
  std::vector<ReplyReading> readings(calls.size(), without_result(kNoResult));
  std::vector<int> results(calls.size(), 0);
  const auto take_result = [&] {
    const std::string* id = value(downstream.id_pointer);
    const auto place = id == nullptr ? places.end() : places.find(*id);
    if (place == places.end()) return;
    const std::size_t i = place->second;
    readings[i] = ++results[i] == 1 ? read_result(downstream, reply.status, calls[i])
                                    : without_result("the answer has two results for it");
  };
  if (parse_results(downstream, reply, take_result)) return readings;
  // Nothing that was read before the text turned out to be unsound counts.
  const ReplyReading whole = of_the_whole(read(downstream, reply, {}));
  return std::vector<ReplyReading>(calls.size(), whole);
}

}  // namespace vouch::plan
