#include "daemon/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "common/environment.hpp"
#include "common/text.hpp"

namespace vouch::daemon {
namespace {

std::string value_of(const char* name) {
  return environment(name).value_or("");
}

}  // namespace

ServiceManager::ServiceManager() : socket_{value_of("NOTIFY_SOCKET")} {
  const auto usec = parse_integer(value_of("WATCHDOG_USEC"));
  const std::string pid = value_of("WATCHDOG_PID");
  if (usec && *usec > 0 && (pid.empty() || pid == std::to_string(getpid()))) {
    watchdog_ = Millis{*usec / 2000};  // twice as often as asked for
  }
}

void ServiceManager::send(const std::string& text) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  // A manager that does not listen is no reason to stop issuing.
  static_cast<void>(sendto(fd, text.data(), text.size(), MSG_NOSIGNAL,
                           reinterpret_cast<const sockaddr*>(&address), size));
  close(fd);
}

void ServiceManager::ready(const std::string& words) const {
  send("READY=1\nSTATUS=" + words);
}
void ServiceManager::stopping() const {
  send("STOPPING=1\nSTATUS=finishing calls that are out");
}
void ServiceManager::reloading(Instant now) const {
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.time_since_epoch().count() / 1000));
}
void ServiceManager::alive() const {
  send("WATCHDOG=1");
}
void ServiceManager::status(const std::string& words) const {
  send("STATUS=" + words);
}

}  // namespace vouch::daemon
