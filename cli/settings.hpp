// settings.hpp: where vouchctl's settings come from.
//
// flag > VOUCH_* in the environment > the file of --config > the system's file > default.  A file
// holds `key = value` lines and `#` comments; an unknown key is an error, so that a mistyped one
// is not a silent default.
//
// Threads: values.   Errors: invalid, naming file and line.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace vouch::cli {

inline constexpr std::string_view kSystemConfigFile = "/etc/vouch/vouchctl.conf";

struct Setting {
  std::string key;
  std::string value;
  std::string origin;  // "flag", "environment VOUCH_STORE", "/etc/vouch/vouchctl.conf:3", "default"
};

struct SettingSources {
  std::map<std::string, std::string> flags;  // by key
  std::string config_file;                   // of --config; must exist when it is given
  std::string system_file{kSystemConfigFile};
};

class Settings {
 public:
  [[nodiscard]] static Result<Settings> load(const SettingSources& sources);
  // Asserts that the key is known.
  [[nodiscard]] const std::string& value(std::string_view key) const;
  [[nodiscard]] const std::vector<Setting>& all() const { return settings_; }

 private:
  std::vector<Setting> settings_;
};

}  // namespace vouch::cli
