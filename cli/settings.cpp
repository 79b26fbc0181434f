#include "cli/settings.hpp"

#include <algorithm>

#include "common/environment.hpp"
#include "common/files.hpp"
#include "common/plan/campaign.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

struct Known {
  const char* key;
  const char* environment;
  const char* fallback;
};
constexpr Known kKnown[] = {{"store", "VOUCH_STORE", "/var/lib/vouch"},
                            {"instance", "VOUCH_INSTANCE", "main"},
                            {"output", "VOUCH_OUTPUT", "table"},
                            {"color", "VOUCH_COLOR", "auto"},
                            {"pool-key", "VOUCH_POOL_KEY", "/etc/vouch/pool.key"}};

constexpr std::size_t kConfigBytesMax = 64 * 1024;

using Lines = std::map<std::string, Setting>;

Result<void> read_line(std::string_view line, const std::string& place, Lines& out) {
  line = trim_blanks(line);
  if (line.empty() || line.front() == '#') return {};
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) {
    return fail(Errc::invalid, place + ": must read `key = value`");
  }
  const std::string key{trim_blanks(line.substr(0, equals))};
  std::vector<std::string> keys;
  for (const Known& known : kKnown) keys.emplace_back(known.key);
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
    const std::string near = nearest(key, keys);
    return fail(Errc::invalid, place + ": unknown key \"" + key + "\"",
                near.empty() ? "known are " + join(keys, ", ") : "did you mean \"" + near + "\"?");
  }
  const std::string value{trim_blanks(line.substr(equals + 1))};
  if (!out.emplace(key, Setting{key, value, place}).second) {
    return fail(Errc::invalid, place + ": \"" + key + "\" stands twice in this file");
  }
  return {};
}

Result<Lines> read_config(const std::string& path) {
  VOUCH_TRY(const std::string text, read_file(path, kConfigBytesMax));
  Lines lines;
  int number = 0;
  for (const std::string_view line : split(text, '\n')) {
    VOUCH_CHECK(read_line(line, path + ":" + std::to_string(++number), lines));
  }
  return lines;
}

// Both become parts of paths.
Result<void> check(const Setting& setting) {
  const bool is_flag = setting.origin == "flag";
  const std::string where = is_flag ? "--" + setting.key : setting.origin + ": " + setting.key;
  const Errc code = is_flag ? Errc::usage : Errc::invalid;
  if (setting.key == "store" && setting.value.empty()) {
    return fail(code, where + ": is empty", "name the folder of the store");
  }
  if (setting.key != "instance") return {};
  const auto named = plan::check_name("instance", setting.value);
  if (named) return {};
  return fail(code, where + ": \"" + setting.value + "\" is not a name", named.error().hint);
}

}  // namespace

Result<Settings> Settings::load(const SettingSources& sources) {
  Lines of_system;
  auto system = read_config(sources.system_file);
  if (system)
    of_system = std::move(*system);
  else if (system.error().code != Errc::not_found)
    return tl::unexpected<Error>(system.error());
  Lines of_file;
  if (!sources.config_file.empty()) {
    VOUCH_TRY(of_file, read_config(sources.config_file));
  }
  Settings out;
  for (const Known& known : kKnown) {
    Setting setting{known.key, known.fallback, "default"};
    if (const auto line = of_system.find(known.key); line != of_system.end())
      setting = line->second;
    if (const auto line = of_file.find(known.key); line != of_file.end()) setting = line->second;
    if (const auto value = environment(known.environment); value && !value->empty()) {
      setting = {known.key, *value, std::string{"environment "} + known.environment};
    }
    if (const auto flag = sources.flags.find(known.key); flag != sources.flags.end()) {
      setting = {known.key, flag->second, "flag"};
    }
    VOUCH_CHECK(check(setting));
    out.settings_.push_back(std::move(setting));
  }
  return out;
}

const std::string& Settings::value(std::string_view key) const {
  const auto found = std::find_if(settings_.begin(), settings_.end(),
                                  [&](const Setting& setting) { return setting.key == key; });
  VOUCH_ASSERT(found != settings_.end());
  return found->value;
}

}  // namespace vouch::cli
