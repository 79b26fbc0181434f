#include "common/store/pool_key.hpp"

#include <sys/stat.h>

#include <array>

#include "common/files.hpp"
#include "common/secret_box.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kFileBytesMax = 1024;
constexpr std::size_t kFingerprintBytes = 8;

}  // namespace

PoolKey::~PoolKey() {
  wipe(key_);
}

Result<PoolKey> PoolKey::read(const std::string& path) {
  auto text = read_file(path, kFileBytesMax);
  if (!text && text.error().code == Errc::not_found) {
    return fail(Errc::not_found, path + ": the key of the pools is not there",
                "name its file by the setting pool-key (VOUCH_POOL_KEY), restore it from its safe "
                "copy, or make the first one with `vouchctl pool create NAME --key-file FILE`");
  }
  if (!text) return tl::unexpected<Error>(std::move(text).error());
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0007) != 0) {
    return fail(Errc::not_permitted, path + ": every account may use it, so it is no secret",
                "chmod 600 " + path);
  }
  auto key = from_hex(trim_blanks(*text));
  wipe(*text);
  if (!key || key->size() != kKeyBytes) {
    return fail(Errc::corrupt, path + ": must hold 64 hexadecimal digits",
                "restore it from its safe copy");
  }
  return PoolKey{std::move(*key), path};
}

Result<PoolKey> PoolKey::create(const std::string& path, Random& random) {
  std::array<std::uint8_t, kKeyBytes> key{};
  random.fill(std::as_writable_bytes(std::span{key}));
  std::string text = hex(key) + "\n";
  const auto made = create_file(path, text, 0600);
  wipe(text);
  if (!made) return tl::unexpected<Error>(made.error());
  return PoolKey{std::string{key.begin(), key.end()}, path};
}

std::string PoolKey::fingerprint() const {
  const Digest256 digest = HmacKey{key_}.sign("vouch pool key fingerprint");
  return hex(std::span{digest}.first(kFingerprintBytes));
}

Result<void> PoolKey::check(std::string_view fingerprint_wanted, std::string_view what) const {
  const std::string own = fingerprint();
  if (own == fingerprint_wanted) return {};
  return fail(Errc::conflict,
              path_ + ": holds the key " + own + ", but " + std::string{what} + " has the key " +
                  std::string{fingerprint_wanted},
              "name the right file by the setting pool-key (VOUCH_POOL_KEY)");
}

Digest256 PoolKey::segment_key(std::string_view salt) const {
  return HmacKey{key_}.sign("vouch pool segment " + std::string{salt});
}

Digest256 PoolKey::content_key() const {
  return HmacKey{key_}.sign("vouch pool content");
}

}  // namespace vouch::store
