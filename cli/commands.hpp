// commands.hpp: every noun of vouchctl.  main.cpp holds the table that calls these; each stands
// in <noun>_commands.cpp.
#pragma once

#include "cli/command_line.hpp"

namespace vouch::cli {

void add_store_commands(CommandLine& line);  // init, store check|backup
void add_operator_commands(CommandLine& line);
void add_client_commands(CommandLine& line);
void add_downstream_commands(CommandLine& line);
void add_campaign_commands(CommandLine& line);
void add_recipients_commands(CommandLine& line);
void add_pool_commands(CommandLine& line);
void add_job_commands(CommandLine& line);
void add_issuance_commands(CommandLine& line);
void add_explain_commands(CommandLine& line);    // explain
void add_log_commands(CommandLine& line);        // log
void add_stop_commands(CommandLine& line);       // stop, start
void add_reconcile_commands(CommandLine& line);  // reconcile
void add_doctor_commands(CommandLine& line);     // doctor
void add_config_commands(CommandLine& line);     // config show, version
void add_completion_commands(CommandLine& line);

}  // namespace vouch::cli
