// config.hpp: vouchd's settings: flag, else VOUCH_* in the environment, else the configuration
// file, else the default (vouchd.conf(5)).
//
// Threads: main.   Errors: usage, naming the unknown key and its neighbour, or the bad value.
#pragma once

#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/log.hpp"
#include "common/result.hpp"
#include "common/wire/redis_address.hpp"
#include "daemon/service/engine.hpp"
#include "daemon/strategy/intake.hpp"

namespace vouch::daemon {

struct Config {
  std::string store = "/var/lib/vouch";
  std::string instance = "main";
  std::string admin_listen = "127.0.0.1:9464";   // address:port, unix:/path, or none
  std::string admin_port_file;                   // the port is written here once it is bound
  std::string control_socket;                    // empty: beside the ledger; none
  std::string anchor_file;                       // empty: beside the control store
  std::string downstream_authorities;            // PEM text, to be trusted besides the system's
  std::string pool_key = "/etc/vouch/pool.key";  // file with the key of redemption codes
  std::string notify_command;
  std::optional<wire::RedisAddress> redis;  // nothing: locks in this process alone
  std::string redis_password;
  log::Format log_format = log::Format::automatic;
  std::string log_level = "info";
  bool accept_older_ledger = false;
  bool accept_clock = false;
  bool accept_older_control = false;
  service::EngineSettings engine;
  strategy::IntakeSettings intake;

  enum class Action : std::uint8_t { run, check, show_version };
  Action action = Action::run;
};

// What the command line asks for instead of running; `exit_code` as CLI11 says.
struct EarlyExit {
  int exit_code = 0;
  std::string out, err;
};

// Reads argv, environment and file.  Returns early for --help and for errors (2).
[[nodiscard]] tl::expected<Config, EarlyExit> read_config(int argc, const char* const* argv);

}  // namespace vouch::daemon
