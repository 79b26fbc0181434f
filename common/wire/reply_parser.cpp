#include "common/wire/reply_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>
#include <utility>

namespace vouch::wire {
namespace {

namespace http = boost::beast::http;
using boost::beast::string_view;
using boost::system::error_code;

constexpr std::uint32_t kHeadBytesMax = 32 * 1024;
// Of a call's whole answer: announcements, head, and a body with its chunks' sizes.  Beast bounds
// neither the number of announcements nor that of fields, nor what stands behind a chunk's size.
constexpr std::size_t kAnswerBytesMax = 2 * kReplyBytesMax;
// What a chunked body ends in, at the least: "0", its line's end, an empty line.
constexpr std::size_t kLastChunkBytes = 5;

std::string to_string(string_view text) {
  return {text.data(), text.size()};
}

// Beast finds the structure; this keeps what the caller wants of it.
class Parser final : public http::basic_parser<false> {
 public:
  explicit Parser(HttpEnd& end) : end_{end} {
    eager(true);
    header_limit(kHeadBytesMax);
    body_limit(kReplyBytesMax);
  }

 private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int status, string_view, int, error_code&) override {
    end_.status = status;
  }
  void on_field_impl(http::field name, string_view, string_view value, error_code&) override {
    if (is_header_done()) return;  // a trailer
    if (name == http::field::content_type) end_.content_type = to_string(value);
    if (name == http::field::retry_after) end_.retry_after = to_string(value);
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view part, error_code&) override { return keep(part); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view part, error_code&) override {
    return keep(part);
  }
  void on_finish_impl(error_code&) override {}

  std::size_t keep(string_view part) {
    end_.body.append(part.data(), part.size());
    return part.size();
  }

  HttpEnd& end_;
};

}  // namespace

struct ReplyParser::State {
  HttpEnd* end = nullptr;
  std::optional<Parser> parser;
  std::string rest;  // came, and was not used yet
  std::size_t taken = 0;
  std::string problem;

  // 100 to 199 announce; the answer itself follows.
  [[nodiscard]] bool is_announcement() const {
    return parser->is_done() && end->status >= 100 && end->status <= 199 && end->status != 101;
  }

  // Beast 1.81 looks for the end of the last chunk in as few bytes as it is given, and aborts the
  // program when these are not the five that must come.
  [[nodiscard]] bool is_too_little(std::string_view bytes) const {
    return parser->is_header_done() && parser->chunked() && bytes.size() < kLastChunkBytes;
  }

  [[nodiscard]] Progress put(std::string_view bytes) {
    while (!bytes.empty() && !is_too_little(bytes)) {
      error_code error;
      bytes.remove_prefix(parser->put(boost::asio::buffer(bytes.data(), bytes.size()), error));
      if (error && error != http::error::need_more) {
        problem = "not an answer in HTTP: " + error.message();
        return Progress::broken;
      }
      if (!is_announcement()) break;
      begin_next();
    }
    rest = bytes;
    if (parser->is_done()) return Progress::done;
    if (rest.size() <= kHeadBytesMax) return Progress::more;
    problem = "the answer has a line that does not end";  // behind a chunk's size
    return Progress::broken;
  }

  void begin_next() {
    end->status = 0;
    end->content_type.clear();
    end->retry_after.clear();
    end->body.clear();
    parser.emplace(*end);
  }
};

ReplyParser::ReplyParser() : state_{std::make_unique<State>()} {}
ReplyParser::~ReplyParser() = default;
ReplyParser::ReplyParser(ReplyParser&&) noexcept = default;
ReplyParser& ReplyParser::operator=(ReplyParser&&) noexcept = default;

void ReplyParser::begin(HttpEnd& end) {
  state_->end = &end;
  state_->rest.clear();
  state_->problem.clear();
  state_->taken = 0;
  state_->begin_next();
}

ReplyParser::Progress ReplyParser::take(std::string_view bytes) {
  state_->taken += bytes.size();
  if (state_->taken > kAnswerBytesMax) {
    state_->problem = "the answer is too large";
    return Progress::broken;
  }
  if (state_->rest.empty()) return state_->put(bytes);
  const std::string all = std::exchange(state_->rest, {}).append(bytes);
  return state_->put(all);
}

ReplyParser::Progress ReplyParser::take_end() {
  if (!state_->parser->is_header_done()) {
    state_->problem = has_begun() ? "the answer ended within its head" : "no answer came";
    return Progress::broken;
  }
  error_code error;
  state_->parser->put_eof(error);
  if (!error && state_->parser->is_done()) return Progress::done;
  state_->problem = "the answer ended within its body";
  return Progress::broken;
}

bool ReplyParser::has_begun() const {
  return state_->parser->got_some() || !state_->rest.empty();
}

bool ReplyParser::connection_is_reusable() const {
  // After 101 the peer speaks another protocol.
  return state_->parser->keep_alive() && state_->rest.empty() && state_->end->status != 101;
}

const std::string& ReplyParser::problem() const {
  return state_->problem;
}

}  // namespace vouch::wire
