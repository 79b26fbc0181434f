// secret_box.hpp: encryption of what must not be read from a disk (AES-256-GCM); with its .cpp
// the only code that knows OpenSSL's ciphers.
//
// A sealed text is as long as the plain one and sixteen bytes, and cannot be changed unnoticed.
// The number under which it is sealed stands for the nonce: whoever seals two texts under one key
// and one number gives both away.
//
// Threads: a SecretBox belongs to one thread at a time.
// Errors:  corrupt when a sealed text is not what was sealed under this key and number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/crypto.hpp"
#include "common/result.hpp"

namespace vouch {

class SecretBox {
 public:
  explicit SecretBox(const Digest256& key);
  SecretBox(SecretBox&&) noexcept;
  SecretBox& operator=(SecretBox&&) noexcept;
  ~SecretBox();

  // Replaces `sealed`.
  void seal(std::uint64_t number, std::string_view plain, std::string& sealed);
  // Replaces `plain`; of what is corrupt nothing is given.
  [[nodiscard]] Result<void> open(std::uint64_t number, std::string_view sealed,
                                  std::string& plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Overwrites a secret that is no longer needed, which a compiler may not leave out.
void wipe(std::string& secret);
void wipe(Digest256& secret);

}  // namespace vouch
