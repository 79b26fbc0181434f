#include "daemon/admin_address.hpp"

#include <unistd.h>

#include <filesystem>

#include "common/files.hpp"
#include "common/text.hpp"
#include "daemon/access/listening_socket.hpp"

namespace vouch::daemon {

Result<AdminAddress> parse_admin_address(const std::string& text) {
  constexpr std::string_view kUnix = "unix:";
  if (text == "none") return AdminAddress{};
  if (text.starts_with(kUnix)) return AdminAddress{text.substr(kUnix.size()), "", 0};
  const auto colon = text.rfind(':');
  const auto port = colon == std::string::npos
                        ? Result<std::int64_t>{-1}
                        : parse_integer(std::string_view{text}.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535) {
    return fail(Errc::invalid, "admin-listen \"" + text + "\" is no address",
                "write 127.0.0.1:9464, unix:/run/vouch/admin.sock or none");
  }
  return AdminAddress{"", text.substr(0, colon), static_cast<std::uint16_t>(*port)};
}

Result<void> check_admin_address(const std::string& text) {
  VOUCH_TRY(const AdminAddress where, parse_admin_address(text));
  const std::string place = "admin-listen " + text;
  if (!where.socket.empty()) {
    const auto folder = std::filesystem::path{where.socket}.parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) {
      return within(place, system_error(folder, errno, "make a socket in").value());
    }
    return {};
  }
  if (where.address.empty()) return {};
  // Any port tells whether the address is this machine's.
  const auto bound = access::bind_tcp(where.address, 0);
  if (!bound) return within(place, bound.error());
  return {};
}

}  // namespace vouch::daemon
