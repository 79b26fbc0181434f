#include "daemon/config.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "common/environment.hpp"
#include "common/text.hpp"

namespace vouch::daemon {
namespace {

constexpr const char* kSystemFile = "/etc/vouch/vouchd.conf";
constexpr const char* kFooter = R"(Examples:
  vouchd --store /var/lib/vouch
  vouchd --config ./vouchd.conf --check-config

See vouchd(8), vouchd.conf(5).)";

// A duration option: text like 500ms, kept as Millis.
CLI::Option* add_duration(CLI::App& app, const std::string& name, Millis& target,
                          const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&target](const std::string& text) {
            const auto value = parse_duration(text);
            if (!value || value->count() < 1) {
              throw CLI::ValidationError("\"" + text + "\" is not a duration above nothing");
            }
            target = *value;
          },
          help)
      ->type_name("DURATION")
      ->default_str(format_duration(target))
      ->group("Pace and patience");
}

void add_options(CLI::App& app, Config& config) {
  app.add_option("--store", config.store, "Folder of the store")->capture_default_str();
  app.add_option("--instance", config.instance, "Name of this daemon and of its ledger")
      ->check(CLI::Validator(
          [](std::string& text) {
            const auto checked = plan::check_name("instance", text);
            return checked ? std::string{} : checked.error().message;
          },
          "NAME"))
      ->capture_default_str();
  app.add_option("--admin-listen", config.admin_listen,
                 "Where /livez, /readyz and /metrics are: ADDRESS:PORT, unix:/PATH or none")
      ->capture_default_str();
  app.add_option("--admin-port-file", config.admin_port_file,
                 "File that receives the port once it is bound");
  app.add_option("--anchor-file", config.anchor_file,
                 "File, best on another disk, that tells how far the ledger has come");
  app.add_option("--notify-command", config.notify_command,
                 "Program that is run with one JSON object on its standard input when a person "
                 "should know");
  app.add_option_function<std::string>(
         "--log-format",
         [&config](const std::string& word) {
           config.log_format = word == "text"   ? log::Format::text
                               : word == "json" ? log::Format::json
                                                : log::Format::automatic;
         },
         "How to log: json lines, text, or auto: text on a terminal")
      ->check(CLI::IsMember({"auto", "text", "json"}))
      ->default_str("auto");
  app.add_option("--log-level", config.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_flag("--accept-older-ledger", config.accept_older_ledger,
               "Go on with a ledger that is older than its anchor")
      ->configurable(false);
}

void add_tuning(CLI::App& app, Config& config) {
  service::RetrySettings& retry = config.engine.retry;
  service::BreakerSettings& breaker = config.engine.breaker;
  add_duration(app, "--retry-first", retry.delay_first, "Longest first wait before a repeat");
  add_duration(app, "--retry-max", retry.delay_max, "Longest wait before any repeat");
  add_duration(app, "--breaker-open", breaker.open_first, "First rest of a downstream that ails");
  add_duration(app, "--breaker-open-max", breaker.open_max, "Longest rest");
  add_duration(app, "--breaker-try", breaker.probe_first,
               "Distance of the first calls after a rest");
  add_duration(app, "--setup-probe", config.intake.setup_probe,
               "Distance of probes of a job that is paused for setup");
  app.add_option("--attempts-max", retry.attempts_max,
                 "Answered attempts, each proven not executed, after which a row fails")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->group("Pace and patience");
  app.add_option("--calls-max", config.engine.calls_max, "Calls in flight over all downstreams")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group("Pace and patience");
}

struct Variable {
  const char* name;
  const char* option;
};
constexpr Variable kVariables[] = {
    {"VOUCH_STORE", "--store"},
    {"VOUCH_INSTANCE", "--instance"},
    {"VOUCH_ADMIN_LISTEN", "--admin-listen"},
    {"VOUCH_ANCHOR_FILE", "--anchor-file"},
    {"VOUCH_NOTIFY_COMMAND", "--notify-command"},
    {"VOUCH_LOG_FORMAT", "--log-format"},
    {"VOUCH_LOG_LEVEL", "--log-level"},
};

// The command line, with what the environment says put in where no flag says otherwise: CLI11
// itself would let the file go before the environment.  In reverse, as CLI11 takes it.
std::vector<std::string> arguments(int argc, const char* const* argv) {
  std::vector<std::string> all(argv + 1, argv + argc);
  for (const Variable& variable : kVariables) {
    const std::string option = variable.option;
    const bool given = std::any_of(all.begin(), all.end(), [&](const std::string& word) {
      return word == option || word.starts_with(option + "=");
    });
    const auto value = environment(variable.name);
    if (!given && value) all.push_back(option + "=" + *value);
  }
  std::reverse(all.begin(), all.end());
  return all;
}

// CLI11 lists unknown keys of the file; the neighbour is ours.
std::string with_neighbour(const CLI::App& app, const std::string& message) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  }
  std::string word = message.substr(message.find_last_of(" [") + 1);
  while (!word.empty() && (word.back() == ']' || word.back() == '\n')) word.pop_back();
  word.erase(0, word.find_first_not_of('-'));
  const std::string near = nearest(word, known);
  return near.empty() ? "see vouchd --help" : "did you mean \"" + near + "\"?";
}

}  // namespace

tl::expected<Config, EarlyExit> read_config(int argc, const char* const* argv) {
  Config config;
  CLI::App app{"The daemon of Vouch: drains jobs with paced, re-entrant calls", "vouchd"};
  app.footer(kFooter);
  app.set_config("--config", kSystemFile, "Configuration file");
  app.allow_config_extras(CLI::config_extras_mode::error);
  add_options(app, config);
  add_tuning(app, config);
  bool check = false;
  bool version = false;
  app.add_flag("--check-config", check, "Check the configuration, print nothing when it is good")
      ->configurable(false);
  app.add_flag("--version", version, "Print the version")->configurable(false);
  try {
    app.parse(arguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = app.exit(error, out, err);
    if (code == 0) return tl::unexpected(EarlyExit{0, out.str(), ""});
    const std::string what = error.what();
    return tl::unexpected(
        EarlyExit{2, "", "error: " + what + "\nhint: " + with_neighbour(app, what) + "\n"});
  }
  if (check) config.action = Config::Action::check;
  if (version) config.action = Config::Action::show_version;
  if (config.anchor_file.empty()) {
    config.anchor_file = config.store + "/control/anchor-" + config.instance + ".json";
  }
  return config;
}

}  // namespace vouch::daemon
