// issuance_create.hpp: `vouchctl issuance create`, a leaf with a file of its own.
#pragma once

#include "cli/command_line.hpp"

namespace vouch::cli {

void add_issuance_create(Group& issuance);

}  // namespace vouch::cli
