// vouchctl completion: scripts for shells, and the words that those scripts ask for.
//
// The scripts are short and the same for ever: they hand the words of the line to the hidden form
// `vouchctl completion words -- WORD...`, which knows the command tree and the store's names.
#include <algorithm>
#include <array>

#include "cli/commands.hpp"
#include "cli/session.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::string_view kBash =
    R"script(# vouchctl(1) completion for bash: eval "$(vouchctl completion bash)"
_vouchctl() {
  local IFS=$'\n'
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  mapfile -t COMPREPLY < <(vouchctl completion words -- "${words[@]}" 2>/dev/null)
  if [[ ${COMPREPLY[0]-} == :files ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
  fi
}
complete -F _vouchctl vouchctl
)script";
constexpr std::string_view kZsh = R"script(#compdef vouchctl
# vouchctl(1) completion for zsh: source <(vouchctl completion zsh)
_vouchctl() {
  local -a found
  found=("${(@f)$(vouchctl completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ ${found[1]} == :files ]]; then
    _files
  else
    compadd -- "${(@)found:#}"
  fi
}
compdef _vouchctl vouchctl
)script";
constexpr std::string_view kFish =
    R"script(# vouchctl(1) completion for fish: vouchctl completion fish | source
function __vouchctl_words
  set -l words (commandline -opc) (commandline -ct)
  set -l found (vouchctl completion words -- $words[2..-1] 2>/dev/null)
  if test "$found[1]" = :files
    __fish_complete_path (commandline -ct)
  else
    printf '%s\n' $found
  end
end
complete -c vouchctl -f -a '(__vouchctl_words)'
)script";

// Instead of words: the shell completes file names itself.
constexpr const char* kFiles = ":files";

// What the words before the last one mean.
struct Place {
  const CommandInfo* command = nullptr;
  std::size_t arguments = 0;           // positional ones that are there already
  const OptionInfo* option = nullptr;  // whose value comes next
};

const OptionInfo* find_option(const CommandInfo& root, const CommandInfo& at,
                              std::string_view name) {
  for (const CommandInfo* info : {&at, &root}) {
    for (const OptionInfo& option : info->options) {
      if (option.name == name) return &option;
    }
  }
  return nullptr;
}

Place find_place(const std::vector<CommandInfo>& commands, const std::vector<std::string>& words) {
  Place place{&commands.front(), 0, nullptr};
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (place.option != nullptr) {  // this is its value
      place.option = nullptr;
      continue;
    }
    if (word.size() > 1 && word[0] == '-') {
      const OptionInfo* option = find_option(commands.front(), *place.command, word);
      if (option != nullptr && !option->metavar.empty()) place.option = option;
      continue;
    }
    const std::string path = place.command->path.empty() ? word : place.command->path + " " + word;
    const auto below = std::ranges::find(commands, path, &CommandInfo::path);
    if (below != commands.end()) {
      place.command = &*below;
    } else {
      ++place.arguments;
    }
  }
  return place;
}

template <typename Row, typename Name>
std::vector<std::string> names_of(const Result<std::vector<Row>>& rows, Name name) {
  std::vector<std::string> names;
  if (!rows) return names;
  for (const Row& row : *rows) names.push_back(name(row));
  return names;
}

std::vector<std::string> job_names(store::ControlStore& control) {
  std::vector<std::string> names;
  const auto jobs = control.jobs();
  if (!jobs) return names;
  for (const store::JobRow& job : *jobs) {
    names.push_back(format_id(ObjectKind::job, job.id));
    if (!job.submit_key.empty()) names.push_back(job.submit_key);
  }
  return names;
}

// What can stand where the help says CAMPAIGN, FILE or FORMAT.
std::vector<std::string> values_for(Session& session, const std::string& metavar) {
  if (metavar == "FILE" || metavar == "FOLDER") return {kFiles};
  if (metavar == "FORMAT") return {"table", "wide", "json", "ndjson", "csv", "name"};
  if (metavar == "WHEN") return {"auto", "always", "never"};
  if (metavar == "SHELL") return {"bash", "zsh", "fish"};
  std::vector<std::string> words;
  const auto opened = session.control();
  if (!opened) return words;
  store::ControlStore& control = **opened;
  if (metavar == "JOB") return job_names(control);
  if (metavar == "CLIENT") {
    return names_of(control.clients(), [](const store::ClientRow& row) { return row.name; });
  }
  if (metavar == "LIST") {
    return names_of(control.lists(), [](const store::ListRow& row) { return row.name; });
  }
  if (metavar == "POOL") {
    return names_of(control.pools(), [](const store::PoolRow& row) { return row.name; });
  }
  if (metavar == "CAMPAIGN") {
    return names_of(control.campaigns(),
                    [](const store::CampaignRow& row) { return row.definition.name; });
  }
  if (metavar == "DOWNSTREAM") {
    return names_of(control.downstreams(),
                    [](const store::DownstreamRow& row) { return row.definition.name; });
  }
  return words;
}

// What an option's value names: "--campaign" a CAMPAIGN, however its help abbreviates it.
std::string kind_of(const OptionInfo& option) {
  constexpr std::array<std::string_view, 5> names = {"JOB", "CLIENT", "LIST", "CAMPAIGN",
                                                     "DOWNSTREAM"};
  for (const std::string_view name : names) {
    if (option.name == "--" + lower_ascii(name)) return std::string{name};
  }
  return option.metavar;
}

std::vector<std::string> candidates(Session& session, const std::vector<CommandInfo>& commands,
                                    const std::vector<std::string>& words) {
  const Place place = find_place(commands, words);
  const std::string last = words.empty() ? "" : words.back();
  if (place.option != nullptr) {
    const OptionInfo& option = *place.option;
    return option.words.empty() ? values_for(session, kind_of(option)) : option.words;
  }
  std::vector<std::string> found;
  if (last.starts_with("-")) {
    for (const CommandInfo* info : {place.command, &commands.front()}) {
      for (const OptionInfo& option : info->options) {
        const bool known = std::ranges::find(found, option.name) != found.end();
        if (option.name.starts_with("--") && !known) found.push_back(option.name);
      }
    }
    return found;
  }
  if (place.command->leaf) {
    const auto& arguments = place.command->arguments;
    if (place.arguments >= arguments.size()) return found;
    return values_for(session, arguments[place.arguments]);
  }
  const std::string prefix = place.command->path.empty() ? "" : place.command->path + " ";
  for (const CommandInfo& info : commands) {
    if (info.path.size() <= prefix.size() || !info.path.starts_with(prefix)) continue;
    const std::string rest = info.path.substr(prefix.size());
    if (rest.find(' ') == std::string::npos) found.push_back(rest);
  }
  return found;
}

Result<int> complete(Session& session, const std::string& what,
                     const std::vector<std::string>& words) {
  Output& out = session.out();
  const std::vector<CommandInfo> commands = session.commands().commands();
  if (what == "bash")
    out.text(kBash);
  else if (what == "zsh")
    out.text(kZsh);
  else if (what == "fish")
    out.text(kFish);
  else if (what == "commands") {
    for (const CommandInfo& info : commands) {
      if (info.leaf) out.text(info.path + "\n");
    }
  } else if (what == "words") {
    const std::string last = words.empty() ? "" : words.back();
    for (const std::string& word : candidates(session, commands, words)) {
      if (word == kFiles || word.starts_with(last)) out.text(word + "\n");
    }
  } else {
    return fail(Errc::usage, "\"" + what + "\" is no shell that is known", "use bash, zsh or fish");
  }
  return 0;
}

struct CompletionOptions {
  std::string what;
  std::vector<std::string> words;
};

}  // namespace

void add_completion_commands(CommandLine& line) {
  auto options = std::make_shared<CompletionOptions>();
  line.top()
      .leaf(
          {.name = "completion",
           .summary = "Print the completion script of a shell: bash, zsh or fish",
           .description = "It completes commands, options and the names of the store.",
           .examples = {"vouchctl completion bash > vouchctl.bash", "vouchctl completion fish"}},
          [options](Session& session) { return complete(session, options->what, options->words); })
      .required("SHELL", options->what, "bash, zsh or fish")
      .remaining("WORD", options->words, "for the scripts: the words of the line so far");
}

}  // namespace vouch::cli
