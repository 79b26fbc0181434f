#include "common/wire/trust.hpp"

#include <boost/asio/buffer.hpp>

#include "common/files.hpp"
#include "common/wire/http_client.hpp"

namespace vouch::wire {
namespace {

using boost::asio::ssl::context;
using boost::system::error_code;

// All authorities of a system are a quarter of it.
constexpr std::size_t kAuthoritiesBytesMax = 1 << 20;

error_code add(context& trust, const std::string& authorities) {
  error_code error;
  trust.add_certificate_authority(boost::asio::buffer(authorities), error);
  return error;
}

}  // namespace

context make_trust(const std::string& authorities) {
  context trust{context::tls_client};
  error_code error;
  trust.set_options(context::no_sslv2 | context::no_sslv3 | context::no_tlsv1 | context::no_tlsv1_1,
                    error);
  if (!error) trust.set_default_verify_paths(error);
  if (!error && !authorities.empty()) error = add(trust, authorities);
  VOUCH_ASSERT(!error);
  return trust;
}

Result<std::string> read_authorities(const std::string& path) {
  VOUCH_TRY(std::string text, read_file(path, kAuthoritiesBytesMax));
  context scratch{context::tls_client};
  if (const error_code error = add(scratch, text)) {
    return fail(Errc::invalid, path + ": no certificates in PEM: " + error.message(),
                "each authority's certificate begins with -----BEGIN CERTIFICATE-----");
  }
  return text;
}

}  // namespace vouch::wire
