#include "cli/command_line.hpp"

#include <CLI/CLI.hpp>

#include "common/text.hpp"

namespace vouch::cli {

struct CommandTree {
  CLI::App app{"Vouch issues vouchers in bulk and safely."};
  GlobalOptions options;
  Action chosen;
  bool version = false;
  std::map<const CLI::Option*, std::vector<std::string>> choices;  // the words of each one_of
};

namespace {

// A choice of words stands behind its option where it is short, else in the words of its help.
constexpr std::size_t kChoiceBytesMax = 40;

CLI::App& app_of(void* app) {
  return *static_cast<CLI::App*>(app);
}

// CLI11 knows errors as exceptions; they are caught in CommandLine::parse.
template <typename T>
T value_or_throw(const std::string& flags, Result<T> result) {
  if (result) return std::move(*result);
  std::string why = result.error().message;
  if (!result.error().hint.empty()) why += " (" + result.error().hint + ")";
  throw CLI::ValidationError(flags, why);
}

std::string last_flag(const std::string& flags) {
  const auto comma = flags.rfind(',');
  return comma == std::string::npos ? flags : flags.substr(comma + 1);
}

std::string path_of(const CLI::App* app) {
  if (app->get_parent() == nullptr) return app->get_name();
  return path_of(app->get_parent()) + " " + app->get_name();
}

// Help that says what people look for first, in the words of the manual.
class Formatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string out;
    if (option->get_items_expected_max() > 0) out += " " + option->get_type_name();
    return out;
  }
  std::string make_usage(const CLI::App* app, std::string) const override {
    return "\n" + CLI::Formatter::make_usage(app, path_of(app));
  }
  // Of a command below: its summary, which is the first line of what it says itself.
  std::string make_subcommand(const CLI::App* app) const override {
    std::ostringstream out;
    const std::string text = app->get_description();
    CLI::detail::format_help(out, app->get_name(), text.substr(0, text.find('\n')),
                             get_column_width());
    return out.str();
  }
  std::string make_footer(const CLI::App* app) const override {
    const std::string footer = app->get_footer();
    return footer.empty() ? footer : footer + "\n";
  }
};

void add_setting(CLI::App& app, GlobalOptions& options, const std::string& flags,
                 const std::string& key, const std::string& metavar, const std::string& help) {
  app.add_option_function<std::string>(
         flags, [&options, key](const std::string& value) { options.settings[key] = value; }, help)
      ->type_name(metavar)
      ->group("Options of every command");
}

void add_global_options(CLI::App& app, GlobalOptions& options, bool& version) {
  const std::string group = "Options of every command";
  add_setting(app, options, "--store", "store", "FOLDER", "the store to work on");
  add_setting(app, options, "--instance", "instance", "NAME", "the vouchd that drains (main)");
  add_setting(app, options, "-o,--output", "output", "FORMAT",
              "table, wide, json, ndjson, csv or name");
  add_setting(app, options, "--color", "color", "WHEN", "auto, always or never");
  app.add_option("--fields", options.fields, "only these fields, in this order: a,b")
      ->delimiter(',')
      ->type_name("FIELDS")
      ->group(group);
  app.add_option("--config", options.config_file, "read this file before the system's")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("-y,--yes", options.assume_yes, "answer every question with yes")->group(group);
  app.add_flag("-q,--quiet", options.quiet, "say nothing on success")->group(group);
  app.add_flag("-v,--verbose", options.verbose, "say more, and progress without a terminal")
      ->group(group);
  app.add_flag("--version", version, "print the version")->group(group);
}

const CLI::App* deepest(const CLI::App* app) {
  while (true) {
    const auto below = app->get_subcommands();
    if (below.empty()) return app;
    app = below.front();
  }
}

// The words that could have been meant at `app`: commands below it, or options.
std::vector<std::string> known_words(const CLI::App* app, bool options) {
  std::vector<std::string> words;
  if (!options) {
    for (const CLI::App* below : app->get_subcommands([](const CLI::App*) { return true; })) {
      if (!below->get_group().empty()) words.push_back(below->get_name());
    }
    return words;
  }
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  }
  return words;
}

// A word that nothing knows.  CLI11 may report what is missing instead; the unknown word is
// nearer to the mistake.
std::optional<Error> unknown_word(const CLI::App& root, const CLI::App* at) {
  const std::vector<std::string> extra = root.remaining(true);
  if (extra.empty()) return std::nullopt;
  const std::string word = extra.front().substr(0, extra.front().find('='));
  const bool is_option = word.size() > 1 && word[0] == '-';
  const bool has_commands = !known_words(at, false).empty();
  const std::string near = nearest(word, known_words(at, is_option));
  Error error{Errc::usage, "", "see `" + path_of(at) + " --help`"};
  if (is_option) {
    error.message = "unknown option \"" + word + "\"";
  } else if (has_commands) {
    error.message = "unknown command \"" + path_of(at) + " " + word + "\"";
  } else {
    error.message = "unexpected argument \"" + extra.front() + "\"";
  }
  if (!near.empty()) error.hint = "did you mean \"" + near + "\"?";
  return error;
}

Error usage_error(const CLI::App& root, const CLI::ParseError& parse_error) {
  const CLI::App* at = deepest(&root);
  if (auto unknown = unknown_word(root, at)) return std::move(*unknown);
  std::string message = parse_error.what();
  if (!known_words(at, false).empty()) {
    message = "a command is missing after \"" + path_of(at) + "\"";
  } else if (!message.empty() && message.rfind("--", 0) != 0) {
    const bool acronym = message.size() > 1 && std::isupper(static_cast<unsigned char>(message[1]));
    if (!acronym)
      message[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(message[0])));
  }
  return {Errc::usage, message, "see `" + path_of(at) + " --help`"};
}

CommandInfo info_of(const CommandTree& tree, const CLI::App& app, const std::string& path) {
  CommandInfo info;
  info.path = path;
  info.summary = app.get_description().substr(0, app.get_description().find('\n'));
  info.leaf = known_words(&app, false).empty();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) info.arguments.push_back(option->get_name(true));
    const std::string metavar =
        option->get_items_expected_max() > 0 ? option->get_type_name() : std::string{};
    const auto choice = tree.choices.find(option);
    const auto words = choice == tree.choices.end() ? std::vector<std::string>{} : choice->second;
    for (const std::string& name : option->get_lnames()) {
      info.options.push_back({"--" + name, metavar, words});
    }
    for (const std::string& name : option->get_snames()) {
      info.options.push_back({"-" + name, metavar, words});
    }
  }
  return info;
}

// An empty word is nearly always a script's variable that is not set: taken as if it were not
// there, `--submit-key "$KEY"` would submit a job more each time.
CLI::Validator filled() {
  return CLI::Validator([](std::string& word) { return word.empty() ? "is empty" : std::string{}; },
                        "");
}

void collect(const CommandTree& tree, const CLI::App& app, const std::string& prefix,
             std::vector<CommandInfo>& out) {
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string path = (prefix.empty() ? "" : prefix + " ") + below->get_name();
    out.push_back(info_of(tree, *below, path));
    collect(tree, *below, path, out);
  }
}

}  // namespace

Arguments& Arguments::required(const std::string& name, std::string& target,
                               const std::string& help) {
  app_of(app_).add_option(name, target, help)->required()->type_name("")->check(filled());
  return *this;
}

Arguments& Arguments::optional(const std::string& name, std::string& target,
                               const std::string& help) {
  app_of(app_).add_option(name, target, help)->type_name("");
  return *this;
}

Arguments& Arguments::remaining(const std::string& name, std::vector<std::string>& target,
                                const std::string& help) {
  app_of(app_).add_option(name, target, help)->type_name("");
  return *this;
}

Arguments& Arguments::option(const std::string& flags, const std::string& metavar,
                             std::string& target, const std::string& help) {
  app_of(app_).add_option(flags, target, help)->type_name(metavar)->check(filled());
  return *this;
}

Arguments& Arguments::option(const std::string& flags, const std::string& metavar,
                             std::optional<std::string>& target, const std::string& help) {
  app_of(app_)
      .add_option_function<std::string>(
          flags, [&target](const std::string& value) { target = value; }, help)
      ->type_name(metavar);
  return *this;
}

Arguments& Arguments::required_option(const std::string& flags, const std::string& metavar,
                                      std::string& target, const std::string& help) {
  app_of(app_).add_option(flags, target, help)->required()->type_name(metavar)->check(filled());
  return *this;
}

Arguments& Arguments::list(const std::string& flags, const std::string& metavar,
                           std::vector<std::string>& target, const std::string& help) {
  app_of(app_)
      .add_option(flags, target, help)
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->type_name(metavar);
  return *this;
}

Arguments& Arguments::one_of(const std::string& flags, std::string& target,
                             const std::vector<std::string>& words, const std::string& help) {
  const std::string name = last_flag(flags);
  const std::string choice = join(words, "|");
  const bool is_short = choice.size() <= kChoiceBytesMax;
  CLI::Option* option = app_of(app_)
                            .add_option_function<std::string>(
                                flags,
                                [&target, words, name](const std::string& value) {
                                  if (std::find(words.begin(), words.end(), value) == words.end()) {
                                    throw CLI::ValidationError(
                                        name, "\"" + value + "\" is none of " + join(words, ", "));
                                  }
                                  target = value;
                                },
                                is_short ? help : help + ": " + join(words, ", "))
                            ->type_name(is_short ? choice : "WORD");
  tree_->choices[option] = words;
  return *this;
}

Arguments& Arguments::number(const std::string& flags, const std::string& metavar,
                             std::optional<std::int64_t>& target, std::int64_t min,
                             std::int64_t max, const std::string& help) {
  const std::string name = last_flag(flags);
  app_of(app_)
      .add_option_function<std::string>(
          flags,
          [&target, name, min, max](const std::string& value) {
            const std::int64_t number = value_or_throw(name, parse_integer(value));
            if (number < min || number > max) {
              const std::string from = std::to_string(min);
              throw CLI::ValidationError(
                  name, max == INT64_MAX ? "must be " + from + " or more"
                                         : "must be from " + from + " to " + std::to_string(max));
            }
            target = number;
          },
          help)
      ->type_name(metavar);
  return *this;
}

Arguments& Arguments::rate(const std::string& flags, std::optional<double>& target,
                           const std::string& help) {
  const std::string name = last_flag(flags);
  app_of(app_)
      .add_option_function<std::string>(
          flags,
          [&target, name](const std::string& value) {
            target = value_or_throw(name, parse_rate(value));
          },
          help)
      ->type_name("RATE");
  return *this;
}

Arguments& Arguments::duration(const std::string& flags, std::optional<Millis>& target,
                               const std::string& help) {
  const std::string name = last_flag(flags);
  app_of(app_)
      .add_option_function<std::string>(
          flags,
          [&target, name](const std::string& value) {
            target = value_or_throw(name, parse_duration(value));
          },
          help)
      ->type_name("DURATION");
  return *this;
}

Arguments& Arguments::flag(const std::string& flags, bool& target, const std::string& help) {
  app_of(app_).add_flag(flags, target, help);
  return *this;
}

Arguments& Arguments::one_at_least() {
  CLI::App& app = app_of(app_);
  app.parse_complete_callback([&app] {
    const auto& options = app.get_options();
    const bool any = std::any_of(options.begin(), options.end(), [](const CLI::Option* option) {
      return option->count() > 0 && !option->get_positional() && option->get_name() != "--dry-run";
    });
    if (!any) throw CLI::ValidationError("nothing to change: give at least one option");
  });
  return *this;
}

Arguments& Arguments::changes() {
  app_of(app_).add_flag("--dry-run", tree_->options.dry_run, "check and show, but change nothing");
  return *this;
}

Group Group::group(const std::string& name, const std::string& summary) {
  CLI::App* noun = app_of(app_).add_subcommand(name, summary);
  noun->require_subcommand(1);
  return Group{noun, tree_};
}

Arguments Group::leaf(const Leaf& leaf, Action action) {
  std::string description = leaf.summary;
  if (!leaf.description.empty()) description += "\n" + leaf.description;
  CLI::App* app = app_of(app_).add_subcommand(leaf.name, description);
  app->footer("Examples:\n  " + leaf.examples[0] + "\n  " + leaf.examples[1] +
              "\n\nOptions of every command: see `vouchctl --help`.");
  CommandTree* tree = tree_;
  app->callback([tree, action = std::move(action)] { tree->chosen = action; });
  return Arguments{app, tree_};
}

CommandLine::CommandLine() : tree_{std::make_unique<CommandTree>()} {
  CLI::App& app = tree_->app;
  app.name("vouchctl");
  app.formatter(std::make_shared<Formatter>());
  const auto formatter = app.get_formatter();
  formatter->column_width(32);
  formatter->label("SUBCOMMAND", "COMMAND");
  formatter->label("Subcommands", "Commands");
  formatter->label("Positionals", "Arguments");
  app.set_help_flag("-h,--help", "print help, for any command");
  app.fallthrough();  // options of every command may stand behind the command
  app.require_subcommand(0, 1);
  app.footer("Each command has its own --help with examples.  Manual: vouchctl(1), vouch(7).");
  add_global_options(app, tree_->options, tree_->version);
}

CommandLine::~CommandLine() = default;

Group CommandLine::top() {
  return Group{&tree_->app, tree_.get()};
}

Result<CommandLine::Parsed> CommandLine::parse(int argc, const char* const* argv) {
  CLI::App& app = tree_->app;
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Parsed{{}, deepest(&app)->help(), {}};
  } catch (const CLI::ParseError& error) {
    return tl::unexpected<Error>(usage_error(app, error));
  }
  if (tree_->version) return Parsed{{}, std::string{"vouchctl "} + VOUCH_VERSION + "\n", {}};
  if (!tree_->chosen) {
    return fail(Errc::usage, "a command is missing", "see `vouchctl --help`");
  }
  return Parsed{tree_->chosen, "", tree_->options};
}

std::vector<CommandInfo> CommandLine::commands() const {
  std::vector<CommandInfo> out;
  out.push_back(info_of(*tree_, tree_->app, ""));
  collect(*tree_, tree_->app, "", out);
  return out;
}

}  // namespace vouch::cli
