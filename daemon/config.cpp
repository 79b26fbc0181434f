#include "daemon/config.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <sstream>

#include "common/environment.hpp"
#include "common/files.hpp"
#include "common/text.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::daemon {
namespace {

constexpr const char* kSystemFile = "/etc/vouch/vouchd.conf";
constexpr std::string_view kUnknownKey = "INI was not able to parse ";  // as CLI11 2.1 puts it
constexpr std::size_t kPasswordBytesMax = 4096;
constexpr const char* kFooter = R"(Examples:
  vouchd --store /var/lib/vouch
  vouchd --config ./vouchd.conf --check-config

See vouchd(8), vouchd.conf(5).)";

// A section is the beginning of the keys below it: `[notify]` and `command = x` say
// `notify-command = x`.
class SectionedFile final : public CLI::ConfigBase {
 public:
  [[nodiscard]] std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> entries = CLI::ConfigBase::from_config(input);
    // CLI11 marks where a section begins and ends by entries of these names.
    std::erase_if(entries, [](const auto& item) { return item.name == "++" || item.name == "--"; });
    for (CLI::ConfigItem& item : entries) {
      for (auto part = item.parents.rbegin(); part != item.parents.rend(); ++part) {
        item.name.insert(0, *part + "-");
      }
      item.parents.clear();
    }
    return entries;
  }
};

// A duration option: text like 500ms, kept as Millis.
CLI::Option* add_duration(CLI::App& app, const std::string& name, Millis& target,
                          const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [&target, name](const std::string& text) {
            const auto value = parse_duration(text);
            if (!value || value->count() < 1) {
              throw CLI::ValidationError(
                  name, "\"" + text + "\" is not a duration above nothing, such as 500ms or 5m");
            }
            target = *value;
          },
          help)
      ->type_name("DURATION")
      ->default_str(format_duration(target))
      ->group("Pace and patience");
}

void add_redis(CLI::App& app, Config& config) {
  app.add_option_function<std::string>(
         "--redis",
         [&config](const std::string& text) {
           auto address = wire::parse_redis_address(text);
           if (!address) {
             throw CLI::ValidationError("--redis",
                                        address.error().message + "; " + address.error().hint);
           }
           config.redis = std::move(*address);
         },
         "Redis that holds the locks: redis://HOST:PORT/DB, unix:/PATH or "
         "sentinel://HOST:PORT,.../MASTER")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--redis-password-file",
         [&config](const std::string& path) {
           auto text = read_file(path, kPasswordBytesMax);
           if (!text) throw CLI::ValidationError("--redis-password-file", text.error().message);
           config.redis_password = trim_blanks(*text);
           if (config.redis_password.empty()) {
             throw CLI::ValidationError("--redis-password-file", path + " is empty");
           }
         },
         "File with the password of Redis")
      ->type_name("FILE");
}

void add_options(CLI::App& app, Config& config) {
  app.add_option("--store", config.store, "Folder of the store")
      ->check(CLI::Validator(
          [](std::string& text) { return text.empty() ? "is empty" : std::string{}; }, "FOLDER"))
      ->capture_default_str();
  app.add_option("--instance", config.instance, "Name of this daemon and of its ledger")
      ->check(CLI::Validator(
          [](std::string& text) {
            const auto checked = plan::check_name("instance", text);
            return checked ? std::string{} : "\"" + text + "\" is no name: " + checked.error().hint;
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
  app.add_option_function<std::string>(
         "--downstream-authorities",
         [&config](const std::string& path) {
           auto text = wire::read_authorities(path);
           if (!text) throw CLI::ValidationError("--downstream-authorities", text.error().message);
           config.downstream_authorities = std::move(*text);
         },
         "File of certificates, in PEM, of authorities that downstreams may have theirs from "
         "besides the system's")
      ->type_name("FILE");
  add_redis(app, config);
  app.add_option("--pool-key", config.pool_key,
                 "File with the key of the pools' codes; needed once there is a pool")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_option("--notify-command", config.notify_command,
                 "Program that is run with one JSON object on its standard input when a person "
                 "should know")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.starts_with('/') ? std::string{} : "\"" + text + "\" does not begin with /";
          },
          "PATH"));
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
               "Go on with a ledger that is older than its anchor, or a restored backup; its open "
               "jobs are paused")
      ->configurable(false);
  app.add_flag("--accept-clock", config.accept_clock,
               "Go on although the clock is behind the ledger's newest event")
      ->configurable(false);
  app.add_flag("--accept-older-control", config.accept_older_control,
               "Go on with a control store that is older than the ledger")
      ->configurable(false);
}

void add_control_socket(CLI::App& app, Config& config) {
  app.add_option("--control-socket", config.control_socket,
                 "Where proposals are confirmed: a path, or none; else beside the ledger")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.starts_with('/') || text == "none"
                       ? std::string{}
                       : "\"" + text + "\" is neither none nor begins with /";
          },
          "PATH"));
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
  add_duration(app, "--lock-life", config.engine.lock.life_min,
               "Shortest life of a lock that is not renewed");
  add_duration(app, "--lock-margin", config.engine.lock.margin,
               "How much longer than its timeout a call may take, all in all");
  add_duration(app, "--query-apart", retry.query_apart,
               "Distance of the two answers \"not found\" that are believed");
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
    {"VOUCH_CONTROL_SOCKET", "--control-socket"},
    {"VOUCH_DOWNSTREAM_AUTHORITIES", "--downstream-authorities"},
    {"VOUCH_POOL_KEY", "--pool-key"},
    {"VOUCH_NOTIFY_COMMAND", "--notify-command"},
    {"VOUCH_REDIS", "--redis"},
    {"VOUCH_REDIS_PASSWORD_FILE", "--redis-password-file"},
    {"VOUCH_LOG_FORMAT", "--log-format"},
    {"VOUCH_LOG_LEVEL", "--log-level"},
};

bool is_said(const std::vector<std::string>& words, const std::string& option) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == option || word.starts_with(option + "=");
  });
}

// The command line, with what the environment says put in where no flag says otherwise: CLI11
// itself would let the file go before the environment.
std::vector<std::string> arguments(int argc, const char* const* argv) {
  std::vector<std::string> all(argv + 1, argv + argc);
  for (const Variable& variable : kVariables) {
    const std::string option = variable.option;
    const bool given = is_said(all, option);
    const auto value = environment(variable.name);
    // In front: behind, it would be taken for the value of an option that lacks its own.
    if (!given && value && !value->empty()) all.insert(all.begin(), option + "=" + *value);
  }
  return all;
}

// The known option nearest to the last word of a message about an unknown one.
std::string neighbour(const CLI::App& app, const std::string& message) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  }
  std::string word = message.substr(message.find_last_of(" [") + 1);
  while (!word.empty() && (word.back() == ']' || word.back() == '\n')) word.pop_back();
  word.erase(0, word.find_first_not_of('-'));
  return nearest(word, known);
}

// What CLI11 found, with the file it stands in, and what to do about it.
EarlyExit refusal(const CLI::App& app, const std::vector<std::string>& words,
                  const CLI::ParseError& error) {
  const std::string file = app.get_config_ptr()->as<std::string>();
  std::string what = error.what();
  const std::string near = neighbour(app, what);
  std::string hint = near.empty() ? "see vouchd --help" : "did you mean \"" + near + "\"?";
  if (error.get_name() == "ConfigError") {
    if (what.starts_with(kUnknownKey)) {
      what = "unknown key \"" + what.substr(kUnknownKey.size()) + "\"";
      if (near.empty()) hint = "vouchd.conf(5) has the keys";
    } else {
      hint = "give it on the command line of one start";
    }
    what.insert(0, file + ": ");
  } else if (error.get_name() == "FileError") {
    hint = "--config must name a file that is there and may be read";
  } else if (what.starts_with("--") && !is_said(words, what.substr(0, what.find(':')))) {
    // Nobody said it here, so the file does.
    what.replace(0, 2, file + ": ");
    hint = "vouchd.conf(5) says what the key takes";
    if (error.get_name() == "ArgumentMismatch") {
      hint = "a key stands once; a value with a blank or comma stands in quotes";
    }
  } else if (what.ends_with(" missing")) {
    what = what.substr(0, what.find(':')) + ": needs a value";
  }
  return {2, "", "error: " + what + "\nhint: " + hint + "\n"};
}

}  // namespace

tl::expected<Config, EarlyExit> read_config(int argc, const char* const* argv) {
  Config config;
  CLI::App app{"The daemon of Vouch: drains jobs with paced, re-entrant calls", "vouchd"};
  app.footer(kFooter);
  app.set_config("--config", kSystemFile, "Configuration file");
  app.config_formatter(std::make_shared<SectionedFile>());
  app.allow_config_extras(CLI::config_extras_mode::error);
  add_options(app, config);
  add_control_socket(app, config);
  add_tuning(app, config);
  bool check = false;
  bool version = false;
  app.add_flag("--check-config", check, "Check the configuration, print nothing when it is good")
      ->configurable(false);
  app.add_flag("--version", version, "Print the version")->configurable(false);
  const std::vector<std::string> words = arguments(argc, argv);
  try {
    app.parse(
        std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 takes the last first
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    if (app.exit(error, out, err) == 0) return tl::unexpected(EarlyExit{0, out.str(), ""});
    return tl::unexpected(refusal(app, words, error));
  }
  if (check) config.action = Config::Action::check;
  if (version) config.action = Config::Action::show_version;
  if (config.anchor_file.empty()) {
    config.anchor_file = config.store + "/control/anchor-" + config.instance + ".json";
  }
  return config;
}

}  // namespace vouch::daemon
