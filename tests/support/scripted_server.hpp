// scripted_server.hpp: a server that sends the bytes, ends and resets that a test dictates.
//
// Each connection runs a script of its own, in the order of the connections: the first gets the
// first, and those beyond the last one get the last.  A script that returns closes its connection.
// What a script reads it waits for, at most ten seconds.
//
// Threads: one that accepts, and one for each connection.  The destructor ends all.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vouch::test {

// The server's side of one connection.
class Peer {
 public:
  Peer(int fd, int number);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // One request, head and body; shorter when the client ends before.
  std::string request();
  // So many bytes more, or fewer when the client ends before.
  std::string read(std::size_t bytes);
  void send(std::string_view bytes);
  void send_bytewise(std::string_view bytes);  // each in a packet of its own
  // Until the client ends the connection; what came meanwhile.
  std::string read_to_end();
  void finish();  // FIN; reading goes on
  void reset();   // RST
  // The server's side of a TLS handshake; false when it failed.
  bool shake_hands(const std::string& certificate_file, const std::string& key_file);

  [[nodiscard]] int number() const { return number_; }  // of the connection, from 0
  [[nodiscard]] int fd() const { return fd_; }

 private:
  struct Tls;
  bool fill();

  int fd_;
  int number_;
  std::string buffer_;
  std::unique_ptr<Tls> tls_;
};

class ScriptedServer {
 public:
  using Script = std::function<void(Peer&)>;

  explicit ScriptedServer(std::vector<Script> scripts, bool ipv6 = false);
  explicit ScriptedServer(Script script) : ScriptedServer{std::vector<Script>{script}} {}
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url(const std::string& path = "/") const;
  [[nodiscard]] int connections() const { return connections_; }
  // Connections whose script has returned and whose socket is closed.
  [[nodiscard]] int ended() const { return ended_; }
  void stop_listening();

 private:
  void accept_all();
  void serve(int fd, int number);

  std::vector<Script> scripts_;
  bool ipv6_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<int> connections_{0};
  std::atomic<int> ended_{0};
  std::mutex guard_;
  std::vector<int> open_;             // of the scripts that run; under guard_
  std::vector<std::thread> running_;  // of the accepting thread, later of the destructor
  std::thread accepting_;
};

// A port of the loopback interface where nobody listens.
[[nodiscard]] std::uint16_t closed_port();

}  // namespace vouch::test
