// trust.hpp: whose word counts for who a peer is.
//
// Threads: pure.
// Errors:  none here; read_authorities (http_client.hpp) has looked at the text before.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <string>

namespace vouch::wire {

// TLS 1.2 and later, the system's authorities, and those in `authorities`, PEM text, may be empty.
[[nodiscard]] boost::asio::ssl::context make_trust(const std::string& authorities);

}  // namespace vouch::wire
