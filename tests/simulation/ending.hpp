// ending.hpp: what a caller will learn of a call to a model service.
//
// Threads: the simulation's only one.
#pragma once

#include "common/clock.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::test {

struct Ending {
  Instant at;  // when, by the caller's own time limit at the latest
  wire::HttpEnd end;
};

}  // namespace vouch::test
