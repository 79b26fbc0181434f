#include "tests/support/redis_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "common/result.hpp"
#include "tests/support/raw_client.hpp"

namespace vouch::test {
namespace {

// One that nobody had a moment ago.
std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  VOUCH_ASSERT(bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  VOUCH_ASSERT(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

// Whatever it says: that there is a password, or that it is a sentinel.
bool answers(const std::string& path, const std::string& line = "PING\r\n") {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  char byte = 0;
  const bool does = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                    write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                    read(fd, &byte, 1) == 1;
  close(fd);
  return does;
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> options) : port_{free_port()} {
  arguments_ = {"redis-server",
                "--port",
                std::to_string(port_),
                "--unixsocket",
                folder_ / "redis.sock",
                "--dir",
                folder_.path().string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
                "--enable-debug-command",
                "yes"};
  arguments_.insert(arguments_.end(), options.begin(), options.end());
  start();
}

RedisServer::RedisServer(const Sentinel& sentinel) : port_{free_port()} {
  const std::string file = folder_ / "sentinel.conf";
  std::ofstream{file} << "port " << port_ << "\nbind 127.0.0.1\nunixsocket "
                      << folder_ / "redis.sock"
                      << "\ndir " << folder_.path().string() << "\n"
                      << sentinel.config;
  arguments_ = {"redis-server", file, "--sentinel"};
  start();
}

RedisServer::~RedisServer() {
  kill();
}

void RedisServer::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  VOUCH_ASSERT(waitpid(pid_, nullptr, 0) == pid_);
  pid_ = -1;
  unlink((folder_ / "redis.sock").c_str());
}

void RedisServer::restart() {
  kill();
  start();
}

void RedisServer::start() {
  std::vector<char*> words;
  for (std::string& argument : arguments_) words.push_back(argument.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string log = folder_ / "redis.log";
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  char* no_environment[] = {nullptr};
  const int error =
      posix_spawn(&pid_, "/usr/bin/redis-server", &files, nullptr, words.data(), no_environment);
  posix_spawn_file_actions_destroy(&files);
  VOUCH_ASSERT(error == 0);
  VOUCH_ASSERT(
      until([&] { return answers(folder_ / "redis.sock"); }, [] { std::this_thread::yield(); }));
}

wire::RedisAddress RedisServer::address() const {
  wire::RedisAddress address;
  address.path = folder_ / "redis.sock";
  return address;
}

wire::RedisAddress RedisServer::tcp_address() const {
  wire::RedisAddress address;
  address.hosts = {{"127.0.0.1", port_}};
  return address;
}

void RedisServer::tell(const std::string& line) {
  VOUCH_ASSERT(answers(folder_ / "redis.sock", line + "\r\n"));
}

wire::RedisReply RedisServer::ask(const wire::RedisCommand& command) {
  wire::RedisConnection connection{clock_, address(), {}, Millis{5'000}};
  auto replies = connection.exchange({command}, false);
  return replies ? std::move(replies->front()) : wire::RedisReply{};
}

}  // namespace vouch::test
