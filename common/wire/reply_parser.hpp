// reply_parser.hpp: reads the bytes of one answer (RFC 9112), by Boost.Beast's parser.
//
// Threads: one at a time.
// Errors:  Progress::broken, with problem(); the answer cannot be trusted then.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/wire/http_client.hpp"

namespace vouch::wire {

class ReplyParser {
 public:
  enum class Progress { more, done, broken };

  ReplyParser();
  ~ReplyParser();
  ReplyParser(ReplyParser&&) noexcept;
  ReplyParser& operator=(ReplyParser&&) noexcept;

  // For the next answer, whose status, fields and body go into `end`.
  void begin(HttpEnd& end);
  // Takes all of `bytes`; what it cannot use yet it keeps.
  [[nodiscard]] Progress take(std::string_view bytes);
  // The peer will send no more: an answer whose length is not told ends here.
  [[nodiscard]] Progress take_end();

  [[nodiscard]] bool has_begun() const;  // some byte has been read
  // After `done`: the peer will read another request on this connection, and has sent nothing yet.
  [[nodiscard]] bool connection_is_reusable() const;
  [[nodiscard]] const std::string& problem() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vouch::wire
