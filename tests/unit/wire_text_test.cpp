// The words of HTTP without a network: where a URL leads, what is written there, what an answer's
// bytes mean however they are cut, and which addresses lie in a network.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/wire/network.hpp"
#include "common/wire/reply_parser.hpp"
#include "common/wire/request_text.hpp"

using namespace vouch;
using namespace vouch::wire;
using Progress = ReplyParser::Progress;

namespace {

const std::string kOk = "HTTP/1.1 200 OK\r\n";

std::string with_length(std::size_t bytes) {
  return kOk + "Content-Length: " + std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'b');
}

std::string chunk(std::size_t bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes);
  return size + std::string(bytes, 'c') + "\r\n";
}

struct Read {
  Progress progress = Progress::more;
  bool at_end = false;  // only the peer's end completed it
  bool is_reusable = false;
  HttpEnd end;
  std::string problem;
};

// Parts of `bytes` that are `size` long, after a first one of `first`; then the end of the stream.
Read read(std::string_view bytes, std::size_t first, std::size_t size) {
  Read read;
  ReplyParser parser;
  parser.begin(read.end);
  std::size_t part = first;
  while (!bytes.empty() && read.progress == Progress::more) {
    read.progress = parser.take(bytes.substr(0, part));
    bytes.remove_prefix(std::min(part, bytes.size()));
    part = size;
  }
  if (read.progress == Progress::more) {
    read.at_end = true;
    read.progress = parser.take_end();
  }
  if (read.progress == Progress::done) {
    read.is_reusable = bytes.empty() && parser.connection_is_reusable();
  }
  read.problem = parser.problem();
  return read;
}

std::string brief(const Read& read) {
  if (read.progress == Progress::broken) return "broken";
  return std::to_string(read.end.status) + " " + read.end.body + (read.at_end ? " eof" : "") +
         (read.is_reusable ? " reusable" : "");
}

// Whole, byte by byte, and in two parts cut at every place.
void check_cut_everywhere(const std::string& bytes, const std::string& want) {
  CHECK(brief(read(bytes, bytes.size(), 1)) == want);
  CHECK(brief(read(bytes, 1, 1)) == want);
  for (std::size_t first = 1; first < bytes.size(); ++first) {
    CAPTURE(first);
    CHECK(brief(read(bytes, first, bytes.size())) == want);
  }
}

}  // namespace

// Goal: an answer means the same however the network cuts it.
TEST_CASE("reply_parser: an answer is read exactly, however it is cut") {
  struct Case {
    std::string name;
    std::string bytes;
    std::string want;  // status, body, "eof" when the end completed it, "reusable"
  };
  const Case cases[] = {
      {"length", kOk + "Content-Length: 2\r\n\r\nhi", "200 hi reusable"},
      {"no body", kOk + "Content-Length: 0\r\n\r\n", "200  reusable"},
      {"no reason phrase", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", "200 hi reusable"},
      {"chunked", kOk + "Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;a=b\r\ni\r\n0\r\n\r\n",
       "200 hi reusable"},
      {"chunked without a chunk", kOk + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "200  reusable"},
      {"chunked with a trailer",
       kOk + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
       "200 hi reusable"},
      {"until the end", kOk + "\r\nhi", "200 hi eof"},
      {"until the end, empty", kOk + "\r\n", "200  eof"},
      {"until the end, a coding of old", kOk + "Transfer-Encoding: gzip\r\n\r\nhi", "200 hi eof"},
      {"close", kOk + "Connection: close\r\nContent-Length: 2\r\n\r\nhi", "200 hi"},
      {"close among others", kOk + "Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi", "200 hi"},
      {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 hi"},
      {"1.0 that keeps alive",
       "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
       "200 hi reusable"},
      {"204", "HTTP/1.1 204 No Content\r\n\r\n", "204  reusable"},
      {"304 tells a length and has no body", "HTTP/1.1 304 Old\r\nContent-Length: 9\r\n\r\n",
       "304  reusable"},
      {"100 before", "HTTP/1.1 100 Continue\r\n\r\n" + with_length(2), "200 bb reusable"},
      {"several before",
       "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\nRetry-After: 9\r\nContent-Type: "
       "a/b\r\n\r\n" +
           with_length(2),
       "200 bb reusable"},
      {"only an announcement", "HTTP/1.1 100 Continue\r\n\r\n", "broken"},
      {"another protocol", "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
       "101 "},
      {"a second answer behind", with_length(2) + with_length(3), "200 bb"},
      {"one byte behind", with_length(2) + "x", "200 bb"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    check_cut_everywhere(c.bytes, c.want);
  }
}

TEST_CASE("reply_parser: what is no whole answer is broken, however it is cut") {
  struct Case {
    std::string name;
    std::string bytes;
  };
  const Case cases[] = {
      {"nothing", ""},
      {"half a status line", "HTTP/1."},
      {"half a head", kOk + "Content-Len"},
      {"half a body", kOk + "Content-Length: 3\r\n\r\nhi"},
      {"half a chunk", kOk + "Transfer-Encoding: chunked\r\n\r\n3\r\nhi"},
      {"no last chunk", kOk + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"},
      {"half a last chunk", kOk + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"},
      {"another version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
      {"another protocol at all", "220 mail ready\r\n"},
      {"a page without a head", "<html></html>\r\n\r\n"},
      {"status of two digits", "HTTP/1.1 20 OK\r\n\r\n"},
      {"lines that end in LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"},
      {"two lengths that differ", kOk + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhix"},
      {"a list of lengths that differ", kOk + "Content-Length: 2, 3\r\n\r\nhix"},
      {"length and chunks", kOk + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi"},
      {"chunks and length", kOk + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi"},
      {"length below nought", kOk + "Content-Length: -1\r\n\r\n"},
      {"length with a sign", kOk + "Content-Length: +2\r\n\r\nhi"},
      {"length too large for a number", kOk + "Content-Length: 18446744073709551618\r\n\r\nhi"},
      {"chunk too large for a number",
       kOk + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n"},
      {"chunk without a size", kOk + "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n"},
      {"chunk longer than told", kOk + "Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n"},
      {"a field's name with a blank", kOk + "Content-Length : 2\r\n\r\nhi"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    check_cut_everywhere(c.bytes, "broken");
  }
}

TEST_CASE("reply_parser: fields come from the answer's head alone") {
  const auto whole = [](const std::string& bytes) { return read(bytes, bytes.size(), 1).end; };
  const HttpEnd plain = whole(
      "HTTP/1.1 429 Slow\r\nretry-after:  7 \r\nContent-TYPE: a/b; c=d\r\n"
      "Content-Length: 0\r\n\r\n");
  CHECK(plain.retry_after == "7");
  CHECK(plain.content_type == "a/b; c=d");

  const HttpEnd announced =
      whole("HTTP/1.1 103 Hints\r\nRetry-After: 9\r\nContent-Type: a/b\r\n\r\n" + with_length(0));
  CHECK(announced.retry_after.empty());
  CHECK(announced.content_type.empty());

  const HttpEnd trailed = whole(
      "HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n"
      "0\r\nRetry-After: 9\r\nContent-Type: a/b\r\n\r\n");
  CHECK(trailed.retry_after == "7");
  CHECK(trailed.content_type.empty());
}

// Goal: no peer makes us keep or read without end.
TEST_CASE("reply_parser: everything has a bound") {
  const std::string chunked = kOk + "Transfer-Encoding: chunked\r\n\r\n";
  struct Case {
    std::string name;
    std::string bytes;
    bool is_good;
  };
  const Case cases[] = {
      {"a body of the most bytes", with_length(kReplyBytesMax), true},
      {"one more", with_length(kReplyBytesMax + 1), false},
      {"chunks of the most bytes", chunked + chunk(kReplyBytesMax - 1) + chunk(1) + "0\r\n\r\n",
       true},
      {"one more", chunked + chunk(kReplyBytesMax) + chunk(1) + "0\r\n\r\n", false},
      {"until the end, the most bytes", kOk + "\r\n" + std::string(kReplyBytesMax, 'b'), true},
      {"one more", kOk + "\r\n" + std::string(kReplyBytesMax + 1, 'b'), false},
      {"a head of 30 KiB",
       kOk + "X: " + std::string(30 * 1024, 'x') + "\r\nContent-Length: 0\r\n\r\n", true},
      {"a head of 40 KiB",
       kOk + "X: " + std::string(40 * 1024, 'x') + "\r\nContent-Length: 0\r\n\r\n", false},
  };
  for (const Case& c : cases) {
    for (const std::size_t part : {std::size_t{4096}, c.bytes.size()}) {
      CAPTURE(c.name);
      CAPTURE(part);
      const Read whole = read(c.bytes, part, part);
      CHECK((whole.progress == Progress::done) == c.is_good);
      CHECK(whole.end.body.size() <= kReplyBytesMax);
    }
  }
}

TEST_CASE("reply_parser: what never ends is broken off") {
  struct Case {
    std::string name;
    std::string start;
    std::string again;
    bool is_one_line = false;
  };
  const std::string chunked = kOk + "Transfer-Encoding: chunked\r\n\r\n";
  const Case cases[] = {
      {"announcements", "", "HTTP/1.1 102 Processing\r\n\r\n"},
      {"fields, each in a packet", kOk, "X-Field: 0123456789\r\n"},
      {"one field", kOk + "X: ", "0123456789", true},
      {"a chunk's extension", chunked + "1;a=", "0123456789", true},
      {"trailers", chunked + "0\r\n", "X-Field: 0123456789\r\n", true},
      {"chunks of one byte with long extensions", chunked,
       "1;a=" + std::string(4000, 'e') + "\r\nc\r\n"},
      {"a chunk's size in noughts", chunked, "0000000000", true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    HttpEnd end;
    ReplyParser parser;
    parser.begin(end);
    Progress progress = parser.take(c.start.empty() ? c.again : c.start);
    std::size_t taken = c.start.size();
    for (; progress == Progress::more && taken < 8 * kReplyBytesMax; taken += c.again.size()) {
      progress = parser.take(c.again);
    }
    CHECK(progress == Progress::broken);
    CHECK(taken <= 3 * kReplyBytesMax);
    if (c.is_one_line) CHECK(taken <= 64 * 1024);  // what is kept is copied with each packet
  }
}

TEST_CASE("request_text: a URL leads to one place or is refused") {
  struct Case {
    std::string url;
    std::string want;  // scheme host port authority path; empty: refused
  };
  const Case cases[] = {
      {"http://h", "http h 80 h /"},
      {"https://h", "https h 443 h /"},
      {"http://h:8080/a/b?c=d&e", "http h 8080 h:8080 /a/b?c=d&e"},
      {"http://h?c=d", "http h 80 h /?c=d"},
      {"http://h/a#part", "http h 80 h /a"},
      {"http://h#part", "http h 80 h /"},
      {"http://h/a@b", "http h 80 h /a@b"},
      {"http://[::1]:81/a", "http ::1 81 [::1]:81 /a"},
      {"https://[fe80::1]", "https fe80::1 443 [fe80::1] /"},
      {"http://10.0.0.1", "http 10.0.0.1 80 10.0.0.1 /"},
      {"", ""},
      {"h", ""},
      {"ftp://h", ""},
      {"HTTPS://h", "https h 443 h /"},
      {"http:/h", ""},
      {"http://", ""},
      {"http:///a", ""},
      {"http://:80/", ""},
      {"http://user@h/", ""},
      {"http://user:secret@h/", ""},
      {"http://h:/", ""},
      {"http://h:0/", ""},
      {"http://h:65536/", ""},
      {"http://h:-1/", ""},
      {"http://h:+80/", ""},
      {"http://h:80x/", ""},
      {"http://h:a:80/", ""},
      {"http://::1/", ""},
      {"http://[::1/", ""},
      {"http://[]/", ""},
      {"http://[::1]x/", ""},
      {"http://[::1]x:80/", ""},
      {"http://h/a b", ""},
      {"http://h/a\r\nX: y", ""},
      {"http://h/\x7f", ""},
      {"http://h/\xc3\xa4", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.url);
    const auto target = parse_target(c.url);
    std::string got;
    if (target) {
      got = std::string{target->tls ? "https " : "http "} + target->host + " " + target->port +
            " " + target->authority + " " + target->path;
    }
    CHECK(got == c.want);
  }
}

TEST_CASE("request_text: head and body, to the byte") {
  const Target target = parse_target("http://h:8080/a?b=c").value();
  HttpCall call;
  call.headers = {"Content-Type: application/json", "X-Empty:", "X-High: \xc3\xa4"};
  call.body = "{}\r\n";
  CHECK(request_text(target, call).value() ==
        "POST /a?b=c HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: vouch/" VOUCH_VERSION
        "\r\nContent-Type: application/json\r\nX-Empty:\r\nX-High: \xc3\xa4\r\n"
        "Content-Length: 4\r\n\r\n{}\r\n");
  call.body.clear();
  call.headers.clear();
  CHECK(request_text(target, call).value() ==
        "POST /a?b=c HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: vouch/" VOUCH_VERSION
        "\r\nContent-Length: 0\r\n\r\n");
  call.get = true;
  CHECK(request_text(target, call).value() ==
        "GET /a?b=c HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: vouch/" VOUCH_VERSION "\r\n\r\n");
  call.body = "GET /b HTTP/1.1\r\n\r\n";
  CHECK_FALSE(request_text(target, call));
}

TEST_CASE("request_text: a header that would change the request is refused") {
  const Target target = parse_target("http://h/").value();
  using namespace std::string_literals;
  const std::string cases[] = {
      "X: a\r\nY: b",
      "X: a\nY: b",
      "X: a\rY",
      "X: a\0b"s,
      "X: a\tb",
      "X: \x7f",
      "X\r\nY: b",
      "",
      ": a",
      "X",
      "X : a",
      " X: a",
      "X Y: a",
      "X\xc3\xa4: a",
      // These are the client's own: a second one is a second opinion on where the request ends.
      "Host: other",
      "content-length: 5",
      "Transfer-Encoding: chunked",
      "Connection: close",
      "Expect: 100-continue",
      "Upgrade: h2c",
      "TE: trailers",
  };
  for (const std::string& header : cases) {
    CAPTURE(header);
    HttpCall call;
    call.headers = {header};
    const auto text = request_text(target, call);
    REQUIRE_FALSE(text);
    CHECK(text.error().code == Errc::invalid);
  }
  HttpCall call;
  call.headers = {"Authorization: Bearer secret\n"};
  CHECK(request_text(target, call).error().message.find("secret") == std::string::npos);
}

TEST_CASE("network: an address lies in a network or does not") {
  struct Case {
    std::string address;
    std::string cidr;
    bool want;
  };
  const Case cases[] = {
      {"10.1.2.3", "10.0.0.0/8", true},
      {"11.1.2.3", "10.0.0.0/8", false},
      {"10.1.2.3", "10.1.2.3", true},
      {"10.1.2.4", "10.1.2.3", false},
      {"10.1.2.3", "10.1.2.3/32", true},
      {"10.1.2.3", "0.0.0.0/0", true},
      {"10.1.2.127", "10.1.2.0/25", true},
      {"10.1.2.128", "10.1.2.0/25", false},
      {"10.1.3.255", "10.1.2.0/23", true},
      {"10.1.4.0", "10.1.2.0/23", false},
      {"10.1.2.3", "10.1.2.255/24", true},  // bits beyond the mask say nothing
      {"::1", "::1", true},
      {"::1", "::1/128", true},
      {"::2", "::1/128", false},
      {"2001:db8:1::5", "2001:db8::/32", true},
      {"2001:db9::5", "2001:db8::/32", false},
      {"2001:db8:7fff::", "2001:db8::/33", true},
      {"2001:db8:8000::", "2001:db8::/33", false},
      {"10.1.2.3", "::/0", false},
      {"::1", "0.0.0.0/0", false},
      {"", "10.0.0.0/8", false},
      {"name", "10.0.0.0/8", false},
      {"10.1.2.3", "", false},
      {"10.1.2.3", "/8", false},
      {"10.1.2.3", "10.0.0.0/", false},
      {"10.1.2.3", "10.0.0.0/33", false},
      {"10.1.2.3", "10.0.0.0/-1", false},
      {"10.1.2.3", "10.0.0.0/+8", false},
      {"10.1.2.3", "10.0.0.0/8 ", false},
      {"10.1.2.3", "10.0.0.0/8/8", false},
      {"10.1.2.3", "10.0.0/8", false},
      {"::1", "::1/129", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.address);
    CAPTURE(c.cidr);
    CHECK(in_network(c.address, c.cidr) == c.want);
  }
}
