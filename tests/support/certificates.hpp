// certificates.hpp: an authority and what it signs, made by the openssl command for one test.
#pragma once

#include <cstdlib>
#include <string>

#include "common/result.hpp"
#include "tests/support/temporary_folder.hpp"

namespace vouch::test {

class Authority {
 public:
  Authority() {
    openssl("req -x509 -subj /CN=authority -keyout " + folder_ / "ca.key" + " -out " + file());
  }
  [[nodiscard]] std::string file() const { return folder_ / "ca.pem"; }
  // A certificate for names such as "DNS:localhost,IP:127.0.0.1"; the key stands in key_file().
  [[nodiscard]] std::string certificate(const std::string& names) const {
    openssl("req -x509 -subj /CN=server -CA " + file() + " -CAkey " + folder_ / "ca.key" +
            " -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=" + names +
            " -keyout " + key_file() + " -out " + folder_ / "server.pem");
    return folder_ / "server.pem";
  }
  [[nodiscard]] std::string key_file() const { return folder_ / "server.key"; }

 private:
  static void openssl(const std::string& words) {
    const std::string command = "openssl " + words +
                                " -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256"
                                " >/dev/null 2>&1";
    VOUCH_ASSERT(std::system(command.c_str()) == 0);
  }

  TemporaryFolder folder_;
};

}  // namespace vouch::test
