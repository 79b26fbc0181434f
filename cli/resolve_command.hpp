// resolve_command.hpp: vouchctl issuance resolve.
#pragma once

#include "cli/command_line.hpp"

namespace vouch::cli {

void add_issuance_resolve(Group& issuance);

}  // namespace vouch::cli
