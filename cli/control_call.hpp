// control_call.hpp: what needs authority goes to vouchd over its control socket, where the kernel
// names the account that runs this program.
//
// Threads: main's.
// Errors:  unavailable when no vouchd runs; vouchd's own, as it says them.
#pragma once

#include <string>
#include <string_view>

#include "cli/session.hpp"
#include "common/json.hpp"

namespace vouch::cli {

class ControlCall {
 public:
  // Finds the socket by the instance's ledger.
  [[nodiscard]] static Result<ControlCall> open(Session& session);

  // The answer, which is "ok".
  [[nodiscard]] Result<Json> get(const std::string& path) const { return call("GET", path, {}); }
  [[nodiscard]] Result<Json> post(const std::string& path, const Json& body) const;

 private:
  ControlCall(std::string socket, std::string nobody)
      : socket_{std::move(socket)}, nobody_{std::move(nobody)} {}
  [[nodiscard]] Result<Json> call(const std::string& method, const std::string& path,
                                  std::string body) const;

  std::string socket_;
  std::string nobody_;  // words for when nobody listens
};

}  // namespace vouch::cli
