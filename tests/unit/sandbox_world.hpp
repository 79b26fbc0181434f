// sandbox_world.hpp: a sandbox, its clock and its callers in one thread.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "common/json.hpp"
#include "examples/sandbox/sandbox.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

struct SandboxWorld {
  explicit SandboxWorld(sandbox::SandboxConfig with = {}) : config{std::move(with)} {
    config.journal_folder = folder / "journal";
    open();
  }
  void open() { box = sandbox::Sandbox::open(config, clock).value(); }
  // As a new process on the same journals.
  void restart() {
    box.reset();
    open();
  }
  void step() { (void)box->run_once(Millis{1}); }
  bool until(const std::function<bool()>& done) {
    return test::until(done, [&] { step(); });
  }
  void settle() {
    for (int round = 0; round < 20; ++round) step();
  }
  [[nodiscard]] RawClient client() const { return RawClient{box->port()}; }

  // Sends and waits for one whole answer; its text, head and body.
  std::string ask(RawClient& client, const std::string& request) {
    client.received.clear();
    client.send(request);
    CHECK(answered(client));
    return client.received;
  }
  std::string ask(const std::string& request) {
    RawClient once = client();
    return ask(once, request);
  }
  // A whole answer has come, or the connection has ended.
  bool answered(RawClient& client) {
    return until([&] {
      client.read_available();
      return is_whole(client.received) || client.end != RawClient::End::none;
    });
  }
  bool ended(RawClient& client) {
    return until([&] {
      client.read_available();
      return client.end != RawClient::End::none;
    });
  }
  static bool is_whole(const std::string& answer) {
    const auto head_end = answer.find("\r\n\r\n");
    if (head_end == std::string::npos) return false;
    const auto length = answer.find("Content-Length: ");
    if (length == std::string::npos) return answer.ends_with("0\r\n\r\n");
    return answer.size() >= head_end + 4 + std::stoul(answer.substr(length + 16));
  }
  static int status(const std::string& answer) {
    return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3));
  }
  static std::string body(const std::string& answer) {
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }
  static Json json(const std::string& answer) { return parse_json(body(answer)).value(); }

  void faults(const std::string& document) { CHECK(status(ask(put("/faults", document))) == 200); }
  [[nodiscard]] Json stats(const std::string& service = "coupons") {
    return json(ask(get("/stats")))[service];
  }

  static std::string post(const std::string& path, const std::string& text,
                          const std::string& headers = "") {
    return message("POST", path, text, headers);
  }
  static std::string put(const std::string& path, const std::string& text) {
    return message("PUT", path, text, "");
  }
  static std::string get(const std::string& path) { return message("GET", path, "", ""); }
  static std::string message(const std::string& method, const std::string& path,
                             const std::string& text, const std::string& headers) {
    return method + " " + path + " HTTP/1.1\r\nHost: h\r\n" + headers +
           "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
  }
  // A call as vouchd makes it; key and request id are one.
  static std::string call(const std::string& id, const std::string& recipient = "u-1",
                          const std::string& path = "/coupons") {
    return post(path,
                "{\"request_id\":\"" + id + "\",\"recipient_id\":\"" + recipient +
                    "\",\"campaign\":\"cmp_1\",\"item\":\"gift\",\"amount_minor\":500,"
                    "\"currency\":\"CNY\"}",
                "Idempotency-Key: " + id + "\r\n");
  }

  // The journal's lines without the header.
  [[nodiscard]] std::vector<std::string> journal(const std::string& name = "coupons.csv") const {
    std::ifstream file{config.journal_folder + "/" + name};
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    if (!lines.empty()) lines.erase(lines.begin());
    return lines;
  }

  TemporaryFolder folder;
  ManualClock clock;
  sandbox::SandboxConfig config;
  std::unique_ptr<sandbox::Sandbox> box;
};

}  // namespace vouch::test
