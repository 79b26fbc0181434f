#include "daemon/service/call_signature.hpp"

#include <array>

#include "common/crypto.hpp"
#include "common/text.hpp"
#include "common/wire/request_text.hpp"

namespace vouch::service {
namespace {

std::string timestamp_text(plan::TimestampForm form, WallTime now) {
  switch (form) {
    case plan::TimestampForm::seconds:
      return std::to_string(to_ms(now) / 1000);
    case plan::TimestampForm::milliseconds:
      return std::to_string(to_ms(now));
    case plan::TimestampForm::iso8601:
      break;
  }
  return format_time_utc(now);
}

std::string nonce_text(Random& random) {
  std::array<std::uint8_t, 16> nonce{};
  random.fill(std::as_writable_bytes(std::span{nonce}));
  return hex(nonce);
}

std::string signature_text(plan::SignatureText form, const Digest256& signature) {
  return form == plan::SignatureText::hex ? hex(signature) : base64(signature);
}

}  // namespace

void sign(wire::HttpCall& call, const data::DownstreamNow& downstream, WallTime now,
          Random& random) {
  const auto present = downstream.versions.find(downstream.version);
  if (present == downstream.versions.end() || !present->second->signing) return;
  const plan::SigningForm& form = *present->second->signing;
  const auto target = wire::parse_target(call.url);
  if (!target || downstream.signing_secret.empty()) return;

  const std::string timestamp = timestamp_text(form.timestamp, now);
  const std::string nonce = nonce_text(random);
  const std::string body_sha256 = hex(sha256(call.body));
  plan::SigningValues values{.method = call.method(),
                             .host = target->authority,
                             .path = target->path,
                             .timestamp = timestamp,
                             .nonce = nonce,
                             .body = call.body,
                             .body_sha256 = body_sha256,
                             .key_id = form.key_id,
                             .signature = {}};
  const HmacKey key{downstream.signing_secret};
  const std::string signature =
      signature_text(form.text, key.sign(plan::render_signing(form.canonical, values)));
  values.signature = signature;
  for (const plan::HeaderForm& header : form.headers) {
    call.headers.push_back(header.name + ": " + plan::render_signing(header.value, values));
  }
}

}  // namespace vouch::service
