#include "daemon/service/reply_judge.hpp"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::service {
namespace {

using Sax = nlohmann::json_sax<nlohmann::json>;

// Collects the scalars at wanted JSON pointers, and sees that the whole text is sound.
class PointerReader final : public Sax {
 public:
  void want(std::string_view pointer) {
    if (!pointer.empty() && find(pointer) == nullptr) wanted_.push_back({pointer, {}, false});
  }
  [[nodiscard]] const std::string* value(std::string_view pointer) const {
    const Wanted* found = find(pointer);
    return found != nullptr && found->seen ? &found->value : nullptr;
  }

  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool string(string_t& value) override { return scalar(value); }
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
  };
  struct Level {
    std::size_t path_bytes = 0;  // of the container itself
    bool array = false;
    std::size_t index = 0;
  };

  [[nodiscard]] const Wanted* find(std::string_view pointer) const {
    for (const Wanted& wanted : wanted_) {
      if (wanted.pointer == pointer) return &wanted;
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
  bool scalar(std::string_view value) {
    step_into_element();
    return see(value);
  }
  bool see(std::string_view value) {
    for (Wanted& wanted : wanted_) {
      if (wanted.pointer != path_) continue;
      if (wanted.seen) return false;  // a key that stands twice: two readers, two meanings
      wanted.value = value;
      wanted.seen = true;
    }
    return true;
  }

  std::vector<Wanted> wanted_;
  std::string path_;
  std::vector<Level> levels_;
};

Judgement without_answer(const wire::HttpEnd& end) {
  Judgement judged;
  judged.ails = true;
  judged.detail = end.detail;
  if (end.sends > 0) return judged;  // bytes may have left: unknown
  judged.outcome =
      end.transport == wire::Transport::certificate ? Outcome::setup : Outcome::not_executed;
  return judged;
}

// Calls and queries have a table each.
const std::vector<plan::OutcomeRule>& table_of(const data::Intent& intent) {
  return intent.asks ? intent.definition->query->outcomes : intent.definition->outcomes;
}

// The first row of the outcome table that matches.
std::optional<Outcome> from_table(const std::vector<plan::OutcomeRule>& rules, int status,
                                  const PointerReader* reply) {
  for (const plan::OutcomeRule& rule : rules) {
    if (status < rule.status_min || status > rule.status_max) continue;
    if (rule.pointer.empty()) return rule.outcome;
    const std::string* value = reply == nullptr ? nullptr : reply->value(rule.pointer);
    if (value == nullptr || (rule.value && *rule.value != *value)) continue;
    return rule.outcome;
  }
  return std::nullopt;
}

Outcome from_status(const data::Intent& intent, int status) {
  if (status >= 200 && status <= 299) return Outcome::issued;  // if the evidence is there
  if (intent.asks) return Outcome::unknown;  // a query that fails says nothing of the call
  const plan::Downstream& downstream = *intent.definition;
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

constexpr std::string_view kOtherId = "the reply is about another request id";

bool is_about_another(const data::Intent& intent, const PointerReader* reply) {
  if (reply == nullptr) return false;
  const std::string* id = reply->value(intent.definition->id_pointer);
  return id != nullptr && *id != "null" && *id != intent.request_id;
}

// What is missing of the evidence; empty when nothing is.
std::string missing_evidence(const data::Intent& intent, const PointerReader* reply) {
  if (reply == nullptr) return "the reply is not the JSON that was agreed";
  const plan::Downstream& downstream = *intent.definition;
  const std::string* reference = reply->value(downstream.reference_pointer);
  if (reference == nullptr || reference->empty() || *reference == "null") {
    return "the reply has no " + downstream.reference_pointer;
  }
  if (reference->size() > kReferenceBytesMax) {
    return "the reply's " + downstream.reference_pointer + " is longer than " +
           std::to_string(kReferenceBytesMax) + " bytes";
  }
  const std::string* id = reply->value(downstream.id_pointer);
  if (id == nullptr || *id != intent.request_id) return std::string{kOtherId};
  return {};
}

// The call was carried out, but not as it was meant; empty when it was.
std::string wrong_evidence(const data::Intent& intent, const PointerReader* reply) {
  const plan::Downstream& downstream = *intent.definition;
  if (!intent.amount_minor) return {};
  const std::string* amount = reply->value(downstream.amount_pointer);
  if (amount == nullptr || *amount != std::to_string(*intent.amount_minor)) {
    return "the reply is about another amount";
  }
  const std::string* currency = reply->value(downstream.currency_pointer);
  if (currency == nullptr || *currency != intent.item().amount.currency) {
    return "the reply is about another currency";
  }
  return {};
}

// Media types know no case (RFC 9110, 8.3.1); nearly all are written in small letters.
bool is_json(const wire::HttpEnd& end) {
  return end.content_type.find("json") != std::string::npos ||
         lower_ascii(end.content_type).find("json") != std::string::npos;
}

void judge_success(const data::Intent& intent, const PointerReader* reply, Judgement& judged) {
  judged.detail = missing_evidence(intent, reply);
  if (judged.detail.empty()) {
    judged.detail = wrong_evidence(intent, reply);
    // Asked what became of the call, the downstream tells of another one: people must look.
    if (!judged.detail.empty() && intent.asks) {
      judged.outcome = Outcome::hold;
      return;
    }
  }
  if (!judged.detail.empty()) {
    judged.outcome = Outcome::unknown;
    return;
  }
  judged.reference = *reply->value(intent.definition->reference_pointer);
}

// A query that was turned away does not mean that calls would be.
bool ails(const data::Intent& intent, const Judgement& judged, int status) {
  if (intent.asks) return judged.outcome == Outcome::unknown && status >= 500;
  return judged.outcome == Outcome::unknown ||
         (judged.outcome == Outcome::not_executed && status == 503);
}

}  // namespace

Judgement judge(const data::Intent& intent, const wire::HttpEnd& end, WallTime now) {
  if (end.transport != wire::Transport::complete) return without_answer(end);
  const plan::Downstream& downstream = *intent.definition;

  PointerReader reader;
  for (const std::string* pointer :
       {&downstream.reference_pointer, &downstream.id_pointer, &downstream.amount_pointer,
        &downstream.currency_pointer, &downstream.code_pointer}) {
    reader.want(*pointer);
  }
  const std::vector<plan::OutcomeRule>& table = table_of(intent);
  for (const plan::OutcomeRule& rule : table) reader.want(rule.pointer);
  const bool sound = is_json(end) && nlohmann::json::sax_parse(end.body, &reader);
  const PointerReader* reply = sound ? &reader : nullptr;

  Judgement judged;
  judged.answered = true;
  judged.reply_digest = sha256_128(end.body);
  judged.outcome = from_table(table, end.status, reply).value_or(from_status(intent, end.status));
  if (judged.outcome == Outcome::issued) {
    judge_success(intent, reply, judged);
  } else if (is_about_another(intent, reply)) {
    judged.outcome = Outcome::unknown;
    judged.detail = kOtherId;
  } else {
    const std::string* code = reply == nullptr ? nullptr : reply->value(downstream.code_pointer);
    judged.detail = code != nullptr ? *code : "HTTP " + std::to_string(end.status);
  }
  if (judged.detail.size() > 200) judged.detail.resize(200);
  judged.ails = ails(intent, judged, end.status);
  judged.retry_after = parse_retry_after(end.retry_after, now);
  return judged;
}

std::optional<Millis> parse_retry_after(const std::string& value, WallTime now) {
  if (value.empty()) return std::nullopt;
  Millis after{0};
  if (const auto seconds = parse_integer(value)) {
    if (*seconds < 0) return std::nullopt;
    after = std::chrono::seconds{std::min<std::int64_t>(*seconds, 86'400)};
  } else {
    std::tm tm{};
    const char* rest = strptime(value.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (rest == nullptr || *rest != '\0') return std::nullopt;
    const WallTime until = from_ms(static_cast<std::int64_t>(timegm(&tm)) * 1000);
    if (until <= now) return std::nullopt;
    after = until - now;
  }
  return std::min(after, kRetryAfterMax);
}

}  // namespace vouch::service
