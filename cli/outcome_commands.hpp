// outcome_commands.hpp: vouchctl downstream outcomes.
#pragma once

#include "cli/command_line.hpp"

namespace vouch::cli {

void add_outcome_commands(Group& downstream);

}  // namespace vouch::cli
