#include "common/plan/reply_reading.hpp"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::plan {

// Collects the scalars at wanted JSON pointers, and sees that the whole text is sound.
class ReplyReader::Pointers final : public nlohmann::json_sax<nlohmann::json> {
 public:
  // The pointers' own texts must last until the next reset.
  void reset() {
    wanted_count_ = 0;
    path_.clear();
    levels_.clear();
  }
  void want(std::string_view pointer) {
    if (pointer.empty() || find(pointer) != nullptr) return;
    if (wanted_count_ == wanted_.size()) wanted_.emplace_back();
    Wanted& wanted = wanted_[wanted_count_++];
    wanted.pointer = pointer;
    wanted.seen = false;
  }
  [[nodiscard]] const std::string* value(std::string_view pointer) const {
    const Wanted* found = find(pointer);
    return found != nullptr && found->seen ? &found->value : nullptr;
  }
  // Whether what stands there is a string or a number, rather than true, null or an object.
  [[nodiscard]] bool is_text(std::string_view pointer) const {
    const Wanted* found = find(pointer);
    return found != nullptr && found->seen && found->text;
  }

  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return scalar(std::to_string(value), true);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return scalar(std::to_string(value), true);
  }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text, true); }
  bool string(string_t& value) override { return scalar(value, true); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter(false); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return enter(true); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    path_.resize(levels_.back().path_bytes);
    path_ += '/';
    for (const char c : name) {  // as a JSON pointer writes it (RFC 6901)
      if (c == '~')
        path_ += "~0";
      else if (c == '/')
        path_ += "~1";
      else
        path_ += c;
    }
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  struct Wanted {
    std::string_view pointer;
    std::string value;
    bool seen = false;
    bool text = false;  // a string or a number
  };
  struct Level {
    std::size_t path_bytes = 0;  // of the container itself
    bool array = false;
    std::size_t index = 0;
  };

  [[nodiscard]] const Wanted* find(std::string_view pointer) const {
    for (std::size_t i = 0; i < wanted_count_; ++i) {
      if (wanted_[i].pointer == pointer) return &wanted_[i];
    }
    return nullptr;
  }
  void step_into_element() {
    if (levels_.empty() || !levels_.back().array) return;
    path_.resize(levels_.back().path_bytes);
    path_ += '/' + std::to_string(levels_.back().index++);
  }
  bool enter(bool array) {
    step_into_element();
    if (!see({})) return false;
    levels_.push_back({path_.size(), array, 0});
    return levels_.size() <= static_cast<std::size_t>(kJsonDepthMax);
  }
  bool leave() {
    path_.resize(levels_.back().path_bytes);
    levels_.pop_back();
    return true;
  }
  bool scalar(std::string_view value, bool text = false) {
    step_into_element();
    return see(value, text);
  }
  bool see(std::string_view value, bool text = false) {
    for (std::size_t i = 0; i < wanted_count_; ++i) {
      Wanted& wanted = wanted_[i];
      if (wanted.pointer != path_) continue;
      if (wanted.seen) return false;  // a key that stands twice: two readers, two meanings
      wanted.value = value;
      wanted.seen = true;
      wanted.text = text;
    }
    return true;
  }

  std::vector<Wanted> wanted_;  // the first wanted_count_; the others keep their memory
  std::size_t wanted_count_ = 0;
  std::string path_;
  std::vector<Level> levels_;
};

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

}  // namespace

const std::vector<OutcomeRule>& table_of(const Downstream& downstream, bool asks) {
  VOUCH_ASSERT(!asks || downstream.query.has_value());
  return asks ? downstream.query->outcomes : downstream.outcomes;
}

ReplyReader::ReplyReader() : pointers_{std::make_unique<Pointers>()} {}
ReplyReader::~ReplyReader() = default;
ReplyReader::ReplyReader(ReplyReader&&) noexcept = default;
ReplyReader& ReplyReader::operator=(ReplyReader&&) noexcept = default;

const std::string* ReplyReader::value(std::string_view pointer) const {
  return sound_ ? pointers_->value(pointer) : nullptr;
}

bool ReplyReader::is_text(std::string_view pointer) const {
  return sound_ && pointers_->is_text(pointer);
}

ReplyReading ReplyReader::read(const Downstream& downstream, const Reply& reply,
                               const CallFacts& call) {
  const std::vector<OutcomeRule>& table = table_of(downstream, call.asks);
  pointers_->reset();
  for (const std::string* pointer :
       {&downstream.reference_pointer, &downstream.id_pointer, &downstream.amount_pointer,
        &downstream.currency_pointer, &downstream.code_pointer}) {
    pointers_->want(*pointer);
  }
  for (const OutcomeRule& rule : table) pointers_->want(rule.pointer);
  sound_ = is_json(reply.content_type) && nlohmann::json::sax_parse(reply.body, pointers_.get());

  ReplyReading reading;
  reading.row = row_of(table, reply.status, *this);
  reading.rule = reading.row ? ReplyRule::table : ReplyRule::status;
  reading.outcome =
      reading.row ? table[*reading.row].outcome : from_status(downstream, call.asks, reply.status);
  if (reading.outcome == Outcome::issued) {
    judge_success(downstream, call, sound_, *this, reading);
  } else {
    judge_refusal(downstream, call, reply.status, *this, reading);
  }
  const std::string* id = value(downstream.id_pointer);
  const bool about_it = id == nullptr || *id == "null" || *id == call.request_id;
  reading.known = call.asks && reading.outcome == Outcome::unknown && is_success(reply.status) &&
                  sound_ && about_it;
  tidy(reading.detail);
  return reading;
}

}  // namespace vouch::plan
