#include "cli/control_call.hpp"

#include "common/wire/local_call.hpp"

namespace vouch::cli {

Result<ControlCall> ControlCall::open(Session& session) {
  VOUCH_TRY(store::LedgerView * ledger, session.ledger());
  VOUCH_TRY(std::string socket, ledger->meta("control_socket"));
  const std::string nobody =
      "no vouchd runs for the instance \"" + session.instance() + "\" of " + session.paths().root;
  if (!session.daemon_runs()) {
    return fail(Errc::unavailable, nobody, "start it, then ask again; see `vouchctl doctor`");
  }
  if (socket.empty()) {
    return fail(Errc::unavailable, "vouchd has no control socket",
                "give it one: control-socket in vouchd.conf(5)");
  }
  return ControlCall{std::move(socket), nobody};
}

Result<Json> ControlCall::post(const std::string& path, const Json& body) const {
  return call("POST", path, body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<Json> ControlCall::call(const std::string& method, const std::string& path,
                               std::string body) const {
  VOUCH_TRY(const std::string text,
            wire::call_locally(
                {.socket = socket_, .method = method, .path = path, .body = std::move(body)}));
  VOUCH_TRY(Json json, parse_json(text));
  if (!json.is_object()) return fail(Errc::failure, "vouchd's answer is not understood: " + text);
  if (json.value("ok", false)) return json;
  return fail(errc_of(json.value("code", std::string{"failure"})),
              json.value("message", std::string{"vouchd refused"}),
              json.value("hint", std::string{}));
}

}  // namespace vouch::cli
