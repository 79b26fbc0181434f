#include "cli/statement_fetch.hpp"

#include <array>
#include <vector>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/text.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::cli {
namespace {

constexpr int kTriesMax = 4;
constexpr Millis kFirstPause{500};  // doubled at every try
constexpr Millis kPollLimit{200};
constexpr std::size_t kTokenBytesMax = 16 * 1024;

// A parameter's value: everything but letters, digits and "-._~" as %xx.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

// A value as text, whatever its type; empty for null, nothing for an object or array.
std::optional<std::string> text_of(const Json& value) {
  if (value.is_null()) return std::string{};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  return std::nullopt;
}

bool may_pass(const wire::HttpEnd& end) {
  switch (end.transport) {
    case wire::Transport::unreachable:
    case wire::Transport::timed_out:
    case wire::Transport::broken:
      return true;
    case wire::Transport::complete:
      return end.status == 429 || end.status >= 500;
    default:
      return false;
  }
}

class FetchedStatement final : public Statement {
 public:
  FetchedStatement(const plan::Downstream& downstream, std::string bearer, FieldReader fields,
                   wire::HttpSettings settings, std::string currency, const Clock& clock)
      : downstream_{downstream},
        form_{*downstream_.statement},
        bearer_{std::move(bearer)},
        fields_{std::move(fields)},
        currency_{std::move(currency)},
        client_{clock, std::move(settings)},
        clock_{clock} {}

  [[nodiscard]] Result<bool> next() override;
  [[nodiscard]] const StatementLine& line() const override { return line_; }
  [[nodiscard]] Compared columns() const override { return columns_; }

 private:
  [[nodiscard]] Result<void> fetch_page();
  [[nodiscard]] Result<std::string> get(const std::string& url);
  [[nodiscard]] wire::HttpEnd call(const std::string& url);
  [[nodiscard]] Result<void> go_on(const Json& document);
  [[nodiscard]] Result<void> read_entry(const Json& entry);
  // The text an entry has at the pointer; sets `*seen` when it has one.
  [[nodiscard]] Result<std::string> member(const Json& entry, const std::string& pointer,
                                           bool* seen);
  [[nodiscard]] tl::unexpected<Error> refuse(std::string_view place, std::string_view why) const;

  const plan::Downstream downstream_;
  const plan::StatementForm& form_;
  std::string bearer_;
  FieldReader fields_;
  std::string currency_;
  wire::HttpClient client_;
  const Clock& clock_;

  Json entries_ = Json::array();
  std::size_t at_ = 0;
  std::int64_t page_ = 0;
  std::string after_;
  bool is_last_ = false;
  std::int64_t count_ = 0;  // entries handed out
  std::string request_id_, recipient_id_;
  StatementLine line_;
  Compared columns_;
};

tl::unexpected<Error> FetchedStatement::refuse(std::string_view place, std::string_view why) const {
  return fail(Errc::invalid,
              "page " + std::to_string(page_) + " of the statement: " + std::string{place} + ": " +
                  std::string{why},
              "nothing was compared; see \"statement\" in the downstream's definition");
}

wire::HttpEnd FetchedStatement::call(const std::string& url) {
  wire::HttpCall call;
  call.get = true;
  call.url = url;
  call.headers = {"Accept: application/json"};
  if (!bearer_.empty()) call.headers.push_back("Authorization: Bearer " + bearer_);
  call.connect_timeout = downstream_.connect_timeout;
  call.timeout = std::max(downstream_.timeout, Millis{10'000});
  call.http_allowed = downstream_.allow_http;
  call.address_allow = downstream_.address_allow;
  client_.start(std::move(call));
  std::vector<wire::HttpEnd> ended;
  while (ended.empty()) {
    client_.wait(kPollLimit);
    client_.step(ended);
  }
  return std::move(ended.front());
}

Result<std::string> FetchedStatement::get(const std::string& url) {
  Millis pause = kFirstPause;
  for (int tries = 1;; ++tries) {
    wire::HttpEnd end = call(url);
    const bool complete = end.transport == wire::Transport::complete;
    if (complete && end.status == 200) return std::move(end.body);
    const std::string what = complete ? "answered " + std::to_string(end.status)
                                      : std::string{wire::name_of(end.transport)} +
                                            (end.detail.empty() ? "" : ": " + end.detail);
    const std::string message =
        "page " + std::to_string(page_) + " of the statement: " + url + ": " + what;
    if (complete && (end.status == 401 || end.status == 403)) {
      return fail(Errc::not_permitted, message, "is the token in its bearer_file still good?");
    }
    if (!may_pass(end)) {
      return fail(Errc::invalid, message, "see \"statement\" in the downstream's definition");
    }
    if (tries == kTriesMax) return fail(Errc::unavailable, message, "try again later");
    sleep_until(clock_, clock_.now() + pause);
    pause *= 2;
  }
}

Result<void> FetchedStatement::fetch_page() {
  ++page_;
  std::string url = form_.url;
  url += url.find('?') == std::string::npos ? '?' : '&';
  url += form_.limit_parameter + "=" + std::to_string(form_.page_entries);
  if (!after_.empty()) url += "&" + form_.after_parameter + "=" + percent_encoded(after_);
  VOUCH_TRY(const std::string body, get(url));
  auto document = parse_json(body);
  if (!document) return refuse("the document", document.error().message);
  const Json::json_pointer entries{form_.entries_pointer};
  if (!document->contains(entries) || !document->at(entries).is_array()) {
    return refuse(form_.entries_pointer, "is no array of entries");
  }
  VOUCH_CHECK(go_on(*document));
  entries_ = std::move(document->at(entries));
  at_ = 0;
  return {};
}

// Where the next page begins.
Result<void> FetchedStatement::go_on(const Json& document) {
  const Json::json_pointer next{form_.next_pointer};
  const auto place =
      document.contains(next) ? text_of(document.at(next)) : std::optional{std::string{}};
  if (!place) return refuse(form_.next_pointer, "is no place to go on from");
  is_last_ = place->empty();
  const bool stands = !is_last_ && (*place == after_ ||
                                    document.at(Json::json_pointer{form_.entries_pointer}).empty());
  if (stands) return refuse(form_.next_pointer, "leads nowhere: \"" + *place + "\"");
  after_ = *place;
  return {};
}

Result<std::string> FetchedStatement::member(const Json& entry, const std::string& pointer,
                                             bool* seen) {
  if (pointer.empty()) return std::string{};
  const Json::json_pointer at{pointer};
  if (!entry.contains(at)) return std::string{};
  auto text = text_of(entry.at(at));
  if (!text) return refuse("entry " + std::to_string(at_) + pointer, "is no text and no number");
  if (seen != nullptr) *seen = true;
  return std::move(*text);
}

Result<void> FetchedStatement::read_entry(const Json& entry) {
  const std::string here = "entry " + std::to_string(at_);
  if (!entry.is_object()) return refuse(here, "is no object");
  VOUCH_TRY(request_id_, member(entry, form_.request_id_pointer, nullptr));
  VOUCH_TRY(recipient_id_, member(entry, form_.recipient_pointer, &columns_.recipient));
  VOUCH_TRY(line_.entry.reference, member(entry, form_.reference_pointer, &columns_.reference));
  VOUCH_TRY(std::string currency, member(entry, form_.currency_pointer, &columns_.currency));
  VOUCH_TRY(const std::string amount, member(entry, form_.amount_pointer, &columns_.amount));
  VOUCH_TRY(const std::string time, member(entry, form_.time_pointer, &columns_.time));
  VOUCH_TRY(const std::string status, member(entry, form_.status_pointer, nullptr));
  line_.line = line_.entry.line = ++count_;
  line_.request_id = request_id_;
  line_.recipient_id = recipient_id_;
  line_.counts = form_.status_pointer.empty() || fields_.is_executed(status);
  if (!line_.counts) return {};
  if (request_id_.empty()) return refuse(here + form_.request_id_pointer, "is empty");
  if (currency.empty()) currency = currency_;
  auto code = fields_.currency(currency);
  if (!code) return refuse(here + form_.currency_pointer, code.error().message);
  line_.entry.currency = std::move(*code);
  const auto minor = fields_.amount(amount, form_.amount_is_minor, line_.entry.currency);
  if (!minor) return refuse(here + form_.amount_pointer, minor.error().message);
  line_.entry.amount_minor = *minor;
  const auto when = fields_.time(time);
  if (!when) return refuse(here + form_.time_pointer, when.error().message);
  line_.entry.time = *when;
  return {};
}

Result<bool> FetchedStatement::next() {
  while (at_ == entries_.size()) {
    if (is_last_) return false;
    VOUCH_CHECK(fetch_page());
  }
  const Json& entry = entries_[at_++];
  VOUCH_CHECK(read_entry(entry));
  return true;
}

}  // namespace

Result<std::unique_ptr<Statement>> fetch_statement(const plan::Downstream& downstream,
                                                   const FetchOptions& options,
                                                   const Clock& clock) {
  if (!downstream.statement) {
    return fail(Errc::conflict, downstream.name + " has no statement to be fetched",
                "name its address with `vouchctl downstream update " + downstream.name +
                    " --statement-url URL`, or give the file with --statement");
  }
  VOUCH_TRY(FieldReader fields, FieldReader::create({.path = {},
                                                     .encoding = {},
                                                     .delimiter = {},
                                                     .mappings = {},
                                                     .time_zone = options.time_zone,
                                                     .amount_unit = {},
                                                     .currency = {},
                                                     .executed = downstream.statement->executed}));
  std::string bearer;
  if (!downstream.bearer_file.empty()) {
    VOUCH_TRY(const std::string token, read_file(downstream.bearer_file, kTokenBytesMax));
    bearer = trim_blanks(token);
  }
  wire::HttpSettings settings{.calls_max = 1, .authorities = {}};
  if (!options.authorities.empty()) {
    VOUCH_TRY(settings.authorities, wire::read_authorities(options.authorities));
  }
  return std::unique_ptr<Statement>{
      std::make_unique<FetchedStatement>(downstream, std::move(bearer), std::move(fields),
                                         std::move(settings), options.currency, clock)};
}

}  // namespace vouch::cli
