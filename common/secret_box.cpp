#include "common/secret_box.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>

namespace vouch {
namespace {

constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kNonceBytes = 12;

std::array<unsigned char, kNonceBytes> nonce_of(std::uint64_t number) {
  std::array<unsigned char, kNonceBytes> nonce{};
  for (std::size_t i = 0; i < sizeof number; ++i) {
    nonce[kNonceBytes - 1 - i] = static_cast<unsigned char>(number >> (8 * i));
  }
  return nonce;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

}  // namespace

// The key's schedule is made once; each text then only sets its nonce.
struct SecretBox::State {
  Context sealing{EVP_CIPHER_CTX_new()};
  Context opening{EVP_CIPHER_CTX_new()};
};

SecretBox::SecretBox(const Digest256& key) : state_{std::make_unique<State>()} {
  const EVP_CIPHER* cipher = EVP_aes_256_gcm();
  const int sealing =
      EVP_EncryptInit_ex(state_->sealing.get(), cipher, nullptr, key.data(), nullptr);
  const int opening =
      EVP_DecryptInit_ex(state_->opening.get(), cipher, nullptr, key.data(), nullptr);
  VOUCH_ASSERT(sealing == 1 && opening == 1);
}

SecretBox::SecretBox(SecretBox&&) noexcept = default;
SecretBox& SecretBox::operator=(SecretBox&&) noexcept = default;
SecretBox::~SecretBox() = default;

void SecretBox::seal(std::uint64_t number, std::string_view plain, std::string& sealed) {
  EVP_CIPHER_CTX* const context = state_->sealing.get();
  const auto nonce = nonce_of(number);
  sealed.resize(plain.size() + kTagBytes);
  int bytes = 0;
  int rest = 0;
  const bool done = EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
                    EVP_EncryptUpdate(context, bytes_of(sealed), &bytes, bytes_of(plain),
                                      static_cast<int>(plain.size())) == 1 &&
                    EVP_EncryptFinal_ex(context, bytes_of(sealed) + bytes, &rest) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes,
                                        bytes_of(sealed) + plain.size()) == 1;
  VOUCH_ASSERT(done);  // nothing outside can make it fail
}

Result<void> SecretBox::open(std::uint64_t number, std::string_view sealed, std::string& plain) {
  plain.clear();
  if (sealed.size() < kTagBytes) return fail(Errc::corrupt, "a sealed text is too short");
  EVP_CIPHER_CTX* const context = state_->opening.get();
  const auto nonce = nonce_of(number);
  const std::string_view content = sealed.substr(0, sealed.size() - kTagBytes);
  std::string tag{sealed.substr(content.size())};
  plain.resize(content.size());
  int bytes = 0;
  int rest = 0;
  const bool ready =
      EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
      EVP_DecryptUpdate(context, bytes_of(plain), &bytes, bytes_of(content),
                        static_cast<int>(content.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, bytes_of(tag)) == 1;
  VOUCH_ASSERT(ready);
  if (EVP_DecryptFinal_ex(context, bytes_of(plain) + bytes, &rest) == 1) return {};
  wipe(plain);
  return fail(Errc::corrupt, "a sealed text was changed, or sealed under another key");
}

void wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

void wipe(Digest256& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
}

}  // namespace vouch
