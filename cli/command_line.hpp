// command_line.hpp: the tree of commands, a thin layer over CLI11 that keeps it out of every
// other file (it takes six seconds to compile).
//
// A command file adds its noun and its leaves; nothing runs while the line is being parsed.  The
// leaf that was chosen is run by main, with a Session, and returns its exit status or an Error.
//
// Threads: main's.
// Errors:  usage, with the nearest command or option where a word was mistyped.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::cli {

class Session;

// Runs a leaf; the exit status when it went well (0, or 3 and 9 where the work itself says so).
using Action = std::function<Result<int>(Session&)>;

// What a leaf is called and what its --help says.  Examples are whole command lines; they are run
// by tests/e2e/examples.bats in a store that has the client "shop", the downstreams "coupons" and
// "balances", the campaign "birthday", the pool "vip", the list "november" and the job
// "birthday-november", with codes.csv, spring.json (a campaign), coupons.json, outcomes.json and
// november.csv in the folder.
struct Leaf {
  std::string name;
  std::string summary;           // one line, no full stop
  std::string description = {};  // further sentences; may be empty
  std::array<std::string, 2> examples;
};

struct CommandTree;  // CLI11's tree and what was parsed, in command_line.cpp

// The arguments of one leaf.  Targets must outlive the run: keep them in a shared_ptr that the
// leaf's action captures.
class Arguments {
 public:
  // Positional, in the order of these calls.
  Arguments& required(const std::string& name, std::string& target, const std::string& help);
  Arguments& optional(const std::string& name, std::string& target, const std::string& help);
  Arguments& remaining(const std::string& name, std::vector<std::string>& target,
                       const std::string& help);

  // Words may not be empty, but for those of an optional<string>, where empty clears.
  // `flags` is "--limit" or "-f,--follow"; `metavar` what stands behind it: "RATE".
  Arguments& option(const std::string& flags, const std::string& metavar, std::string& target,
                    const std::string& help);
  Arguments& option(const std::string& flags, const std::string& metavar,
                    std::optional<std::string>& target, const std::string& help);
  Arguments& required_option(const std::string& flags, const std::string& metavar,
                             std::string& target, const std::string& help);
  // May be given several times, or once with commas.
  Arguments& list(const std::string& flags, const std::string& metavar,
                  std::vector<std::string>& target, const std::string& help);
  Arguments& one_of(const std::string& flags, std::string& target,
                    const std::vector<std::string>& words, const std::string& help);
  Arguments& number(const std::string& flags, const std::string& metavar,
                    std::optional<std::int64_t>& target, std::int64_t min, std::int64_t max,
                    const std::string& help);
  Arguments& rate(const std::string& flags, std::optional<double>& target, const std::string& help);
  Arguments& duration(const std::string& flags, std::optional<Millis>& target,
                      const std::string& help);
  Arguments& flag(const std::string& flags, bool& target, const std::string& help);
  // A line with none of this leaf's options asks for nothing, and is refused.
  Arguments& one_at_least();
  // Every leaf that changes something takes --dry-run (Session::dry_run).
  Arguments& changes();

 private:
  friend class Group;
  Arguments(void* app, CommandTree* tree) : app_{app}, tree_{tree} {}
  void* app_;  // CLI::App
  CommandTree* tree_;
};

// A noun, or the top level.
class Group {
 public:
  Arguments leaf(const Leaf& leaf, Action action);
  Group group(const std::string& name, const std::string& summary);

 private:
  friend class CommandLine;
  Group(void* app, CommandTree* tree) : app_{app}, tree_{tree} {}
  void* app_;  // CLI::App
  CommandTree* tree_;
};

// What stands on the line for every command; unset where the line does not say.
struct GlobalOptions {
  std::map<std::string, std::string> settings;  // by key: store, instance, output, color
  std::string config_file;
  std::vector<std::string> fields;
  bool quiet = false;
  int verbose = 0;
  bool assume_yes = false;
  bool dry_run = false;
};

struct OptionInfo {
  std::string name;                     // "--limit"
  std::string metavar;                  // "RATE"; empty for a flag
  std::vector<std::string> words = {};  // those of a choice
};

struct CommandInfo {
  std::string path;  // "client create"
  std::string summary;
  bool leaf = false;
  std::vector<OptionInfo> options;
  std::vector<std::string> arguments;  // "CLIENT"
};

class CommandLine {
 public:
  CommandLine();
  ~CommandLine();

  [[nodiscard]] Group top();

  struct Parsed {
    Action action;     // none: `text` is to be printed, and that is all
    std::string text;  // of --help or --version
    GlobalOptions options;
  };
  [[nodiscard]] Result<Parsed> parse(int argc, const char* const* argv);

  // Every command, in the order of the tree; first the program itself, with the path "".
  [[nodiscard]] std::vector<CommandInfo> commands() const;

 private:
  std::unique_ptr<CommandTree> tree_;
};

}  // namespace vouch::cli
