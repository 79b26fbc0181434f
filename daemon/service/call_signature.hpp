// call_signature.hpp: signs a call as the downstream's present definition says.
//
// A signature is a credential, like a bearer token: it is made anew for each attempt, with the time
// and a nonce of that moment, and is no part of what must stay the same when a call is repeated.
// So a row in doubt is signed by the key that is in force now, not by that of its first attempt.
//
// Threads: pure functions.
#pragma once

#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/wire/http_client.hpp"
#include "daemon/data/snapshot.hpp"

namespace vouch::service {

// Appends the headers of the signature.  Without a form of it, or without its secret, the call
// stays as it is: the downstream then refuses it, and the job pauses for setup.
void sign(wire::HttpCall& call, const data::DownstreamNow& downstream, WallTime now,
          Random& random);

}  // namespace vouch::service
