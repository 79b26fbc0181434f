// The JSON form of a downstream and of its outcome table: schemas/downstream.schema.json.
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "common/plan/decode.hpp"
#include "common/plan/downstream.hpp"
#include "common/plan/request_json.hpp"

namespace vouch::plan {
namespace {

constexpr std::array<std::string_view, 4> kKindNames = {"coupon", "balance", "other", "code"};
constexpr std::array<std::string_view, 3> kContractNames = {"key", "query", "none"};
constexpr std::array<std::string_view, 2> kAmountUnits = {"major", "minor"};

// What the table may say, and what it means.
struct OutcomeWord {
  std::string_view word;
  Outcome outcome;
};
constexpr OutcomeWord kOutcomeWords[] = {
    {"issued", Outcome::issued},      {"declined", Outcome::declined},
    {"retry", Outcome::not_executed}, {"in_doubt", Outcome::unknown},
    {"setup", Outcome::setup},        {"hold", Outcome::hold},
    {"not_found", Outcome::not_found}};

constexpr std::size_t kUrlBytesMax = 2000;
constexpr std::size_t kPathBytesMax = 1000;
constexpr std::size_t kValueBytesMax = 200;
constexpr std::int64_t kTimeoutMaxMs = 600'000;
constexpr std::int64_t kConnectTimeoutMaxMs = 60'000;
constexpr std::int64_t kKeyLifetimeMaxMs = std::int64_t{10} * 366 * 86'400'000;
constexpr std::int64_t kSettleTimeMaxMs = std::int64_t{7} * 86'400'000;
constexpr int kInFlightMax = 1024;

bool is_status(std::int64_t status) {
  return status >= 100 && status <= 599;
}

// 422, "422", "4xx" or "400-499".
Result<void> read_status(JsonReader& reader, OutcomeRule& rule) {
  VOUCH_TRY(const Json* value, reader.required("status"));
  std::int64_t low = 0;
  std::int64_t high = 0;
  if (value->is_number_integer()) {
    low = high = value->get<std::int64_t>();
  } else if (value->is_string()) {
    const auto text = value->get<std::string>();
    if (text.size() == 3 && text.ends_with("xx")) {
      low = (text[0] - '0') * 100;
      high = low + 99;
    } else if (text.size() == 3 || (text.size() == 7 && text[3] == '-')) {
      low = parse_integer(std::string_view{text}.substr(0, 3)).value_or(0);
      high = parse_integer(std::string_view{text}.substr(text.size() - 3)).value_or(0);
    }
  }
  if (!is_status(low) || !is_status(high) || low > high) {
    return reader.refuse("status", "must be a status such as 422, \"4xx\" or \"400-499\"");
  }
  rule.status_min = static_cast<int>(low);
  rule.status_max = static_cast<int>(high);
  return {};
}

// Text, a number or a truth value of the reply; compared as its JSON text without quotes.
Result<void> read_value(JsonReader& reader, OutcomeRule& rule) {
  const Json* value = reader.optional("value");
  if (value == nullptr) return {};
  if (value->is_object() || value->is_array()) {
    return reader.refuse("value", "must be text, a number, true or false");
  }
  if (rule.pointer.empty()) return reader.refuse("value", "needs a \"pointer\" to compare with");
  rule.value = value->is_string() ? value->get<std::string>() : value->dump();
  if (rule.value->size() > kValueBytesMax) {
    return reader.refuse("value", "is longer than " + std::to_string(kValueBytesMax) + " bytes");
  }
  return {};
}

// Which table a rule stands in: the answers to calls, or to queries about them.
enum class Table { calls, queries };

bool fits(Outcome outcome, Table table) {
  if (outcome == Outcome::not_found) return table == Table::queries;
  // A query that is turned away says nothing of the call that it asks about.
  return table == Table::calls || outcome != Outcome::not_executed;
}

Result<Outcome> read_outcome(JsonReader& reader, Table table) {
  VOUCH_TRY(const std::string word, reader.text("outcome"));
  std::vector<std::string_view> words;
  for (const OutcomeWord& known : kOutcomeWords) {
    if (!fits(known.outcome, table)) continue;
    if (known.word == word) return known.outcome;
    words.push_back(known.word);
  }
  return reader.refuse("outcome", "must be " + choice_of(words) + ", not \"" + word + "\"");
}

Result<std::vector<OutcomeRule>> read_outcomes(const Json& value, const std::string& pointer,
                                               Table table = Table::calls) {
  if (!value.is_array() || value.size() > kOutcomeRulesMax) {
    return fail(Errc::invalid, (pointer.empty() ? "the document" : pointer) +
                                   ": must be an array of at most " +
                                   std::to_string(kOutcomeRulesMax) + " rules");
  }
  std::vector<OutcomeRule> rules;
  for (const Json& entry : value) {
    const std::string place = pointer + "/" + std::to_string(rules.size());
    VOUCH_TRY(JsonReader reader, JsonReader::object(entry, place));
    OutcomeRule rule;
    VOUCH_CHECK(read_status(reader, rule));
    VOUCH_CHECK(read_pointer(reader, "pointer", rule.pointer));
    VOUCH_CHECK(read_value(reader, rule));
    VOUCH_TRY(rule.outcome, read_outcome(reader, table));
    VOUCH_CHECK(reader.finish());
    rules.push_back(std::move(rule));
  }
  return rules;
}

Json status_json(const OutcomeRule& rule) {
  if (rule.status_min == rule.status_max) return rule.status_min;
  if (rule.status_min % 100 == 0 && rule.status_max == rule.status_min + 99) {
    return std::to_string(rule.status_min / 100) + "xx";
  }
  return std::to_string(rule.status_min) + "-" + std::to_string(rule.status_max);
}

Json outcomes_json(const std::vector<OutcomeRule>& rules) {
  Json out = Json::array();
  for (const OutcomeRule& rule : rules) {
    Json& entry = out.emplace_back(Json::object());
    entry["status"] = status_json(rule);
    if (!rule.pointer.empty()) entry["pointer"] = rule.pointer;
    if (rule.value) entry["value"] = *rule.value;
    entry["outcome"] = word_of(rule.outcome);
  }
  return out;
}

// A name, an IPv4 address, or an IPv6 address in brackets; whether it exists is not asked here.
bool is_host(std::string_view host) {
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const std::string_view more = bracketed ? ":." : "._-";
  return !host.empty() && std::ranges::all_of(host, [&](char c) {
    const bool digit = c >= '0' && c <= '9';
    const char letter_end = bracketed ? 'f' : 'z';
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return digit || (lower >= 'a' && lower <= letter_end) || more.find(c) != std::string_view::npos;
  });
}

// "10.0.0.0/8", "192.0.2.7", "2001:db8::/32".
bool is_network(const std::string& text) {
  const auto slash = text.find('/');
  const std::string address = text.substr(0, slash);
  std::array<unsigned char, 16> bytes{};
  std::int64_t bits_max = 0;
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) bits_max = 32;
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) bits_max = 128;
  if (bits_max == 0) return false;
  if (slash == std::string::npos) return true;
  const auto bits = parse_integer(std::string_view{text}.substr(slash + 1));
  return bits && *bits >= 0 && *bits <= bits_max && text[slash + 1] != '-';
}

Result<void> read_limits(JsonReader& reader, Downstream& out) {
  const auto read_ms = [&](const char* key, std::int64_t max, Millis& target) -> Result<void> {
    VOUCH_TRY(const auto value, reader.optional_integer(key, 1, max));
    if (value) target = Millis{*value};
    return {};
  };
  VOUCH_CHECK(read_ms("timeout_ms", kTimeoutMaxMs, out.timeout));
  VOUCH_CHECK(read_ms("connect_timeout_ms", kConnectTimeoutMaxMs, out.connect_timeout));
  VOUCH_CHECK(read_ms("key_lifetime_ms", kKeyLifetimeMaxMs, out.key_lifetime));
  VOUCH_CHECK(read_ms("settle_time_ms", kSettleTimeMaxMs, out.settle_time));
  const bool uncertain = out.contract == Contract::none;
  if (uncertain) out.in_flight_max = kInFlightMaxUncertain;
  VOUCH_TRY(const auto in_flight,
            reader.optional_integer("in_flight_max", 1,
                                    uncertain ? kInFlightMaxUncertain : kInFlightMax));
  if (in_flight) out.in_flight_max = static_cast<int>(*in_flight);
  // A call in doubt is repeated while its key is younger than 0.8 of the key's lifetime.
  if (out.contract == Contract::key && out.key_lifetime * 8 <= out.timeout * 10) {
    return reader.refuse("key_lifetime_ms",
                         "is too short: 0.8 of it must outlast timeout_ms, or no call could "
                         "safely be repeated");
  }
  return {};
}

Result<void> read_amount_unit(JsonReader& reader, bool& is_minor) {
  if (reader.optional("amount_unit") == nullptr) return {};
  VOUCH_TRY(const int unit, read_enum<int>(reader, "amount_unit", kAmountUnits));
  is_minor = unit == 1;
  return {};
}

Result<void> read_pointers(JsonReader& reader, Downstream& out) {
  VOUCH_CHECK(read_pointer(reader, "code_pointer", out.code_pointer));
  VOUCH_CHECK(read_pointer(reader, "reference_pointer", out.reference_pointer));
  VOUCH_CHECK(read_pointer(reader, "id_pointer", out.id_pointer));
  VOUCH_CHECK(read_pointer(reader, "amount_pointer", out.amount_pointer));
  VOUCH_CHECK(read_amount_unit(reader, out.amount_is_minor));
  VOUCH_CHECK(read_pointer(reader, "currency_pointer", out.currency_pointer));
  return {};
}

Result<void> read_access(JsonReader& reader, Downstream& out) {
  VOUCH_TRY(out.bearer_file, read_line(reader, "bearer_file", "", kPathBytesMax));
  if (!out.bearer_file.empty() && out.bearer_file.front() != '/') {
    return reader.refuse("bearer_file", "must be an absolute path");
  }
  VOUCH_TRY(out.address_allow, read_line(reader, "address_allow", "", 64));
  if (!out.address_allow.empty() && !is_network(out.address_allow)) {
    return reader.refuse("address_allow", "must be a network such as 10.0.0.0/8");
  }
  return {};
}

bool says_not_found(const OutcomeRule& rule) {
  return rule.outcome == Outcome::not_found;
}

Result<void> check_query_url(const std::string& url, bool allow_http) {
  const auto place = url.find(kRequestIdPlace);
  if (place == std::string::npos) {
    return fail(Errc::invalid, "/query/url: must hold {request_id}",
                "such as https://coupons.example/v1/coupons/{request_id}");
  }
  std::string sample = url;
  sample.replace(place, kRequestIdPlace.size(), "id");
  if (const auto good = check_url(sample); !good) return within("/query/url", good.error());
  if (sample.starts_with("http://") && !allow_http) {
    return fail(Errc::invalid, "/query/url: plain http can be read and changed on its way",
                "write https://, or set \"allow_http\" to true for a trusted network");
  }
  return {};
}

// "There is no such page" and "there was no such call" are both 404 to a careless reader, and the
// second leads to another call: how this downstream says it must be written down.
Result<void> check_contract(const Downstream& downstream) {
  const bool asks = downstream.query.has_value();
  if (downstream.contract == Contract::query && !asks) {
    return fail(Errc::invalid, "/query: is required with contract \"query\"",
                "write {\"url\": .., \"outcomes\": [..]}; see vouch(7), DOUBT");
  }
  if (downstream.contract == Contract::none && asks) {
    return fail(Errc::invalid, "/query: does not go with contract \"none\"",
                "a downstream that can be asked has the contract \"query\"");
  }
  if (!asks) return {};
  VOUCH_CHECK(check_query_url(downstream.query->url, downstream.allow_http));
  if (std::ranges::none_of(downstream.query->outcomes, says_not_found)) {
    return fail(Errc::invalid, "/query/outcomes: no rule says \"not_found\"",
                "such as {\"status\": 404, \"pointer\": \"/code\", \"value\": \"NOT_FOUND\", "
                "\"outcome\": \"not_found\"}");
  }
  return {};
}

Result<void> read_query(JsonReader& reader, Downstream& out) {
  const Json* value = reader.optional("query");
  if (value == nullptr) return {};
  VOUCH_TRY(JsonReader query, JsonReader::object(*value, "/query"));
  out.query.emplace();
  VOUCH_TRY(out.query->url, query.text("url", kUrlBytesMax));
  VOUCH_TRY(const auto percent, query.optional_integer("rate_percent", 1, 100));
  if (percent) out.query->rate_share = static_cast<double>(*percent) / 100;
  VOUCH_TRY(const Json* outcomes, query.required("outcomes"));
  VOUCH_TRY(out.query->outcomes, read_outcomes(*outcomes, "/query/outcomes", Table::queries));
  return query.finish();
}

struct StatementPointer {
  const char* key;
  std::string StatementForm::*target;
};
constexpr StatementPointer kStatementPointers[] = {
    {"entries_pointer", &StatementForm::entries_pointer},
    {"next_pointer", &StatementForm::next_pointer},
    {"request_id_pointer", &StatementForm::request_id_pointer},
    {"reference_pointer", &StatementForm::reference_pointer},
    {"recipient_pointer", &StatementForm::recipient_pointer},
    {"amount_pointer", &StatementForm::amount_pointer},
    {"currency_pointer", &StatementForm::currency_pointer},
    {"time_pointer", &StatementForm::time_pointer},
    {"status_pointer", &StatementForm::status_pointer}};
// A name that a URL's query can hold as it is.
Result<void> read_parameter(JsonReader& reader, const char* key, std::string& out) {
  VOUCH_TRY(const auto text, reader.optional_text(key, 64));
  if (!text) return {};
  const bool good = !text->empty() && std::ranges::all_of(*text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
  if (!good) return reader.refuse(key, "must be letters, digits, \"_\", \"-\" or \".\"");
  out = *text;
  return {};
}

Result<void> read_statement(JsonReader& reader, Downstream& out) {
  const Json* value = reader.optional("statement");
  if (value == nullptr) return {};
  VOUCH_TRY(JsonReader inside, JsonReader::object(*value, "/statement"));
  StatementForm& form = out.statement.emplace();
  VOUCH_TRY(form.url, inside.text("url", kUrlBytesMax));
  VOUCH_TRY(const auto page, inside.optional_integer("page_entries", 1, kStatementPageMax));
  if (page) form.page_entries = static_cast<int>(*page);
  VOUCH_CHECK(read_parameter(inside, "after_parameter", form.after_parameter));
  VOUCH_CHECK(read_parameter(inside, "limit_parameter", form.limit_parameter));
  for (const StatementPointer& pointer : kStatementPointers) {
    VOUCH_CHECK(read_pointer(inside, pointer.key, form.*pointer.target));
  }
  VOUCH_CHECK(read_amount_unit(inside, form.amount_is_minor));
  if (const Json* words = inside.optional("executed")) {
    if (!words->is_array() || words->empty() || words->size() > kStatementWordsMax) {
      return inside.refuse("executed", "must be an array of 1 to 20 words");
    }
    for (const Json& word : *words) {
      if (!word.is_string()) return inside.refuse("executed", "must hold text alone");
      form.executed.push_back(word.get<std::string>());
    }
  }
  return inside.finish();
}

Result<void> check_statement(const Downstream& downstream) {
  if (!downstream.statement) return {};
  const std::string& url = downstream.statement->url;
  if (const auto good = check_url(url); !good) return within("/statement/url", good.error());
  if (url.starts_with("http://") && !downstream.allow_http) {
    return fail(Errc::invalid, "/statement/url: plain http can be read and changed on its way",
                "write https://, or set \"allow_http\" to true for a trusted network");
  }
  return {};
}

Json statement_json(const StatementForm& form) {
  Json out{{"url", form.url},
           {"page_entries", form.page_entries},
           {"after_parameter", form.after_parameter},
           {"limit_parameter", form.limit_parameter},
           {"amount_unit", kAmountUnits[form.amount_is_minor ? 1 : 0]}};
  for (const StatementPointer& pointer : kStatementPointers) {
    if (!(form.*pointer.target).empty()) out[pointer.key] = form.*pointer.target;
  }
  if (!form.executed.empty()) out["executed"] = form.executed;
  return out;
}

Json query_json(const QueryForm& query) {
  return Json{{"url", query.url},
              {"rate_percent", static_cast<int>(query.rate_share * 100 + 0.5)},
              {"outcomes", outcomes_json(query.outcomes)}};
}

}  // namespace

std::string_view word_of(Outcome outcome) {
  for (const OutcomeWord& known : kOutcomeWords) {
    if (known.outcome == outcome) return known.word;
  }
  return "in_doubt";
}

std::string_view name_of(Contract contract) {
  return kContractNames[static_cast<std::size_t>(contract)];
}

Result<Downstream> parse_downstream(std::string_view json_text) {
  VOUCH_TRY(const Json json, parse_json(json_text, JsonComments::allowed));
  VOUCH_TRY(JsonReader reader, JsonReader::object(json, ""));
  Downstream out;
  (void)reader.optional("$schema");  // for editors
  VOUCH_TRY(out.name, reader.text("name"));
  VOUCH_CHECK(check_name("/name", out.name));
  VOUCH_TRY(out.kind, read_enum<VoucherKind>(reader, "kind", kKindNames));
  VOUCH_TRY(out.url, reader.text("url", kUrlBytesMax));
  if (const auto url = check_url(out.url); !url) return within("/url", url.error());
  VOUCH_TRY(out.allow_http, reader.boolean_or("allow_http", false));
  if (out.url.starts_with("http://") && !out.allow_http) {
    return fail(Errc::invalid, "/url: plain http can be read and changed on its way",
                "write https://, or set \"allow_http\" to true for a trusted network");
  }
  VOUCH_TRY(out.contract, read_enum<Contract>(reader, "contract", kContractNames));
  VOUCH_CHECK(read_limits(reader, out));
  VOUCH_TRY(out.sheds_before_executing, reader.boolean_or("sheds_before_executing", false));
  VOUCH_CHECK(read_access(reader, out));
  VOUCH_CHECK(read_pointers(reader, out));
  if (const Json* outcomes = reader.optional("outcomes")) {
    VOUCH_TRY(out.outcomes, read_outcomes(*outcomes, "/outcomes"));
  }
  VOUCH_CHECK(read_query(reader, out));
  VOUCH_CHECK(read_statement(reader, out));
  VOUCH_CHECK(read_call_forms(reader, out));
  VOUCH_CHECK(read_batch_form(reader, out));
  VOUCH_CHECK(reader.finish());
  VOUCH_CHECK(check_call_forms(out));
  VOUCH_CHECK(check_batch_form(out));
  VOUCH_CHECK(check_statement(out));
  VOUCH_CHECK(check_contract(out));
  return out;
}

std::string to_json(const Downstream& downstream) {
  Json out = Json::object();
  out["name"] = downstream.name;
  out["kind"] = name_of(downstream.kind);
  out["url"] = downstream.url;
  out["allow_http"] = downstream.allow_http;
  out["contract"] = name_of(downstream.contract);
  out["timeout_ms"] = downstream.timeout.count();
  out["connect_timeout_ms"] = downstream.connect_timeout.count();
  out["key_lifetime_ms"] = downstream.key_lifetime.count();
  out["settle_time_ms"] = downstream.settle_time.count();
  out["in_flight_max"] = downstream.in_flight_max;
  out["sheds_before_executing"] = downstream.sheds_before_executing;
  if (!downstream.bearer_file.empty()) out["bearer_file"] = downstream.bearer_file;
  out["code_pointer"] = downstream.code_pointer;
  out["reference_pointer"] = downstream.reference_pointer;
  out["id_pointer"] = downstream.id_pointer;
  out["amount_pointer"] = downstream.amount_pointer;
  out["amount_unit"] = kAmountUnits[downstream.amount_is_minor ? 1 : 0];
  out["currency_pointer"] = downstream.currency_pointer;
  if (!downstream.address_allow.empty()) out["address_allow"] = downstream.address_allow;
  out["outcomes"] = outcomes_json(downstream.outcomes);
  if (downstream.query) out["query"] = query_json(*downstream.query);
  if (downstream.statement) out["statement"] = statement_json(*downstream.statement);
  if (downstream.request) out["request"] = request_form_json(*downstream.request);
  if (downstream.signing) out["signing"] = signing_form_json(*downstream.signing);
  if (downstream.batch) out["batch"] = batch_form_json(*downstream.batch);
  return out.dump();
}

Result<std::vector<OutcomeRule>> parse_outcomes(std::string_view json_text) {
  VOUCH_TRY(const Json json, parse_json(json_text, JsonComments::allowed));
  return read_outcomes(json, "");
}

Result<std::vector<OutcomeRule>> parse_query_outcomes(std::string_view json_text) {
  VOUCH_TRY(const Json json, parse_json(json_text, JsonComments::allowed));
  return read_outcomes(json, "", Table::queries);
}

std::string to_json_lines(const std::vector<OutcomeRule>& rules) {
  std::string out = "[";
  for (const Json& rule : outcomes_json(rules)) {
    out += out.size() > 1 ? ",\n  " : "\n  ";
    out += rule.dump();
  }
  return out + "\n]\n";
}

Result<void> check_url(std::string_view url) {
  const auto refuse = [](std::string why) {
    return fail(Errc::invalid, std::move(why), "write https://host[:port]/path");
  };
  const auto allowed = [](char c) {
    return c > 0x20 && c < 0x7f &&
           std::string_view{"\"#<>\\^`{|}"}.find(c) == std::string_view::npos;
  };
  if (url.size() > kUrlBytesMax || !std::ranges::all_of(url, allowed)) {
    return refuse("a URL holds ASCII without blanks, quotes, braces or \"#\"; encode them as %xx");
  }
  const std::string_view scheme = url.starts_with("https://")  ? "https://"
                                  : url.starts_with("http://") ? "http://"
                                                               : "";
  if (scheme.empty()) return refuse("a URL begins with https:// or http://");
  const std::string_view rest = url.substr(scheme.size());
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (authority.find('@') != std::string_view::npos) {
    return refuse("a URL holds no user or password: name a bearer_file");
  }
  const auto colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  if (!is_host(authority.substr(0, colon))) {
    return refuse("the URL's host must be a name, an IPv4 address or an IPv6 one in brackets");
  }
  if (colon != std::string_view::npos) {
    const std::string_view port = authority.substr(colon + 1);
    const auto number = parse_integer(port);
    if (!number || *number < 1 || *number > 65535 || port.size() > 5) {
      return refuse("the URL's port must be from 1 to 65535");
    }
  }
  return {};
}

}  // namespace vouch::plan
