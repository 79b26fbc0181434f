#include "cli/session.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kAnswerPoll{50};
// One that is being started answers within this; where none runs nobody waits longer.
constexpr Millis kDaemonGrace{3'000};

// {"ok":true,...} as it is, {"ok":false,"code","message","hint"} as the error it is.
Result<std::string> decode_answer(const std::string& text) {
  VOUCH_TRY(const Json json, parse_json(text));
  if (!json.is_object()) return fail(Errc::failure, "vouchd's answer is not understood: " + text);
  if (json.value("ok", false)) return text;
  return fail(errc_of(json.value("code", std::string{"failure"})),
              json.value("message", std::string{"vouchd refused"}),
              json.value("hint", std::string{}));
}

}  // namespace

Session::Session(Parts parts) : parts_{std::move(parts)}, paths_{parts_.settings.value("store")} {}

Result<store::ControlStore*> Session::control() {
  if (!control_) {
    out().detail("store " + paths_.root + ", instance " + instance() + ", account " + account());
    VOUCH_TRY(control_, store::ControlStore::open(paths_));
  }
  return &*control_;
}

Result<store::LedgerView*> Session::ledger() {
  if (!ledger_) {
    VOUCH_TRY(ledger_, store::LedgerView::open(paths_, instance()));
  }
  return &*ledger_;
}

std::string Session::account() const {
  const uid_t uid = ::getuid();
  const passwd* entry = ::getpwuid(uid);
  return entry != nullptr ? entry->pw_name : "uid-" + std::to_string(uid);
}

Result<store::Actor> Session::actor() {
  VOUCH_TRY(store::ControlStore * control_store, control());
  VOUCH_TRY(const store::OperatorRow row, control_store->operator_of_account(account()));
  return store::Actor{row.name, now(), dry_run()};
}

Result<bool> Session::confirm(std::string_view question) {
  if (parts_.options.assume_yes) return true;
  if (!parts_.terminal.in || !parts_.terminal.err) {
    return fail(Errc::usage, "this needs a yes, and nobody can be asked here",
                "add --yes: " + std::string{question});
  }
  std::fprintf(parts_.output.messages(), "%s [y/N] ", std::string{question}.c_str());
  std::fflush(parts_.output.messages());
  std::string line;
  std::getline(std::cin, line);
  const std::string answer = lower_ascii(trim_blanks(line));
  return answer == "y" || answer == "yes";
}

Result<void> Session::require_yes(std::string_view question) {
  VOUCH_TRY(const bool yes, confirm(question));
  if (!yes) return fail(Errc::conflict, "not confirmed; nothing was changed");
  return {};
}

Result<WallTime> Session::time(std::string_view flag, std::string_view text) const {
  auto parsed = parse_time(text, now());
  if (!parsed) return usage(flag, parsed.error());
  return parsed;
}

Result<std::string> Session::read_input(const std::string& path, std::size_t bytes_max) const {
  if (path != "-") return read_file(path, bytes_max);
  VOUCH_TRY(const FileDescriptor file, open_standard_input());
  return read_all(file, name_of_input(path), bytes_max);
}

Result<std::string> Session::ask(store::CommandRow row, Millis timeout) {
  VOUCH_TRY(const store::Actor who, actor());
  if (row.instance.empty()) row.instance = instance();
  if (row.expires == WallTime{}) row.expires = who.now + timeout;
  VOUCH_TRY(store::ControlStore * control_store, control());
  VOUCH_TRY(const std::int64_t id, control_store->add_command(who, std::move(row), random()));
  if (who.dry_run) return std::string{R"({"ok":true,"dry_run":true})"};
  return await_answer(id, timeout);
}

Result<std::string> Session::await_answer(std::int64_t command, Millis timeout) {
  VOUCH_TRY(store::ControlStore * control_store, control());
  const Instant start = parts_.clock.now();
  const Instant deadline = start + timeout;
  Instant look_at = start + std::min(timeout, kDaemonGrace);
  while (true) {
    VOUCH_TRY(const store::CommandRow row, control_store->command(command));
    if (row.answered) return decode_answer(row.answer_json);
    const Instant now_at = parts_.clock.now();
    if (now_at >= look_at) {
      look_at = now_at + kDaemonGrace;
      if (!daemon_runs()) {
        return fail(Errc::unavailable,
                    "no vouchd runs for the instance \"" + instance() + "\" of " + paths_.root,
                    "start it, then ask again; see `vouchctl doctor`");
      }
    }
    if (now_at >= deadline) break;
    sleep_until(parts_.clock, std::min(deadline, now_at + kAnswerPoll));
  }
  return fail(Errc::timed_out, "vouchd has not answered within " + format_duration(timeout),
              "it runs, and may still take the command; see `vouchctl doctor`");
}

DaemonState Session::daemon(std::string_view of_instance) const {
  return look_at_daemon(paths_, of_instance, now());
}

tl::unexpected<Error> usage(std::string_view flag, Error error) {
  error.code = Errc::usage;
  return within(flag, std::move(error));
}

}  // namespace vouch::cli
