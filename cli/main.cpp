// vouchctl: the operator's program.  Reads the line, makes the session, runs one command.
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/files.hpp"

namespace vouch::cli {
namespace {

// One row for each noun or group of top-level commands, in the order of --help.
// clang-format off
constexpr void (*kCommands[])(CommandLine&) = {
    add_store_commands,
    add_operator_commands,
    add_client_commands,
    add_downstream_commands,
    add_campaign_commands,
    add_recipients_commands,
    add_pool_commands,
    add_job_commands,
    add_issuance_commands,
    add_explain_commands,
    add_reconcile_commands,
    add_log_commands,
    add_stop_commands,
    add_doctor_commands,
    add_config_commands,
    add_completion_commands,
};
// clang-format on

// The format that the line asks for, for the errors that come before the line is understood.
Format format_on_line(int argc, const char* const* argv) {
  Format format = Format::table;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    if ((word == "-o" || word == "--output") && i + 1 < argc)
      word = argv[i + 1];
    else if (word.starts_with("--output="))
      word.remove_prefix(9);
    else if (word.starts_with("-o") && word.size() > 2)
      word.remove_prefix(2);
    else
      continue;
    if (const auto known = format_of(word)) format = *known;
  }
  return format;
}

Result<int> run_command(const CommandLine& line, const CommandLine::Parsed& parsed,
                        Output& errors) {
  VOUCH_TRY(Settings settings, Settings::load({.flags = parsed.options.settings,
                                               .config_file = parsed.options.config_file}));
  const Terminal terminal = Terminal::find();
  VOUCH_TRY(const Format format, format_of(settings.value("output")));
  VOUCH_TRY(const Colours colour, colours(settings.value("color"), terminal));
  errors = Output{stdout,
                  stderr,
                  {.format = format,
                   .fields = parsed.options.fields,
                   .quiet = parsed.options.quiet,
                   .verbose = parsed.options.verbose,
                   .data_in_colour = colour.data,
                   .messages_in_colour = colour.messages}};
  SystemClock clock;
  SystemRandom random;
  Session session{{line, parsed.options, std::move(settings), terminal, clock, random, errors}};
  VOUCH_TRY(const int status, parsed.action(session));
  VOUCH_CHECK(errors.finish());
  return status;
}

Result<int> run(int argc, const char* const* argv, Output& output) {
  CommandLine line;
  for (const auto add : kCommands) add(line);
  VOUCH_TRY(const CommandLine::Parsed parsed, line.parse(argc, argv));
  if (parsed.action) return run_command(line, parsed, output);
  output.text(parsed.text);
  VOUCH_CHECK(output.finish());
  return 0;
}

}  // namespace
}  // namespace vouch::cli

int main(int argc, char** argv) {
  using namespace vouch;
  hold_standard_streams();
  // A file that may not grow is an error like a full disk, not the end.
  ::signal(SIGXFSZ, SIG_IGN);
  // What vouchctl makes is for the store's group; for others there is nothing to read.
  ::umask(0007);
  cli::Output output{stdout, stderr, {.format = cli::format_on_line(argc, argv), .fields = {}}};
  try {
    const Result<int> status = cli::run(argc, argv, output);
    if (status) return *status;
    output.error(status.error());
    return exit_code_of(status.error().code);
  } catch (const std::exception& error) {
    output.error({Errc::failure, std::string{"bug: "} + error.what(), "please report it"});
    return exit_code_of(Errc::failure);
  }
}
